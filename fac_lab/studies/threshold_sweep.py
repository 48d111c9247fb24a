"""Synthesis under other thresholds (the paper's figure 6): what is missing, what is written, what a detector gains.

The paper sweeps delta from 0 to 4 in units of its own dictionary. Activations here are some hundred times larger, so
that all its thresholds mean delta = 0 (`studies.scrutiny` shows it). They are therefore scaled: the authors' code calls
a strong span of the anchor 5.0 (`two_step.CODE_SPAN_SCORE`), which is here the median of the features' strongest
activations. Beside them stand global quantiles, one of which is the profile's own rule. The support m is the
profile's: a low threshold does not also ask for less evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.coverage import PAPER_DELTAS
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.studies.effort import DRAFTS, entry_of, lean_filling, nothing, trained
from fac_lab.studies.filling import variant
from fac_lab.synthesis.two_step import CODE_SPAN_SCORE

QUANTILES = (0.5, 0.8, 0.9, 0.95)
"""0 is the paper's delta of 0."""


def paper_unit(anchor: FeatureStats) -> float:
    """What 1 of the paper's activations is here: the median strongest activation of features that fire, over 5."""
    return float(np.median(anchor.maximum[anchor.maximum > 0])) / CODE_SPAN_SCORE


def rules(
    lab: Lab, anchor: FeatureStats, *, deltas: Sequence[float] = PAPER_DELTAS, quantiles: Sequence[float] = QUANTILES
) -> dict[tuple[str, float], CoverageRule]:
    """Rules by (kind, what it is called there): "paper" with the paper's delta, "quantile" with the quantile."""
    unit, own = paper_unit(anchor), lab.profile.rule
    found = {("paper", delta): replace(own, kind="absolute", delta=delta * unit) for delta in deltas}
    return found | {("quantile", q): replace(own, kind="anchor_quantile", quantile=q) for q in quantiles}


def threshold_study(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    chosen: Mapping[tuple[str, float], CoverageRule] | None = None,
    drafts: int = DRAFTS,
) -> pd.DataFrame:
    """Figure 6: one row per held-out set, rule (`rules` if None are `chosen`) and training seed.

    `kind` is "paper", "quantile" or "none" (the start alone), `value` the paper's delta or the quantile; then what
    `effort.entry_of` measures, by this rule, and `effort.trained`.
    """
    chosen = rules(lab, anchor) if chosen is None else chosen
    rows = []
    with tqdm(total=len(chosen) * len(sets), desc="thresholds", unit="gap") as bar:
        for held_out_set in sets:
            entries = []
            for (kind, value), rule in chosen.items():
                bar.set_postfix_str(f"{kind} {value:g}, set {held_out_set}")
                other = variant(lab, rule=rule)
                filling = lean_filling(other, anchor, held_out_set=held_out_set)
                entries.append(entry_of(other, filling, {"kind": kind, "value": value}, total=drafts))
                bar.update()
            start = nothing(filling, {"kind": "none", "value": float("nan")})
            rows += trained(lab, filling, [start, *entries])
    return pd.DataFrame(rows)
