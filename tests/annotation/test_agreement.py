"""Agreement against hand-worked values, scikit-learn, and the definition by pairs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from fac_lab.annotation.agreement import agreement, cohen_kappa, krippendorff_alpha, raw_agreement
from fac_lab.errors import DataError

ANSWERS = st.sampled_from(["Yes", "Maybe", "No"])
PAIRS = st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=30)


def test_a_hand_worked_table():
    """20 both yes, 15 both no, 5 and 10 split, of 50: p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa 0.4."""
    a = ["yes"] * 25 + ["no"] * 25
    b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert raw_agreement(a, b) == pytest.approx(0.7)
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    both = agreement(a, b)
    assert (both.n, both.by_chance) == (50, 0.5)
    # 55 yes and 45 no among 100 ratings: D_o = 30 / 100, D_e = 2 * 55 * 45 / (100 * 99).
    assert both.alpha == pytest.approx(1 - 0.3 * 100 * 99 / (2 * 55 * 45))


def test_alpha_with_gaps_by_hand():
    """Items (a a b), (b b -), (a - -), (a b -): the third has no pair. Values 3 a, 4 b, so 7 * 6 pairs, 24 unequal.

    D_o: 4 unequal pairs of the first item at weight 1/2, 0 of the second, 2 of the last: 4 of 7. D_e: 24 / 42.
    """
    ratings = [["a", "a", "b"], ["b", "b", None], ["a", None, None], ["a", "b", None]]
    assert krippendorff_alpha(ratings) == pytest.approx(1 - (4 / 7) / (24 / 42))
    assert krippendorff_alpha(np.array(ratings, dtype=object)) == krippendorff_alpha(ratings)


def test_krippendorffs_own_example():
    """Krippendorff 2011, example C: 4 observers, 12 units, 5 values, gaps; alpha nominal 0.743."""
    rows = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    table = [[None if value == "." else int(value) for value in row.split()] for row in rows]
    assert krippendorff_alpha(list(zip(*table, strict=True))) == pytest.approx(0.743, abs=5e-4)


@given(PAIRS)
def test_kappa_is_scikit_learns(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    ours = cohen_kappa(a, b)
    if len(set(a) | set(b)) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


@settings(max_examples=50)
@given(st.lists(st.lists(st.one_of(st.none(), ANSWERS), min_size=3, max_size=3), max_size=8))
def test_alpha_is_its_definition_by_pairs(ratings):
    units = [[value for value in row if value is not None] for row in ratings]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    expected = [x != y for x, y in itertools.permutations(values, 2)]
    if not any(expected):
        assert math.isnan(krippendorff_alpha(ratings))
        return
    observed = sum(sum(x != y for x, y in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    assert krippendorff_alpha(ratings) == pytest.approx(1 - observed / len(values) / np.mean(expected))


def test_missing_ratings_are_left_out():
    a, b = ["x", None, "y", "x"], ["x", "y", float("nan"), "y"]
    assert raw_agreement(a, b) == 0.5 and agreement(a, b).n == 2
    assert cohen_kappa(a, b) == cohen_kappa(["x", "x"], ["x", "y"]) == 0


def test_what_does_not_exist_is_nan():
    for a, b in ([], []), ([None], ["x"]):
        assert all(math.isnan(value) for value in agreement(a, b)[1:])
    same = agreement(["x", "x"], ["x", "x"])
    assert same.raw == same.by_chance == 1 and math.isnan(same.kappa) and math.isnan(same.alpha)
    assert math.isnan(krippendorff_alpha([])) and math.isnan(krippendorff_alpha([["x", None]]))


def test_raters_of_different_items_are_refused():
    with pytest.raises(DataError, match="3 ratings and the other 2"):
        raw_agreement(["x"] * 3, ["x"] * 2)
    with pytest.raises(DataError, match="None where"):
        krippendorff_alpha([["x", "y"], ["x"]])
