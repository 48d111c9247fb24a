"""Toxicity detection (method, section 3): a two-label classifier on a chat model, scored by AUPRC.

A run is short and there are many of them (arms x held-out sets x seeds), so what does not depend on the run
is kept in a `Backbone` and lent to one run after another: the loaded model, the token ids of every text seen
and, for head-only runs, the pooled vectors of the frozen model. With a 1 M-parameter model and 1,000 texts of
30 tokens on one CPU core, 15 head-only epochs take 4 s, 3 LoRA epochs 20 s (4 s of it for dropout masks).
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from sklearn.metrics import average_precision_score

from fac_lab.corpora import Row
from fac_lab.errors import DataError, ModelError
from fac_lab.settings import TuningSettings
from fac_lab.tasks.adapted import Adapted
from fac_lab.tasks.backbone import Backbone, processes

log = logging.getLogger(__name__)


class DetectorRun(NamedTuple):
    """One trained and evaluated detector."""

    auprc: float
    """Average precision on the test rows; a random ranking scores the share of toxic rows."""
    scores: np.ndarray
    """[n_test] float32 log-odds of toxic. Not probabilities: those tie at 1.0, and ties blur the ranking."""
    seconds: float
    """Wall time of training and scoring, without loading the model."""
    n_train: int
    n_positive: int
    """Toxic rows among the n_train."""
    n_trainable: int
    """Parameters that training changed, head included."""


class Detector(Adapted):
    """Two labels, safe and toxic, on a borrowed backbone."""

    outputs, what = 2, "detector"

    def fit(self, rows: Sequence[Row], *, seed: int, progress: bool = True) -> None:
        """Train on `rows`; the seed draws the order of the rows and the dropout."""
        ids = self.backbone.tokenize([row.text for row in rows], self.settings.max_tokens)
        labels = [int(row.label) for row in rows]
        if self.settings.mode == "head":
            pooled = self.backbone.pooled(ids)
            items = [{"pooled": vector, "labels": label} for vector, label in zip(pooled, labels, strict=True)]
        else:
            items = [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]
        self.train(items, self._batch, seed=seed, progress=progress)

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """[n_texts] float32 log-odds of toxic."""
        logits = self.logits(self.backbone.tokenize(texts, self.settings.max_tokens))
        return (logits[:, 1] - logits[:, 0]).numpy()

    def _batch(self, items: list[dict]) -> dict[str, torch.Tensor]:
        labels = {"labels": torch.tensor([item["labels"] for item in items])}
        if "pooled" in items[0]:
            return {"pooled": torch.stack([item["pooled"] for item in items]), **labels}
        return {**self.pad([item["input_ids"] for item in items]), **labels}


def train_detector(
    model: str | Path | Backbone,
    train: Sequence[Row],
    test: Sequence[Row],
    settings: TuningSettings,
    *,
    seed: int,
    folder: Path | None = None,
    progress: bool = True,
) -> DetectorRun:
    """Train a detector on `train` (label 1 = toxic) and evaluate it on `test`.

    Pass a `Backbone` where several runs share a model. Sets the global random seeds (transformers.set_seed);
    equal arguments give equal scores. With `folder` the detector is saved there for `Detector.load`;
    checkpoints are never written, a run is short enough to be repeated. Raises DataError where a row lacks a
    label or either data set has one class only, ModelError where training diverged. Equal scores on all rows are a
    result, not an error: an AUPRC of the share of toxic rows.

    Under `accelerate launch` the processes share each step's rows; every one of them has the result, and the
    first saves it. Raises SettingsError where `settings.batch` cannot be shared evenly.
    """
    n_positive = _count_positive(train, "training")
    _count_positive(test, "test")
    backbone = model if isinstance(model, Backbone) else Backbone(model)
    started = time.perf_counter()
    transformers.set_seed(seed)
    detector = Detector.new(backbone, settings)
    try:
        detector.fit(train, seed=seed, progress=progress)
        scores = detector.score([row.text for row in test])
        n_trainable = detector.n_trainable
        if folder is not None and processes()[0] == 0:
            detector.save(folder)
    finally:
        detector.release()
    if not np.isfinite(scores).all():
        raise ModelError(
            f"the detector of seed {seed} scores {(~np.isfinite(scores)).sum()} of {len(scores)} test rows as not a "
            f"number: training diverged; lower detector.lr, which is {settings.lr:g}"
        )
    auprc = float(average_precision_score([row.label for row in test], scores))
    seconds = time.perf_counter() - started
    log.info(
        "detector, seed %d: AUPRC %.3f, %d rows (%d toxic), %.1f s",
        seed,
        auprc,
        len(train),
        n_positive,
        seconds,
    )
    return DetectorRun(auprc, scores, seconds, len(train), n_positive, n_trainable)


def _count_positive(rows: Sequence[Row], what: str) -> int:
    """Toxic rows, or DataError where AUPRC or the loss would mean nothing."""
    for row in rows:
        if row.label not in (0, 1):
            raise DataError(
                f"row {row.id} of the {what} data has label {row.label!r}; a detector needs 0 (safe) or "
                "1 (toxic) on every row: name the label column, or drop rows without a label"
            )
    positive = sum(row.label for row in rows)
    if positive in (0, len(rows)):
        raise DataError(
            f"the {what} data has {positive} toxic and {len(rows) - positive} safe rows; AUPRC is not "
            "defined with one class only: add rows of the other class"
        )
    return positive
