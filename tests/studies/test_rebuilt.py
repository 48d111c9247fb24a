"""No number of the tables is typed in: random cells are made again from what is stored, and one from nothing."""

import random
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import nbformat
import pandas as pd
import pytest

from fac_lab.display.main_figures import TITLES
from fac_lab.lab import Lab
from fac_lab.plain import build
from fac_lab.profile import Profile, project_root
from fac_lab.studies.main_table import COLUMNS, main_table
from fac_lab.studies.stored import read_result, results_folder

STORED = sorted(path.stem for path in results_folder().glob("*.csv"))
CELLS = 12


class Tables(HTMLParser):
    """Tables of a page as rows of cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag):
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def shown(notebook: str, caption: str) -> pd.DataFrame:
    """The table under a caption in a notebook as it was committed."""
    cells = nbformat.read(project_root() / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    pages = [
        output.data["text/html"]
        for cell in cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    (page,) = [page for page in pages if caption in page]
    head, *rows = Tables(page).rows
    return pd.DataFrame(rows, columns=head)


@pytest.mark.parametrize("name", STORED)
def test_every_result_is_what_its_manifest_says(name):
    frame, manifest = read_result(name)
    assert len(frame) == manifest["rows"] and manifest["versions"] and manifest["made"]


def test_random_cells_of_the_main_table_follow_from_what_is_stored():
    table = shown("10_main_table", "Mean ± standard deviation over seeds").set_index("method")
    cells, manifest = read_result("main_table")
    printed = pd.read_csv(project_root() / "data" / "paper" / "table01_main.csv").set_index("method")
    # Others each time that the table is made anew.
    dice = random.Random(manifest["frame"])
    for _ in range(CELLS):
        method, (measure, title) = dice.choice(list(table.index)), dice.choice(list(TITLES.items()))
        runs: dict[int, list[float]] = {}
        for row in cells.itertuples():
            if (row.method, row.measure) == (method, measure):
                runs.setdefault(row.held_out_set, []).append(row.value)
        spread = mean(stdev(values) for values in runs.values())
        ours, _, theirs = table.loc[method, title].partition(" (")
        assert ours == f"{mean(map(mean, runs.values())):.1f} ± {spread:.1f}"
        assert theirs.startswith(f"{printed.loc[method, measure]:.1f}")


@pytest.mark.slow
def test_a_random_cell_is_made_again_from_nothing(tmp_path: Path):
    cells, manifest = read_result("main_table")
    dice = random.Random(manifest["frame"] + "again")
    column = dice.choice(list(COLUMNS))
    one = cells[cells.column == column].iloc[dice.randrange(int((cells.column == column).sum()))]
    profile = replace(build(Profile, manifest["profile"]), seeds=(int(one.seed),))
    lab = Lab.open(profile, out=tmp_path)
    anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
    made = main_table(lab, anchor, sets=[int(one.held_out_set)], only=[column, one.method])
    (value,) = made[made.measure == one.measure].value
    assert value == pytest.approx(one.value, abs=0.5), (column, one.method, one.measure)
