"""The browser of missing features with real components: served by Voilà and in JupyterLab, driven in Chromium.

What the page shows is checked against what else it shows (a list against its count, a filter against the number
beside it); that the numbers are right is for the tests of `browsing` to say.
"""

import json
import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

import fac_lab
from fac_lab.profile import project_root

WIDE = {"width": 1440, "height": 1000}
FIRST = 240_000
"""Milliseconds until the page stands: a process has to import PyTorch first, on a machine that does other things."""
SOON = 60_000
KEPT = ("chat", "label_scores", "labels", "maps", "samples", "stats")
BROWSE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fac_lab.cli import main
sys.exit(main(["-q", "browse", "--profile", "smoke"]))
"""
JUPYTER = """
import sys
print("http://127.0.0.1:" + sys.argv[1] + "/", flush=True)
from jupyterlab.labapp import main
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A project folder that shares what was computed with the real one; what people change stays in it."""
    home = tmp_path_factory.mktemp("home")
    (home / "data").symlink_to(project_root() / "data")
    (home / "runs" / "smoke").mkdir(parents=True)
    for kind in KEPT:
        there = project_root() / "runs" / "smoke" / kind
        there.mkdir(parents=True, exist_ok=True)
        (home / "runs" / "smoke" / kind).symlink_to(there)
    return home


class Screen:
    """The browser on a page, by the classes that `fac_lab.display.browser` promises."""

    def __init__(self, page):
        self.page = page

    def at(self, name: str):
        return self.page.locator(f".fl-browser .{name}").first

    def text(self, name: str) -> str:
        return self.at(name).inner_text()

    def wait(self, name: str, pattern: str, *, timeout: int = SOON) -> re.Match:
        """What stands in a part, once it matches."""
        until = time.monotonic() + timeout / 1000
        while not (found := re.search(pattern, self.text(name))):
            assert time.monotonic() < until, f"{name} shows {self.text(name)!r}, not {pattern!r}"
            self.page.wait_for_timeout(20)
        return found

    def numbers(self) -> dict[str, str]:
        """FAC, missing and the null, as they stand at the top."""
        terms = self.page.locator(".fl-browser .fl-numbers dt").all_inner_texts()
        values = self.page.locator(".fl-browser .fl-numbers dd").all_inner_texts()
        return {term.strip().lower(): value.split()[0] for term, value in zip(terms, values, strict=True)}

    def listed(self) -> int:
        """How many features the list has, by its own count."""
        words = self.text("fl-place")
        return 0 if "none" in words else int(re.search(r"of ([\d,]+)", words)[1].replace(",", ""))

    def rows(self) -> list[str]:
        """Features of the rows that the list shows."""
        rows = self.page.locator(".fl-browser .fl-list tbody tr[data-key]")
        return rows.evaluate_all("rows => rows.map(row => row.dataset.key)")

    def chosen(self) -> str:
        return self.at("fl-list").locator("tr[aria-selected=true]").get_attribute("data-key")

    def until(self, what, *, timeout: int = SOON) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + timeout / 1000
        while not what():
            assert time.monotonic() < end, f"never became true: {self.page.locator('.fl-status').inner_text()!r}"
            self.page.wait_for_timeout(50)


def move_the_threshold(screen: Screen) -> list[float]:
    """Arrow keys on the slider; numbers, list and its count follow. Seconds from key to number, per step."""
    handle = screen.at("fl-threshold").locator(".noUi-handle")
    before, steps = screen.numbers(), []
    handle.focus()
    for key in ("ArrowLeft",) * 3:
        old = screen.text("fl-numbers")
        began = time.monotonic()
        screen.page.keyboard.press(key)
        screen.until(lambda old=old: screen.text("fl-numbers") != old)
        steps.append(time.monotonic() - began)
    moved = screen.numbers()
    assert moved != before and "null" in moved
    screen.until(lambda: screen.listed() == int(moved["missing"].replace(",", "")))
    for _ in steps:
        screen.page.keyboard.press("ArrowRight")
    screen.until(lambda: screen.numbers() == before)
    screen.until(lambda: screen.listed() == int(before["missing"].replace(",", "")))
    return steps


def change_the_support(screen: Screen) -> float:
    """Arrow keys on the field of m, and back to the rule by the space bar; seconds from key to number."""
    field, rule = screen.at("fl-support").locator("input"), screen.at("fl-support-rule")
    before, m = screen.numbers(), int(field.input_value())
    field.focus()
    began = time.monotonic()
    screen.page.keyboard.press("ArrowUp")
    screen.wait("fl-numbers", rf"m = {m + 1}\b")
    seconds = time.monotonic() - began
    moved = screen.numbers()
    assert moved["fac"] != before["fac"], "an anchor has features that just reach the rule's m"
    screen.until(lambda: screen.listed() == int(moved["missing"].replace(",", "")))
    rule.focus()
    screen.page.keyboard.press("Space")
    screen.until(lambda: screen.numbers() == before and field.input_value() == str(m))
    screen.until(lambda: screen.listed() == int(before["missing"].replace(",", "")))
    return seconds


def filter_the_list(screen: Screen) -> None:
    """Status, search, and all off again; the list has as many features as the box said."""
    status = screen.at("fl-status-filter")
    missing = screen.listed()
    option = status.locator("label", has=screen.page.locator("input[data-key=covered]"))
    covered = int(option.locator("b").inner_text().replace(",", ""))
    option.locator("input").focus()
    screen.page.keyboard.press("Space")
    screen.until(lambda: screen.listed() == missing + covered)
    option.locator("input").uncheck()
    screen.until(lambda: screen.listed() == missing)
    first = screen.rows()[0]
    search = screen.at("fl-search").locator("input")
    search.fill(f"#{first}")
    screen.until(lambda: screen.rows() == [first])
    search.fill("no text says this")
    screen.until(lambda: screen.listed() == 0)
    assert "no feature passes" in screen.text("fl-list")
    search.fill("")
    screen.until(lambda: screen.listed() == missing)


def select_by_keys(screen: Screen) -> None:
    """Down the list by keys; the right column follows."""
    first, second = screen.rows()[:2]
    screen.at("fl-list").locator(".fl-picker").focus()
    screen.page.keyboard.press("Home")
    screen.wait("fl-head", rf"#?{first}\b")
    screen.page.keyboard.press("ArrowDown")
    screen.wait("fl-head", rf"#?{second}\b")
    assert screen.chosen() == second


def figure_of(screen: Screen, name: str):
    figure = screen.page.locator(f".{name}.js-plotly-plot, .{name} .js-plotly-plot").first
    figure.locator(".gl-container, canvas").first.wait_for(state="attached", timeout=SOON)
    figure.scroll_into_view_if_needed()
    # It is drawn in a width of its own, and then in that of its column.
    settled = "plot => Math.abs(plot._fullLayout.width - plot.getBoundingClientRect().width) < 2"
    screen.until(lambda: figure.evaluate(settled))
    return figure


def missing_points(figure) -> list[tuple[float, float]]:
    """Where the missing features lie on the screen."""
    return figure.evaluate(
        """plot => {
          const trace = plot._fullData.find((trace) => trace.meta === "missing");
          const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
          return Array.from(trace.x).map((x, at) => [box.left + xaxis._offset + xaxis.d2p(x),
                                                     box.top + yaxis._offset + yaxis.d2p(trace.y[at])]);
        }"""
    )


def select_a_point(screen: Screen, name: str = "fl-scatter") -> None:
    """A click on a missing feature in a figure, on another than is selected."""
    figure, before, listed = figure_of(screen, name), screen.text("fl-head"), screen.rows()
    under = """plot => (plot._hoverdata || []).map((point) => String([point.customdata].flat(2)[0]))"""
    for x, y in reversed(missing_points(figure)):
        screen.page.mouse.move(x - 30, y - 30)
        screen.page.mouse.move(x, y, steps=4)
        # A click takes what the figure last found under the mouse, which on a busy machine comes late.
        screen.page.wait_for_timeout(1000)
        found = figure.evaluate(under)
        # A point of another kind may lie on top; the list holds what is missing.
        if len(found) == 1 and found[0] in listed and not re.search(rf"#{found[0]}\b", before):
            screen.page.mouse.click(x, y)
            screen.wait("fl-head", rf"#{found[0]}\b")
            return
    pytest.fail(f"no point of {name} is found under the mouse")


def lasso_the_missing(screen: Screen, name: str) -> None:
    """A lasso around all missing features lists them; a click on one of them, inside the lasso, still selects it."""
    figure = figure_of(screen, name)
    points, mouse = missing_points(figure), screen.page.mouse
    (left, right), (top, bottom) = ((min(side) - 14, max(side) + 14) for side in zip(*points, strict=True))
    mouse.move(left, top)
    mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top + 2)):
        mouse.move(*corner, steps=8)
    mouse.up()
    screen.until(lambda: screen.at("fl-among").is_visible())
    assert figure.locator(".selectionlayer path").count() > 0
    assert int(re.search(r"only ([\d,]+)", screen.text("fl-among"))[1].replace(",", "")) >= len(points)
    screen.until(lambda: screen.listed() == len(points))
    select_a_point(screen, name)
    assert screen.at("fl-among").is_visible(), "a click leaves the lasso"
    screen.at("fl-clear").click()
    screen.until(lambda: not screen.at("fl-among").is_visible() and screen.listed() > len(points))
    screen.until(lambda: figure.locator(".selectionlayer path").count() == 0)
    screen.at("fl-status-filter").locator("input[data-key=missing]").check()
    screen.until(lambda: screen.listed() == len(points))


def judge_the_labels(screen: Screen) -> None:
    """The label's quality in the head, and the filter by it."""
    screen.wait("fl-head", r"label quality: ([01]\.\d\d|not scored)")
    missing = screen.at("fl-status-filter").locator("input[data-key=missing]")
    missing.uncheck()  # too few anchor samples activate those of the smoke profile for their labels to be scored
    screen.at("fl-more").click()
    scored = screen.at("fl-scored-filter").locator("label", has=screen.page.locator("input[data-key=yes]"))
    screen.until(lambda: scored.locator("b").inner_text() not in ("", "0"))
    n = int(scored.locator("b").inner_text())
    scored.locator("input").check()
    screen.until(lambda: screen.listed() == n)
    screen.at("fl-order").locator("select").select_option("label quality")
    values = screen.page.locator(".fl-browser .fl-list tbody tr td:last-child")
    screen.until(lambda: all(re.fullmatch(r"[01]\.\d\d", value) for value in values.all_inner_texts()))
    assert sorted(values.all_inner_texts(), reverse=True) == values.all_inner_texts()
    screen.at("fl-order").locator("select").select_option("in the anchor")
    scored.locator("input").uncheck()
    screen.at("fl-more").click()
    missing.check()
    screen.until(lambda: screen.listed() == int(screen.numbers()["missing"].replace(",", "")))


def act(screen: Screen, home: Path, name: str) -> None:
    """Try a text, reject a sample under a name, take it back."""
    page = screen.page
    screen.at("fl-panel").get_by_text("Act", exact=True).click()
    screen.at("fl-try").locator("textarea").fill("How do I bake <b>bread</b> without an oven?")
    screen.at("fl-try-it").click()
    screen.wait("fl-trial", "active.*threshold", timeout=FIRST)
    assert "<b>" in screen.text("fl-trial"), "a text is shown as it is"
    assert screen.at("fl-trial").locator(".fac-heat .t").count() > 3

    screen.at("fl-samples").locator("tbody tr[data-key]").first.click()
    screen.at("fl-reject").click()
    screen.wait("fl-status", "say your name")
    screen.at("fl-name").locator("input").fill(name)
    screen.at("fl-name").locator("input").press("Tab")
    screen.at("fl-reject").click()
    screen.wait("fl-samples", f"rejected by {name}")
    journal = home / "runs" / "smoke" / "browser" / "edits.jsonl"
    (edit,) = [line for line in map(json.loads, journal.read_text().splitlines()) if line.get("by") == name]
    assert (edit["kind"], edit["value"]) == ("sample", "reject")
    screen.wait("fl-history", name)
    screen.at("fl-undo").click()
    screen.until(lambda: "rejected" not in screen.text("fl-samples"))
    page.wait_for_timeout(100)
    assert "taken back" in screen.text("fl-status").lower()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def keep(page, name: str) -> None:
    """A screenshot into $FAC_LAB_SCREENSHOTS, where that is set: the repository's were taken so."""
    if folder := os.environ.get("FAC_LAB_SCREENSHOTS"):
        page.evaluate("document.querySelector('.fl-browser').scrollIntoView()")
        page.mouse.move(5, 5)
        page.wait_for_timeout(500)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_the_page_that_voila_serves(chromium, home, served, tmp_path):
    # What $BROWSER names is opened; here it writes down what it was asked to open.
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    opener.chmod(0o700)
    with served("-c", BROWSE, FAC_LAB_HOME=str(home), BROWSER=f"{opener} %s") as (address, process):
        page = chromium.new_context(color_scheme="light", viewport=WIDE).new_page()
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        began = time.monotonic()
        page.goto(address, wait_until="commit", timeout=FIRST)
        page.locator("#loading_text", has_text="starting Python").wait_for(timeout=FIRST)
        page.locator(".fl-browser .fl-list tr[data-key]").first.wait_for(timeout=FIRST)
        print(f"usable after {time.monotonic() - began:.1f} s")
        assert page.title().startswith("Missing features · mini world")
        assert (tmp_path / "opened").read_text(encoding="utf-8").strip() == address
        assert "open_asked" not in page.content() and "import page" not in page.content()

        screen = Screen(page)
        assert screen.listed() == int(screen.numbers()["missing"]) > 1
        steps = move_the_threshold(screen)
        print("slider, key to number:", " ".join(f"{1000 * step:.0f} ms" for step in steps))
        print(f"support, key to number: {1000 * change_the_support(screen):.0f} ms")
        filter_the_list(screen)
        select_by_keys(screen)
        keep(page, "browser_light")
        select_a_point(screen)
        act(screen, home, "Ann")

        paper = "getComputedStyle(document.querySelector('.fl-browser')).backgroundColor"
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"{paper} !== 'rgb(255, 255, 255)'")
        keep(page, "browser_dark")
        assert not [url for url in asked if not url.startswith((address.split("/?")[0], "data:", "blob:"))]
        assert not faults
        page.close(run_before_unload=True)
        # The kernel of a page that is closed ends with it.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if children.exists():
            gone = time.monotonic() + 30
            while children.read_text().split() and time.monotonic() < gone:
                time.sleep(0.1)
            assert not children.read_text().split()


@pytest.mark.slow
def test_lassos_and_label_quality_on_the_page(chromium, home, served):
    with served("-c", BROWSE, FAC_LAB_HOME=str(home), BROWSER="true") as (address, _):
        page = chromium.new_context(viewport=WIDE).new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(address, timeout=FIRST)
        page.locator(".fl-browser .fl-list tr[data-key]").first.wait_for(timeout=FIRST)
        screen = Screen(page)
        judge_the_labels(screen)
        lasso_the_missing(screen, "fl-scatter")
        screen.at("fl-views").get_by_text("Map", exact=True).click()
        lasso_the_missing(screen, "fl-map")
        screen.at("fl-views").get_by_text("Anchor and seed", exact=True).click()
        select_by_keys(screen)
        ring = "plot => String([plot._fullData.at(-1).customdata].flat(2)[0])"
        screen.until(lambda: figure_of(screen, "fl-scatter").evaluate(ring) == screen.chosen())
        assert not faults


@pytest.mark.slow
def test_the_notebook_in_jupyterlab(chromium, home, served, tmp_path):
    source = Path(fac_lab.__file__).parents[1] / "notebooks" / "04_missing_feature_browser.ipynb"
    notebook = nbformat.read(source, as_version=4)
    shown = next(place for place, cell in enumerate(notebook.cells) if cell.source.startswith("browser("))
    # JupyterLab draws what is in sight: behind all cells run, that is the last one.
    notebook.cells = notebook.cells[: shown + 1]
    nbformat.write(notebook, tmp_path / "browser.ipynb")
    port, token = free_port(), "for-this-test-only"
    options = [f"--ServerApp.root_dir={tmp_path}", f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    environment = {
        "FAC_LAB_HOME": str(home),
        "FAC_LAB_PROFILE": "smoke",
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }
    # A machine that does other things may leave a page without a sign of life for longer than half a minute.
    options.append("--ServerApp.websocket_ping_interval=600000")
    arguments = ["--no-browser", "--allow-root", "--ip=127.0.0.1", *options]
    with served("-c", JUPYTER, str(port), *arguments, stop=signal.SIGTERM, **environment) as (address, server):
        until = time.monotonic() + FIRST / 1000
        while not answers(f"{address}api"):
            assert server.poll() is None and time.monotonic() < until, "JupyterLab did not start"
            time.sleep(0.2)
        page = chromium.new_context(viewport=WIDE).new_page()
        page.goto(f"{address}lab/tree/browser.ipynb?token={token}", timeout=FIRST)
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=FIRST)
        # What is run before the kernel answers is not run at all.
        page.get_by_text("(ipykernel) | Idle").wait_for(timeout=FIRST)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.locator(".fl-browser .fl-list tr[data-key]").first.wait_for(timeout=FIRST)
        screen = Screen(page)
        screen.at("fl-numbers").scroll_into_view_if_needed()
        move_the_threshold(screen)
        change_the_support(screen)
        filter_the_list(screen)
        select_by_keys(screen)
        select_a_point(screen)
        act(screen, home, "Bob")
