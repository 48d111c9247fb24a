"""What much of everything takes: an audit of a million rows, fifty pages of one browser, 65,536 features in one page.

    python -m benchmarks.load --share 0.01

The audit is the command with a stub for model and SAE, the pages are those of `fac-lab browse` with a folder of drawn
activations; no part is repeated, so that its seconds depend on what else the machine does. Needs Chromium.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.load_audit import Audited, audit_rows
from benchmarks.load_folder import write_audit
from benchmarks.load_page import CHROMIUM, QUIET, Driven, drive
from benchmarks.load_sessions import Held, browsing, hold

ROWS = (100_000, 1_000_000)
PAGES = 50
PAGE_FEATURES = 4_096
"""Features of the folder that many pages show: those of the embedded world."""
FEATURES = 65_536
SAMPLES = 20_000
"""Anchor samples of the drawn folders."""


def measure(share: float = 1.0) -> pd.DataFrame:
    """All three parts, in the columns of `table`; `share` of the rows, the pages and the features."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        audits = [audit_rows(here / str(n), max(1000, int(n * share))) for n in ROWS]
        held = pages(here / "pages", max(2, int(PAGES * share)), PAGE_FEATURES)
        size = max(PAGE_FEATURES, int(FEATURES * share))
        return table(audits, held, one_page(here / "page", size), size)


def pages(folder: Path, n: int, d_sae: int, *, at_once: int = 4) -> Held:
    """`n` pages of one folder held open at a time."""
    write_audit(folder, d_sae, SAMPLES)
    with browsing(str(folder)) as (address, server):
        return hold(address, server, n, at_once=at_once)


def one_page(folder: Path, d_sae: int) -> Driven:
    """One page of a folder with `d_sae` features in Chromium. Raises RuntimeError where there is none."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise RuntimeError("no Chromium is installed (Debian: apt-get install chromium)")
    write_audit(folder, d_sae, SAMPLES)
    with browsing(str(folder)) as (address, server), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            return drive(browser, address, server)
        finally:
            browser.close()


def table(audits: Sequence[Audited], held: Held, driven: Driven, features: int) -> pd.DataFrame:
    """One row per figure: `part`, `size` and what it counts (`of`), `figure`, `value`."""

    def rows() -> Iterator[tuple[str, int, str, str, float]]:
        for one in audits:
            yield "audit", one.rows, "rows", "seconds", one.seconds
            yield "audit", one.rows, "rows", "peak_gb", one.peak_gb
        asked = len(held.pages)
        whole = [page.seconds for page in held.pages if page.whole]
        for figure, value in (
            ("whole", len(whole)),
            ("refused", sum(page.status == 503 for page in held.pages)),
            ("answered", held.answered),
            ("seconds_first", whole[0]),
            ("seconds_median", statistics.median(whole)),
            ("seconds_last", whole[-1]),
            ("unique_mb", held.unique_mb),
            ("shared_mb", held.shared_mb),
            ("available_gb", held.available_gb),
        ):
            yield "pages", asked, "pages", figure, float(value)
        for figure, value in (
            ("seconds_usable", driven.usable),
            ("seconds_key_median", statistics.median(driven.steps)),
            ("seconds_key_most", max(driven.steps)),
            ("seconds_follow", driven.follows),
            ("heap_mb", driven.heap_mb),
            ("kernel_mb", driven.kernel_mb),
        ):
            yield "page", features, "features", figure, float(value)

    return pd.DataFrame(rows(), columns=["part", "size", "of", "figure", "value"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of rows, pages and features (%(default)s)")
    print(measure(parser.parse_args().share).to_string(index=False))


if __name__ == "__main__":
    main()
