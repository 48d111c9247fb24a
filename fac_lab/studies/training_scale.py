"""How much of the model has to be trained? The paper's figure 12: AUPRC, and AUPRC per order of trainable parameters.

The same rows with and without what the method wrote, in sizes from the head alone over LoRA ranks to all weights. PES
divides by a logarithm: from the head to all weights of our subject that is a factor of about 2.5, so PES falls with the
size unless AUPRC rises by as much. What it rewards first is being small.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from tqdm import tqdm

from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import TuningSettings
from fac_lab.studies.detection import TASK, settings_for, training_rows
from fac_lab.studies.methods import matched
from fac_lab.studies.toxicity import detector_auprc, harmful_gap, test_rows

SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "head": ("head", {}),
    "LoRA, r = 1": ("lora", {"r": 1, "alpha": 2}),
    "LoRA, r = 8": ("lora", {"r": 8, "alpha": 16}),
    "LoRA, r = 64": ("lora", {"r": 64, "alpha": 128}),
    "all weights": ("full", {}),
}
"""What is trained. The scale of the adapters stays twice their rank, as in the paper; rates are those of the mode."""
SCALE_ARMS = ("none", "fac_two_step")
SEEDS = 1
"""Training seeds, the profile's first: sets differ by more than seeds do."""


def pes(auprc: float, n_trainable: int) -> float:
    """Parameter efficiency: AUPRC over log10 of the trainable parameters; NaN below two of them (paper, section 1)."""
    return auprc / math.log10(n_trainable) if n_trainable > 1 else float("nan")


def size_settings(lab: Lab, size: str) -> TuningSettings:
    """The settings of one of `SIZES`."""
    mode, change = SIZES[size]
    return replace(settings_for(lab, mode), **change)


def count_trainable(lab: Lab, settings: TuningSettings) -> int:
    """Parameters that these settings train on the lab's subject, counted in the network itself."""
    from fac_lab.tasks.toxicity import Detector

    detector = Detector.new(lab.backbone, settings)
    try:
        return detector.n_trainable
    finally:
        detector.release()


def training_scale_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], sizes: Sequence[str] = tuple(SIZES), seeds: int = SEEDS
) -> pd.DataFrame:
    """One row per held-out set, arm, size and training seed; a killed study resumes run by run.

    Columns: `held_out_set`, `arm`, `size`, `mode`, `r` (0 without adapters), `n_trainable`, `seed`, `auprc` (a share),
    `pes`.
    """
    test, records = test_rows(), []
    chosen = lab.profile.seeds[:seeds]
    with tqdm(total=len(sets) * len(SCALE_ARMS) * len(sizes) * len(chosen), desc="training scale", unit="run") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            for arm in SCALE_ARMS:
                written = matched(lab, anchor, gap, arm, held_out_set, task=TASK)
                train = training_rows(lab, gap, written, arm=arm)
                for size in sizes:
                    settings = size_settings(lab, size)
                    n_trainable = count_trainable(lab, settings)
                    what = {"mode": settings.mode, "r": settings.r if settings.mode == "lora" else 0}
                    what |= {"n_trainable": n_trainable}
                    for seed in chosen:
                        bar.set_postfix_str(f"set {held_out_set}, {arm}, {size}")
                        auprc = detector_auprc(lab, train, test, seed, settings)
                        where = {"held_out_set": held_out_set, "arm": arm, "size": size}
                        records.append(where | what | {"seed": seed, "auprc": auprc, "pes": pes(auprc, n_trainable)})
                        bar.update()
    return pd.DataFrame(records)
