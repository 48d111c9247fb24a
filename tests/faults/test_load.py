"""Load: an audit of a million rows, fifty pages of one browser, 65,536 features in a page; and each of them small.

Times are printed, not judged: what else the machine does decides them. What is judged is memory, and that the numbers
are right.
"""

import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from benchmarks.load_audit import ANCHOR, audit_rows, found
from benchmarks.load_folder import write_audit
from benchmarks.load_page import CHROMIUM, QUIET, counted, drive
from benchmarks.load_sessions import browsing, hold
from benchmarks.stub import write_rows
from fac_lab.corpora import Corpus

GB = 1e9
MOST_GB = 2.0
"""Of an audit, however many rows it reads."""
PAGE_GB = 0.4
"""Of one page that shows as many features as the embedded world has; one with PyTorch in it took as much."""


@pytest.fixture(scope="module")
def chromium():
    """Calls a function with a Chromium, in a thread that has no other Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[test]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")

    def visit(act):
        def alone():
            with api.sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
                try:
                    return act(browser)
                finally:
                    browser.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(alone).result()

    return visit


def right(audited, n):
    """An audit that says what it should: words that the data lack are missing, chance leaves out next to nothing."""
    said = found(audited.out)
    assert (said["n_seed"], said["n_anchor"]) == (n, n // ANCHOR)
    assert 0.5 < said["fac"] < 1 and said["missing"] > 10 > said["null_missing"]
    assert (audited.out / "report.html").stat().st_size > 1000
    return said


@pytest.mark.slow
def test_an_audit_reads_files_as_a_stream(tmp_path):
    said = right(audit_rows(tmp_path, 4000), 4000)
    assert said["limit"] is None


def test_ten_times_the_rows_take_no_more_memory(tmp_path):
    """Passes over a file and over both halves of it, by Python's own count."""

    def most(n: int) -> int:
        path = tmp_path / f"{n}.jsonl"
        write_rows(path, n)
        tracemalloc.start()
        corpus = Corpus.from_file(path)
        drawn, rest = corpus.split(n // 2, 0)
        assert sum(1 for _ in drawn) == n // 2 and sum(1 for _ in rest) == n - n // 2
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    few = most(2000)
    many = most(20_000)
    # What is drawn comes from a list of numbers, which is gone again; texts of as many rows would take 3 MB.
    assert many - few < 2e6


def test_a_split_draws_the_rows_that_its_seed_names(tmp_path):
    write_rows(tmp_path / "rows.jsonl", 300)
    corpus = Corpus.from_file(tmp_path / "rows.jsonl")
    drawn, rest = corpus.split(100, 7)
    chosen = set(random.Random(7).sample(range(300), 100))
    everything = list(corpus)
    assert list(drawn) == [row for place, row in enumerate(everything) if place in chosen]
    assert list(rest) == [row for place, row in enumerate(everything) if place not in chosen]


@pytest.mark.slow
def test_a_million_rows_take_less_than_two_gigabytes(tmp_path):
    few, many = (audit_rows(tmp_path / str(n), n) for n in (100_000, 1_000_000))
    for audited in (few, many):
        right(audited, audited.rows)
        print(f"{audited.rows:,} rows: {audited.seconds:.0f} s, {audited.peak_gb:.2f} GB at most")
    assert many.peak_gb < MOST_GB
    # A fingerprint of each id is kept, so that one which comes twice is found.
    assert many.peak_gb - few.peak_gb < 0.3


@pytest.mark.slow
def test_pages_of_one_browser_are_whole_and_apart(tmp_path):
    write_audit(tmp_path, 512, 1000, active=20)
    with browsing(str(tmp_path)) as (address, server):
        held = hold(address, server, 3)
    assert [page.status for page in held.pages] == [200] * 3 and all(page.whole for page in held.pages)
    assert held.answered == len({page.kernel for page in held.pages}) == 3
    assert held.unique_mb * 1e6 < PAGE_GB * GB


@pytest.mark.slow
def test_a_page_shows_what_the_statistics_say(tmp_path, chromium):
    write_audit(tmp_path, 1024, 1000, active=20)
    with browsing(str(tmp_path)) as (address, server):
        driven = chromium(lambda browser: drive(browser, address, server))
    assert driven.shown == [counted(tmp_path, shown.delta, shown.m) for shown in driven.shown]
    assert driven.listed == driven.shown[-1].missing


@pytest.mark.slow
def test_fifty_pages_live_together(tmp_path, chromium):
    """Forty-nine held open by their websockets, and one in Chromium whose numbers are compared meanwhile."""
    if psutil.virtual_memory().available < 50 * PAGE_GB * GB:
        pytest.skip("fifty pages need 20 GB of free memory")
    write_audit(tmp_path, 4096, 5000)
    seen = []
    with browsing(str(tmp_path)) as (address, server):
        held = hold(
            address,
            server,
            49,
            at_once=4,
            meanwhile=lambda: seen.append(chromium(lambda browser: drive(browser, address, server))),
        )
    (last,) = seen
    print(f"first {held.pages[0].seconds:.0f} s, 49th {held.pages[-1].seconds:.0f} s, 50th, in Chromium, "
          f"{last.usable:.0f} s; {held.unique_mb:.0f} MB each alone; {held.available_gb:.1f} GB all of 49")  # fmt: skip
    assert held.answered == 49 and all(page.whole for page in held.pages)
    assert held.unique_mb * 1e6 < PAGE_GB * GB
    assert last.shown == [counted(tmp_path, shown.delta, shown.m) for shown in last.shown]


@pytest.mark.slow
def test_a_dictionary_of_65536_features_in_a_page(tmp_path, chromium):
    write_audit(tmp_path, 65_536, 20_000)
    with browsing(str(tmp_path)) as (address, server):
        driven = chromium(lambda browser: drive(browser, address, server))
    steps = ", ".join(f"{1000 * step:.0f} ms" for step in driven.steps)
    print(f"usable after {driven.usable:.0f} s; key to number {steps}; all else after {driven.follows:.1f} s; "
          f"{driven.heap_mb:.0f} MB in the page, {driven.kernel_mb:.0f} MB behind it")  # fmt: skip
    assert driven.shown == [counted(tmp_path, shown.delta, shown.m) for shown in driven.shown]
    assert driven.listed == driven.shown[-1].missing > 1000
    assert driven.kernel_mb * 1e6 < MOST_GB * GB
