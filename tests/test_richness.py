"""Rarefaction against brute force, estimators by hand and on communities whose truth is known."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fac_lab.errors import DataError
from fac_lab.richness import (
    bootstrap,
    chao2,
    counts_of,
    extrapolated,
    good_toulmin,
    hold_out,
    incidence,
    rarefied,
    richness,
    sample_coverage,
)


def community(n=400, d=600, *, seed=0):
    """Features of very different frequency in `n` independent samples; with it, their probabilities."""
    dice = np.random.default_rng(seed)
    chance = np.exp(dice.normal(-5.0, 1.5, size=d)).clip(max=0.5)
    return sparse.csr_matrix((dice.random((n, d)) < chance).astype(np.int32)), chance


@pytest.mark.parametrize("m", [1, 2])
def test_rarefaction_is_the_mean_over_all_subsets(m):
    active = np.random.default_rng(0).random((7, 9)) < 0.3
    counts = active.sum(axis=0)
    for t in range(8):
        subsets = [active[list(rows)].sum(axis=0) for rows in combinations(range(7), t)]
        expected = np.mean([(subset >= m).sum() for subset in subsets])
        assert rarefied(counts, 7, [t], m)[0] == pytest.approx(expected)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_rarefaction_rises_from_nothing_to_what_is_seen_ever_more_slowly(counts):
    curve = rarefied(np.array(counts), 40, range(41))
    assert curve[0] == pytest.approx(0, abs=1e-9) and curve[-1] == pytest.approx(sum(c > 0 for c in counts))
    steps = np.diff(curve)
    assert (steps >= -1e-9).all() and (np.diff(steps) <= 1e-9).all()


def test_estimators_by_hand():
    """Ten samples; counts 1 1 1 1 2 2 5: Q1 = 4, Q2 = 2, U = 13."""
    counts = np.array([1, 1, 1, 1, 2, 2, 5, 0])
    found = richness(counts, 10)
    assert (found.seen, found.once, found.twice) == (7, 4, 2)
    assert found.unseen == pytest.approx(0.9 * 16 / 4) and found.total == pytest.approx(7 + 3.6)
    assert found.sample_coverage == pytest.approx(1 - 4 / 13 * 36 / 40)
    assert good_toulmin(counts, 10, 10) == pytest.approx(4 - 2 + 1)
    assert good_toulmin(counts, 10, 5) == pytest.approx(2 - 0.5 + 1 / 32)
    assert extrapolated(counts, 10, [0, 1, 10**6]) == pytest.approx([0, 3.6 * 4 / (36 + 4), 3.6])


def test_estimators_at_their_edges():
    no_twice = np.array([1, 1, 1])
    assert chao2(no_twice, 4) == pytest.approx(0.75 * 3) and sample_coverage(no_twice, 4) == pytest.approx(1 - 6 / 8)
    assert chao2(np.array([3, 3]), 4) == 0 and sample_coverage(np.array([3, 3]), 4) == 1
    assert sample_coverage(np.array([1, 1]), 1) == 0
    assert math.isnan(sample_coverage(np.zeros(3, int), 5)) and chao2(np.zeros(3, int), 5) == 0
    assert extrapolated(np.array([3, 3]), 4, [5]).tolist() == [0]
    assert good_toulmin(np.zeros(3, int), 5, 5) == 0 and good_toulmin(np.array([1]), 5, 0) == 0


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(DataError, match="7 of 5 samples"):
        chao2(np.array([7, 1]), 5)
    with pytest.raises(DataError, match="whole number"):
        richness(np.array([0.5]), 5)
    with pytest.raises(DataError, match="use `extrapolated`"):
        rarefied(np.array([1]), 5, [6])
    with pytest.raises(DataError, match="up to 5 further samples"):
        good_toulmin(np.array([1]), 5, 6)
    with pytest.raises(DataError, match="take four at least"):
        hold_out(sparse.csr_matrix(np.ones((3, 2), np.int32)))


def test_incidence_is_strict_takes_thresholds_per_feature_and_keeps_its_input():
    matrix = sparse.csr_matrix(np.array([[0.0, 2.0, 1.0], [3.0, 1.0, 0.0]]))
    assert incidence(matrix, 1.0).toarray().tolist() == [[0, 1, 0], [1, 0, 0]]
    assert incidence(matrix, np.array([3.0, 0.0, 0.5])).toarray().tolist() == [[0, 1, 1], [0, 1, 0]]
    assert counts_of(incidence(matrix, 0.0, np.array([True, False, True]))).tolist() == [1, 1]
    assert incidence(matrix, 1.0).nnz == 2 and matrix.nnz == 4


def test_sample_coverage_and_new_features_are_right_on_average():
    """Truth: the summed chance of the features seen, and a second, independent set of as many samples."""
    covered, truth, predicted, series, found = [], [], [], [], []
    for seed in range(60):
        active, chance = community(seed=seed, n=150)
        again = np.random.default_rng(1000 + seed).random((150, 600)) < chance
        counts = counts_of(active)
        covered.append(sample_coverage(counts, 150))
        truth.append(chance[counts > 0].sum() / chance.sum())
        predicted.append(extrapolated(counts, 150, [150])[0])
        series.append(good_toulmin(counts, 150, 150))
        found.append(((counts == 0) & again.any(axis=0)).sum())
    assert np.mean(covered) == pytest.approx(np.mean(truth), abs=0.005)
    assert np.mean(series) == pytest.approx(np.mean(found), rel=0.05)
    assert np.mean(predicted) == pytest.approx(np.mean(found), rel=0.1)


def test_chao_is_a_lower_bound_on_average():
    unseen, bound = [], []
    for seed in range(40):
        active, chance = community(seed=seed)
        counts = counts_of(active)
        unseen.append((counts == 0).sum())
        bound.append(chao2(counts, 400))
    assert 0.3 * np.mean(unseen) < np.mean(bound) < np.mean(unseen)


def test_bootstrap_intervals_hold_their_estimates_and_draw_whole_samples():
    active, _ = community()
    found = bootstrap(active, draws=100)
    for estimate in found.values():
        assert estimate.low < estimate.value < estimate.high
    assert found["total"].value == richness(counts_of(active), 400).total
    assert found["total"].low > (counts_of(active) > 0).sum()
    assert bootstrap(active, draws=100) == found
    # Samples are drawn, not features: the same features five times over say nothing new.
    five = bootstrap(sparse.hstack([active] * 5, format="csr"), draws=100)
    assert five["unseen"] == pytest.approx([5 * part for part in found["unseen"]])


def test_bootstrap_of_a_saturated_set_is_certain():
    full = sparse.csr_matrix(np.ones((20, 4), np.int32))
    found = bootstrap(full, draws=20)
    assert found["unseen"] == (0, 0, 0) and found["sample_coverage"] == (1, 1, 1) and found["total"] == (4, 4, 4)


def test_hold_out_predicts_what_the_second_half_adds():
    active, _ = community(n=600, seed=4)
    frame = hold_out(active, repeats=8, draws=60)
    assert len(frame) == 8 and (frame.n == 300).all()
    assert frame.predicted.mean() == pytest.approx(frame.new.mean(), rel=0.15)
    assert frame.good_toulmin.mean() == pytest.approx(frame.new.mean(), rel=0.15)
    assert frame.sample_coverage.mean() == pytest.approx(frame.covered.mean(), abs=0.01)
    seen = (counts_of(active) > 0).sum()
    assert (frame.seen + frame.new == seen).all()
    inside = ((frame.low <= frame.new) & (frame.new <= frame.high)).mean()
    assert inside >= 0.5
