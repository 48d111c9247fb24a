"""A local model lent to many short fine-tuning runs: loaded once, frozen, its work on texts kept."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from fac_lab.collect_protocol import PAPER
from fac_lab.errors import ModelError
from fac_lab.features.tokens import tokenize
from fac_lab.template import encode

SCORING_BATCH = 32
HEADS = ("score", "classifier")


class Float32Linear(nn.Linear):
    """A head that stays in float32 on a bfloat16 backbone: scores of eight bits would tie."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.float(), self.weight, self.bias)


class Backbone:
    """A model folder loaded once as a sequence classifier, its weights frozen and never changed by a run.

    In bfloat16 on a GPU that has it, float32 elsewhere. The query goes through the tokenizer's chat template
    as one user message with the generation prompt, in training and in scoring alike; a tokenizer without a
    template sees the bare text. Raises ModelError for a folder that cannot be read, a tokenizer that has
    nothing to pad with, or a model without a linear head.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        self.device = own_device()
        bfloat16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        try:
            with quiet_transformers():
                self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.path)
                self.model = transformers.AutoModelForSequenceClassification.from_pretrained(
                    self.path, num_labels=2, dtype=torch.bfloat16 if bfloat16 else torch.float32
                )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"no classifier can be built on {self.path}: {error}. Give the folder of a Hugging Face "
                "causal language model"
            ) from error
        self.pad = self.tokenizer.pad_token_id
        if self.pad is None:
            self.pad = self.tokenizer.eos_token_id
        if self.pad is None:
            raise ModelError(
                f"the tokenizer of {self.path} has neither a padding nor an end token: set pad_token in its "
                "tokenizer_config.json"
            )
        self.model.config.pad_token_id = self.pad
        self.model.config.use_cache = False
        self.model.requires_grad_(False).to(self.device).eval()
        heads = [name for name in HEADS if isinstance(getattr(self.model, name, None), nn.Linear)]
        if not heads:
            raise ModelError(
                f"{type(self.model).__name__} ({self.path}) has no linear head named {' or '.join(HEADS)}: "
                "use a decoder-only model or a BERT-like encoder"
            )
        self.head_name = heads[0]
        self._bias = getattr(self.model, self.head_name).bias is not None
        self._ids: dict[str, list[int]] = {}
        self._reply_ids: dict[tuple[str, str], list[int]] = {}
        self._pooled: dict[tuple[int, ...], Tensor] = {}

    def new_head(self, outputs: int = 2) -> Float32Linear:
        """A head of so many outputs drawn from the global random state, on the backbone's device."""
        config = self.model.config.get_text_config()
        head = Float32Linear(config.hidden_size, outputs, bias=self._bias)
        nn.init.normal_(head.weight, std=getattr(config, "initializer_range", 0.02))
        if self._bias:
            nn.init.zeros_(head.bias)
        return head.to(self.device)

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids per text, cut on the right."""
        new = list(dict.fromkeys(text for text in texts if text not in self._ids))
        if new:
            if self.tokenizer.chat_template:
                ids = encode(self.tokenizer, [[{"role": "user", "content": text}] for text in new])
            else:
                ids = self._plain(new)
            self._ids.update(zip(new, ids, strict=True))
        # A text without any token still needs a row.
        return [self._ids[text][:max_tokens] or [self.pad] for text in texts]

    def tokenize_replies(
        self, talks: Sequence[tuple[str, str]], max_tokens: int, *, reads: str = "talk"
    ) -> list[list[int]]:
        """Token ids per (prompt, reply), cut on the left so that the reply stays.

        "talk" is a user's turn and the assistant's. "message" is both in one turn of the user with the generation
        prompt behind it: a causal model that never learned to go on after its own turns has nothing to say at the end
        of a talk, and has to know what a message is about before it answers.
        """
        if reads == "message":
            return [ids[-max_tokens:] for ids in self.tokenize([" ".join(talk) for talk in talks], sys.maxsize)]
        new = list(dict.fromkeys(talk for talk in talks if talk not in self._reply_ids))
        if new:
            if self.tokenizer.chat_template:
                roles = ("user", "assistant")
                chats = [[{"role": r, "content": text} for r, text in zip(roles, talk, strict=True)] for talk in new]
                ids = encode(self.tokenizer, chats, generation_prompt=False)
            else:
                ids = self._plain(["\n\n".join(talk) for talk in new])
            self._reply_ids.update(zip(new, ids, strict=True))
        return [self._reply_ids[talk][-max_tokens:] or [self.pad] for talk in talks]

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of texts without a template."""
        read = tokenize(self.tokenizer, texts, None, PAPER, pool="paper", max_tokens=sys.maxsize)
        return [text.ids.tolist() for text in read]

    def pooled(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """[n_texts, d_model] float32 on the CPU: what the head sees of each text, given its token ids."""
        keys = [tuple(row) for row in ids]
        new = list(dict.fromkeys(key for key in keys if key not in self._pooled))
        if new:
            trained = getattr(self.model, self.head_name)
            setattr(self.model, self.head_name, nn.Identity())
            try:
                vectors = run_batched(self.model, new, self.pad)
            finally:
                setattr(self.model, self.head_name, trained)
            self._pooled.update(zip(new, vectors, strict=True))
        return torch.stack([self._pooled[key] for key in keys])

    def keep_pooled(self, texts: Sequence[str], max_tokens: int, vectors: Tensor) -> None:
        """Take over what `pooled` returned for these texts before, in another process say: [n_texts, d_model]."""
        self._pooled.update(zip(map(tuple, self.tokenize(texts, max_tokens)), vectors, strict=True))


def own_device() -> torch.device:
    """The accelerator of this process, else the CPU; of several processes that train together, each has its own."""
    device = torch.accelerator.current_accelerator()
    if device is None or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return torch.device("cpu")
    place = os.environ.get("LOCAL_RANK")  # set by accelerate launch and by torchrun
    return device if place is None else torch.device(device.type, int(place))


def processes() -> tuple[int, int]:
    """Number of this process, from 0, and of all that train together; (0, 1) where none were launched."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def pad_right(ids: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both [n_texts, longest] int64."""
    longest = max(map(len, ids))
    return (
        torch.tensor([[*row, *[pad] * (longest - len(row))] for row in ids]),
        torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]),
    )


@torch.inference_mode()
def run_batched(network: nn.Module, ids: Sequence[Sequence[int]], pad: int) -> Tensor:
    """[n_texts, width] float32 on the CPU: the network's logits, computed in batches of like length."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(order), SCORING_BATCH):
        tokens, mask = pad_right([ids[i] for i in order[start : start + SCORING_BATCH]], pad)
        logits = network(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
        parts.append(logits.float().cpu())
    return torch.cat(parts)[torch.tensor(order).argsort()]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No report that the head is new (it is meant to be), no loading bar, no warning of peft's own calls."""
    level, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)  # GPT-2's layers
            yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()
