import math

import numpy as np
import pytest

from fac_lab import bounds
from fac_lab.errors import SettingsError

DICE = np.random.default_rng(0)
PAIRS = [
    tuple(DICE.dirichlet(np.full(6, spread)) * (DICE.random(6) < kept) + 1e-300 for _ in "pq")
    for spread in (0.1, 1.0, 10.0)
    for kept in (0.7, 1.0)
    for _ in range(40)
]
PAIRS = [
    tuple(np.where(one > 1e-200, one, 0) / one.sum() for one in pair) for pair in PAIRS if min(map(max, pair)) > 1e-6
]
"""Even and uneven distributions, some with outcomes that never come."""


def shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


def test_total_variation_by_hand():
    assert bounds.total_variation(np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])) == 0.5
    assert bounds.total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    assert bounds.total_variation(np.array([0.3, 0.7]), np.array([0.3, 0.7])) == 0


def test_kl_by_hand():
    found = bounds.kl(np.array([0.5, 0.5, 0]), np.array([0.25, 0.5, 0.25]))
    assert found == pytest.approx(0.5 * math.log(2))
    assert bounds.kl(np.array([0.2, 0.8]), np.array([0.2, 0.8])) == 0
    assert bounds.kl(np.array([0.5, 0.5]), np.array([1.0, 0])) == math.inf
    assert bounds.entropy(np.full(8, 1 / 8)) == pytest.approx(3 * math.log(2))
    assert bounds.entropy(np.array([1.0, 0])) == 0


def test_the_largest_event_is_the_total_variation():
    events = np.arange(2**6)[:, None] >> np.arange(6) & 1
    for p, q in PAIRS:
        assert bounds.total_variation(p, q) == pytest.approx((events @ (p - q)).max(), abs=1e-12)


@pytest.mark.parametrize("eps", [None, 1e-6, 0.1, 0.9])
def test_pinsker_holds_with_and_without_smoothing(eps):
    finite = 0
    for p, q in PAIRS:
        other = q if eps is None else bounds.smoothed(q, eps)
        divergence = bounds.kl(p, other)
        finite += divergence < math.inf
        assert bounds.total_variation(p, other) <= bounds.pinsker(divergence) + 1e-9
    assert finite > 50


def test_no_loss_moves_further_than_the_shift_bound():
    for p, q in PAIRS:
        tv = bounds.total_variation(p, q)
        losses = DICE.uniform(0, 3, (20, 6))
        assert np.abs(losses @ p - losses @ q).max() <= bounds.shift_bound(tv, loss=3.0) + 1e-9
        assert bounds.shift_bound(tv, loss=3.0) <= bounds.risk_bound(tv, 0.0, loss=3.0)


def test_the_shift_bound_is_reached():
    p, q = np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])
    worst = (p > q).astype(float)
    assert (p - q) @ worst == bounds.shift_bound(bounds.total_variation(p, q))
    assert bounds.risk_bound(0.5, 0.1) == pytest.approx(1.1)


def test_smoothing_leaves_a_distribution():
    q = bounds.smoothed(np.array([1.0, 0, 0, 0]), 0.2)
    assert q == pytest.approx([0.85, 0.05, 0.05, 0.05])
    for eps in (0, 1, -1, math.nan):
        with pytest.raises(SettingsError, match="eps"):
            bounds.smoothed(q, eps)


def test_surrogate_by_hand_and_at_its_limits():
    found = bounds.surrogate(3, 5, 6, 0.1)
    assert found.value == pytest.approx(3 / 5 * math.log(12))
    assert found.per_feature == pytest.approx(math.log(12) / 5)
    assert bounds.surrogate(0, 5, 6, 0.1).value == 0
    values = [bounds.surrogate(3, 5, 6, 10.0**-k).value for k in range(1, 200, 20)]
    assert np.all(np.diff(values) > 1) and values[-1] > 200, "it diverges as eps goes to 0"
    filled = [bounds.surrogate(missing, 5, 6, 0.1).value for missing in range(6)]
    assert np.diff(filled) == pytest.approx([found.per_feature] * 5)
    assert math.isnan(bounds.surrogate(0, 0, 6, 0.1).value)


@pytest.mark.parametrize("counts", [(6, 5, 6), (3, 7, 6), (-1, 5, 6)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(SettingsError, match="each is part of the next"):
        bounds.surrogate(*counts, 0.1)


@pytest.mark.parametrize("number", range(60))
def test_uniform_kl_is_the_kl_of_uniform_distributions(number):
    anchor, other = np.random.default_rng(number).random((2, 1 + number % 12)) < 0.5
    eps = (1e-6, 0.01, 0.9)[number % 3]
    counts = int((anchor & ~other).sum()), int(anchor.sum()), int(other.sum()), len(anchor)
    found = bounds.uniform_kl(*counts, eps)
    if not anchor.any():
        assert math.isnan(found.value)
        return
    flat = np.full(len(anchor), 1 / len(anchor))
    q = bounds.smoothed(shares(other.astype(float)), eps) if other.any() else flat
    assert found.value == pytest.approx(bounds.kl(shares(anchor.astype(float)), q), abs=1e-9)
    if other.any():
        assert found.missing == bounds.surrogate(counts[0], counts[1], counts[3], eps).value


def test_uniform_kl_of_impossible_counts():
    with pytest.raises(SettingsError, match="impossible"):
        bounds.uniform_kl(2, 5, 2, 6, 0.1)
    with pytest.raises(SettingsError, match="impossible"):
        bounds.uniform_kl(2, 5, 5, 6, 0.1)


def test_information_bound_by_hand_and_back():
    assert bounds.information_bound(2.0, 100) == pytest.approx(math.sqrt(2 * 0.25 * 2 / 100))
    assert bounds.information_bound(2.0, 100, sigma=1, c=3) == pytest.approx(math.sqrt(4 / 100) + 6 / 100)
    assert bounds.information_bound(0.0, 1) == 0
    assert bounds.implied_information(bounds.information_bound(7.0, 50), 50) == pytest.approx(7.0)
    assert bounds.implied_information(-0.1, 50) == 0
    falling = [bounds.information_bound(5.0, n) for n in (1, 10, 100)]
    assert falling == sorted(falling, reverse=True)
    assert bounds.information_bound(5.0 * 10, 10) == bounds.information_bound(5.0 * 99, 99), "H(S) grows as n does"
    for information, n in ((1.0, 0), (-1.0, 5), (math.nan, 5)):
        with pytest.raises(SettingsError, match="nats"):
            bounds.information_bound(information, n)


def test_pinsker_and_accuracy():
    assert bounds.pinsker(0.5) == 0.5 and bounds.pinsker(0.5, 0.75) == 1
    assert [bounds.tv_from_accuracy(a) for a in (0.5, 0.75, 1.0)] == [0, 0.5, 1]
    for wrong in ((-0.1, 0), (0.1, -1), (math.nan, 0)):
        with pytest.raises(SettingsError, match="negative"):
            bounds.pinsker(*wrong)


@pytest.mark.parametrize(
    ("p", "q", "said"),
    [
        ([0.5, 0.5], [1.0], "different outcomes"),
        ([0.5, 0.4], [0.5, 0.5], "sum 0.9"),
        ([1.5, -0.5], [0.5, 0.5], "least -0.5"),
        ([math.nan, 1], [0.5, 0.5], "no distribution"),
    ],
)
def test_what_is_no_distribution(p, q, said):
    for measure in (bounds.kl, bounds.total_variation):
        with pytest.raises(SettingsError, match=said):
            measure(np.array(p), np.array(q))
