"""The subject as a writer, with or without a vector added to its residual stream, for many texts at once.

While it writes, the vector of each text is added to the output of the subject's layer at the last position: at the
end of the prompt and at every token written, so at each place from which a token is drawn. Later layers, and what
they remember of earlier tokens, see the changed stream; earlier layers do not. After the last layer too this is the
residual stream before the final norm: nothing then but the next token's logits is changed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from transformers import GenerationConfig, LogitsProcessorList

from fac_lab.chat.client import ChatRequest
from fac_lab.chat.sampling import SeededSampling
from fac_lab.errors import DataError, ModelError
from fac_lab.features.subject import Subject, layer_output
from fac_lab.settings import SynthesisSettings
from fac_lab.template import render, turn_ends


class Draft(NamedTuple):
    """What was written."""

    text: str
    """As far as it got."""
    reason: str
    """Why it is no whole text: "empty" or "cut off at max_tokens"; else empty."""


def directions(sae: Any, features: Sequence[int]) -> torch.Tensor:
    """What an activation of 1 of each feature writes into the residual stream, float32 `[n_features, d_in]`.

    These are rows of the decoder; where the SAE scales activations by the norms of those rows, rows of length 1. A
    zero row stays zero. For an SAE that rescales its input, the unit is that of the rescaled stream. Raises DataError
    for features that do not exist.
    """
    rows = torch.as_tensor([int(feature) for feature in features], dtype=torch.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(sae.W_dec):
        raise DataError(
            f"features lie in 0 to {len(sae.W_dec) - 1}, but {int(rows.min())} to {int(rows.max())} were asked for"
        )
    found = sae.W_dec.detach()[rows.to(sae.W_dec.device)].float()
    if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
        found = found / found.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return found


@contextmanager
def added(subject: Subject, vectors: torch.Tensor) -> Iterator[None]:
    """Within the context, row i of each batch has `vectors[i]` (`[n, d_model]`) added at its last position."""

    def add(module, args, output):
        stream = layer_output(output).clone()
        stream[:, -1] += vectors.to(stream)
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    handle = subject.hook_module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


class Writer:
    """The subject writing users' queries, or answers to `prompt` where there is one.

    Without a `prompt`, it begins behind what the chat template puts before a user's turn, without a template behind
    the token that begins a text. Every text is drawn with random numbers of its own seed, as in `LocalBackend`.
    Raises ModelError for a subject that cannot write, or has nothing to begin with.
    """

    def __init__(self, subject: Subject, sampling: SynthesisSettings, *, prompt: str = "", batch: int = 64) -> None:
        if not subject.has_head:
            raise ModelError(
                f"{subject.name} predicts no next token, so it cannot write while it is steered: take a causal model "
                "as subject, or fill the gap by prompts or from a pool"
            )
        self.subject = subject
        self.sampling = sampling
        self.batch = batch
        self.opening = _opening(subject, prompt)
        """Tokens that every text is written behind."""
        # What is longer than the subject reads could not be measured.
        self._room = min(sampling.max_tokens, subject.max_tokens - len(self.opening))
        if self._room < 1:
            raise ModelError(
                f"the opening takes {len(self.opening)} of the {subject.max_tokens} tokens that {subject.name} reads: "
                "shorten steered.prompt, or raise subject.max_tokens"
            )
        chat = subject.template == "chat"
        self._ends = turn_ends(subject.tokenizer, subject.model.config) if chat else [subject.tokenizer.eos_token_id]
        self._ends = [token for token in self._ends if token is not None]

    def write(self, seeds: Sequence[int], vectors: torch.Tensor | None = None) -> list[Draft]:
        """One text per seed, the subject steered by `vectors [n, d_model]`; None leaves it as it is."""
        drafts = []
        for start in range(0, len(seeds), self.batch):
            rows = slice(start, start + self.batch)
            if vectors is None:
                drafts += self._written(seeds[rows])
                continue
            with added(self.subject, vectors[rows].to(self.subject.device)):
                drafts += self._written(seeds[rows])
        return drafts

    @torch.inference_mode()
    def _written(self, seeds: Sequence[int]) -> list[Draft]:
        model, sampling = self.subject.model, self.sampling
        requests = [
            ChatRequest((), temperature=sampling.temperature, top_p=sampling.top_p, seed=int(seed)) for seed in seeds
        ]
        ids = torch.tensor([self.opening] * len(seeds), device=self.subject.device)
        config = GenerationConfig(
            max_new_tokens=self._room,
            do_sample=False,
            eos_token_id=self._ends or None,
            pad_token_id=self.subject.tokenizer.pad_token_id or 0,
        )
        drawn = SeededSampling(requests, n_tokens=self._room, device=self.subject.device)
        # The model's own sampling settings (temperature, penalties) would otherwise be mixed into ours.
        own, model.generation_config = model.generation_config, GenerationConfig()
        try:
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                logits_processor=LogitsProcessorList([drawn]),
            )
        finally:
            model.generation_config = own
        return [self._draft(written) for written in output[:, len(self.opening) :].tolist()]

    def _draft(self, written: list[int]) -> Draft:
        end = next((i for i, token in enumerate(written) if token in self._ends), None)
        text = self.subject.tokenizer.decode(written[:end], skip_special_tokens=True).strip()
        if end is None:
            return Draft(text, "cut off at max_tokens")
        return Draft(text, "" if text else "empty")


def _opening(subject: Subject, prompt: str) -> list[int]:
    tokenizer = subject.tokenizer
    if subject.template == "chat":
        try:
            text = render(tokenizer, [{"role": "user", "content": prompt}] if prompt else [])
        except TemplateError as error:
            raise ModelError(f"the chat template of {subject.name} refuses steered.prompt: {error}") from error
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        begin = tokenizer.bos_token_id
        ids = [] if begin is None else [begin]
        ids += tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    if not ids:
        raise ModelError(
            f"{subject.name} has neither a chat template that opens a user's turn nor a token that begins a text, so "
            "there is nothing to write behind: set steered.prompt, or give its tokenizer a bos_token"
        )
    return ids
