"""What the authors' code does otherwise than the paper's text says, and what each such choice changes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import SynthesisSettings
from fac_lab.studies.filling import open_filling, reach
from fac_lab.studies.label_ways import jaccard
from fac_lab.studies.missing import recovery

SWITCHES: dict[str, dict[str, str]] = {
    "paper": {},
    "fallback": {"fallback": "code"},
    "filter": {"filter": "code"},
    "features": {"features": "code"},
    "all three": {"fallback": "code", "filter": "code", "features": "code"},
}
"""Settings of `synthesis.two_step` that are the code's, by the name of the comparison."""


def switches_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """What each choice of the authors' code changes where it differs from the paper's text: one row per set and switch.

    `switch` is "paper", one choice of the code ("fallback", "filter", "features"), "all three", or "missing", where
    F_miss itself is the code's (`missing_by_verdicts`; `n_missing_null` is then its own null, `expected_missing` is
    not known). Columns: those of `Filling.facts`; `precision`, `recall` of F_miss against what was held out;
    `jaccard_missing` with the paper's F_miss; `written_for` features; `from_span`, the share of them whose x+ is a
    span of the anchor; `kept`; `active`, the share of these that activate their feature; `by_own`, `by_any` of F_miss.
    """
    truth = [row.concept for row in lab.corpus("anchor")]
    rows = []
    for held_out_set in tqdm(sets, desc="switches", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        facts = filling.facts
        coverage = filling.gap.coverage
        held_out = {concept.id for concept in filling.gap.held_out}
        judged = missing_by_verdicts(lab, anchor, lab.stats(filling.gap.seed), filling.gap.labels)
        by_luck = missing_by_verdicts(lab, anchor, filling.null, filling.gap.labels)
        labels = filling.gap.labels.set_index("feature", drop=False)
        cases = [(name, filling.missing, changes, {}) for name, changes in SWITCHES.items()]
        cases.append(
            ("missing", judged, {}, {"n_missing_null": len(by_luck), "expected_missing": float("nan")}),
        )
        for switch, missing, changes, null in cases:
            settings: SynthesisSettings = replace(lab.profile.synthesis, **changes)
            samples = lab.synthesise(labels.loc[missing], anchor, coverage.delta, settings=settings)
            kept = samples[samples.kept.astype(bool)]
            limit = np.broadcast_to(coverage.delta, anchor.d_sae)[kept.feature.to_numpy(np.int64)]
            found = recovery(missing, anchor.matrix, truth, held_out, coverage.delta)
            fallen_back = samples[(samples.step == 2) & (samples.positive_source == "anchor span")]
            n_written = samples.feature.nunique()
            rows.append(
                facts
                | null
                | {
                    "switch": switch,
                    "n_missing": len(missing),
                    "precision": found.precision,
                    "recall": found.recall,
                    "jaccard_missing": jaccard(missing, filling.missing),
                    "written_for": n_written,
                    "from_span": fallen_back.feature.nunique() / max(n_written, 1),
                    "kept": len(kept),
                    "active": float((kept.activation.to_numpy() > limit).mean()) if len(kept) else float("nan"),
                    **reach(lab, kept, missing, coverage.delta),
                }
            )
    return pd.DataFrame(rows)


def missing_by_verdicts(lab: Lab, anchor: FeatureStats, other: FeatureStats, labels: pd.DataFrame) -> np.ndarray:
    """F_miss as the authors' code finds it: no activations are compared, but verdicts.

    A feature is present in a data set if the judge calls it relevant by that data set's own top spans, and missing if
    it is present in the anchor and not in the other one. `labels` are the anchor's (`Lab.annotate`). Its null is the
    same with an `other` of equal size that lacks nothing. Most frequent in the anchor first, then by index.
    """
    present = labels.feature[labels.relevant.astype(bool)].to_numpy(np.int64)
    if not len(present):
        return present
    found = lab.annotate(other, present)
    missing = np.setdiff1d(present, found.feature[found.relevant.astype(bool)].to_numpy(np.int64))
    return missing[np.argsort(-anchor.counts(0.0)[missing], kind="stable")]
