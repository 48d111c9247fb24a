"""Feature Activation Coverage: what a seed leaves out of what an anchor shows. Pure functions of statistics.

With F the relevant features and delta the threshold, the support of a data set P is
`F(P) = {i in F : enough x in P have g_i(x) > delta}`, and `FAC = |F(Q) & F(P)| / |F(P)|` for an anchor P and
a seed Q. Missing are the features of F(P) that no sample of Q activates. *Gap coverage* is another number:
the share of the missing features that a further data set activates (what the paper's tables call FAC).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_lab.bounds import Surrogate, surrogate
from fac_lab.digests import digest
from fac_lab.errors import SettingsError
from fac_lab.features.archive import read_json, read_npz, reading, write_json, write_npz
from fac_lab.features.stats import FeatureStats, require_alike, snap
from fac_lab.settings import CoverageRule
from fac_lab.shapes import Bool, Float, Int, Shaped
from fac_lab.support import expected_missing, minimum_support

if TYPE_CHECKING:
    import pandas as pd

PAPER_DELTAS = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0)
FORMAT = 1
_ARRAYS = ("relevant", "anchor_count", "seed_count", "anchor_mean")


@dataclass(frozen=True, eq=False)
class Coverage:
    """A coverage number with everything that it depends on; made by `cover`."""

    rule: CoverageRule
    """The rule as it was asked for."""
    delta: float | Float[np.ndarray, " d_sae"]
    """The threshold it came to, snapped to an edge: one, or `[d_sae]`."""
    m: int
    """Samples that a feature needs in the anchor."""
    relevant: Bool[np.ndarray, " d_sae"]
    """Whether the task is concerned, bool `[d_sae]`."""
    anchor_count: Int[np.ndarray, " d_sae"]
    """Anchor samples above the threshold, int64 `[d_sae]`."""
    seed_count: Int[np.ndarray, " d_sae"]
    """Seed samples above the threshold, int64 `[d_sae]`."""
    anchor_mean: Float[np.ndarray, " d_sae"]
    """Mean positive pooled activation in the anchor, float64 `[d_sae]`."""
    n_anchor: int
    """Samples in the anchor."""
    n_seed: int
    """Samples in the seed."""
    anchor_made_by: dict[str, Any]
    """Origin of the anchor's statistics."""
    seed_made_by: dict[str, Any]
    """Origin of the seed's statistics."""

    @property
    def anchor_support(self) -> Bool[np.ndarray, " d_sae"]:
        """F(anchor): relevant and in at least m anchor samples, bool `[d_sae]`."""
        return self.relevant & (self.anchor_count >= self.m)

    @property
    def seed_support(self) -> Bool[np.ndarray, " d_sae"]:
        """F(seed): relevant and in at least one seed sample, bool `[d_sae]`."""
        return self.relevant & (self.seed_count > 0)

    @property
    def covered(self) -> Bool[np.ndarray, " d_sae"]:
        """In both supports, bool `[d_sae]`."""
        return self.anchor_support & self.seed_support

    @property
    def missing(self) -> Int[np.ndarray, " n_missing"]:
        """F_miss: indices of features in the anchor's support and not in the seed's, int64.

        Most frequent in the anchor first, then by index.
        """
        features = np.flatnonzero(self.anchor_support & ~self.seed_support)
        return features[np.argsort(-self.anchor_count[features], kind="stable")]

    @property
    def expected_missing(self) -> float:
        """Missing features to be expected if anchor and seed were of one source (see `support.expected_missing`)."""
        counts = self.anchor_count[self.relevant], self.seed_count[self.relevant]
        return expected_missing(*counts, self.n_anchor, self.n_seed, self.m)

    @property
    def fac(self) -> float:
        """Share of the anchor's support that the seed covers, in [0, 1]; NaN where that support is empty."""
        return _share(self.covered.sum(), self.anchor_support.sum())

    @property
    def fac_unclipped(self) -> float:
        """`|F(seed)| / |F(anchor)|` without the intersection, as the paper writes it; can exceed 1."""
        return _share(self.seed_support.sum(), self.anchor_support.sum())

    def save(self, folder: str | Path) -> None:
        """Write `coverage.json`, which reads itself, and the arrays beside it."""
        per_feature = {"delta": self.delta} if isinstance(self.delta, np.ndarray) else {}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        write_npz(Path(folder) / "coverage.npz", **arrays, **per_feature)
        facts = {
            "format": FORMAT,
            "fac": _or_none(self.fac),
            "fac_unclipped": _or_none(self.fac_unclipped),
            "n_missing": len(self.missing),
            "expected_missing": self.expected_missing,
            "n_anchor_support": int(self.anchor_support.sum()),
            "rule": asdict(self.rule),
            "delta": None if per_feature else self.delta,
            "m": self.m,
            "n_anchor": self.n_anchor,
            "n_seed": self.n_seed,
            "anchor_made_by": self.anchor_made_by,
            "seed_made_by": self.seed_made_by,
        }
        write_json(Path(folder) / "coverage.json", facts)

    @classmethod
    def load(cls, folder: str | Path) -> "Coverage":
        """Read what `save` wrote. Raises ArtifactError, with the cure, for damaged or foreign files."""
        facts = read_json(Path(folder) / "coverage.json", format=FORMAT)
        with reading(Path(folder) / "coverage.npz") as path:
            arrays = read_npz(path)
            delta = arrays.get("delta")
            arrays = {name: arrays[name] for name in _ARRAYS}
            if len({array.shape for array in arrays.values()}) != 1:
                raise ValueError("its arrays differ in length")
        with reading(Path(folder) / "coverage.json"):
            names = ("m", "n_anchor", "n_seed", "anchor_made_by", "seed_made_by")
            plain = {name: facts[name] for name in names}
            delta = facts["delta"] if delta is None else delta
            kinds = (int, int, int, dict, dict)
            if any(type(plain[name]) is not kind for name, kind in zip(names, kinds, strict=True)):
                raise ValueError("a number or an origin is none")
            if not isinstance(delta, int | float | np.ndarray):
                raise ValueError("its threshold is no number")
            return cls(rule=CoverageRule(**facts["rule"]), delta=delta, **arrays, **plain)


def cover(
    anchor: FeatureStats,
    seed: FeatureStats,
    rule: CoverageRule,
    relevant: Shaped[np.ndarray, "..."] | None = None,
) -> Coverage:
    """Coverage of the anchor's features by the seed.

    The threshold and the support m come from the rule (see `threshold` and `support.minimum_support`). `relevant` is
    bool `[d_sae]`, None for all. Raises SettingsError where the two were measured differently.
    """
    require_alike(anchor, seed, names=("the anchor", "the seed"), keys=("subject", "sae", "pool", "protocol"))
    relevant = np.ones(anchor.d_sae, bool) if relevant is None else np.array(relevant)
    if relevant.shape != (anchor.d_sae,) or relevant.dtype != bool:
        raise SettingsError(
            f"relevant has to be one bool for each of the {anchor.d_sae} features, not {relevant.dtype} "
            f"of shape {relevant.shape}"
        )
    delta = threshold(anchor, rule)
    anchor_count, seed_count = anchor.counts(delta), seed.counts(delta)
    return Coverage(
        rule=rule,
        delta=delta,
        m=minimum_support(rule, anchor_count[relevant], seed_count[relevant], anchor.n_samples, seed.n_samples),
        relevant=relevant,
        anchor_count=anchor_count,
        seed_count=seed_count,
        anchor_mean=anchor.mean_activation(),
        n_anchor=anchor.n_samples,
        n_seed=seed.n_samples,
        anchor_made_by=anchor.made_by,
        seed_made_by=seed.made_by,
    )


def threshold(anchor: FeatureStats, rule: CoverageRule) -> float | Float[np.ndarray, " d_sae"]:
    """The delta that a rule means for this anchor, snapped to an edge: one, or `[d_sae]`."""
    if rule.kind == "absolute":
        return snap(rule.delta)
    if rule.kind == "anchor_quantile":
        return anchor.quantile(rule.quantile)
    return anchor.feature_quantiles(rule.quantile)


def gap_coverage(missing: Int[np.ndarray, " n_missing"], counts: Shaped[np.ndarray, " d_sae"]) -> float:
    """Share of the missing features (indices) that a data set activates; NaN where none is missing.

    `counts [d_sae]` are that data set's samples above the threshold of the coverage: `stats.counts(delta)`.
    """
    return _share((np.asarray(counts)[missing] > 0).sum(), len(missing))


def weighted_fac(coverage: Coverage, by: str = "frequency") -> float:
    """FAC with a weight per feature of the anchor's support: covered weight over all weight.

    `by="frequency"` weighs a feature by its anchor samples above the threshold, `by="magnitude"` by its mean
    positive activation in the anchor. In [0, 1]; NaN where the support is empty.
    """
    weights = {"frequency": coverage.anchor_count, "magnitude": coverage.anchor_mean}
    if by not in weights:
        raise SettingsError(f'weighted_fac goes by "frequency" or "magnitude", not by {by!r}')
    return _share(weights[by][coverage.covered].sum(), weights[by][coverage.anchor_support].sum())


def sweep(
    anchor: FeatureStats,
    seed: FeatureStats,
    deltas: Sequence[float] = PAPER_DELTAS,
    m: int = 1,
    *,
    relevant: Bool[np.ndarray, " d_sae"] | None = None,
) -> "pd.DataFrame":
    """Coverage at several absolute thresholds, one row each.

    Columns: `delta`, `m`; `anchor`, `seed`, `covered`, `missing` (numbers of features); `fac`,
    `fac_unclipped`.
    """
    import pandas as pd

    rows = []
    for delta in deltas:
        coverage = cover(anchor, seed, CoverageRule(delta=delta, support=m), relevant)
        rows.append(
            {
                "delta": coverage.delta,
                "m": m,
                "anchor": int(coverage.anchor_support.sum()),
                "seed": int(coverage.seed_support.sum()),
                "covered": int(coverage.covered.sum()),
                "missing": len(coverage.missing),
                "fac": coverage.fac,
                "fac_unclipped": coverage.fac_unclipped,
            }
        )
    return pd.DataFrame(rows)


class CoverageDiff(NamedTuple):
    """What changed from one coverage to another; the way back has the roles swapped."""

    gained: Int[np.ndarray, " n_gained"]
    """Features covered in the second only, ascending."""
    lost: Int[np.ndarray, " n_lost"]
    """Features covered in the first only, ascending."""
    changed: dict[str, tuple[Any, Any]]
    """What was set differently, by name: (first, second)."""


def diff(a: Coverage, b: Coverage) -> CoverageDiff:
    """Covered features gained and lost from `a` to `b`, and what was set differently in them.

    Raises SettingsError for coverages of two SAEs: their features have nothing to do with each other.
    """
    if len(a.relevant) != len(b.relevant) or a.anchor_made_by.get("sae") != b.anchor_made_by.get("sae"):
        raise SettingsError("these coverages are of two SAEs, whose features differ: compare those of one SAE")
    before, after = _settings(a), _settings(b)
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())}
    return CoverageDiff(
        gained=np.flatnonzero(b.covered & ~a.covered),
        lost=np.flatnonzero(a.covered & ~b.covered),
        changed={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
    )


def kl_surrogate(coverage: Coverage, eps: float) -> Surrogate:
    """Part of KL(anchor || seed) that the missing features make up, the seed smoothed by `eps` in (0, 1).

    F are the relevant features, F(P) the anchor's support. Both numbers are NaN where F(P) is empty.
    """
    return surrogate(len(coverage.missing), int(coverage.anchor_support.sum()), int(coverage.relevant.sum()), eps)


def _settings(coverage: Coverage) -> dict[str, Any]:
    """Everything that decides a coverage, by readable name."""
    per_feature = isinstance(coverage.delta, np.ndarray)
    settings = {f"rule.{key}": value for key, value in asdict(coverage.rule).items()}
    settings["delta"] = f"per feature, {digest(coverage.delta)}" if per_feature else coverage.delta
    settings["m"] = coverage.m
    settings["relevant"] = f"{coverage.relevant.sum()} features, {digest(coverage.relevant)}"
    settings |= {"anchor.n_samples": coverage.n_anchor, "seed.n_samples": coverage.n_seed}
    for role, made_by in (("anchor", coverage.anchor_made_by), ("seed", coverage.seed_made_by)):
        settings |= {f"{role}.{key}": value for key, value in made_by.items() if key != "protocol"}
        settings |= {f"{role}.protocol.{key}": value for key, value in made_by.get("protocol", {}).items()}
    return settings


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number
