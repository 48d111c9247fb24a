"""The ground of the studies of synthesis: one seed's gap, what is written for it, and how that is measured.

A set of held-out concepts has a seed that lacks half of the harmful ones (`toxicity.harmful_gap`). Samples are written
for its missing features; a feature is covered by the sample written for it, or by any. Behind every number of missing
features stands its null, the same number for a seed of equal size that lacks nothing. Drafts, samples and detectors
are kept in the lab's store, so that a study which is killed goes on where it stopped.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.corpora import Row
from fac_lab.coverage import Coverage, cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.toxicity import Gap, detector_auprc, harmful_gap, starting_rows, test_rows
from fac_lab.synthesis.samples import SOUND


class Filling(NamedTuple):
    """The gap of one held-out set, with all that it takes to measure what fills it."""

    held_out_set: int
    gap: Gap
    anchor: FeatureStats
    null: FeatureStats
    """Statistics of a seed of the same size that lacks no concept."""
    start: list[Row]
    """Labelled rows that every detector has."""
    test: list[Row]
    """Labelled rows that detectors are scored on."""

    @property
    def missing(self) -> np.ndarray:
        """F_miss, most frequent in the anchor first."""
        return self.gap.coverage.missing

    def chance(self, rule: CoverageRule) -> Coverage:
        """Coverage of the same relevant features by the null."""
        return cover(self.anchor, self.null, rule, self.gap.coverage.relevant)

    @property
    def facts(self) -> dict[str, float]:
        """What every row of a study says: the set, its missing features, and two estimates of what luck leaves out."""
        coverage = self.gap.coverage
        return {
            "held_out_set": self.held_out_set,
            "n_missing": len(self.missing),
            "n_missing_null": len(self.chance(coverage.rule).missing),
            "expected_missing": coverage.expected_missing,
        }


def open_filling(lab: Lab, anchor: FeatureStats, *, held_out_set: int) -> Filling:
    """A seed without half of the harmful concepts, its gap, and the null of the same size."""
    study, n_seed = lab.profile.study, lab.profile.corpora["seed"].n
    gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
    null = lab.stats(world_corpus("null", n_seed, seed=4000 + held_out_set))
    start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
    return Filling(held_out_set, gap, anchor, null, start, test_rows())


def write(lab: Lab, filling: Filling, **changes: Any) -> pd.DataFrame:
    """All candidates for the missing features (see `Lab.synthesise`), the profile's settings with `changes`."""
    settings = replace(lab.profile.synthesis, **changes)
    return lab.synthesise(filling.gap.missing_labels, filling.anchor, filling.gap.coverage.delta, settings=settings)


def auprc_with(lab: Lab, filling: Filling, texts: Sequence[str], seed: int) -> float:
    """AUPRC of a detector trained on the start and `texts`, labelled harmful."""
    added = [Row(f"added-{i}", text, 1) for i, text in enumerate(texts)]
    return detector_auprc(lab, [*filling.start, *added], filling.test, seed)


def one_step(n: int) -> dict[str, int]:
    """Settings of one-step synthesis with `n` drafts a feature."""
    return {"step1_draws": n, "step2_draws": 0}


def two_steps(n: int) -> dict[str, int]:
    """Settings of two-step synthesis with `n` drafts a feature in all, half of them in each step."""
    return {"step1_draws": n // 2, "step2_draws": n - n // 2}


def in_form(samples: pd.DataFrame) -> pd.DataFrame:
    """The candidates that could be measured: kept ones, and those which only their activation or rank let down."""
    return samples[samples.kept.astype(bool) | samples.reason.astype(str).str.startswith(SOUND)]


def measured(lab: Lab, texts: Sequence[str], features: np.ndarray) -> np.ndarray:
    """Pooled activations `[n_texts, n_features]`; of no text or no feature, none."""
    if not len(texts) or not len(features):
        return np.zeros((len(texts), len(features)), np.float32)
    return lab.measure(list(texts), [int(feature) for feature in features])


def reached(
    values: np.ndarray, owners: np.ndarray, features: np.ndarray, delta: float | np.ndarray
) -> dict[str, float]:
    """Shares of `features` that exceed delta `by_own` sample and `by_any`; NaN where there is no feature.

    `values [n_texts, n_features]` are activations, `owners [n_texts]` the features that texts were written for (-1
    for none; without any owner `by_own` is NaN), `delta` one threshold or `[d_sae]`.
    """
    if not len(features):
        return {"by_own": float("nan"), "by_any": float("nan")}
    limit = delta if np.ndim(delta) == 0 else np.asarray(delta)[features]
    above = values > limit
    own = above & (np.asarray(owners, np.int64)[:, None] == np.asarray(features)[None, :])
    without = len(owners) > 0 and bool((np.asarray(owners) < 0).all())
    return {
        "by_own": float("nan") if without else float(own.any(axis=0).mean()),
        "by_any": float(above.any(axis=0).mean()),
    }


def reach(lab: Lab, samples: pd.DataFrame, features: np.ndarray, delta: float | np.ndarray) -> dict[str, float]:
    """`reached` by the texts of `samples` (`text`, `feature`)."""
    values = measured(lab, samples.text.tolist(), features)
    return reached(values, samples.feature.to_numpy(np.int64), features, delta)


def variant(lab: Lab, **changes: Any) -> Lab:
    """The same lab with other parts of its profile; what is loaded is shared, so `subject` and `sae` stay."""
    other = Lab(replace(lab.profile, **changes), lab.store.root)
    other.subject, other.sae, other.encoder = lab.subject, lab.sae, lab.encoder
    if "generator" not in changes:
        other.generator = lab.generator
    for part in ("annotator", "backbone"):
        if part not in changes and part in vars(lab):
            setattr(other, part, getattr(lab, part))
    return other
