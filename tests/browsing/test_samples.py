"""What rows cover alone and which are redundant, against sets and loops."""

import numpy as np
import pytest

from fac_lab.browsing.samples import SampleView
from fac_lab.browsing.threshold import OUTSIDE, LiveThreshold
from fac_lab.errors import DataError
from fac_lab.settings import CoverageRule


def slowly(values, cut):
    """Covered features per row, and the greedy removal, with sets."""
    delta = np.broadcast_to(cut.delta, (values.shape[1],))
    rows = [{i for i in range(values.shape[1]) if value[i] > delta[i] and cut.status[i] != OUTSIDE} for value in values]
    left = dict(enumerate(rows))
    for row in sorted(left, key=lambda row: (len(rows[row]), -row)):
        others = set().union(*(left[other] for other in left if other != row))
        if rows[row] <= others:
            del left[row]
    return rows, left


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("delta", [None, 0.0, 2.0])
@pytest.mark.parametrize("kind", ["anchor_quantile", "feature_quantile"])
def test_rows_are_what_sets_say(stats_of, random_values, seed, delta, kind):
    values = random_values(40, 30, seed)
    rule = CoverageRule(kind=kind, quantile=0.4, support=2)
    live = LiveThreshold(stats_of(random_values(80, 30, 9)), stats_of(values), rule)
    cut = live.at(delta, relevant=np.arange(30) % 4 > 0)
    view = SampleView(stats_of(values, matrix=True).matrix, [f"r{i}" for i in range(40)])
    found, (rows, left) = view.at(cut), slowly(values, cut)
    assert found.covers.tolist() == [len(row) for row in rows]
    for i, row in enumerate(rows):
        others = set().union(*(other for j, other in enumerate(rows) if j != i))
        assert found.alone[i] == len(row - others)
        frame = view.features(i, cut)
        assert set(frame.feature) == row and set(frame.feature[frame.alone]) == row - others
        assert (
            frame.activation.to_numpy() == values[i, frame.feature]
        ).all() and frame.activation.is_monotonic_decreasing
    assert set(np.flatnonzero(~found.redundant)) == set(left)
    assert set().union(*left.values()) == set().union(*rows)
    assert found.n_covered == cut.n_covered == len(set().union(*rows))


def test_worked_by_hand(stats_of):
    # Row 0 alone has feature 0; rows 1 and 2 are alike; row 3 covers nothing.
    values = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1], [0, 0, 0]], np.float32)
    live = LiveThreshold(stats_of(np.ones((2, 3))), stats_of(values), CoverageRule())
    view = SampleView(stats_of(values, matrix=True).matrix, list("abcd"), ["A", "B", "C", "D"])
    found = view.at(live.at())
    assert found.covers.tolist() == [2, 2, 2, 0] and found.alone.tolist() == [1, 0, 0, 0]
    assert found.redundant.tolist() == [False, False, True, True]
    assert view.frame(live.at()).id.tolist() == ["a", "b", "c", "d"]
    assert view.rows(2, live.at()).text.tolist() == ["B", "C"]


def test_rows_and_ids_have_to_fit(pair):
    with pytest.raises(DataError, match="120 rows"):
        SampleView(pair[1].matrix, ["a"])
