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
from fac_lab.settings import CoverageRule
from fac_lab.shapes import Float, Int, Shaped


def minimum_support(
    rule: CoverageRule,
    anchor_count: Int[np.ndarray, " n_features"],
    seed_count: Int[np.ndarray, " n_features"],
    n_anchor: int,
    n_seed: int,
    *,
    chance: Float[np.ndarray, " n_features"] | None = None,
) -> int:
    """The m of a rule: its own `support`, else by `alpha` for each feature, lowered by `fdr` where that is given.

    Counts are samples above the threshold per relevant feature, `[n_features]`; `chance` is what `missing_chance`
    gives for their sums, where the caller has it already. Raises SettingsError where no m follows because the seed
    is empty.
    """
    if rule.support is not None:
        return rule.support
    if n_seed == 0:
        raise SettingsError("no support m follows from a seed without samples: set rule.support to a number")
    largest = alpha_support(rule.alpha, n_anchor, n_seed)
    if rule.fdr is None:
        return largest
    total = np.asarray(anchor_count) + np.asarray(seed_count)
    if chance is None:
        chance = missing_chance(total, n_anchor, n_seed)
    # Sums over the features of at least m samples, for every m at once: one pass instead of one per m.
    expected = _from_above(np.bincount(np.minimum(total, largest), weights=chance, minlength=largest + 1))
    unseen = np.asarray(anchor_count)[np.asarray(seed_count) == 0]
    n_missing = _from_above(np.bincount(np.minimum(unseen, largest), minlength=largest + 1))
    for m in range(1, largest):
        if n_missing[m] == 0:
            break
        if expected[m] <= rule.fdr * n_missing[m]:
            return m
    return largest


def alpha_support(alpha: float, n_anchor: int, n_seed: int) -> int:
    """`ceil(ln(1 / alpha) * n_anchor / n_seed)`, at least 1.

    A feature that is so frequent in the anchor is absent from a seed of the same distribution with
    probability alpha at most, because `(1 - m / n_anchor) ** n_seed <= exp(-m * n_seed / n_anchor)`.
    """
    return max(1, math.ceil(math.log(1 / alpha) * n_anchor / n_seed))


def expected_missing(
    anchor_count: Int[np.ndarray, " n_features"],
    seed_count: Int[np.ndarray, " n_features"],
    n_anchor: int,
    n_seed: int,
    m: int,
) -> float:
    """How many features would be missing at support m if anchor and seed were dealt anew from their union.

    The sum over the features of at least m samples in all of the chance that every one of those falls into the
    anchor, `C(n_anchor, t) / C(n_anchor + n_seed, t)` for t samples (Fisher's exact test, one-sided). Exact for
    features that depend on each other too, because expectations add.
    """
    total = np.asarray(anchor_count) + np.asarray(seed_count)
    return float(missing_chance(total[total >= m], n_anchor, n_seed).sum())


def missing_chance(total: Shaped[np.ndarray, "*shape"], n_anchor: int, n_seed: int) -> Float[np.ndarray, "*shape"]:
    """The chance that all `total` samples of a feature fall into the anchor, float64 of the shape of `total`.

    0 where they are more than the anchor holds.
    """
    total = np.asarray(total, float)
    size = n_anchor + n_seed
    held = np.minimum(total, n_anchor)
    log_chance = gammaln(n_anchor + 1) - gammaln(n_anchor - held + 1)
    log_chance -= gammaln(size + 1) - gammaln(size - held + 1)
    return np.where(total <= n_anchor, np.exp(log_chance), 0.0)


def _from_above(numbers: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Sum of the entries from each place to the end."""
    return numbers[::-1].cumsum()[::-1]
