"""A detector on real data: ToxicChat through a real encoder, head alone and LoRA, from few rows to all of them.

The test rows are the paper's: the human-annotated part of ToxicChat's test split. Its base rate, the score of a random
ranking, is what the paper's own numbers contradict (method, section 6.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from tqdm import tqdm

from fac_lab.corpora import Row
from fac_lab.digests import digest
from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.settings import TuningSettings
from fac_lab.store import Artifact
from fac_lab.studies.real_material import Material, open_material

MODES: dict[str, dict[str, Any]] = {
    "head": {"epochs": 15.0, "batch": 16, "max_tokens": 128},
    "lora": {"epochs": 3.0, "lr": 1e-3, "batch": 16, "max_tokens": 64},
}
"""How each is trained. Without a rate it is one of `RATES`, by `choose_rate`, which takes seconds for a head; LoRA's is
of the usual size and chosen on nothing. Texts are cut at fewer tokens for LoRA, which has to read them again and again:
three quarters of the queries are shorter than 40."""
RATES = (1e-3, 1e-2, 5e-2)
ALL = -1
"""Every row there is of a class."""


class Draw(NamedTuple):
    """Training rows drawn from ToxicChat."""

    n_toxic: int
    n_safe: int
    seeds: Mapping[str, int]
    """Training seeds by mode, the profile's first."""


DRAWS = (
    Draw(20, 500, {"head": 3, "lora": 1}),
    Draw(100, 1000, {"head": 3, "lora": 1}),
    Draw(ALL, ALL, {"head": 3, "lora": 0}),
)
"""One LoRA run of a size, and none on all rows: each takes minutes on one core."""
BOOTSTRAP = 1000
RUN_VERSION = 1


def real_detection_study(
    lab: Lab,
    material: Material | None = None,
    *,
    draws: Sequence[Draw] = DRAWS,
    modes: Mapping[str, Mapping[str, Any]] = MODES,
) -> pd.DataFrame:
    """One row per size, mode and seed; the rows are read from the profile's `data_dir`, or $FAC_LAB_DATA, if not given.

    Columns: `mode`, `lr`, `n_toxic`, `n_safe`, `seed` (draws the rows and the training); `auprc`, a share, with the
    ends of its 95 % interval over resampled test rows, `low` and `high`; `base_rate`, the AUPRC of a random ranking;
    `n_test`, `n_trainable`, `seconds` of training and scoring. No text. A finished run is kept; a killed study goes on
    after it.
    """
    material = material or open_material(lab.profile.data_dir)
    test = list(material.test)
    labels = np.array([row.label for row in test])
    records = []
    total = sum(draw.seeds[mode] for draw in draws for mode in modes)
    chosen = {mode: replace(lab.profile.detector, mode=mode, **change) for mode, change in modes.items()}
    for mode, change in modes.items():
        if "lr" not in change:
            chosen[mode] = choose_rate(lab, material, chosen[mode], draws[0])
    with tqdm(total=total, desc="detectors on real data", unit="run") as bar:
        for draw in draws:
            for mode, settings in chosen.items():
                for seed in lab.profile.seeds[: draw.seeds[mode]]:
                    train = draw_rows(material, draw, seed)
                    run = _run(lab, train, test, settings, seed)
                    scores = run.read_frame("scores.parquet").score.to_numpy()
                    low, high = bootstrap_auprc(labels, scores, draws=BOOTSTRAP)
                    n_toxic = sum(row.label for row in train)
                    where = {
                        "mode": mode,
                        "lr": settings.lr,
                        "n_toxic": n_toxic,
                        "n_safe": len(train) - n_toxic,
                        "seed": seed,
                    }
                    found = {"auprc": float(average_precision_score(labels, scores)), "low": low, "high": high}
                    records.append(where | found | {"base_rate": labels.mean(), "n_test": len(test)} | run.facts)
                    bar.update()
    return pd.DataFrame(records)


def choose_rate(lab: Lab, material: Material, settings: TuningSettings, draw: Draw) -> TuningSettings:
    """The settings with the one of `RATES` that is best on train rows which the draw leaves over, not on test rows."""
    seed = lab.profile.seeds[0]
    train = draw_rows(material, draw, seed)
    left = sorted({*material.toxic, *material.safe} - set(train))
    tried = [replace(settings, lr=lr) for lr in RATES]
    labels = [row.label for row in left]
    found = [
        average_precision_score(labels, _run(lab, train, left, one, seed).read_frame("scores.parquet").score)
        for one in tried
    ]
    return tried[int(np.argmax(found))]


def draw_rows(material: Material, draw: Draw, seed: int) -> list[Row]:
    """Training rows of both classes, drawn by the seed; a smaller draw is the beginning of a larger one.

    Raises DataError where there are fewer rows of a class than asked for.
    """
    rows = []
    for asked, kind in ((draw.n_toxic, "toxic"), (draw.n_safe, "safe")):
        there = getattr(material, kind)
        if asked > len(there):
            raise DataError(f"{asked} {kind} rows are to be drawn, the train split has {len(there)}: ask for fewer")
        chosen = np.random.default_rng([seed, len(kind)]).permutation(len(there))[: None if asked == ALL else asked]
        rows += [there[i] for i in chosen]
    return rows


def bootstrap_auprc(
    labels: np.ndarray, scores: np.ndarray, *, draws: int = BOOTSTRAP, level: float = 0.95
) -> tuple[float, float]:
    """Ends of the percentile interval of AUPRC over resampled test rows, `labels` and `scores` `[n_test]`.

    It says what another test set of this size might show, nothing of another training set. A resample that holds one
    class only is drawn again; DataError where the labels hold one class only, or are not 0 and 1.
    """
    labels = np.asarray(labels)
    if not np.isin(labels, (0, 1)).all() or len(np.unique(labels)) < 2:
        raise DataError(f"labels are {np.unique(labels).tolist()[:5]}; AUPRC needs rows of both classes, 0 and 1")
    dice, found = np.random.default_rng(0), []
    while len(found) < draws:
        rows = dice.integers(len(labels), size=len(labels))
        if 0 < labels[rows].sum() < len(rows):
            found.append(average_precision_score(labels[rows], scores[rows]))
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def _run(lab: Lab, train: Sequence[Row], test: Sequence[Row], settings: TuningSettings, seed: int) -> Artifact:
    """Scores of the test rows by a trained detector, with `n_trainable` and `seconds` as facts."""
    from fac_lab.tasks.toxicity import train_detector

    def build(artifact: Artifact) -> dict[str, float]:
        run = train_detector(lab.backbone, train, test, settings, seed=seed, progress=False)
        artifact.write_frame("scores.parquet", pd.DataFrame({"score": run.scores}))
        return {"n_trainable": run.n_trainable, "seconds": round(run.seconds, 1)}

    return lab.store.once(
        "real_detector",
        build,
        version=RUN_VERSION,
        subject=lab.subject.digest,
        rows=digest([(row.text, row.label) for row in train], [(row.text, row.label) for row in test]),
        detector=settings,
        seed=seed,
    )
