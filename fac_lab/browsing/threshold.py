"""The live threshold: coverage at any delta at once, from sums over the histograms that are made once.

`above[e, i]` is the number of samples in which feature i exceeds edge e. A threshold is then one row of it, so that
a cut costs a few passes over `[d_sae]` arrays instead of a sum over all bins: about a millisecond at 65,536
features. The arrays take 47 MB per data set at that size, half of it for fewer than 65,536 samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fac_lab.coverage import Coverage, threshold
from fac_lab.features.stats import EDGES, N_BINS, FeatureStats, require_alike, snap
from fac_lab.settings import CoverageRule
from fac_lab.support import minimum_support, missing_chance

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("covered", "missing", "outside")
"""In the anchor's support and activated by the seed; in it and not activated; not in it."""
COVERED, MISSING, OUTSIDE = range(3)
CHANCE_TABLE = 2**20
"""Totals whose chance is looked up; rarer, larger ones are computed (8 MB against a second per slider step)."""


@dataclass(frozen=True, eq=False)
class Cut:
    """Coverage at one threshold: what `coverage.cover` finds with `rule` and `relevant`."""

    rule: CoverageRule
    """The rule that says this threshold."""
    delta: float | np.ndarray
    """The threshold, snapped to an edge: one, or `[d_sae]`."""
    m: int
    """Samples that a feature needs in the anchor."""
    anchor_count: np.ndarray
    """Anchor samples above the threshold, int32 `[d_sae]`."""
    seed_count: np.ndarray
    """Seed samples above the threshold, int32 `[d_sae]`."""
    relevant: np.ndarray
    """Features that count, bool `[d_sae]`."""
    status: np.ndarray
    """Place in STATUSES, int8 `[d_sae]`; a feature that does not count is outside."""
    n_anchor: int
    """Samples in the anchor."""
    n_seed: int
    """Samples in the seed."""
    n_covered: int
    """Features of the anchor's support that the seed activates."""
    n_missing: int
    """Features of it that the seed does not activate."""
    n_seed_support: int
    """Relevant features that the seed activates, in the anchor's support or not."""
    expected_missing: float
    """Missing features to be expected if anchor and seed were of one source (see `support.expected_missing`)."""

    @property
    def n_relevant(self) -> int:
        """Features that count."""
        return int(self.relevant.sum())

    @property
    def n_support(self) -> int:
        """Features of the anchor's support."""
        return self.n_covered + self.n_missing

    @property
    def fac(self) -> float:
        """Share of the anchor's support that the seed covers; NaN where that support is empty."""
        return self.n_covered / self.n_support if self.n_support else float("nan")

    @cached_property
    def missing(self) -> np.ndarray:
        """Indices of the missing features, most frequent in the anchor first, then by index, int64."""
        features = np.flatnonzero(self.status == MISSING)
        return features[np.argsort(-self.anchor_count[features], kind="stable")]


class LiveThreshold:
    """Coverage of one anchor by one seed at any threshold.

    Raises SettingsError where the two were measured differently, as `cover` does.
    """

    def __init__(self, anchor: FeatureStats, seed: FeatureStats, rule: CoverageRule) -> None:
        require_alike(anchor, seed, names=("the anchor", "the seed"), keys=("subject", "sae", "pool", "protocol"))
        self.anchor, self.seed, self.rule = anchor, seed, rule
        self.own_delta = threshold(anchor, rule)
        """The threshold that the rule means: one, or `[d_sae]`."""
        self._above = _above(anchor.histogram), _above(seed.histogram)
        most = min(sum(int(above[0].max(initial=0)) for above in self._above), CHANCE_TABLE)
        self._chance = missing_chance(np.arange(most + 1), anchor.n_samples, seed.n_samples)

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.anchor.d_sae

    def at(self, delta: float | None = None, *, relevant: np.ndarray | None = None, m: int | None = None) -> Cut:
        """Coverage at an absolute threshold, or at the rule's own (None).

        `delta` is snapped to the edge below; `relevant` is bool `[d_sae]`, None for all; `m` takes the place of the
        support that follows from the rule. Raises SettingsError for a negative delta or an m below 1, and where no
        m follows because the seed is empty.
        """
        rule = self.rule if delta is None else replace(self.rule, kind="absolute", delta=snap(float(delta)))
        rule = rule if m is None else replace(rule, support=int(m))
        delta = self.own_delta if delta is None else rule.delta
        relevant = np.ones(self.d_sae, bool) if relevant is None else np.asarray(relevant, bool)
        anchor_count, seed_count = (_row(above, delta) for above in self._above)
        total = anchor_count + seed_count
        chance = self._chances(total)
        everything = bool(relevant.all())
        among = slice(None) if everything else relevant
        sizes = self.anchor.n_samples, self.seed.n_samples
        m = minimum_support(rule, anchor_count[among], seed_count[among], *sizes, chance=chance[among])
        support = anchor_count >= m
        counted = support if everything else support & relevant
        seen = seed_count > 0
        status = np.where(counted, np.where(seen, np.int8(COVERED), np.int8(MISSING)), np.int8(OUTSIDE))
        expected = chance[(total >= m) if everything else (total >= m) & relevant].sum()
        return Cut(
            rule=rule,
            delta=delta,
            m=m,
            anchor_count=anchor_count,
            seed_count=seed_count,
            relevant=relevant,
            status=status,
            n_anchor=self.anchor.n_samples,
            n_seed=self.seed.n_samples,
            n_covered=int((status == COVERED).sum()),
            n_missing=int((status == MISSING).sum()),
            n_seed_support=int((seen & relevant).sum()),
            expected_missing=float(expected),
        )

    def deltas(self, n: int = 20) -> list[float]:
        """At most `n` thresholds for a slider, ascending: 0, edges up to the strongest anchor activation, and the
        rule's own where it is one number."""
        active = self._above[0].sum(axis=1, dtype=np.int64)
        # Below the first edge that sets a count apart, and above the last with any, the slider would change nothing.
        apart, some = np.flatnonzero(active < active[0]), np.flatnonzero(active)
        first = max(1, int(apart[0])) if len(apart) else 1
        last = max(first, int(some[-1])) if len(some) else first
        chosen = np.unique(np.linspace(first, last, max(n - 1, 1)).round().astype(int))
        own = [] if np.ndim(self.own_delta) else [float(self.own_delta)]
        edges = EDGES[chosen].astype(float).tolist()
        if own and own[0] not in edges and own[0] > 0 and len(edges) > 1:
            edges[int(np.argmin(np.abs(np.log(edges) - np.log(own[0]))))] = own[0]
        return sorted({0.0, *edges})

    def curve(
        self, deltas: Sequence[float] | None = None, *, relevant: np.ndarray | None = None, m: int | None = None
    ) -> "pd.DataFrame":
        """Coverage at several thresholds, one row each, with the columns of `coverage.sweep` and `expected_missing`."""
        import pandas as pd

        rows = []
        for delta in self.deltas() if deltas is None else deltas:
            cut = self.at(delta, relevant=relevant, m=m)
            rows.append(
                {
                    "delta": cut.delta,
                    "m": cut.m,
                    "anchor": cut.n_support,
                    "seed": cut.n_seed_support,
                    "covered": cut.n_covered,
                    "missing": cut.n_missing,
                    "fac": cut.fac,
                    "fac_unclipped": cut.n_seed_support / cut.n_support if cut.n_support else float("nan"),
                    "expected_missing": cut.expected_missing,
                }
            )
        return pd.DataFrame(rows)

    def coverage(self, cut: Cut) -> Coverage:
        """A cut as the Coverage that figures take and that can be saved."""
        return Coverage(
            rule=cut.rule,
            delta=cut.delta,
            m=cut.m,
            relevant=cut.relevant,
            anchor_count=cut.anchor_count.astype(np.int64),
            seed_count=cut.seed_count.astype(np.int64),
            anchor_mean=self.anchor_mean,
            n_anchor=cut.n_anchor,
            n_seed=cut.n_seed,
            anchor_made_by=self.anchor.made_by,
            seed_made_by=self.seed.made_by,
        )

    @cached_property
    def anchor_mean(self) -> np.ndarray:
        """Mean positive pooled activation in the anchor, float64 `[d_sae]`."""
        return self.anchor.mean_activation()

    def _chances(self, total: np.ndarray) -> np.ndarray:
        """`missing_chance` of every feature."""
        chance = self._chance[np.minimum(total, len(self._chance) - 1)]
        beyond = np.flatnonzero(total >= len(self._chance))
        if len(beyond):
            chance[beyond] = missing_chance(total[beyond], self.anchor.n_samples, self.seed.n_samples)
        return chance


def _above(histogram: np.ndarray) -> np.ndarray:
    """Samples above each edge, `[n_bins, d_sae]`: a threshold is one row, which lies together in memory.

    In the smallest type of whole numbers that holds them.
    """
    most = int(histogram.sum(axis=1).max(initial=0))
    above = np.empty((N_BINS, len(histogram)), np.min_scalar_type(most))
    above[-1] = histogram[:, -1]
    for edge in range(N_BINS - 2, -1, -1):
        np.add(above[edge + 1], histogram[:, edge], out=above[edge], casting="unsafe")  # none is above `most`
    above.setflags(write=False)
    return above


def _row(above: np.ndarray, delta: float | np.ndarray) -> np.ndarray:
    """Counts at a threshold that is an edge, int32 `[d_sae]`."""
    edge = np.searchsorted(EDGES, np.asarray(delta, np.float64), side="right") - 1
    if edge.ndim == 0:
        return above[int(edge)].astype(np.int32)
    return above[edge, np.arange(above.shape[1])].astype(np.int32)
