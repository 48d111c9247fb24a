"""A page of `fac-lab browse` in a real Chromium: when it can be used, and how fast numbers follow the slider."""

import re
import shutil
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import psutil

from fac_lab.features.stats import EDGES, FeatureStats
from fac_lab.scale import merged

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WAIT = 900_000
"""Milliseconds; a full machine is slow, and how slow is measured, not judged."""


class Shown(NamedTuple):
    """What stands at the top of the page."""

    delta: str
    m: int
    fac: str
    covered: int
    support: int
    missing: int


class Driven(NamedTuple):
    """What one visit found."""

    usable: float
    """Seconds until the list stands and the numbers with it."""
    steps: list[float]
    """Seconds from a key on the slider to the numbers, per step."""
    follows: float
    """Seconds from the last key until list and figure show it too."""
    shown: list[Shown]
    """The numbers at first and after each step."""
    listed: int
    """Features in the list at the end, by its own count."""
    heap_mb: float
    """Memory of the page's JavaScript, in MB of a million bytes."""
    kernel_mb: float
    """Most memory among the processes of open pages."""


def drive(browser: Any, address: str, server: int, *, steps: int = 4) -> Driven:
    """Open the page in a Chromium of Playwright, move the slider `steps` times to the right, and look.

    `server` is the id of the process that serves the page.
    """
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    began = perf_counter()
    page.goto(address, wait_until="commit", timeout=WAIT)
    page.locator(".fl-browser .fl-list tr[data-key]").first.wait_for(timeout=WAIT)
    page.locator(".fl-browser .fl-numbers dd").first.wait_for(timeout=WAIT)
    usable, numbers = perf_counter() - began, page.locator(".fl-browser .fl-numbers").first
    shown, seconds = [read(numbers.inner_text())], []
    page.locator(".fl-browser .fl-threshold .noUi-handle").first.focus()
    for _ in range(steps):
        before, pressed = numbers.inner_text(), perf_counter()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "before => document.querySelector('.fl-browser .fl-numbers').innerText !== before", arg=before, timeout=WAIT
        )
        seconds.append(perf_counter() - pressed)
        shown.append(read(numbers.inner_text()))
    page.wait_for_function(
        "n => document.querySelector('.fl-browser .fl-place').innerText.includes(`of ${n}`)",
        arg=f"{shown[-1].missing:,}",
        timeout=WAIT,
    )
    follows = perf_counter() - pressed
    place = page.locator(".fl-browser .fl-place").first.inner_text()
    heap = page.evaluate("performance.memory ? performance.memory.usedJSHeapSize : 0")
    kernels = [process.memory_full_info().uss for process in psutil.Process(server).children()]
    page.close(run_before_unload=True)
    listed = int(re.search(r"of ([\d,]+)", place)[1].replace(",", ""))
    return Driven(usable, seconds, follows, shown, listed, heap / 1e6, max(kernels, default=0) / 1e6)


def read(text: str) -> Shown:
    """The numbers in what the page says."""
    flat = " ".join(text.split())
    counts = re.search(r"FAC ([\d.]+) ([\d,]+) of ([\d,]+) missing ([\d,]+)", flat, re.IGNORECASE)
    delta, m = re.search(r"δ ([^,]+), support m = (\d+)", flat).groups()
    covered, support, missing = (int(counts[place].replace(",", "")) for place in (2, 3, 4))
    return Shown(delta, int(m), counts[1], covered, support, missing)


def counted(folder: Path, delta: str, m: int) -> Shown:
    """The same numbers, counted from the statistics that an audit left, without any code of the browser."""
    seed, rest, drawn = _parts(folder)
    edge = next(place for place, value in enumerate(EDGES.tolist()) if f"{value:.4g}" == delta)
    anchor = (rest.histogram[:, edge:].sum(axis=1) + drawn.histogram[:, edge:].sum(axis=1)) >= m
    seen = seed.histogram[:, edge:].sum(axis=1) > 0
    covered, support = int(np.sum(anchor & seen)), int(np.sum(anchor))
    return Shown(delta, m, f"{covered / support:.3f}", covered, support, support - covered)


def _parts(folder: Path) -> list[FeatureStats]:
    """Statistics of a folder that `load_folder.write_audit` wrote, by the names of its data sets."""
    found = [merged([path.parent]) for path in folder.glob("store/stats/*/stats.json")]
    by_name = {next(iter(stats.made_by["corpora"].values())): stats for stats in found}
    return [by_name[name] for name in ("seed", "rest", "drawn")]
