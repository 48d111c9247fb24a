"""Sampling in which every row of a batch has its own temperature, top-p and seed."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from fac_lab.chat.client import ChatRequest

_MOST_LIKELY = 128


class SeededSampling(LogitsProcessor):
    """Leaves one possible token per row: the likeliest at temperature 0, else one drawn with the row's seed.

    With `p` the distribution at the row's temperature, cut to the fewest likeliest tokens that hold `top_p`
    of it, and `u` the row's next uniform number, the token is the first at which the running sum of `p`,
    likeliest first, exceeds `u` times the sum of all of `p`.
    """

    def __init__(self, requests: Sequence[ChatRequest], *, n_tokens: int, device: torch.device) -> None:
        numbers = [np.random.default_rng(request.seed % 2**63).random(n_tokens) for request in requests]
        self._uniform = torch.tensor(np.array(numbers), dtype=torch.float32, device=device)
        self._temperature = torch.tensor([[request.temperature] for request in requests], device=device)
        self._top_p = torch.tensor([[request.top_p] for request in requests], device=device)
        self._greedy = not self._temperature.any()
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores `[n, vocabulary]` with all but one token of each row at minus infinity."""
        chosen = scores.argmax(-1, keepdim=True)
        if not self._greedy:
            chosen = torch.where(self._temperature == 0, chosen, self._draw(scores.float()))
        self._step += 1
        return torch.full_like(scores, -torch.inf).scatter_(-1, chosen, 0.0)

    def _draw(self, scores: torch.Tensor) -> torch.Tensor:
        """One token per row, `[n, 1]`."""
        temperature = self._temperature.masked_fill(self._temperature == 0, 1.0)
        everything = (scores / temperature).softmax(-1)
        # Sorting the whole vocabulary costs more than a small model's forward pass, and is rarely needed.
        p, tokens = everything.topk(min(_MOST_LIKELY, everything.shape[-1]))
        if (p.sum(-1, keepdim=True) < self._top_p).any():
            p, tokens = everything.sort(descending=True)
        # A token stays while those before it hold less than top_p; the likeliest always does.
        p = p.masked_fill(p.cumsum(-1) - p >= self._top_p, 0.0)
        running = p.cumsum(-1)
        target = self._uniform[:, self._step, None] * running[:, -1:]
        place = (running <= target).sum(-1, keepdim=True).clamp(max=(p > 0).sum(-1, keepdim=True) - 1)
        return tokens.gather(-1, place)
