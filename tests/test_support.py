"""The minimum support: formulas against brute force, and what each rule promises."""

import math
from itertools import combinations

import numpy as np
import pytest

from fac_lab.errors import SettingsError
from fac_lab.settings import CoverageRule
from fac_lab.support import alpha_support, expected_missing, minimum_support

BY_ALPHA = CoverageRule(support=None, alpha=0.01)
BY_FDR = CoverageRule(support=None, alpha=0.01, fdr=0.1)


@pytest.mark.parametrize(
    ("n_anchor", "n_seed", "alpha", "m"), [(4080, 6000, 0.01, 4), (4000, 2000, 0.01, 10), (1, 1000, 0.01, 1)]
)
def test_support_by_formula(n_anchor, n_seed, alpha, m):
    assert alpha_support(alpha, n_anchor, n_seed) == m
    assert (1 - min(m / n_anchor, 1)) ** n_seed <= alpha
    assert m == 1 or math.exp(-(m - 1) * n_seed / n_anchor) > alpha


def test_a_support_of_ones_own_comes_first_and_an_empty_seed_has_none():
    assert minimum_support(CoverageRule(support=7, fdr=0.1), np.array([1]), np.array([0]), 10, 0) == 7
    with pytest.raises(SettingsError, match="rule.support"):
        minimum_support(BY_ALPHA, np.array([1]), np.array([0]), 10, 0)


def test_expectation_is_the_mean_over_all_deals():
    """Seven samples, every way to deal four of them to the anchor."""
    active = np.array([[1, 0, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 1, 0]] + 3 * [[0, 0, 1, 0, 0]])
    for m in (1, 2, 3):
        dealt = []
        for anchor in combinations(range(7), 4):
            inside = np.isin(np.arange(7), anchor)
            dealt.append(((active[inside].sum(0) >= m) & (active[~inside].sum(0) == 0)).sum())
        inside = np.arange(7) < 4
        found = expected_missing(active[inside].sum(0), active[~inside].sum(0), 4, 3, m)
        assert found == pytest.approx(np.mean(dealt))


def test_more_than_the_anchor_holds_cannot_be_missing():
    assert expected_missing(np.array([3]), np.array([2]), 4, 3, 1) == 0.0


def test_the_fdr_lowers_support_where_much_is_missing():
    """Luck explains a feature of 30 anchor samples with chance .91 ** 30 = .06, one of 20 with .15: over a tenth."""
    for count, support in ((30, 1), (20, 47)):
        anchor, seed = np.full(50, count), np.zeros(50, int)
        assert minimum_support(BY_ALPHA, anchor, seed, 1000, 100) == 47
        assert minimum_support(BY_FDR, anchor, seed, 1000, 100) == support
        assert (expected_missing(anchor, seed, 1000, 100, 1) <= 0.1 * 50) == (support == 1)


def test_without_a_finding_the_support_is_alphas():
    """Features that behave as chance has it leave no m below alpha's at which few are missing by luck."""
    dice = np.random.default_rng(0)
    rate = dice.uniform(0.001, 0.01, 2000)
    anchor, seed = dice.binomial(1000, rate), dice.binomial(100, rate)
    assert minimum_support(BY_FDR, anchor, seed, 1000, 100) == alpha_support(0.01, 1000, 100)


def test_the_promised_share_holds_on_average():
    """A tenth of the features is truly absent: of those called missing, luck explains about what was allowed."""
    shares = []
    for trial in range(30):
        dice = np.random.default_rng(trial)
        rate = dice.uniform(0.005, 0.06, 1000)
        absent = np.arange(1000) < 100
        anchor, seed = dice.binomial(1500, rate), dice.binomial(100, np.where(absent, 0, rate))
        m = minimum_support(BY_FDR, anchor, seed, 1500, 100)
        missing = (anchor >= m) & (seed == 0)
        shares.append((missing & ~absent).sum() / max(1, missing.sum()))
        assert m < alpha_support(0.01, 1500, 100)
    assert np.mean(shares) <= 0.11
