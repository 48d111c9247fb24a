"""Coefficients against scipy's, intervals against loops over draws, and what has no correlation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fac_lab.correlation import compare, correlate, first_shares, partial, williams
from fac_lab.errors import DataError

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def points(n=30, *, r=0.6, seed=0, ties=False):
    dice = np.random.default_rng(seed)
    x = dice.normal(size=n)
    y = r * x + math.sqrt(1 - r**2) * dice.normal(size=n)
    return (x.round(), y.round()) if ties else (x, y)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("kind", SCIPY)
def test_value_is_scipys(kind, ties):
    x, y = points(ties=ties)
    found = correlate(x, y, kind, draws=10)
    assert found.value == pytest.approx(SCIPY[kind](x, y).statistic) and found.n == 30 and found.reason is None


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("kind", SCIPY)
def test_interval_is_that_of_points_drawn_one_by_one(kind, ties):
    """The same draws, each made into a sample of repeated points and given to scipy."""
    x, y = points(12, ties=ties)
    times = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12), size=60)
    drawn = []
    for counts in times:
        rows = np.repeat(np.arange(12), counts)
        if np.ptp(x[rows]) and np.ptp(y[rows]):
            drawn.append(SCIPY[kind](x[rows], y[rows]).statistic)
    expected = np.quantile(drawn, [0.05, 0.95])
    found = correlate(x, y, kind, draws=60, level=0.9, seed=3)
    np.testing.assert_allclose([found.low, found.high], expected, atol=1e-9)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        found = correlate(*points(60, r=0.5, seed=seed), draws=300, seed=seed)
        inside += found.low <= 0.5 <= found.high
    assert 178 <= inside <= 198  # 95 % of 200 is 190; percentile intervals run a little narrow


@pytest.mark.parametrize("kind", SCIPY)
def test_a_constant_has_no_correlation_and_says_so(kind):
    found = correlate([1.0] * 6, range(6), kind)
    assert math.isnan(found.value) and math.isnan(found.low) and found.reason == "the first is constant (1)"
    assert "the second is constant" in correlate(range(6), [0.1 + 0.2] * 6, kind).reason
    assert correlate([1, 2, 3], [1, 2, 3], kind).reason == "3 points are too few: 4 at least"


def test_a_measure_that_is_constant_in_many_draws_keeps_an_interval():
    x = np.array([0.0] * 9 + [1.0])
    y = np.arange(10.0)
    for kind in SCIPY:
        found = correlate(x, y, kind, draws=500)
        assert 0 < found.low < found.high <= 1 and 0 < found.value < found.high


def test_points_with_a_nan_are_left_out():
    x, y = points()
    x[3], y[7] = np.nan, np.nan
    kept = np.delete(np.arange(30), [3, 7])
    assert correlate(x, y) == correlate(x[kept], y[kept])


def test_lengths_have_to_agree_and_kinds_to_exist():
    with pytest.raises(DataError, match=r"\(3,\), \(4,\)"):
        correlate([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(DataError, match="not 'cosine'"):
        correlate(*points(), "cosine")
    with pytest.raises(DataError, match="partial correlations"):
        partial(*points(), {"z": range(30)}, "kendall")


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=4, max_size=12),
    st.sampled_from(sorted(SCIPY)),
)
def test_symmetric_bounded_and_blind_to_units(pairs, kind):
    x, y = np.array(pairs, float).T
    found = correlate(x, y, kind, draws=20)
    if found.reason:
        assert np.ptp(x) == 0 or np.ptp(y) == 0
        return
    assert -1 <= found.value <= 1
    assert correlate(y, x, kind, draws=20).value == pytest.approx(found.value, abs=1e-9)
    assert correlate(1000 - 7 * x, y, kind, draws=20).value == pytest.approx(-found.value, abs=1e-9)


def residuals(column, others):
    design = np.column_stack([np.ones(len(column)), *others])
    return column - design @ np.linalg.lstsq(design, column, rcond=None)[0]


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_partial_is_the_correlation_of_residuals(kind):
    dice = np.random.default_rng(1)
    a, b = dice.normal(size=(2, 40))
    x, y = a + b + dice.normal(size=40), a - b + dice.normal(size=40)
    columns = [x, y, a, b] if kind == "pearson" else [stats.rankdata(c) for c in (x, y, a, b)]
    left = [residuals(column, columns[2:]) for column in columns[:2]]
    assert partial(x, y, {"a": a, "b": b}, kind, draws=10).value == pytest.approx(stats.pearsonr(*left).statistic)


def test_what_a_covariate_explains_is_gone():
    dice = np.random.default_rng(2)
    size = dice.normal(size=400)
    x, y = size + 0.3 * dice.normal(size=400), size + 0.3 * dice.normal(size=400)
    assert correlate(x, y).value > 0.85
    found = partial(x, y, {"size": size}, draws=500)
    assert found.low < 0 < found.high


def test_partial_with_nothing_to_take_away_or_everything():
    x, y = points()
    plain = correlate(x, y, draws=50)
    same = partial(x, y, {"size": np.full(30, 80.0)}, draws=50)
    assert (same.value, same.low, same.high) == pytest.approx((plain.value, plain.low, plain.high))
    assert partial(x, y, {}, draws=50).value == pytest.approx(plain.value)
    twice = {"a": y + x, "b": 2 * (y + x)}
    assert partial(x, y, twice, draws=50).value == pytest.approx(partial(x, y, {"a": y + x}, draws=50).value)
    whole = partial(x, y, {"size": 3 * x + 1})
    assert math.isnan(whole.value) and whole.reason == "one of the two is a function of size"
    few = partial(x[:5], y[:5], {"a": y[:5] ** 2, "b": x[:5] ** 2})
    assert few.reason == "5 points are too few for 2 covariates"


def test_williams_by_hand():
    """n = 103, r = .4 and .1 with .5 between them: |R| = 1 - .16 - .01 - .25 + 2 (.4)(.1)(.5) = .62,
    t = .3 sqrt(102 * 1.5 / (2 * 102 / 100 * .62 + .0625 * .125)) = 3.289."""
    t, p = williams(0.4, 0.1, 0.5, 103)
    below = 2 * 102 / 100 * 0.62 + 0.25**2 * 0.5**3
    assert t == pytest.approx(0.3 * math.sqrt(102 * 1.5 / below)) and t == pytest.approx(3.289, abs=1e-3)
    assert p == pytest.approx(2 * stats.t.sf(t, 100))
    assert williams(0.1, 0.4, 0.5, 103) == pytest.approx((-t, p))
    assert all(math.isnan(value) for value in (*williams(0.4, 0.4, 1.0, 103), *williams(0.4, 0.1, 0.5, 3)))


def test_both_tests_reject_a_true_null_about_as_often_as_they_say():
    """Two measures of one thing, equally noisy."""
    by_draws = by_t = 0
    for seed in range(150):
        dice = np.random.default_rng(seed)
        y = dice.normal(size=50)
        a, b = y + dice.normal(size=50), y + dice.normal(size=50)
        found = compare(a, b, y, draws=300, seed=seed)
        by_draws += found.p < 0.05
        by_t += found.t_p < 0.05
    assert by_draws <= 18 and 1 <= by_t <= 16  # 7.5 expected


def test_a_better_measure_is_found_better_whichever_way_it_points():
    dice = np.random.default_rng(5)
    y = dice.normal(size=80)
    good, poor = y + 0.4 * dice.normal(size=80), y + 2.0 * dice.normal(size=80)
    found = compare(good, poor, y)
    assert found.low > 0 and found.p < 0.01 and found.t_p < 0.01
    turned = compare(-good, poor, y)
    assert turned == pytest.approx(found, nan_ok=True) or turned[:6] == pytest.approx(found[:6])
    back = compare(poor, good, y)
    assert (back.value, back.t) == pytest.approx((-found.value, -found.t))
    r = [abs(stats.pearsonr(x, y).statistic) for x in (good, poor)]
    assert found.value == pytest.approx(r[0] - r[1])


def test_a_measure_against_itself_and_against_a_constant():
    x, y = points()
    same = compare(x, x, y)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1) and math.isnan(same.t)
    none = compare(x, np.ones(30), y)
    assert math.isnan(none.value) and math.isnan(none.p) and none.reason == "the second measure is constant (1)"
    assert math.isnan(compare(x, -y, y, "kendall").t)


def test_first_shares_add_up_and_give_the_undefined_nothing():
    dice = np.random.default_rng(6)
    y = dice.normal(size=60)
    measures = {
        "good": -(y + 0.3 * dice.normal(size=60)),
        "poor": y + 3 * dice.normal(size=60),
        "constant": np.ones(60),
        "absent": np.full(60, np.nan),
    }
    shares = first_shares(measures, y, draws=200)
    assert sum(shares.values()) == pytest.approx(1) and shares["good"] > 0.99
    assert shares["constant"] == shares["absent"] == 0
    assert set(first_shares(measures, np.ones(60)).values()) == {0.0}
