"""Win rates of every method and by number of samples (the paper's table 1 and figure 1), cell by cell."""

from collections.abc import Sequence

import pandas as pd
from tqdm import tqdm

from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.instruction import (
    FULL,
    MOST,
    OURS,
    OWN_ANSWERS,
    TASK,
    instruction_cell,
    instruction_gap,
    seed_rows,
)
from fac_lab.studies.label_noise import reached
from fac_lab.studies.methods import METHODS, Written, matched
from fac_lab.studies.toxicity import Gap, truth_of

BESIDE = ("random_features", "oracle", OWN_ANSWERS)
"""Arms beside the paper's: features that need not be missing, real queries about what is, another teacher."""
SHARES = (0.25, 0.5, 1.0)
"""Shares of a method's samples in the study of sizes."""
SIZED = ("alpaca", "magpie", "fac_two_step")
"""Arms of the study of sizes."""


def instruction_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], arms: Sequence[str] = (*METHODS.values(), *BESIDE)
) -> pd.DataFrame:
    """Every method and what stands beside it: one row per held-out set, arm and training seed; resumes run by run.

    Columns: `held_out_set`, `arm`, `seed`, the values of a cell, `gap_coverage` (share of the missing features that
    the added instructions activate) and what these are about (see `toxicity.truth_of`).
    """
    seeds = lab.profile.seeds
    records = []
    with tqdm(total=len(sets) * len(arms) * len(seeds), desc="instruction following", unit="run") as bar:
        for held_out_set in sets:
            gap = instruction_gap(lab, anchor, held_out_set=held_out_set)
            for arm in arms:
                bar.set_postfix_str(f"set {held_out_set}, {arm}")
                written = seed_rows(gap) if arm == FULL else samples(lab, anchor, gap, arm, held_out_set)
                facts = truth_of(written.texts, gap.held_out)
                facts |= {"gap_coverage": reached(lab, written.texts, gap.coverage.missing, gap.coverage.delta)}
                for seed in seeds:
                    where = {"held_out_set": held_out_set, "seed": seed}
                    cell = instruction_cell(lab, anchor, gap, written, arm=arm, **where)
                    records.append({"arm": arm, **where, **cell, **facts})
                    bar.update()
    return pd.DataFrame(records)


def sizes_study(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    arms: Sequence[str] = SIZED,
    shares: Sequence[float] = SHARES,
) -> pd.DataFrame:
    """Figure 1: win rate against the number of samples, the first ones of each method.

    One row per held-out set, arm, share and training seed: `held_out_set`, `arm`, `share`, `size`, `seed` and the
    values of a cell; share 0 is the base.
    """
    records = []
    seeds = lab.profile.seeds
    with tqdm(total=len(sets) * len(arms) * len(shares) * len(seeds), desc="sizes", unit="run") as bar:
        for held_out_set in sets:
            gap = instruction_gap(lab, anchor, held_out_set=held_out_set)
            made = {arm: samples(lab, anchor, gap, arm, held_out_set) for arm in arms}
            for arm in ("none", *arms):
                for share in (0.0,) if arm == "none" else shares:
                    written = made.get(arm, Written([]))
                    size = round(share * len(written.texts))
                    written = written._replace(texts=written.texts[:size], parts=written.parts[:size])
                    for seed in seeds[:1] if arm == "none" else seeds:
                        where = {"held_out_set": held_out_set, "seed": seed}
                        cell = instruction_cell(lab, anchor, gap, written, arm=arm, **where)
                        records.append({"arm": arm, "share": share, "size": size, **where, **cell})
                        bar.update(arm != "none")
    return pd.DataFrame(records)


def samples(lab: Lab, anchor: FeatureStats, gap: Gap, arm: str, held_out_set: int) -> Written:
    """What an arm adds: no more samples than our method kept for the same seed."""
    return matched(lab, anchor, gap, OURS if arm == OWN_ANSWERS else arm, held_out_set, task=TASK, most=MOST)
