"""How much to write: samples per feature, the share of the gap that is filled, a second round."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import Coverage, cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.filling import Filling, auprc_with, open_filling, reach, write
from fac_lab.studies.toxicity import truth_of

PER_FEATURE = (1, 2, 3, 4, 5)
"""The paper's figure 7."""
RATIOS = (0.3, 0.6, 0.9, 1.0)
"""Shares of the missing features that are written for: the paper's table 9 and figure 4, and 0.9."""
MANY_DRAWS = {"step1_draws": 2, "step2_draws": 8}
"""Drafts a feature where several samples of each are wanted; as many whatever the number kept."""
ROUND_ONE, ROUND_TWO = 0, 1
"""Seeds of the drafts of two rounds: with one seed the second would repeat the first, word by word."""


def per_feature_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], numbers: Sequence[int] = PER_FEATURE
) -> pd.DataFrame:
    """Figure 7: one row per held-out set, samples per feature and training seed, drafts being as many throughout.

    Columns: those of `Filling.facts`; `per_feature`; `added` texts; `seed`, `auprc`, `des`; `by_own`, `by_any`; what
    the texts are about (`toxicity.truth_of`).
    """
    rows = []
    for held_out_set in tqdm(sets, desc="samples per feature", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        facts = filling.facts
        for number in numbers:
            samples = write(lab, filling, **MANY_DRAWS, per_feature=number)
            kept = samples[samples.kept.astype(bool)]
            where = {"per_feature": number, **reach(lab, kept, filling.missing, filling.gap.coverage.delta)}
            for row in _trained(lab, filling, kept.text.tolist()):
                rows.append(facts | where | row | {"des": des(row["auprc"], row["added"])})
    return pd.DataFrame(rows)


def des(auprc: float, n: int) -> float:
    """Data efficiency: AUPRC over log10 of the number of synthetic samples; NaN below two (paper, section 1)."""
    return auprc / math.log10(n) if n > 1 else float("nan")


def ratio_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], ratios: Sequence[float] = RATIOS
) -> pd.DataFrame:
    """Table 9 and figure 4: only a share of the missing features is written for. One row per held-out set, budget,
    ratio and training seed.

    `budget` is "one a feature", where fewer features are fewer texts, or "fixed total", as many texts as all features
    have at one each, so that fewer features have more of them; only this one tells features from numbers. Which
    features are left out is drawn once per held-out set, smaller shares being part of larger ones. Columns: those of
    `Filling.facts`; `ratio`; `written_for` features; `added` texts; `seed`, `auprc`; `by_own`, `by_any` of all of
    F_miss; what the texts are about (`toxicity.truth_of`).
    """
    rows = []
    for held_out_set in tqdm(sets, desc="coverage ratios", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        facts = filling.facts
        samples = write(lab, filling, **MANY_DRAWS, per_feature=max(PER_FEATURE))
        order = np.random.default_rng(held_out_set).permutation(filling.missing)
        total = samples[samples.kept.astype(bool)].feature.nunique()
        for ratio in ratios:
            chosen = order[: math.ceil(ratio * len(order) - 1e-9)]
            with_any = samples[samples.kept.astype(bool) & samples.feature.isin(chosen)].feature.nunique()
            for budget, n in (("one a feature", with_any), ("fixed total", total)):
                taken = in_rounds(samples, chosen, n)
                where = {"budget": budget, "ratio": ratio, "written_for": len(chosen)}
                where |= reach(lab, taken, filling.missing, filling.gap.coverage.delta)
                rows += [facts | where | row for row in _trained(lab, filling, taken.text.tolist())]
    return pd.DataFrame(rows)


def in_rounds(samples: pd.DataFrame, features: Sequence[int] | np.ndarray, n: int) -> pd.DataFrame:
    """Up to `n` kept samples of `features`: the best of each in the order given, then each one's second best, ...

    Best is what `samples.choose` ranks first: step 2 before step 1, then the stronger activation, the earlier draw.
    """
    place = {int(feature): i for i, feature in enumerate(features)}
    found = samples[samples.kept.astype(bool) & samples.feature.isin(list(place))]
    ranked = found.sort_values(["step", "activation", "draw"], ascending=[False, False, True], kind="stable")
    ranked = ranked.assign(
        round=ranked.groupby("feature").cumcount(), place=[place[int(feature)] for feature in ranked.feature]
    )
    return ranked.sort_values(["round", "place"], kind="stable").drop(columns=["round", "place"])[:n]


def second_round_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """Self-improvement: what is still missing when the seed has the first round's samples is written for again. One
    row per held-out set, arm and training seed.

    `arm` is "none", "one round", "two rounds", or "one round, twice the drafts", which has as much effort from the
    start. Columns: those of `Filling.facts`; `still_missing`, what the seed with the arm's texts lacks, and
    `still_missing_null`, the same of the null with these texts; `fac` of that seed; `by_own`, `by_any` of the original
    F_miss; `again_missing` before the second round, and `again_by_any`, the share of these that it activates (NaN
    elsewhere); `added` texts, `seed`, `auprc`; what they are about (`toxicity.truth_of`).
    """
    settings = lab.profile.synthesis
    rows = []
    for held_out_set in tqdm(sets, desc="a second round", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        facts = filling.facts
        delta = filling.gap.coverage.delta
        first = _kept(write(lab, filling, seed=ROUND_ONE))
        left = _with(lab, filling, first.text.tolist())
        again = filling.gap.labels.set_index("feature", drop=False).loc[left.missing]
        later = lab.synthesise(again, anchor, delta, settings=replace(settings, seed=ROUND_TWO))
        second = _kept(later)
        more = write(
            lab,
            filling,
            seed=ROUND_ONE,
            step1_draws=2 * settings.step1_draws,
            step2_draws=2 * settings.step2_draws,
        )
        round_two = {
            "again_missing": len(left.missing),
            "again_by_any": reach(lab, second, left.missing, delta)["by_any"],
        }
        for arm, samples in {
            "none": first[:0],
            "one round": first,
            "two rounds": pd.concat([first, second]).drop_duplicates("text"),
            "one round, twice the drafts": _kept(more),
        }.items():
            texts = samples.text.tolist()
            filled = _with(lab, filling, texts)
            where = {
                "arm": arm,
                "still_missing": len(filled.missing),
                "still_missing_null": len(_with(lab, filling, texts, null=True).missing),
                "fac": filled.fac,
                **reach(lab, samples, filling.missing, delta),
                **(round_two if arm == "two rounds" else dict.fromkeys(round_two, float("nan"))),
            }
            rows += [facts | where | row for row in _trained(lab, filling, texts)]
    return pd.DataFrame(rows)


def _with(lab: Lab, filling: Filling, texts: Sequence[str], *, null: bool = False) -> Coverage:
    """Coverage by the seed (or the null) with `texts` added, at the same threshold and support as without them."""
    coverage = filling.gap.coverage
    stats = filling.null if null else lab.stats(filling.gap.seed)
    if texts:
        rows = [Row(f"written-{i}", text, 1) for i, text in enumerate(texts)]
        stats = stats.merge(lab.stats(Corpus.from_rows("written", rows)))
    return cover(filling.anchor, stats, replace(coverage.rule, support=coverage.m), coverage.relevant)


def _kept(samples: pd.DataFrame) -> pd.DataFrame:
    return samples[samples.kept.astype(bool)]


def _trained(lab: Lab, filling: Filling, texts: Sequence[str]) -> list[dict[str, float]]:
    """`added`, `seed`, `auprc` of each training seed after `texts`, and what these are about."""
    about = truth_of(texts, filling.gap.held_out)
    return [about | {"seed": seed, "auprc": auprc_with(lab, filling, texts, seed)} for seed in lab.profile.seeds]
