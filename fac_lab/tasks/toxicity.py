"""Toxicity detection (method, section 3): a two-label classifier on a chat model, scored by AUPRC.

A run is short and there are many of them (arms x held-out sets x seeds), so what does not depend on the run
is kept in a `Backbone` and lent to one run after another: the loaded model, the token ids of every text seen
and, for head-only runs, the pooled vectors of the frozen model. With a 1 M-parameter model and 1,000 texts of
30 tokens on one CPU core, 15 head-only epochs take 4 s, 3 LoRA epochs 20 s (4 s of it for dropout masks).
"""

import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from fac_lab.corpora import Row
from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.profile import DetectorSettings
from fac_lab.tasks.backbone import Backbone, pad_right, processes, quiet_transformers, run_batched

log = logging.getLogger(__name__)

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


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


class HeadOnly(nn.Module):
    """The head alone, trained on pooled vectors [n, d_model]: the frozen backbone need not run again."""

    def __init__(self, head: nn.Linear):
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.head(pooled)
        return (
            {"logits": logits}
            if labels is None
            else {"loss": functional.cross_entropy(logits, labels), "logits": logits}
        )


class Detector:
    """A trainable head, in mode "lora" with adapters, on a borrowed backbone: `release` gives it back."""

    def __init__(self, backbone: Backbone, settings: DetectorSettings, network: nn.Module):
        self.backbone, self.settings, self.network = backbone, settings, network

    @classmethod
    def new(cls, backbone: Backbone, settings: DetectorSettings) -> "Detector":
        """Untrained; head and adapters are drawn from the global random state."""
        head = backbone.new_head()
        if settings.mode == "head":
            return cls(backbone, settings, HeadOnly(head))
        setattr(backbone.model, backbone.head_name, head)
        present = {name.rpartition(".")[2] for name, _ in backbone.model.named_modules()}
        adapters = peft.LoraConfig(
            task_type=peft.TaskType.SEQ_CLS,
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=[name for name in PROJECTIONS if name in present] or "all-linear",
            # peft finds heads of these names by itself; named here because a lost head goes unnoticed.
            modules_to_save=[backbone.head_name],
        )
        with quiet_transformers():
            return cls(backbone, settings, peft.get_peft_model(backbone.model, adapters))

    @classmethod
    def load(cls, folder: str | Path, *, base: str | Path | None = None) -> "Detector":
        """A saved detector, with the scores it had; `base` where the model folder has moved since."""
        folder = Path(folder)
        try:
            facts = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
            settings = DetectorSettings(**facts["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no complete detector ({error}): train it again") from error
        backbone = Backbone(base or facts["base"])
        head = backbone.new_head()
        if settings.mode == "head":
            head.load_state_dict(load_file(folder / "head.safetensors"))
            return cls(backbone, settings, HeadOnly(head))
        setattr(backbone.model, backbone.head_name, head)
        with quiet_transformers():
            adapted = peft.PeftModel.from_pretrained(backbone.model, folder, torch_device=str(backbone.device))
        return cls(backbone, settings, adapted)

    def fit(self, rows: Sequence[Row], *, seed: int, progress: bool = True) -> None:
        """Train on `rows`; the seed draws the order of the rows and the dropout."""
        texts, labels = [row.text for row in rows], [int(row.label) for row in rows]
        head_only = self.settings.mode == "head"
        if head_only:
            items = [
                {"pooled": vector, "labels": label}
                for vector, label in zip(self.backbone.pooled(texts, self.settings.max_tokens), labels, strict=True)
            ]
        else:
            items = [
                {"input_ids": ids, "labels": label}
                for ids, label in zip(self.backbone.tokenize(texts, self.settings.max_tokens), labels, strict=True)
            ]
        with tempfile.TemporaryDirectory() as scratch, quiet_transformers():
            arguments = transformers.TrainingArguments(
                output_dir=scratch,
                seed=seed,
                num_train_epochs=self.settings.epochs,
                learning_rate=self.settings.lr,
                per_device_train_batch_size=_share(self.settings.batch),
                train_sampling_strategy="random" if head_only else "group_by_length",
                remove_unused_columns=False,
                dataloader_num_workers=0,
                dataloader_pin_memory=False,
                save_strategy="no",
                eval_strategy="no",
                logging_strategy="no",
                report_to="none",
                use_cpu=self.backbone.device.type == "cpu",
                disable_tqdm=True,
            )
            trainer = _Trainer(
                model=self.network,
                args=arguments,
                train_dataset=items,
                data_collator=_stack if head_only else self._pad,
            )
            trainer.remove_callback(transformers.PrinterCallback)
            if progress:
                trainer.add_callback(_Bar(f"train {self.settings.mode} detector, seed {seed}"))
            trainer.train()
        self.network.eval()

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """[n_texts] float32 log-odds of toxic."""
        if self.settings.mode == "head":
            with torch.inference_mode():
                pooled = self.backbone.pooled(texts, self.settings.max_tokens)
                logits = self.network(pooled.to(self.backbone.device))["logits"].cpu()
        else:
            ids = self.backbone.tokenize(texts, self.settings.max_tokens)
            logits = run_batched(self.network, ids, self.backbone.pad)
        return (logits[:, 1] - logits[:, 0]).numpy()

    def save(self, folder: Path) -> None:
        """Write the head (and adapters) to `folder`; the backbone is referred to by its path, not copied."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.settings.mode == "head":
            save_file(self.network.head.state_dict(), folder / "head.safetensors")
        else:
            self.network.save_pretrained(folder, save_embedding_layers=False)
        facts = {"base": self.backbone.path, "settings": asdict(self.settings)}
        (folder / "detector.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def release(self) -> None:
        """Take the adapters off the backbone, which is then as it was loaded."""
        if self.settings.mode != "head":
            self.network.unload()
        self.backbone.model.eval()

    def _pad(self, items: list[dict]) -> dict[str, Tensor]:
        ids, mask = pad_right([item["input_ids"] for item in items], self.backbone.pad)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": torch.tensor([item["labels"] for item in items]),
        }


def train_detector(
    model: str | Path | Backbone,
    train: Sequence[Row],
    test: Sequence[Row],
    settings: DetectorSettings,
    *,
    seed: int,
    folder: Path | None = None,
    progress: bool = True,
) -> DetectorRun:
    """Train a detector on `train` (label 1 = toxic) and evaluate it on `test`.

    Pass a `Backbone` where several runs share a model. Sets the global random seeds (transformers.set_seed);
    equal arguments give equal scores. With `folder` the detector is saved there for `Detector.load`;
    checkpoints are never written, a run is short enough to be repeated. Raises DataError where a row lacks a
    label or either data set has one class only.

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
        if folder is not None and processes()[0] == 0:
            detector.save(folder)
    finally:
        detector.release()
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
    return DetectorRun(auprc, scores, seconds, len(train), n_positive)


def _share(batch: int) -> int:
    """Rows of a step that this process takes, so that a step has as many as the settings say."""
    _, together = processes()
    if batch % together:
        raise SettingsError(
            f"detector.batch is {batch}, which {together} processes cannot share evenly: launch another number of "
            f"processes, or set it to {-(-batch // together) * together}"
        )
    return batch // together


def _stack(items: list[dict]) -> dict[str, Tensor]:
    return {
        "pooled": torch.stack([item["pooled"] for item in items]),
        "labels": torch.tensor([item["labels"] for item in items]),
    }


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


class _Trainer(transformers.Trainer):
    def floating_point_ops(self, inputs: dict) -> int:
        """Zero: the Trainer's own count walks over all parameters at every step."""
        return 0


class _Bar(transformers.TrainerCallback):
    def __init__(self, title: str):
        self.title = title

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(total=state.max_steps, desc=self.title, unit="step", leave=False)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update()

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()
