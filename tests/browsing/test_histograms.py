"""Bars against counting the activations themselves."""

import numpy as np
import pytest

from fac_lab.browsing.histograms import MOST_BARS, histogram


@pytest.mark.parametrize("per_octave", [1, 2, 4, 8])
def test_bars_count_what_lies_in_them(stats_of, random_values, per_octave):
    values = {"anchor": random_values(200, 6, 1), "seed": random_values(90, 6, 2)}
    stats = {role: stats_of(value, name=role) for role, value in values.items()}
    for feature in range(6):
        found = histogram(stats, feature, per_octave=per_octave)
        assert np.array_equal(found.lower[1:], found.upper[:-1]) and 0 < len(found.lower) <= MOST_BARS
        for role, value in values.items():
            column = value[:, feature]
            counted = [((column > a) & (column <= b)).sum() for a, b in zip(found.lower, found.upper, strict=True)]
            assert found.counts[role].tolist() == counted
            assert found.silent(role) == (column == 0).sum() == len(column) - sum(counted)
            assert found.share(role).sum() == pytest.approx((column > 0).mean())
        assert found.counts["anchor"][0] + found.counts["seed"][0] > 0


def test_bounds_are_whole_steps_and_wide_ranges_get_wider_bars(stats_of):
    wide = stats_of(np.array([[1e-4], [1e-3], [1.5], [1e5]]))
    found = histogram({"anchor": wide}, 0, per_octave=8)
    assert len(found.lower) <= MOST_BARS and found.lower[0] == 0 and found.upper[-1] == np.inf
    assert found.counts["anchor"].sum() == 4
    near = histogram({"anchor": stats_of(np.array([[1.1], [1.6], [3.0]]))}, 0)
    np.testing.assert_allclose(near.upper / near.lower, 2**0.5, rtol=1e-6)
    assert near.lower[0] == 1.0 and near.counts["anchor"].tolist() == [1, 1, 0, 1]


def test_a_feature_that_nothing_activates_has_no_bars(stats_of):
    found = histogram({"anchor": stats_of(np.zeros((3, 2)))}, 1)
    assert len(found.lower) == 0 and found.silent("anchor") == 3
