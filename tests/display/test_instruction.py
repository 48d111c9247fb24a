"""What the figures and tables of instruction following say, from runs made by hand."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.display import instruction as shown
from fac_lab.display.tables import paper_table
from fac_lab.studies.methods import METHODS

ARMS = {"none": 10.0, "alpaca": 20.0, "fac_two_step": 30.0, "oracle": 40.0}


@pytest.fixture
def runs():
    rows = [
        {"arm": arm, "held_out_set": held_out_set, "seed": seed, "if_wr": rate + 2 * held_out_set + seed, "added": 5}
        for arm, rate in ARMS.items()
        for held_out_set in (0, 1)
        for seed in (0, 1)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(
        if_lc=frame.if_wr - 1, if_sd=2.0, if_known=50.0, if_lacking=frame.if_wr, about_held_out=0.5, share=1.0, size=5
    )


def test_the_table_has_both_sides_and_leaves_out_what_the_paper_lacks(runs):
    table = shown.methods_table(runs, METHODS).set_index("method")
    assert table.index.tolist() == ["Baseline", "Alpaca", "FAC Synthesis", "oracle"]
    assert table["our WR"]["Alpaca"] == 20 + 1 + 0.5 and table["our LC"]["Alpaca"] == 20 + 1 + 0.5 - 1
    assert table["WR SD"]["Alpaca"] == pytest.approx(np.std([20.5, 22.5], ddof=1)), "seeds are averaged first"
    printed = paper_table("table01_main").set_index("method")
    assert table["paper LC"]["FAC Synthesis"] == printed.if_lc["FAC Synthesis"]
    assert table["paper SD"]["Baseline"] == printed.if_sd["Baseline"] and np.isnan(table["paper WR"]["oracle"])


def test_bars_are_means_of_what_is_known_and_lacking(runs):
    figure = shown.kinds(runs, METHODS)
    known, lacking = figure.data
    assert list(lacking.y) == ["oracle", "FAC Synthesis", "Alpaca", "Baseline"]
    assert list(lacking.x) == [41.5, 31.5, 21.5, 11.5] and set(known.x) == {50.0}


def test_efficiency_starts_at_the_base_and_shows_every_data_set_of_the_paper(runs):
    figure = shown.efficiency(runs)
    ours = next(trace for trace in figure.data if trace.name == "FAC Synthesis")
    assert list(ours.x) == [0.0, 5.0] and list(ours.y) == [11.5, 31.5]
    printed = [trace for trace in figure.data if trace.xaxis == "x2"]
    assert sum(len(trace.x) for trace in printed) == len(paper_table("figure01_efficiency"))
    assert [trace.showlegend for trace in printed if trace.name == "FAC Synthesis"] == [False], (
        "it is in the legend once"
    )


def test_a_single_run_has_no_spread(runs):
    one = runs[(runs.held_out_set == 0) & (runs.seed == 0)]
    assert shown.methods_table(one, METHODS)["WR SD"].isna().all()
    shown.efficiency(one)
    shown.kinds(one, METHODS)


def test_taste_for_length_has_two_lines_for_each_kind_of_answers():
    rates = pd.DataFrame({"love": [0.0, 1.0] * 2, "answers": ["cut"] * 2 + ["<b>padded"] * 2, "raw": 50.0, "lc": 49.0})
    figure = shown.taste_for_length(rates)
    assert [trace.line.dash for trace in figure.data] == ["solid", "dash"] * 2
    assert "<b>" not in figure.data[2].name, "names are text"
