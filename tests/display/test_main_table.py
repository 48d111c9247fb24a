"""The main table's means, tests and order, by hand and against slow counting."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fac_lab.display import main_figures
from fac_lab.display import main_table as shown
from fac_lab.display.tables import paper_table
from fac_lab.display.theme import GREEN, INK, RED
from fac_lab.errors import DataError

METHODS = paper_table("table01_main").method.tolist()


def cells(values, *, measure="tox_auprc", sets=3, seeds=2):
    """`values(method, set, seed)` in every cell."""
    return pd.DataFrame(
        {
            "column": "toxicity",
            "method": method,
            "held_out_set": s,
            "seed": seed,
            "added": 4,
            "measure": measure,
            "value": float(values(method, s, seed)),
        }
        for method in METHODS
        for s in range(sets)
        for seed in range(seeds)
    )


def test_means_and_both_spreads_by_hand():
    found = shown.measured(cells(lambda method, s, seed: 10 * s + seed)).set_index("method").loc["SAO"]
    assert found["mean"] == pytest.approx(np.mean([0.5, 10.5, 20.5]))
    assert found.sd_sets == pytest.approx(10) and found.sd_seeds == pytest.approx(np.std([0, 1], ddof=1))
    assert (found.sets, found.seeds, found.added) == (3, 2, 4)
    assert (found.paper, found.paper_sd) == (50.51, 3.04)


def test_the_papers_spread_of_a_win_rate_has_its_own_name_and_what_the_paper_lacks_is_left_out():
    both = pd.concat([cells(lambda *_: 1, measure=name) for name in ("if_lc", "if_sd", "something else")])
    found = shown.measured(both)
    assert set(found.measure) == {"if_lc"}
    assert found.set_index("method").paper_sd["FAC Synthesis"] == 1.44


def test_a_hole_is_refused():
    frame = cells(lambda *_: 1)
    frame.loc[3, "value"] = np.nan
    with pytest.raises(DataError, match="1 cells have no value, first Baseline"):
        shown.measured(frame)


def test_a_paired_test_is_the_libraries_and_holm_counts_all_of_the_table():
    dice = np.random.default_rng(0)
    drawn = {(m, s): dice.normal(0, 1) + (m == "FAC Synthesis") * 50 for m in METHODS for s in range(4)}
    frame = pd.concat(
        cells(lambda m, s, seed: drawn[m, s] + seed, measure=name, sets=4) for name in ("tox_auprc", "rm_acc")
    )
    found = shown.tested(frame)
    assert len(found) == 2 * 9
    by_hand = stats.ttest_rel([drawn["Magpie", s] for s in range(4)], [drawn["FAC Synthesis", s] for s in range(4)])
    row = found[(found.method == "Magpie") & (found.measure == "rm_acc")].iloc[0]
    assert row.p == pytest.approx(by_hand.pvalue) and row["n"] == 4 and row.better == 0
    assert (found.p_holm >= found.p).all() and found.p_holm.min() == pytest.approx(18 * found.p.min())
    assert found.differs.all()


def test_nothing_differs_where_nothing_does_or_where_there_is_one_set():
    same = shown.tested(cells(lambda method, s, seed: s + seed))
    assert (same.p == 1).all() and not same.differs.any()
    one = shown.tested(cells(lambda method, s, seed: METHODS.index(method), sets=1))
    assert one.p.isna().all() and not one.differs.any()


def test_order_by_counting_pairs():
    dice = np.random.default_rng(1)
    drawn = dict(zip(METHODS, dice.permutation(10), strict=True))
    means = shown.measured(cells(lambda method, s, seed: drawn[method] // 2))
    found = shown.order(means).iloc[0]
    paper = paper_table("table01_main").set_index("method").tox_auprc
    pairs = [(a, b) for a, b in combinations(METHODS, 2) if drawn[a] // 2 != drawn[b] // 2]
    agree = sum((drawn[a] // 2 > drawn[b] // 2) == (paper[a] > paper[b]) for a, b in pairs)
    assert (found.agree, found.pairs) == (agree, len(pairs))
    assert (
        found.paper_place == 1 and found.place == sum(drawn[m] // 2 > drawn["FAC Synthesis"] // 2 for m in METHODS) + 1
    )
    assert np.isnan(shown.order(shown.measured(cells(lambda *_: 1))).spearman.iloc[0])


def test_the_wide_table_has_a_row_per_method_and_the_papers_number_beside_ours():
    frame = shown.wide(shown.measured(cells(lambda method, s, seed: seed)))
    assert frame.method.tolist() == METHODS
    assert frame["tox_auprc"].iloc[0] == "0.5 ± 0.7" and frame["tox_auprc, paper"].iloc[0] == "39.0 ± 2.7"
    alone = shown.wide(shown.measured(cells(lambda *_: 2, seeds=1)))
    assert alone["tox_auprc"].iloc[0] == "2.0"


def test_figures_mark_our_method_and_what_stands():
    means = pd.DataFrame(
        {
            "measure": ["tox_auprc"] * 2 + ["if_wr"] * 2,
            "method": ["FAC Synthesis", "<b>Magpie</b>"] * 2,
            "mean": [60.0, 50.0, 40.0, 41.0],
            "sd_seeds": [1.0, np.nan, 2.0, 3.0],
            "paper": [62.0, 44.0, 21.0, 9.0],
            "paper_sd": [4.0, 4.0, np.nan, 1.0],
        }
    )
    figure = main_figures.beside_paper(means)
    assert [list(trace.x) for trace in figure.data] == [[62, 44], [21, 9]]
    assert [list(trace.marker.color) for trace in figure.data] == [[GREEN, INK]] * 2
    assert list(figure.data[0].error_y.array) == [1, 0] and "<b>" not in figure.data[0].hovertext[1]
    tests = means.assign(low=means["mean"] - 2, high=means["mean"] + 3, differs=[False, True] * 2, p_holm=0.5)
    figure = main_figures.differences(tests)
    assert [list(trace.marker.color) for trace in figure.data] == [[RED, INK]] * 2, "the first method on top"
    assert list(figure.data[0].error_x.array) == [3, 3] and list(figure.data[0].error_x.arrayminus) == [2, 2]
