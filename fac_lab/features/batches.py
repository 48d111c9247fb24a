"""Texts in batches of a fixed number of tokens, padding included, and what is done where memory does not suffice."""

import logging
from collections.abc import Iterator, Sequence

import torch

from fac_lab.errors import ModelError

log = logging.getLogger(__name__)


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of texts, longest first, in batches of at most `batch_tokens` tokens, padding included.

    A text that exceeds the budget alone is a batch of its own. Longest first, so that memory that does not
    suffice shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


class Budget:
    """Tokens in a batch, padding included: fewer after memory did not suffice."""

    def __init__(self, tokens: int):
        self.tokens = tokens

    def halve(self, n_texts: int, longest: int, error: Exception) -> None:
        """Go on with half of what a batch of `n_texts` held. Raises ModelError where that was one text."""
        if n_texts == 1:
            raise ModelError(
                f"memory does not suffice for one text of {longest} tokens ({str(error).splitlines()[0]}): lower "
                "subject.max_tokens, load the model in bfloat16 (subject.dtype), or use a larger device"
            ) from error
        self.tokens = min(self.tokens, n_texts * longest) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(
            "memory did not suffice for %d texts of %d tokens: going on with batches of %d tokens (set "
            "collect.batch_tokens to this to spare the attempt)",
            n_texts,
            longest,
            self.tokens,
        )
