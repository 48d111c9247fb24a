"""Reward modelling (method, section 3): one score for a reply, trained on pairs with the Bradley-Terry loss.

The probability that the chosen reply is preferred is `sigmoid(r(chosen) - r(rejected))`, and the loss its negative
logarithm (Bradley and Terry 1952; as in Stiennon et al. 2020, arXiv 2009.01325). A pair counts as right where the
chosen reply scores higher; a tie is wrong.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from torch.nn import functional

from fac_lab.errors import DataError
from fac_lab.settings import TuningSettings
from fac_lab.tasks.adapted import Adapted, PlainTrainer
from fac_lab.tasks.backbone import Backbone, processes
from fac_lab.tasks.comparisons import Comparison

log = logging.getLogger(__name__)


class RewardRun(NamedTuple):
    """One trained and evaluated reward model."""

    accuracy: float
    """Share of the test pairs whose chosen reply scores higher."""
    scores: np.ndarray
    """[n_test, 2] float32: of the chosen and of the rejected reply."""
    seconds: float
    """Wall time of training and scoring, without loading the model."""
    n_train: int

    @property
    def margins(self) -> np.ndarray:
        """[n_test] score of the chosen reply minus that of the rejected one."""
        return self.scores[:, 0] - self.scores[:, 1]


class RewardModel(Adapted):
    """A scalar head on a borrowed backbone, which reads prompt and reply as one talk."""

    outputs, what = 1, "reward_model"

    def fit(self, pairs: Sequence[Comparison], *, seed: int, progress: bool = True) -> None:
        """Train on `pairs`; the seed draws their order and the dropout."""
        chosen, rejected = self._ids(pairs)
        if self.settings.mode == "head":
            vectors = self.backbone.pooled([*chosen, *rejected]).split(len(pairs))
            items = [{"chosen": better, "rejected": worse} for better, worse in zip(*vectors, strict=True)]
            collate = _stack
        else:
            items = [{"chosen": better, "rejected": worse} for better, worse in zip(chosen, rejected, strict=True)]
            collate = self._pad_pairs
        self.train(items, collate, seed=seed, progress=progress, trainer_type=_PairTrainer)

    def score(self, pairs: Sequence[Comparison]) -> np.ndarray:
        """[n_pairs, 2] float32 scores of the chosen and of the rejected replies."""
        chosen, rejected = self._ids(pairs)
        return self.logits([*chosen, *rejected]).reshape(2, -1).T.numpy()

    def _ids(self, pairs: Sequence[Comparison]) -> tuple[list[list[int]], list[list[int]]]:
        longest, reads = self.settings.max_tokens, self.settings.reads
        chosen, rejected = (
            self.backbone.tokenize_replies(talks, longest, reads=reads)
            for talks in zip(*(((p.prompt, p.chosen), (p.prompt, p.rejected)) for p in pairs), strict=True)
        )
        return chosen, rejected

    def _pad_pairs(self, items: list[dict]) -> dict[str, torch.Tensor]:
        return self.pad([*(item["chosen"] for item in items), *(item["rejected"] for item in items)])


class _PairTrainer(PlainTrainer):
    """Batches hold all chosen replies, then all rejected ones."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        chosen, rejected = outputs["logits"].squeeze(-1).chunk(2)
        loss = -functional.logsigmoid(chosen - rejected).mean()
        return (loss, outputs) if return_outputs else loss


def _stack(items: list[dict]) -> dict[str, torch.Tensor]:
    return {"pooled": torch.stack([*(item["chosen"] for item in items), *(item["rejected"] for item in items)])}


def train_reward_model(
    model: str | Path | Backbone,
    train: Sequence[Comparison],
    test: Sequence[Comparison],
    settings: TuningSettings,
    *,
    seed: int,
    folder: Path | None = None,
    progress: bool = True,
) -> RewardRun:
    """Train a reward model on `train` and evaluate it on `test`; saved to `folder` for `RewardModel.load`.

    Sets the global random seeds; equal arguments give equal scores. Raises DataError for no pairs, and for a pair
    whose replies are the same text or empty.
    """
    _require_pairs(train, "training")
    _require_pairs(test, "test")
    backbone = model if isinstance(model, Backbone) else Backbone(model)
    started = time.perf_counter()
    transformers.set_seed(seed)
    reward = RewardModel.new(backbone, settings)
    try:
        reward.fit(train, seed=seed, progress=progress)
        scores = reward.score(test)
        if folder is not None and processes()[0] == 0:
            reward.save(folder)
    finally:
        reward.release()
    accuracy = float((scores[:, 0] > scores[:, 1]).mean())
    seconds = time.perf_counter() - started
    log.info("reward model, seed %d: accuracy %.3f, %d pairs, %.1f s", seed, accuracy, len(train), seconds)
    return RewardRun(accuracy, scores, seconds, len(train))


def _require_pairs(pairs: Sequence[Comparison], what: str) -> None:
    if not pairs:
        raise DataError(f"the {what} data has no pairs: a reward model needs chosen and rejected replies")
    for pair in pairs:
        if not pair.chosen.strip() or not pair.rejected.strip():
            raise DataError(f"pair {pair.id} of the {what} data has an empty reply: drop it")
        if pair.chosen == pair.rejected:
            raise DataError(f"pair {pair.id} of the {what} data has the same reply twice: nothing is to be preferred")
