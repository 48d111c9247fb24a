"""Distances, spread and Vendi scores against all pairs, whole kernels and worked cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_distances

from fac_lab.diversity import vectors as module
from fac_lab.diversity.inputs import checked_vectors, directions
from fac_lab.diversity.vectors import covariance_trace, pairwise_distance, vendi
from fac_lab.errors import DataError

ORDERS = (0, 0.5, 1, 2, 7.5, math.inf)


def slow_vendi(vectors, q):
    """By the whole kernel, as it is defined."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.eigvalsh((units @ units.T).astype(np.float64) / len(units))
    values = values[values > 1e-6]
    if q == 1:
        return math.exp(-sum(values * np.log(values)))
    return 1 / values.max() if q == math.inf else sum(values**q) ** (1 / (1 - q))


@pytest.mark.parametrize(("n", "d"), [(2, 9), (40, 7), (7, 40), (300, 12)])
def test_distances_are_those_of_all_pairs(scattered, n, d):
    made = scattered(n, d)
    pairs = np.triu_indices(n, 1)
    assert pairwise_distance(made) == pytest.approx(cosine_distances(made.astype(float))[pairs].mean(), abs=1e-6)
    squares = np.square(made[:, None] - made[None]).sum(-1)[pairs]
    assert covariance_trace(made) == pytest.approx(squares.mean() / 2, rel=1e-5)
    assert covariance_trace(made) == pytest.approx(np.trace(np.cov(made.T)), rel=1e-5)


@pytest.mark.parametrize("q", ORDERS)
@pytest.mark.parametrize(("n", "d"), [(1, 5), (40, 7), (7, 40)])
def test_vendi_is_its_definition_from_either_side(scattered, n, d, q):
    made = scattered(n, d).astype(np.float64)
    assert vendi(made, q) == pytest.approx(slow_vendi(made, q))
    assert vendi(made.astype(np.float32), q) == pytest.approx(vendi(made, q), rel=1e-4)


def test_vendi_counts_what_is_different():
    """Three orthogonal directions, one of them twice as common: shares 1/2, 1/4, 1/4."""
    made = np.array([[2, 0, 0], [0.1, 0, 0], [0, 3, 0], [0, 0, 1]])
    assert vendi(made) == pytest.approx(2**1.5)
    assert [vendi(made, q) for q in (0, 2, math.inf)] == pytest.approx([3, 1 / (1 / 4 + 2 / 16), 2])
    assert vendi(np.eye(6), 0.3) == pytest.approx(6)
    # The order counts: a score that ignored it would not fall.
    scores = [vendi(made, q) for q in ORDERS]
    assert all(later < earlier for earlier, later in zip(scores, scores[1:], strict=False))


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 99), st.sampled_from(ORDERS))
def test_bounds_order_scale_and_copies(n, d, seed, q):
    dice = np.random.default_rng(seed)
    made = dice.normal(size=(n, d))
    score = vendi(made, q)
    assert 1 - 1e-9 <= score <= min(n, d) + 1e-9
    changed = dice.permutation(made) * dice.uniform(0.1, 9, size=(n, 1))
    assert vendi(changed, q) == pytest.approx(score)
    assert vendi(np.tile(made, (3, 1)), q) == pytest.approx(score)
    if n > 1:
        assert 0 <= pairwise_distance(made) <= n / (n - 1) + 1e-9
        assert pairwise_distance(changed) == pytest.approx(pairwise_distance(made))
        assert covariance_trace(dice.permutation(made)) == pytest.approx(covariance_trace(made))
        for metric in (pairwise_distance, covariance_trace):
            assert metric(np.tile(made, (2, 1))) <= metric(made) + 1e-9


def test_one_direction_throughout():
    made = np.outer([1.0, 2.0, 1e-30, 1e30], [3.0, 4.0])
    assert pairwise_distance(made) == pytest.approx(0, abs=1e-12)
    assert [vendi(made, q) for q in ORDERS] == pytest.approx([1] * len(ORDERS))
    assert covariance_trace(np.ones((4, 3))) == 0
    assert pairwise_distance([[1, 0], [-1, 0]]) == pytest.approx(2)


def test_vectors_without_direction_are_left_out(scattered):
    made = scattered(20, 5)
    with_zeros = np.insert(made, [0, 7, 20], 0, axis=0)
    assert directions(with_zeros)[1].tolist() == [*range(1, 8), *range(9, 22)]
    assert pairwise_distance(with_zeros) == pytest.approx(pairwise_distance(made))
    assert vendi(with_zeros) == pytest.approx(vendi(made))


def test_too_few_is_nan_with_a_reason():
    for made in (np.zeros((0, 3)), np.zeros((4, 3)), np.eye(3)[:1]):
        assert math.isnan(pairwise_distance(made)) and "direction" in pairwise_distance(made).reason
    assert vendi(np.zeros((4, 3))).reason == "no vector has a direction" and vendi(np.eye(3)[:1]) == 1
    assert covariance_trace(np.eye(3)[:1]).reason.startswith("there is one")
    assert covariance_trace(np.zeros((0, 3))).reason == "there are no vectors"


def test_blocks_change_nothing(scattered, monkeypatch):
    made = scattered(50, 6)
    whole = [metric(made) for metric in (pairwise_distance, covariance_trace, vendi)]
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    monkeypatch.setattr("fac_lab.diversity.inputs.BLOCK_ROWS", 7)
    assert [metric(made) for metric in (pairwise_distance, covariance_trace, vendi)] == pytest.approx(whole)


def test_wrong_input_is_refused(monkeypatch):
    with pytest.raises(DataError, match=r"float64 of shape \(3,\)"):
        vendi(np.ones(3))
    with pytest.raises(DataError, match="2 vectors for 3 texts"):
        checked_vectors(np.eye(2), 3)
    with pytest.raises(DataError, match="vector 1 holds NaN"):
        covariance_trace([[1.0, 0.0], [math.nan, 1.0]])
    with pytest.raises(DataError, match="at least 0, not -1"):
        vendi(np.eye(2), -1)
    with pytest.raises(DataError, match="not nan"):
        vendi(np.eye(2), math.nan)
    monkeypatch.setattr(module, "LARGEST_SIDE", 3)
    with pytest.raises(DataError, match="matrix with 4 rows"):
        vendi(np.eye(4))
