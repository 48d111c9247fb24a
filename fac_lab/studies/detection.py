"""A detector for every way of writing samples, head alone or with LoRA: the toxicity columns of tables 1 and 13.

Every arm starts from the same rows of a seed that lacks a share of the harmful concepts, and adds texts labelled toxic:
as many as two-step synthesis kept for the missing relevant features, or what it has where that is less. "full" adds
every toxic row that the seed holds instead: the paper does not define its "Full Dataset", and ours lacks the held-out
concepts however large it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
from tqdm import tqdm

from fac_lab.corpora import Row
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import TuningSettings
from fac_lab.studies.label_noise import reached
from fac_lab.studies.methods import METHODS, Written, matched
from fac_lab.studies.toxicity import (
    Gap,
    detector_auprc,
    harmful_gap,
    starting_rows,
    test_rows,
    truth_of,
)

TASK = "toxicity"
SAMPLES: int | None = None
"""Samples to write for a cell; None is one per missing relevant feature, at most the profile's budget."""
CONTROLS = ("plain", "random_features", "pool_random", "pool_greedy", "oracle")
"""Arms beside the paper's: without a feature in mind, features drawn by chance, real rows, real held-out ones."""
TABLE_ARMS = (*METHODS.values(), *CONTROLS)
OTHER_MODE: dict[str, dict[str, Any]] = {
    "lora": {"epochs": 3.0, "lr": 1e-2, "batch": 16},
    "full": {"epochs": 3.0, "lr": 1e-3, "batch": 16},
    "head": {"epochs": 15.0, "lr": 8e-5, "batch": 4},
}
"""What changes where a profile is of another mode. LoRA and all weights: for the mini subject, chosen by `trial_study`
alone; the head: the paper's, for profiles that have the paper's LoRA."""
TRIAL_SETS, TRIAL_ARMS, TRIAL_TEST_SEED = (100,), ("none", "oracle"), 5004
"""What the settings were chosen on: held-out sets and test rows that nothing else uses, and no arm of interest."""
TRIALS: dict[str, tuple[dict[str, Any], ...]] = {
    "lora": tuple({"lr": lr, "epochs": 3.0, "batch": batch} for batch in (16, 32) for lr in (3e-3, 1e-2, 2e-2)),
    "full": tuple({"lr": lr, "epochs": 3.0, "batch": batch} for batch in (16, 32) for lr in (1e-3, 3e-3)),
}


def settings_for(lab: Lab, mode: str) -> TuningSettings:
    """The detector's settings in a mode: the profile's where they are of it, else with what `OTHER_MODE` changes."""
    settings = lab.profile.detector
    return settings if settings.mode == mode else replace(settings, mode=mode, **OTHER_MODE[mode])


def toxicity_cell(
    lab: Lab,
    anchor: FeatureStats,
    gap: Gap,
    written: Written,
    *,
    arm: str,
    held_out_set: int,
    seed: int,
    mode: str = "lora",
) -> dict[str, float]:
    """One run of the main table: `tox_auprc` in percent, as the paper prints it, and `tox_added`, the number of texts.

    `written` holds what the arm adds, in order. Deterministic; a run that was made before is read. About 10 s on
    one core in mode "lora", 30 s for "full", 4 s in mode "head".
    """
    train = training_rows(lab, gap, written, arm=arm)
    auprc = detector_auprc(lab, train, _test(), seed, settings_for(lab, mode))
    start = lab.profile.study.safe_samples + lab.profile.study.seed_samples
    return {"tox_auprc": 100 * auprc, "tox_added": len(train) - start}


def training_rows(lab: Lab, gap: Gap, written: Written, *, arm: str) -> list[Row]:
    """The rows that every arm starts from, then what this one adds."""
    study = lab.profile.study
    start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
    return start + [Row(f"{arm}-{i}", text, 1) for i, text in enumerate(added_texts(lab, gap, written, arm=arm))]


def added_texts(lab: Lab, gap: Gap, written: Written, *, arm: str) -> Sequence[str]:
    """What an arm adds: what it wrote; for "full" all other toxic texts of the seed."""
    if arm == "full":
        return [row.text for row in gap.seed if row.label][lab.profile.study.seed_samples :]
    return written.texts


def detection_study(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    mode: str,
    arms: Sequence[str] = TABLE_ARMS,
) -> pd.DataFrame:
    """`toxicity_cell` of every held-out set, arm and training seed in one mode; a killed study resumes run by run.

    Columns: `held_out_set`, `arm`, `mode`, `seed`, `auprc` (a share); `gap_coverage`, the share of the missing features
    that what was added activates under the profile's rule; and what that is about (see `toxicity.truth_of`).
    """
    records, seeds = [], lab.profile.seeds
    with tqdm(total=len(sets) * len(arms) * len(seeds), desc=f"detectors, {mode}", unit="run") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            for arm in arms:
                bar.set_postfix_str(f"set {held_out_set}, {arm}")
                written = matched(lab, anchor, gap, arm, held_out_set, task=TASK)
                texts = added_texts(lab, gap, written, arm=arm)
                coverage = gap.coverage
                facts = {"gap_coverage": reached(lab, texts, coverage.missing, coverage.delta)}
                facts |= truth_of(texts, gap.held_out)
                for seed in seeds:
                    where = {"held_out_set": held_out_set, "arm": arm, "mode": mode, "seed": seed}
                    cell = toxicity_cell(
                        lab, anchor, gap, written, arm=arm, held_out_set=held_out_set, seed=seed, mode=mode
                    )
                    records.append(where | {"auprc": cell["tox_auprc"] / 100} | facts)
                    bar.update()
    return pd.DataFrame(records)


def trial_study(
    lab: Lab, anchor: FeatureStats, *, trials: Mapping[str, Sequence[dict[str, Any]]] = TRIALS
) -> pd.DataFrame:
    """Which rate and how many epochs suit the subject: AUPRC of settings on sets and rows that no result uses.

    Columns: `mode`, `lr`, `epochs`, `batch`, `held_out_set`, `arm`, `auprc`; the first of the profile's seeds.
    """
    test, records = test_rows(seed=TRIAL_TEST_SEED), []
    gaps = {number: harmful_gap(lab, anchor, held_out_set=number) for number in TRIAL_SETS}
    cases = [(mode, change) for mode, changes in trials.items() for change in changes]
    with tqdm(total=len(cases) * len(gaps) * len(TRIAL_ARMS), desc="trial of settings", unit="run") as bar:
        for mode, change in cases:
            settings = replace(settings_for(lab, mode), **change)
            for held_out_set, gap in gaps.items():
                for arm in TRIAL_ARMS:
                    written = matched(lab, anchor, gap, arm, held_out_set, task=TASK)
                    train = training_rows(lab, gap, written, arm=arm)
                    auprc = detector_auprc(lab, train, test, lab.profile.seeds[0], settings)
                    facts = {"lr": settings.lr, "epochs": settings.epochs, "batch": settings.batch}
                    records.append({"mode": mode} | facts | {"held_out_set": held_out_set, "arm": arm, "auprc": auprc})
                    bar.update()
    return pd.DataFrame(records)


def best_trial(trials: pd.DataFrame, mode: str) -> dict[str, float]:
    """The `lr`, `epochs` and `batch` of a mode with the highest mean AUPRC; of equal ones the smallest."""
    means = trials[trials["mode"] == mode].groupby(["epochs", "lr", "batch"]).auprc.mean()
    epochs, lr, batch = means.idxmax()
    return {"lr": float(lr), "epochs": float(epochs), "batch": int(batch)}


@cache
def _test() -> list[Row]:
    return test_rows()
