"""Settings compared at equal effort: as many drafts in all, as many samples added, whatever the gap that each sees.

Another dictionary, layer or threshold has another F_miss, larger or smaller. With one sample a feature its detector
would learn from more or fewer texts, and a difference could be owed to their number alone. So every setting of a
held-out set may look at DRAFTS candidates, dealt to its features; and adds what the setting with the fewest kept,
first the best sample of each feature, then each one's second best.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.coverage import Coverage, cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.amounts import in_rounds
from fac_lab.studies.filling import Filling, auprc_with, reach
from fac_lab.studies.missing import recovery, world_corpus
from fac_lab.studies.toxicity import Gap, lacking_seed, starting_rows, test_rows, truth_of
from fac_lab.synthesis.samples import Sample

DRAFTS = 320
"""Candidates of one setting for one held-out set: four for each missing feature of the mini profile's own gap."""
FEWEST_DRAWS_EACH, MOST_DRAWS_EACH = 2, 32
"""Of one feature; where there are more features than DRAFTS allows, the most frequent are written for."""
PER_FEATURE = 5
"""Samples kept of one feature, at most."""
LEAST = 8
"""A setting that kept fewer samples does not decide how many the others add; it adds what it has."""


class Entry(NamedTuple):
    """One setting, and what it would add."""

    facts: dict[str, Any]
    """The setting, and whatever was measured of it: columns of its rows."""
    texts: Sequence[str]
    """What it would add, in the order in which it would."""


def lean_filling(lab: Lab, anchor: FeatureStats, *, held_out_set: int) -> Filling:
    """What `filling.open_filling` opens, asking the annotator only about features that the seed or the null lacks.

    F_miss and its null are the same, for a fraction of the questions; FAC and the number expected by chance need the
    verdict on every feature of the anchor's support, and are not to be read from it.
    """
    study, rule, n_seed = lab.profile.study, lab.profile.rule, lab.profile.corpora["seed"].n
    held_out, seed = lacking_seed(lab, held_out_set=held_out_set)
    null = lab.stats(world_corpus("null", n_seed, seed=4000 + held_out_set))
    lacking = [cover(anchor, stats, rule) for stats in (lab.stats(seed), null)]
    asked = np.union1d(lacking[0].missing, lacking[1].missing)
    labels = lab.annotate(anchor, asked)
    relevant = np.zeros(anchor.d_sae, dtype=bool)
    relevant[labels.feature[labels.relevant.astype(bool)]] = True
    gap = Gap(held_out, seed, cover(anchor, lab.stats(seed), rule, relevant=relevant), labels)
    start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
    return Filling(held_out_set, gap, anchor, null, start, test_rows())


def draws_each(n_features: int, total: int = DRAFTS) -> dict[str, int]:
    """Draws of step 1 and step 2 for each of `n_features`, so that all have about `total` in all, never more.

    Step 1 has two, or one where a feature has fewer than four; whatever is left goes to step 2.
    """
    each = min(max(total // max(n_features, 1), FEWEST_DRAWS_EACH), MOST_DRAWS_EACH)
    first = 2 if each >= 4 else 1
    return {"step1_draws": first, "step2_draws": each - first}


def write_equally(
    lab: Lab, filling: Filling, *, features: np.ndarray | None = None, total: int = DRAFTS
) -> pd.DataFrame:
    """All candidates for the missing features, or others that were labelled: `total` of them or a few less (see
    `Lab.synthesise`)."""
    features = (filling.missing if features is None else features)[: total // FEWEST_DRAWS_EACH]
    if not len(features):
        return pd.DataFrame(columns=Sample._fields)
    labels = filling.gap.labels.set_index("feature", drop=False).loc[features]
    settings = replace(lab.profile.synthesis, **draws_each(len(labels), total), per_feature=PER_FEATURE)
    return lab.synthesise(labels, filling.anchor, filling.gap.coverage.delta, settings=settings)


def entry_of(lab: Lab, filling: Filling, setting: dict[str, Any], *, total: int = DRAFTS) -> Entry:
    """The setting's entry: its F_miss with its null, how well that names what was held out, and what is written.

    Facts beside `setting`: `delta`, `m`; `n_missing`, `n_missing_null`; `precision`, `recall` of F_miss against the
    held-out concepts (`missing.recovery`; NaN and 0 without a missing feature); `drafts`, `kept`; `by_own`, `by_any`.
    `filling.anchor` has its matrix.
    """
    coverage: Coverage = filling.gap.coverage
    truth = [row.concept for row in lab.corpus("anchor")]
    held_out = {concept.id for concept in filling.gap.held_out}
    found = recovery(filling.missing, filling.anchor.matrix, truth, held_out, coverage.delta)
    samples = write_equally(lab, filling, total=total)
    kept = in_rounds(samples, filling.missing, len(samples))
    facts = {
        "held_out_set": filling.held_out_set,
        "delta": float(np.mean(coverage.delta)),
        "m": coverage.m,
        "n_missing": len(filling.missing),
        "n_missing_null": len(filling.chance(coverage.rule).missing),
        "precision": found.precision,
        "recall": found.recall,
        "drafts": len(samples),
        "kept": len(kept),
        **reach(lab, kept, filling.missing, coverage.delta),
    }
    return Entry(setting | facts, kept.text.tolist())


def trained(lab: Lab, filling: Filling, entries: Sequence[Entry], *, least: int = LEAST) -> list[dict[str, Any]]:
    """One row per entry and training seed: `auprc` of the detector with `added` of the entry's texts, as many for all
    entries (see `equal_number`), and what these are about (`toxicity.truth_of`).

    The detector is that of `lab`, and starts from the rows of `filling`, whatever lab wrote the texts.
    """
    n = equal_number([len(entry.texts) for entry in entries], least=least)
    rows = []
    for entry in entries:
        texts = list(entry.texts[:n])
        about = truth_of(texts, filling.gap.held_out)
        for seed in lab.profile.seeds:
            rows.append(entry.facts | about | {"seed": seed, "auprc": auprc_with(lab, filling, texts, seed)})
    return rows


def equal_number(sizes: Sequence[int], *, least: int = LEAST) -> int:
    """How many samples all add: the smallest of `sizes` that is `least` or more; the largest where none is."""
    enough = [size for size in sizes if size >= least]
    return min(enough) if enough else max(sizes, default=0)


def nothing(filling: Filling, setting: dict[str, Any]) -> Entry:
    """The entry that adds no text."""
    return Entry(setting | {"held_out_set": filling.held_out_set, "kept": 0}, [])
