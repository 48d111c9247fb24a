"""How far levels lie apart, by hand and against a slow way; and every setting finds its runs in the stored results."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from fac_lab.display.tables import paper_table
from fac_lab.errors import DataError
from fac_lab.studies.results import RESULTS
from fac_lab.studies.sensitivity import SETTINGS, Setting, paper_levels, reach_of, runs_of, said, with_levels


def runs(table, seeds=(0.0,)):
    """Runs of `table [n_sets, n_levels]`, a run per seed, which adds its number to the value."""
    return pd.DataFrame(
        [
            {"level": level, "held_out_set": i, "seed": j, "value": value + extra}
            for i, row in enumerate(table)
            for level, value in enumerate(row)
            for j, extra in enumerate(seeds)
        ]
    )


def test_levels_by_hand():
    found = reach_of(runs([[0.5, 0.7, 0.4], [0.7, 0.7, 0.6]], seeds=(-0.1, 0.1)))
    assert (found.levels, found.sets, found.seeds) == (3, 2, 2)
    # Means 0.6, 0.7, 0.5; the first is the level in use.
    assert (found.low, found.high) == (pytest.approx(-0.1), pytest.approx(0.1))
    assert found.range == pytest.approx(0.2) and (found.low_level, found.high_level) == ("2", "1")
    assert found.seed_sd == pytest.approx(np.std([-0.1, 0.1], ddof=1))
    assert found.set_sd == pytest.approx(np.std([0.5, 0.7], ddof=1))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (3, 3), (2, 4)])
def test_luck_is_what_all_deals_say(shape):
    table = np.random.default_rng(3).normal(size=shape)
    found = reach_of(runs(table))
    slow = [
        np.ptp(np.mean([row[list(order)] for row, order in zip(table, deal, strict=True)], axis=0))
        for deal in product(permutations(range(shape[1])), repeat=shape[0])
    ]
    assert found.p == pytest.approx(np.mean(np.array(slow) >= found.range - 1e-12))
    assert np.isclose(slow, found.by_chance).any() or min(slow) < found.by_chance < max(slow)


def test_levels_that_matter_are_told_from_those_that_do_not():
    dice = np.random.default_rng(0)
    noise = 0.01 * dice.normal(size=(5, 8))
    assert reach_of(runs(noise)).p > 0.05
    found = reach_of(runs(noise + np.linspace(0, 0.1, 8)))
    assert found.p < 0.01 and found.range > found.by_chance
    # What sets have in common changes nothing, however large.
    apart = reach_of(runs(noise + np.linspace(0, 5, 5)[:, None]))
    assert apart.range == pytest.approx(reach_of(runs(noise)).range) and apart.set_sd > 1


def test_two_levels_cannot_be_told_apart_in_one_set():
    assert reach_of(runs([[0.1, 0.9]])).p == 1.0


def test_what_does_not_compare_is_refused():
    partial = runs([[0.5, 0.7], [0.6, 0.8]])[:-1]
    with pytest.raises(DataError, match="not all of them in every held-out set"):
        reach_of(partial)
    with pytest.raises(DataError, match="1 levels"):
        reach_of(runs([[0.5], [0.6]]))
    frame = pd.DataFrame({"heat": [1.0], "held_out_set": 0, "seed": 42, "auprc": 0.5})
    with pytest.raises(DataError, match=r"no run at heat = 0.8"):
        runs_of(Setting("temperature", "heat", 0.8), frame)


def test_the_level_in_use_comes_first_and_other_rows_stay_out():
    frame = pd.DataFrame(
        {
            "heat": [0.4, 0.8, 1.2, 0.8],
            "who": ["a", "a", "a", "b"],
            "held_out_set": 0,
            "seed": 42,
            "auprc": [1, 2, 3, 4],
        }
    )
    found = runs_of(Setting("x", "heat", 0.8, where={"who": ("a",)}), frame)
    assert found.level.tolist() == [0.8, 0.4, 1.2] and found["value"].tolist() == [2, 1, 3]


def test_levels_of_two_columns():
    frame = with_levels(pd.DataFrame({"setting": ["original", "mislabel"], "noise_pct": [0, 20]}))
    assert frame.level.tolist() == ["original 0", "mislabel 20"]
    frame = with_levels(pd.DataFrame({"tokens": [np.nan, 800_000, 200_000]}))
    assert frame.share_trained.tolist() == ["", "all", "a quarter"]
    assert [said(level) for level in (4096.0, 0.8, np.float64(3), "fac")] == ["4096", "0.8", "3", "fac"]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_its_result_and_the_papers_numbers(name):
    setting = SETTINGS[name]
    assert setting.result in RESULTS
    if setting.paper:
        printed = paper_levels(setting, paper_table(setting.paper))
        assert printed.notna().all() and printed.between(0, 1).all() and len(printed) >= 3
        assert printed.index[0] == setting.paper_own
