"""A head, and LoRA adapters or all weights where asked for, trained on a borrowed backbone: detectors and reward
models share it."""

import copy
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from fac_lab.errors import ArtifactError, SettingsError
from fac_lab.parse import parse_json
from fac_lab.settings import TuningSettings
from fac_lab.tasks.backbone import Backbone, pad_right, processes, quiet_transformers, run_batched

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


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


class Adapted:
    """A trainable head on a borrowed backbone: in mode "lora" with adapters, which `release` takes off again, in mode
    "full" on a copy of it, all weights in float32."""

    outputs: ClassVar[int]
    """Width of the head."""
    what: ClassVar[str]
    """What it is called in files and messages."""

    def __init__(self, backbone: Backbone, settings: TuningSettings, network: nn.Module):
        self.backbone, self.settings, self.network = backbone, settings, network

    @classmethod
    def new(cls, backbone: Backbone, settings: TuningSettings) -> Self:
        """Untrained; head and adapters are drawn from the global random state."""
        head = backbone.new_head(cls.outputs)
        if settings.mode == "head":
            return cls(backbone, settings, HeadOnly(head))
        if settings.mode == "full":
            return cls(backbone, settings, _copied(backbone, head))
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
    def load(cls, folder: str | Path, *, base: str | Path | None = None) -> Self:
        """What `save` wrote, with the scores it had; `base` where the model folder has moved since."""
        folder = Path(folder)
        try:
            facts = parse_json((folder / f"{cls.what}.json").read_text(encoding="utf-8"))
            settings = TuningSettings(**facts["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no complete {cls.what} ({error}): train it again") from error
        backbone = Backbone(base or facts["base"])
        head = backbone.new_head(cls.outputs)
        if settings.mode == "head":
            head.load_state_dict(load_file(folder / "head.safetensors"))
            return cls(backbone, settings, HeadOnly(head))
        if settings.mode == "full":
            network = _copied(backbone, head)
            network.load_state_dict(load_file(folder / "weights.safetensors"))
            return cls(backbone, settings, network.eval())
        setattr(backbone.model, backbone.head_name, head)
        with quiet_transformers():
            adapted = peft.PeftModel.from_pretrained(backbone.model, folder, torch_device=str(backbone.device))
        return cls(backbone, settings, adapted)

    @property
    def n_trainable(self) -> int:
        """Parameters that training changes, head included."""
        return sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)

    def train(
        self,
        items: Sequence[dict[str, Any]],
        collate: Callable[[list[dict]], dict[str, Tensor]],
        *,
        seed: int,
        progress: bool,
        trainer_type: type[transformers.Trainer] | None = None,
    ) -> None:
        """Train on items, each a row or a pair; the seed draws their order and the dropout."""
        settings = self.settings
        with tempfile.TemporaryDirectory() as scratch, quiet_transformers():
            arguments = transformers.TrainingArguments(
                output_dir=scratch,
                seed=seed,
                num_train_epochs=settings.epochs,
                learning_rate=settings.lr,
                weight_decay=settings.weight_decay,
                lr_scheduler_type=settings.schedule,
                warmup_steps=settings.warm_up,
                per_device_train_batch_size=_share(settings.batch),
                train_sampling_strategy="group_by_length" if "input_ids" in items[0] else "random",
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
            trainer = (trainer_type or PlainTrainer)(
                model=self.network, args=arguments, train_dataset=list(items), data_collator=collate
            )
            trainer.remove_callback(transformers.PrinterCallback)
            if progress:
                trainer.add_callback(_Bar(f"train {settings.mode} {self.what}, seed {seed}"))
            trainer.train()
        self.network.eval()

    def logits(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """[n_texts, outputs] float32 on the CPU, from token ids."""
        if self.settings.mode != "head":
            return run_batched(self.network, ids, self.backbone.pad)
        with torch.inference_mode():
            pooled = self.backbone.pooled(ids)
            return self.network(pooled.to(self.backbone.device))["logits"].cpu()

    def save(self, folder: Path) -> None:
        """Write what was trained to `folder`; the backbone is referred to by its path, not copied."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.settings.mode == "head":
            save_file(self.network.head.state_dict(), folder / "head.safetensors")
        elif self.settings.mode == "full":
            save_file(self.network.state_dict(), folder / "weights.safetensors")
        else:
            self.network.save_pretrained(folder, save_embedding_layers=False)
        facts = {"base": self.backbone.path, "settings": asdict(self.settings)}
        (folder / f"{self.what}.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def release(self) -> None:
        """Take the adapters off the backbone, which is then as it was loaded."""
        if self.settings.mode == "lora":
            self.network.unload()
        self.backbone.model.eval()

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Token ids and mask of a batch, as the network takes them."""
        ids, mask = pad_right(rows, self.backbone.pad)
        return {"input_ids": ids, "attention_mask": mask}


def _copied(backbone: Backbone, head: nn.Linear) -> nn.Module:
    """A trainable copy of the backbone with this head, float32."""
    network = copy.deepcopy(backbone.model)
    setattr(network, backbone.head_name, head)
    return network.float().requires_grad_(True)


def _share(batch: int) -> int:
    """Rows of a step that this process takes, so that a step has as many as the settings say."""
    _, together = processes()
    if batch % together:
        raise SettingsError(
            f"detector.batch is {batch}, which {together} processes cannot share evenly: launch another number of "
            f"processes, or set it to {-(-batch // together) * together}"
        )
    return batch // together


class PlainTrainer(transformers.Trainer):
    """The library's, without its count of operations."""

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
