"""Behaviour steering by contrastive activation addition (CAA; Rimsky et al. 2024, arXiv 2312.06681).

The vector of a behaviour is the mean difference, over A/B items in both orders, of the residual stream at the answer's
letter: matching letter minus other letter. Added, times a multiplier, from the answer's first token on, it should move
the choice. An item is answered *robustly* where the matching option wins in both orders, so that a taste for a letter
earns nothing; the *steering control rate* is the robust accuracy at multiplier 1 minus that at -1.

`answer_at="code"` is the authors' variant, which reads the letter behind an end-of-turn token. `answers="words"` is
for models too small to know letters: the answer is then read at the first token in which the two options differ.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from fac_lab.errors import DataError, ModelError, SettingsError
from fac_lab.tasks.ab_items import Item
from fac_lab.tasks.backbone import pad_right
from fac_lab.template import Talk, as_characters, encode

MULTIPLIERS = (-1.0, -0.5, 0.0, 0.5, 1.0)
OPENING = "("
"""What stands before the letter in an answer, as CAA writes it; a model that learned to answer otherwise says so."""

Cue = tuple[str, str]
"""A persona in words: what the system says, and what stands behind the options."""


class _Asked(NamedTuple):
    """One item in one order, ready to be read."""

    ids: list[int]
    """Tokens up to the letter, which is not among them."""
    start: int
    """Place of the answer's first token."""
    letters: tuple[int, int]
    """Tokens of the matching and of the other letter."""


class Steering:
    """A chat model whose answers to A/B items are read and moved at the output of one layer.

    `bridge` is a TransformerBridge, `layer` counts from 0 (the paper's 12th is 11). `opening` stands before the letter
    in an answer; it may be empty, and the vector is then added at the last token before the letter.
    """

    def __init__(
        self,
        bridge: Any,
        tokenizer: Any,
        *,
        layer: int,
        answer_at: str = "paper",
        opening: str = OPENING,
        answers: str = "letters",
        batch: int = 32,
    ) -> None:
        if answers not in ("letters", "words"):
            raise SettingsError(f'answers is {answers!r}; it has to be "letters" or "words"')
        if answer_at not in ("paper", "code"):
            raise SettingsError(f'answer_at is {answer_at!r}; it has to be "paper" or "code"')
        if not 0 <= layer < bridge.cfg.n_layers:
            raise SettingsError(f"layer {layer} does not exist: this model has layers 0 to {bridge.cfg.n_layers - 1}")
        self.bridge, self.tokenizer, self.layer, self.batch = bridge, tokenizer, layer, batch
        self.answer_at, self.opening, self.answers = answer_at, opening, answers

    @classmethod
    def load(cls, path: str, *, layer: int, **options: Any) -> "Steering":
        """The model of a folder or of the hub."""
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer

        from fac_lab.tasks.backbone import quiet_transformers

        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(path)
            bridge = TransformerBridge.boot_transformers(path, dtype=torch.float32, tokenizer=tokenizer)
        return cls(bridge, tokenizer, layer=layer, **options)

    def vector(self, items: Sequence[Item]) -> Tensor:
        """The behaviour's vector, [d_model] float32."""
        if not items:
            raise DataError("a vector needs items: pass those of one behaviour")
        asked = self._both_orders(items)
        states = [self._states([[*one.ids, one.letters[which]] for one in asked]) for which in (0, 1)]
        return (states[0] - states[1]).mean(0)

    def cue_vector(self, items: Sequence[Item], cues: tuple[Cue, Cue]) -> Tensor:
        """How far a persona moves the state before the letter, [d_model]: the mean, over items in both orders, of the
        state with the first cue minus that with the second. What a vector could at best carry."""
        if not items:
            raise DataError("a vector needs items: pass those of one behaviour")
        states = [self._states([one.ids for one in self._both_orders(items, cue)]) for cue in cues]
        return (states[0] - states[1]).mean(0)

    def residual_norm(self, items: Sequence[Item]) -> float:
        """Mean length of the states before the letter, by which multipliers of models can be compared."""
        return float(self._states([one.ids for one in self._both_orders(items)]).norm(dim=1).mean())

    def probabilities(
        self, items: Sequence[Item], vector: Tensor | None = None, multiplier: float = 1.0, *, cue: Cue = ("", "")
    ) -> np.ndarray:
        """[n_items, 2] probability of the matching letter against the other one: matching first, matching second.

        `cue` names a persona in words, beside the vector or in place of it.
        """
        asked = self._both_orders(items, cue)
        logits = self._logits(asked, vector, multiplier)
        pairs = torch.tensor([one.letters for one in asked])
        return logits.gather(1, pairs).softmax(-1)[:, 0].reshape(-1, 2).double().numpy()

    def loss(self, talks: Sequence[tuple[str, str]], vector: Tensor | None = None, multiplier: float = 1.0) -> float:
        """Mean next-token loss, in nats, over the replies of (prompt, reply), steered from the reply's start on: what
        steering costs the model elsewhere."""
        total, n = 0.0, 0
        for begin in range(0, len(talks), self.batch):
            some = talks[begin : begin + self.batch]
            asked = [self._tokens([_turn("user", prompt)]) for prompt, _ in some]
            whole = [before + self._characters(reply) for before, (_, reply) in zip(asked, some, strict=True)]
            ids, mask = pad_right(whole, 0)
            starts = torch.tensor([len(before) - 1 for before in asked])
            logits = self._run(ids, mask, starts, vector, multiplier)
            losses = functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
            place = torch.arange(ids.shape[1] - 1)
            counted = (place >= starts[:, None]) & mask[:, 1:].bool()
            total, n = total + float(losses[counted].sum()), n + int(counted.sum())
        if n == 0:
            raise DataError("there is no reply to measure the loss on: pass (prompt, reply) pairs with words in them")
        return total / n

    @property
    def _place(self) -> str:
        return f"blocks.{self.layer}.hook_resid_post"

    @cached_property
    def _device(self) -> torch.device:
        return next(self.bridge.parameters()).device

    def _tokens(self, talk: Talk, behind: str = "", *, generation_prompt: bool = True) -> list[int]:
        """A talk in its template, or in plain words, and what stands behind it; words of a template are no tokens."""
        if self.tokenizer.chat_template:
            return encode(self.tokenizer, [talk], generation_prompt=generation_prompt, behind=behind)[0]
        text = "\n\n".join([*(turn["content"] for turn in talk), "Answer: "]) + behind
        return self._characters(text, self.tokenizer.bos_token or "")

    def _characters(self, text: str, begin: str = "") -> list[int]:
        """A text behind what begins it, whose tokens are tokens."""
        places = [(len(begin), len(begin + text))]
        return as_characters(self.tokenizer, begin + text, places, add_special_tokens=False).ids

    def _both_orders(self, items: Sequence[Item], cue: Cue = ("", "")) -> list[_Asked]:
        return [self._asked(item, matching_first, cue) for item in items for matching_first in (True, False)]

    def _asked(self, item: Item, matching_first: bool, cue: Cue = ("", "")) -> _Asked:
        system, behind = cue
        text = item.text(matching_first=matching_first) + (f"\n{behind}" if behind else "")
        talk = [*([_turn("system", system)] if system else []), _turn("user", text)]
        opening = self.opening if self.answers == "letters" else ""
        before = self._tokens(talk)
        start = len(before)

        def answered(said: str) -> list[int]:
            if self.answer_at == "code" and self.tokenizer.chat_template:
                return self._tokens([*talk, _turn("assistant", opening)], said, generation_prompt=False)
            return self._tokens(talk, opening + said)

        if self.answers == "words":
            matching, other = answered(item.matching), answered(item.other)
            n = next((i for i, (a, b) in enumerate(zip(matching, other, strict=False)) if a != b), None)
            if n is None:
                raise DataError(f"item {item.id}: one option is the beginning of the other; no token tells them apart")
            return _Asked(matching[:n], min(start, n - 1), (matching[n], other[n]))
        a, b = answered("A"), answered("B")
        if len(a) != len(b) or a[:-1] != b[:-1] or a[-1] == b[-1]:
            raise ModelError(
                f"the tokenizer does not write {self.opening + 'A'!r} and {self.opening + 'B'!r} as one beginning and "
                "two letters, so that no letter can be read: use another model"
            )
        # Where the opening is one token with what stands before it, that token is where the answer starts.
        start = start if a[:start] == before and start < len(a) else len(a) - 2
        return _Asked(a[:-1], min(start, len(a) - 2), (a[-1], b[-1]) if matching_first else (b[-1], a[-1]))

    def _states(self, rows: Sequence[list[int]]) -> Tensor:
        """Residual stream at the last token of each row, [n, d_model]."""
        found = []
        for begin in range(0, len(rows), self.batch):
            some = rows[begin : begin + self.batch]
            ids, mask = pad_right(some, 0)
            kept: list[Tensor] = []
            self._forward(ids, mask, lambda x, hook, kept=kept: kept.append(x.detach()))
            last = torch.tensor([len(row) - 1 for row in some])
            found.append(kept[0].cpu()[torch.arange(len(some)), last].float())
        return torch.cat(found)

    def _logits(self, asked: Sequence[_Asked], vector: Tensor | None, multiplier: float) -> Tensor:
        """Logits at the place of the letter, [n, vocabulary]."""
        order = sorted(range(len(asked)), key=lambda i: len(asked[i].ids))
        parts = []
        for begin in range(0, len(order), self.batch):
            some = [asked[i] for i in order[begin : begin + self.batch]]
            ids, mask = pad_right([one.ids for one in some], 0)
            logits = self._run(ids, mask, torch.tensor([one.start for one in some]), vector, multiplier)
            parts.append(logits[torch.arange(len(some)), mask.sum(1) - 1])
        return torch.cat(parts)[torch.tensor(order).argsort()]

    def _run(self, ids: Tensor, mask: Tensor, starts: Tensor, vector: Tensor | None, multiplier: float) -> Tensor:
        """Logits [n, tokens, vocabulary] with the vector added from each row's start on."""
        if vector is None or multiplier == 0:
            return self._forward(ids, mask, None)
        behind = (torch.arange(ids.shape[1]) >= starts[:, None])[..., None].to(self._device)

        def add(x: Tensor, hook: Any) -> Tensor:
            return x + behind * (multiplier * vector).to(x)

        return self._forward(ids, mask, add)

    @torch.inference_mode()
    def _forward(self, ids: Tensor, mask: Tensor, hook: Any) -> Tensor:
        hooks = [] if hook is None else [(self._place, hook)]
        with self.bridge.hooks(fwd_hooks=hooks):
            return self.bridge(ids.to(self._device), attention_mask=mask.to(self._device)).float().cpu()


def _turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def robust_accuracy(probabilities: np.ndarray) -> float:
    """Share of items whose matching option wins in both orders; `probabilities` as `Steering.probabilities` gives
    them. A tie is no win."""
    return float((probabilities > 0.5).all(1).mean())


def steering_curve(
    steering: Steering, items: Sequence[Item], vector: Tensor, multipliers: Sequence[float] = MULTIPLIERS
) -> pd.DataFrame:
    """One row per multiplier: `standard` accuracy (both orders counted apart), `robust`, `robust_other` (the other
    option wins in both orders), `letter_a` (share of answers with the first letter) and `mean_p` of matching."""
    if not items:
        raise DataError("a steering curve needs items: pass a held-out set of the behaviour")
    rows = []
    for multiplier in multipliers:
        p = steering.probabilities(items, vector, multiplier)
        rows.append(
            {
                "multiplier": multiplier,
                "standard": float((p > 0.5).mean()),
                "robust": robust_accuracy(p),
                "robust_other": robust_accuracy(1 - p),
                "letter_a": float(np.mean([p[:, 0] > 0.5, p[:, 1] < 0.5])),
                "mean_p": float(p.mean()),
            }
        )
    return pd.DataFrame(rows)


def control_rate(steering: Steering, items: Sequence[Item], vector: Tensor) -> float:
    """SCR: robust accuracy at multiplier 1 minus at -1, in [-1, 1]."""
    return float(np.subtract(*steering_curve(steering, items, vector, (1.0, -1.0)).robust))


def random_vector(like: Tensor, *, seed: int) -> Tensor:
    """A direction drawn at random, as long as another vector: what its SCR has to be held against."""
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=0) * like.norm()
