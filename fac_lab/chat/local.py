"""A Hugging Face chat model in this process: the embedded mini models, or any other that fits into memory.

Requests are sorted by length and generated in left-padded batches. Each draws its tokens from random numbers
of its own seed (one number per token, through the inverse of the distribution function), so a reply does not
depend on the requests it shares a batch with, nor on the device: up to rounding, which can tip a near tie.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
)

from fac_lab.chat.client import ChatReply, ChatRequest
from fac_lab.chat.sampling import SeededSampling
from fac_lab.errors import ChatError, ModelError
from fac_lab.profile import resolve
from fac_lab.template import encode, turn_ends

log = logging.getLogger(__name__)

_SAMPLED_BLOCKS, _BLOCK_BYTES = 64, 1 << 16


class _Job(NamedTuple):
    """One request, ready to be generated."""

    index: int
    request: ChatRequest
    ids: list[int]
    """The prompt's tokens."""
    room: int
    """Tokens it may write: `max_tokens`, or what the context has left."""


class LocalBackend:
    """Chat model from a folder or the hub, loaded when it is first asked.

    `batch` requests are generated at once. Weights are float32 on a CPU, bfloat16 on a GPU. A reply ends at
    the template's end-of-turn token. A prompt that fills the model's context, or that the chat template
    refuses, is a failed reply. JSON schemas are not enforced.
    """

    pre_query = True
    """Whether it writes a user's turn by itself, asked with no messages; a backend that does not say so does not."""

    def __init__(self, model: str | Path, *, batch: int = 64, device: str | None = None) -> None:
        self.model = str(model)
        self.batch = batch
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._path = resolve(model)
        self._local = Path(self._path).is_dir()
        if not self._local and Path(self._path).is_absolute():
            raise ChatError(f"there is no chat model in {self._path}; check the profile's path, or build the model")

    @property
    def name(self) -> str:
        """Model and fingerprint: a model that was rebuilt does not get its forerunner's answers."""
        return self._name

    @cached_property
    def _name(self) -> str:
        if self._local:
            return f"{self.model} ({fingerprint(Path(self._path))})"
        commit = getattr(AutoConfig.from_pretrained(self._path), "_commit_hash", None)
        return f"{self.model} ({commit})"

    def generate(self, requests: Sequence[ChatRequest], done: Callable[[int, ChatReply], None]) -> None:
        """Answer requests in batches of like prompts, shortest first."""
        jobs = []
        for index, request in enumerate(requests):
            try:
                jobs.append(self._job(index, request))
            except _Unanswerable as error:
                done(index, ChatReply.failed(request, str(error)))
        # Rows of one batch write equally many tokens at most, so that none of them runs out of the context.
        jobs.sort(key=lambda job: (job.room, len(job.ids), job.index))
        for _, alike in groupby(jobs, key=lambda job: job.room):
            alike = list(alike)
            for start in range(0, len(alike), self.batch):
                batch = alike[start : start + self.batch]
                for job, reply in zip(batch, self._replies(batch), strict=True):
                    done(job.index, reply)

    def _job(self, index: int, request: ChatRequest) -> _Job:
        ids = self._encode(request.messages)
        room = min(request.max_tokens, self._context - len(ids))
        if room < 1:
            raise _Unanswerable(
                f"the prompt has {len(ids)} tokens, and the context of {self.model} ends at {self._context}: "
                "shorten it, or use a model with a longer context"
            )
        return _Job(index, request, ids, room)

    def _encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        try:
            return encode(self._tokenizer, [messages])[0]
        except ModelError as error:
            raise _Unanswerable(str(error)) from error

    @torch.inference_mode()
    def _replies(self, batch: Sequence[_Job]) -> list[ChatReply]:
        longest = max(len(job.ids) for job in batch)
        ids = torch.full((len(batch), longest), self._pad_id)
        mask = torch.zeros_like(ids)
        for row, job in enumerate(batch):
            ids[row, longest - len(job.ids) :] = torch.tensor(job.ids)
            mask[row, longest - len(job.ids) :] = 1
        config = GenerationConfig(
            max_new_tokens=batch[0].room,
            do_sample=False,
            eos_token_id=self._ends or None,
            pad_token_id=self._pad_id,
        )
        sampling = SeededSampling([job.request for job in batch], n_tokens=batch[0].room, device=self.device)
        output = self._network.generate(
            ids.to(self.device),
            attention_mask=mask.to(self.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([sampling]),
        )
        return [self._reply(job, written) for job, written in zip(batch, output[:, longest:].tolist(), strict=True)]

    def _reply(self, job: _Job, written: list[int]) -> ChatReply:
        end = next((i for i, token in enumerate(written) if token in self._ends), None)
        text = self._tokenizer.decode(written[:end], skip_special_tokens=True)
        return ChatReply(
            job.request,
            text.strip(),
            "length" if end is None else "stop",
            prompt_tokens=len(job.ids),
            completion_tokens=len(written) if end is None else end + 1,
        )

    @cached_property
    def _tokenizer(self):
        tokenizer = self._load(AutoTokenizer.from_pretrained)
        if not tokenizer.chat_template:
            raise ChatError(
                f"{self.model} has no chat template, so it cannot be asked anything: choose an "
                "instruction-tuned model, or put a chat_template.jinja into its folder"
            )
        return tokenizer

    @cached_property
    def _network(self):
        dtype = torch.float32 if self.device.type == "cpu" else torch.bfloat16
        network = self._load(AutoModelForCausalLM.from_pretrained, dtype=dtype).to(self.device).eval()
        # The model's own sampling settings (temperature, penalties) would otherwise be mixed into ours.
        network.generation_config = GenerationConfig()
        return network

    def _load(self, load: Callable[..., Any], **options: Any) -> Any:
        try:
            return load(self._path, local_files_only=self._local, **options)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ChatError(
                f"the chat model {self._path} cannot be loaded ({said}): check the path and the files, or, "
                "for a model on the hub, the connection and the access to it"
            ) from error

    @cached_property
    def _ends(self) -> list[int]:
        return turn_ends(self._tokenizer, self._network.config)

    @cached_property
    def _context(self) -> int:
        config = self._network.config.get_text_config()
        return min(getattr(config, "max_position_embeddings", 2**31), self._tokenizer.model_max_length)

    @property
    def _pad_id(self) -> int:
        # Padding is masked, so any token will do where a model has none for it.
        return self._tokenizer.pad_token_id or 0


class _Unanswerable(Exception):
    """Why a request cannot be put to the model."""


def fingerprint(folder: Path) -> str:
    """Hash of the files in a model's folder: names, sizes, and of each 64 evenly spaced blocks of 64 KiB.

    Any training changes it; reading every byte of a large model would take as long as a run. Folders within
    are left out: they hold other things, such as an SAE or a second copy of the weights.
    """
    seen = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        seen.update(f"{path.name} {size}\n".encode())
        step = max(_BLOCK_BYTES, size // _SAMPLED_BLOCKS)
        with path.open("rb") as file:
            for start in range(0, size, step):
                file.seek(start)
                seen.update(file.read(_BLOCK_BYTES))
    return seen.hexdigest()[:12]
