"""Three ways to weigh coverage (the paper's table 11): every feature alike, by frequency, by magnitude.

A variant can mean two things, and the paper does not say which:

- a way to *count*: covered weight over all weight. Whatever was written is counted three times; no detector changes;
- a way to *choose*: where the budget does not reach all missing features, those of most weight are written for. With
  equal weights the choice is a draw. Only here can a variant change what a detector learns.

Both are measured. Beside the second stands its control: the features of *least* weight.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.coverage import Coverage
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.amounts import MANY_DRAWS, PER_FEATURE, in_rounds
from fac_lab.studies.effort import LEAST, equal_number
from fac_lab.studies.filling import Filling, auprc_with, measured, open_filling, write
from fac_lab.studies.toxicity import truth_of

VARIANTS = ("binary", "frequency", "magnitude")
BUDGET = 0.3
"""Share of the missing features that is written for where a variant chooses."""
ORDERS = ("most weight", "least weight")


def weights(coverage: Coverage, variant: str) -> np.ndarray:
    """Weight of every feature, float64 `[d_sae]`: 1; its anchor samples above the threshold; its mean positive
    activation in the anchor. Raises SettingsError for another variant."""
    found = {
        "binary": np.ones(len(coverage.relevant)),
        "frequency": coverage.anchor_count,
        "magnitude": coverage.anchor_mean,
    }
    if variant not in found:
        raise SettingsError(f"a variant of FAC is one of {', '.join(VARIANTS)}, not {variant!r}")
    return found[variant].astype(float)


def weighted_share(part: np.ndarray, whole: np.ndarray, weight: np.ndarray) -> float:
    """Weight of the features in `part` over that of those in `whole` (bool or indices); NaN where that is none."""
    total = float(weight[whole].sum())
    return float(weight[part].sum()) / total if total else math.nan


def chosen_by(coverage: Coverage, variant: str, order: str, n: int, *, seed: int) -> np.ndarray:
    """The `n` missing features of most or least weight, in that order; drawn by `seed` where all weigh alike.

    Ties are drawn, too: an order of indices would be one of the dictionary's making.
    """
    missing = np.random.default_rng(seed).permutation(np.sort(coverage.missing))
    weight = weights(coverage, variant)[missing]
    return missing[np.argsort(-weight if order == ORDERS[0] else weight, kind="stable")][:n]


def variants_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], share: float = BUDGET, least: int = LEAST
) -> pd.DataFrame:
    """Table 11: one row per held-out set, budget, variant, order and training seed (which draws ties, too).

    `budget` is "all" missing features or "a share" of them, `written_for` their number. Columns: those of
    `Filling.facts`; `fac_seed` and `fac`, the variant's FAC of the seed without and with the texts; `gap_share`, the
    weight of F_miss that the texts reach over its whole weight (what the paper's FAC column is for equal weights);
    `by_any`, the same unweighted; `added`, as many in all rows of a set and budget; `auprc`; what they are about.
    """
    rows = []
    for held_out_set in tqdm(sets, desc="variants of FAC", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        missing, facts = filling.missing, filling.facts
        samples = write(lab, filling, **MANY_DRAWS, per_feature=max(PER_FEATURE))
        one_each = in_rounds(samples, missing, samples[samples.kept.astype(bool)].feature.nunique()).text.tolist()
        n = math.ceil(share * len(missing))
        picked = {("all", variant, ORDERS[0], seed): one_each for variant in VARIANTS for seed in lab.profile.seeds}
        partly = {}
        for variant in VARIANTS:
            for order in ORDERS[:1] if variant == "binary" else ORDERS:
                for seed in lab.profile.seeds:
                    dice = 1000 * held_out_set + seed
                    features = chosen_by(filling.gap.coverage, variant, order, n, seed=dice)
                    partly["a share", variant, order, seed] = in_rounds(samples, features, len(samples)).text.tolist()
        added = equal_number([len(texts) for texts in partly.values()], least=least)
        picked |= {key: texts[:added] for key, texts in partly.items()}
        for (budget, variant, order, seed), texts in picked.items():
            where = {"budget": budget, "written_for": len(missing) if budget == "all" else n}
            where |= {"variant": variant, "order": order, **_counted(lab, filling, texts, variant)}
            run = {"seed": seed, "auprc": auprc_with(lab, filling, texts, seed)}
            rows.append(facts | where | truth_of(texts, filling.gap.held_out) | run)
    return pd.DataFrame(rows)


def _counted(lab: Lab, filling: Filling, texts: Sequence[str], variant: str) -> dict[str, float]:
    """What the texts cover, by the variant's weights."""
    coverage, missing = filling.gap.coverage, filling.missing
    weight, support = weights(coverage, variant), np.flatnonzero(coverage.anchor_support)
    limit = np.broadcast_to(coverage.delta, len(coverage.relevant))[support]
    lit = np.zeros(len(coverage.relevant), bool)
    lit[support] = (measured(lab, texts, support) > limit).any(axis=0)
    return {
        "fac_seed": weighted_share(coverage.covered, coverage.anchor_support, weight),
        "fac": weighted_share(coverage.covered | lit, coverage.anchor_support, weight),
        "gap_share": weighted_share(missing[lit[missing]], missing, weight),
        "by_any": float(lit[missing].mean()) if len(missing) else math.nan,
    }
