"""How wrong may annotations be? The paper's table 6: errors on purpose, what becomes missing, what a detector gains."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.annotation.noise import flip_relevance, mismatch_summaries, swap_relevance, truncate_summaries
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.label_ways import as_mask, auprc_with, jaccard, open_case, write_for
from fac_lab.studies.toxicity import truth_of

Noise = Callable[..., pd.DataFrame]
NOISE: dict[tuple[str, int], Noise | None] = {
    ("original", 0): None,
    ("mislabel", 10): partial(swap_relevance, share=0.1),
    ("mislabel", 20): partial(swap_relevance, share=0.2),
    ("mislabel_any", 10): partial(flip_relevance, share=0.1),
    ("mislabel_any", 20): partial(flip_relevance, share=0.2),
    ("summary_truncated", 20): partial(truncate_summaries, share=0.2),
    ("summary_mismatched", 20): partial(mismatch_summaries, share=0.2),
}
"""Table 6's settings and, as "mislabel_any", errors over all features instead of those that the seed lacks."""


def noise_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """Table 6: annotation errors and what they do, one row per held-out set, setting and seed of noise and training.

    Relevance is exchanged among the features that the seed lacks, summaries are damaged among F_miss.
    Columns: `held_out_set`, `setting`, `noise_pct`, `seed`; `jaccard_missing` with the original F_miss; `n_missing`,
    `n_missing_null`, `expected_missing`; `fac`; `gap_coverage`: the share of the original F_miss that the texts
    written activate, which is what the paper prints as FAC; `kept` texts, and what they are about: `truly_harmful`,
    `about_held_out`; `auprc` after `added` of them, as many in all settings of a held-out set.
    """
    rows = []
    for held_out_set in tqdm(sets, desc="annotation noise", unit="set"):
        case = open_case(lab, anchor, held_out_set=held_out_set)
        labels, d_sae = case.gap.labels, anchor.d_sae
        original = case.cover(lab, as_mask(labels.feature[labels.relevant], d_sae)).missing
        made = []
        for (setting, percent), disturb in NOISE.items():
            for seed in lab.profile.seeds:
                among = {"mislabel": case.gap.coverage.missing, "mislabel_any": None}.get(setting, original)
                noisy = labels if disturb is None else disturb(labels, seed=seed, among=among)
                mask = as_mask(noisy.feature[noisy.relevant], d_sae)
                made.append((setting, percent, seed, mask, write_for(lab, case, noisy, mask)))
        least = min(len(texts) for *_, texts in made)
        for setting, percent, seed, mask, texts in made:
            coverage = case.cover(lab, mask)
            about = truth_of(texts, case.gap.held_out)
            rows.append(
                {
                    "held_out_set": held_out_set,
                    "setting": setting,
                    "noise_pct": percent,
                    "seed": seed,
                    "jaccard_missing": jaccard(original, coverage.missing),
                    "n_missing": len(coverage.missing),
                    "n_missing_null": len(case.cover(lab, mask, null=True).missing),
                    "expected_missing": coverage.expected_missing,
                    "fac": coverage.fac,
                    "gap_coverage": reached(lab, texts, original, coverage.delta),
                    "kept": len(texts),
                    "truly_harmful": about["truly_harmful"],
                    "about_held_out": about["about_held_out"],
                    "added": least,
                    "auprc": auprc_with(lab, case, texts[:least], seed),
                }
            )
    return pd.DataFrame(rows)


def reached(lab: Lab, texts: Sequence[str], missing: np.ndarray, delta: float | np.ndarray) -> float:
    """Share of the missing features that some text activates; NaN where none is missing."""
    if not len(missing):
        return float("nan")
    if not texts:
        return 0.0
    limit = delta if np.ndim(delta) == 0 else np.asarray(delta)[missing]
    return float((lab.measure(texts, missing.tolist()) > limit).any(axis=0).mean())
