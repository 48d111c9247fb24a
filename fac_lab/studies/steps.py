"""How samples for missing features are best written: in one step or in two, by whom, and how warm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.coverage import cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.filling import (
    Filling,
    auprc_with,
    in_form,
    measured,
    one_step,
    open_filling,
    reach,
    reached,
    two_steps,
    variant,
    write,
)
from fac_lab.studies.missing import PAPER_RULE
from fac_lab.synthesis.samples import normalise

DRAWS = (2, 4, 8)
"""Drafts a feature, in all. Two steps share them equally; the paper compares one step of 2 with two of 2 each."""
STRICT_QUANTILE = 0.9
"""Quantile of the stricter rule that coverage is looked at with."""
TEMPERATURES = (0.4, 0.6, 0.8, 1.0, 1.2)
"""The paper's table 4."""
GENERATORS = {name: f"data/mini/{name}" for name in ("mistral", "qwen", "llama")}
"""The embedded chat models. The first was taught most about writing, the last one knows nothing of harm."""


def steps_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], draws: Sequence[int] = DRAWS) -> pd.DataFrame:
    """Table 10 at equal numbers of drafts: one row per held-out set, way, number of drafts, texts and rule.

    `way` is "one step", "two steps", "step 2 of two" (the same drafts without those of step 1) or "plain" (no feature
    in mind); `draws` the drafts a feature in all, that of step 1 included. `texts` are "all" that were in form, or the
    "kept" ones, one a feature at most (of plain ones as many as two steps kept). `rule`: "paper" (delta 0), "profile",
    "strict"; the features are those missing by the profile's rule throughout, as the paper's are the same at each of
    its thresholds. Further columns: `delta`; `by_own`, `by_any` (see `reached`); `n_texts`; those of `Filling.facts`;
    `rule_missing`, `rule_missing_null`: what this rule itself would call missing.
    """
    profile_rule = lab.profile.rule
    rules = {
        "paper": PAPER_RULE,
        "profile": profile_rule,
        "strict": replace(profile_rule, kind="anchor_quantile", quantile=STRICT_QUANTILE),
    }
    rows = []
    for held_out_set in tqdm(sets, desc="one step and two", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        facts = filling.facts
        seed, relevant = lab.stats(filling.gap.seed), filling.gap.coverage.relevant
        limits = []
        for name, rule in rules.items():
            found = cover(anchor, seed, rule, relevant)
            own = {"rule_missing": len(found.missing), "rule_missing_null": len(filling.chance(rule).missing)}
            limits.append(({"rule": name, "delta": float(np.mean(found.delta))} | own, found.delta))
        for n in draws:
            for (way, texts), samples in _ways(lab, filling, n).items():
                values = measured(lab, samples.text.tolist(), filling.missing)
                owners = samples.feature.to_numpy(np.int64)
                where = facts | {"way": way, "draws": n, "texts": texts, "n_texts": len(samples)}
                for said, delta in limits:
                    rows.append(where | said | reached(values, owners, filling.missing, delta))
    return pd.DataFrame(rows)


def _ways(lab: Lab, filling: Filling, n: int) -> dict[tuple[str, str], pd.DataFrame]:
    """Texts and the features they were written for, of each way with `n` drafts a feature."""
    one, two = write(lab, filling, **one_step(n)), write(lab, filling, **two_steps(n))
    found = {"one step": one, "two steps": two, "step 2 of two": two[two.step == 2]}
    ways = {(way, "all"): in_form(samples) for way, samples in found.items()}
    ways |= {(way, "kept"): samples[samples.kept.astype(bool)] for way, samples in found.items()}
    # One draw a text is the limit of plain generation, so that it has as many drafts as the others.
    limited = replace(lab.profile.synthesis, step1_draws=1, step2_draws=0)
    texts = variant(lab, synthesis=limited).plain(n * len(filling.missing), seed=filling.held_out_set)
    plain = pd.DataFrame({"text": pd.Series(texts, dtype=object), "feature": -1})
    return ways | {("plain", "all"): plain, ("plain", "kept"): plain[: len(ways["two steps", "kept"])]}


def temperature_study(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    temperatures: Sequence[float] = TEMPERATURES,
    generators: Mapping[str, str] = GENERATORS,
) -> pd.DataFrame:
    """Table 4: one row per held-out set, generator, temperature and training seed.

    Columns: those of `Filling.facts`; `drafts`; `in_form` and `distinct`, the shares of them that are in form and that
    differ in their words; `kept`; `by_own`, `by_any` of the kept ones; `auprc` after `added` of them, as many at all
    temperatures of a generator and held-out set.
    """
    writers = {
        name: variant(lab, generator=replace(lab.profile.generator, model=model)) for name, model in generators.items()
    }
    rows = []
    for held_out_set in tqdm(sets, desc="temperatures", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        facts = filling.facts
        for generator, writer in writers.items():
            written = {heat: write(writer, filling, temperature=heat) for heat in temperatures}
            least = min(int(samples.kept.sum()) for samples in written.values())
            for heat, samples in written.items():
                kept = samples[samples.kept.astype(bool)]
                where = facts | {"generator": generator, "temperature": heat, "drafts": len(samples)}
                where |= {
                    "in_form": len(in_form(samples)) / max(len(samples), 1),
                    "distinct": samples.text.map(normalise).nunique() / max(len(samples), 1),
                    "kept": len(kept),
                    **reach(lab, kept, filling.missing, filling.gap.coverage.delta),
                    "added": least,
                }
                for seed in lab.profile.seeds:
                    auprc = auprc_with(lab, filling, kept.text.tolist()[:least], seed)
                    rows.append(where | {"seed": seed, "auprc": auprc})
    return pd.DataFrame(rows)
