"""The minimum support m: how often the anchor has to show a feature before its absence from a seed means anything.

A feature of three anchor samples is absent from most seeds by luck. Two rules guard against that. Per feature, m is
so large that luck is rarer than alpha; with an anchor fifteen times the seed's size only very common features get
there. Over all features, m is so small that luck explains a given share of the missing ones at most: a small seed
that lacks much can show it, though not each feature of it can be sure.
"""

import math

import numpy as np
from scipy.special import gammaln

from fac_lab.errors import SettingsError
from fac_lab.profile import CoverageRule


def minimum_support(
    rule: CoverageRule, anchor_count: np.ndarray, seed_count: np.ndarray, n_anchor: int, n_seed: int
) -> int:
    """The m of a rule: its own `support`, else by `alpha` for each feature, lowered by `fdr` where that is given.

    Counts are samples above the threshold per relevant feature, `[n_features]`. Raises SettingsError where no m
    follows because the seed is empty.
    """
    if rule.support is not None:
        return rule.support
    if n_seed == 0:
        raise SettingsError("no support m follows from a seed without samples: set rule.support to a number")
    largest = alpha_support(rule.alpha, n_anchor, n_seed)
    if rule.fdr is None:
        return largest
    for m in range(1, largest):
        n_missing = ((seed_count == 0) & (anchor_count >= m)).sum()
        if n_missing == 0:
            break
        if expected_missing(anchor_count, seed_count, n_anchor, n_seed, m) <= rule.fdr * n_missing:
            return m
    return largest


def alpha_support(alpha: float, n_anchor: int, n_seed: int) -> int:
    """`ceil(ln(1 / alpha) * n_anchor / n_seed)`, at least 1.

    A feature that is so frequent in the anchor is absent from a seed of the same distribution with
    probability alpha at most, because `(1 - m / n_anchor) ** n_seed <= exp(-m * n_seed / n_anchor)`.
    """
    return max(1, math.ceil(math.log(1 / alpha) * n_anchor / n_seed))


def expected_missing(anchor_count: np.ndarray, seed_count: np.ndarray, n_anchor: int, n_seed: int, m: int) -> float:
    """How many features would be missing at support m if anchor and seed were dealt anew from their union.

    The sum over the features of at least m samples in all of the chance that every one of those falls into the
    anchor, `C(n_anchor, t) / C(n_anchor + n_seed, t)` for t samples (Fisher's exact test, one-sided). Exact for
    features that depend on each other too, because expectations add.
    """
    total = (np.asarray(anchor_count) + np.asarray(seed_count)).astype(float)
    possible = total[(total >= m) & (total <= n_anchor)]
    size = n_anchor + n_seed
    log_chance = gammaln(n_anchor + 1) - gammaln(n_anchor - possible + 1)
    log_chance -= gammaln(size + 1) - gammaln(size - possible + 1)
    return float(np.exp(log_chance).sum())
