"""From tokens to positive maxima: batches through subject and SAE, reduced at once, given back in blocks.

A block is as many texts as their maxima leave memory for, so that a chunk of any length can be collected.
"""

from collections.abc import Iterator, Sequence
from time import monotonic

import numpy as np
import torch
from tqdm.auto import tqdm

from fac_lab.features.batches import Budget, batches
from fac_lab.features.encoder import Encoder, Pooled
from fac_lab.features.subject import Subject
from fac_lab.features.tokens import TokenizedText

# Maxima that are held before they go into the statistics: a chunk's with Top-K, some hundred texts' without, when
# half of all features may be active in each of them.
_BLOCK_ENTRIES = 2**22


def blocks(
    subject: Subject, encoder: Encoder, tokens: Sequence[TokenizedText], budget: Budget, bar: "Progress"
) -> Iterator[tuple[np.ndarray, Pooled]]:
    """Positive maxima of a chunk in blocks of whole batches: the places in `tokens` of a block's texts, int64
    `[n_texts]`, and what they activate; `sample` counts in these texts. Each text is in one block."""
    members, found, entries = [], [], 0
    lengths = [len(text.ids) for text in tokens]
    todo = list(batches(lengths, budget.tokens))[::-1]
    while todo:
        batch = todo.pop()
        # A text without pooled tokens activates nothing, and may have no tokens at all to run.
        filled = [place for place, index in enumerate(batch) if tokens[index].stop > tokens[index].start]
        if filled:
            numbers = len(members) + np.array(filled)
            try:
                found.append(_of_batch(subject, encoder, [tokens[batch[place]] for place in filled], numbers))
            except torch.OutOfMemoryError as error:
                budget.halve(len(filled), lengths[batch[0]], error)
                rest = [index for later in (batch, *reversed(todo)) for index in later]
                fewer = batches([lengths[index] for index in rest], budget.tokens)
                todo = [[rest[place] for place in batch] for batch in fewer][::-1]
                continue
            entries += len(found[-1].value)
        members += batch
        bar.advance(len(batch), sum(len(tokens[index].ids) for index in batch))
        if entries >= _BLOCK_ENTRIES:
            yield np.array(members), _together(found)
            members, found, entries = [], [], 0
    if members:
        yield np.array(members), _together(found)


def _together(found: Sequence[Pooled]) -> Pooled:
    """The maxima of several batches as one."""
    if not found:
        none = np.zeros(0, np.int64)
        return Pooled(none, none, np.zeros(0, np.float32), none)
    return Pooled(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _of_batch(subject: Subject, encoder: Encoder, tokens: list[TokenizedText], numbers: np.ndarray) -> Pooled:
    """Positive maxima of one batch; `numbers` are the samples' places in the chunk."""
    activations = subject.activations(*subject.batch(tokens))
    place = torch.arange(activations.shape[1], device=activations.device)
    start, stop = (
        torch.tensor(column, device=activations.device)[:, None]
        for column in zip(*((text.start, text.stop) for text in tokens), strict=True)
    )
    segments, positions = ((place >= start) & (place < stop)).nonzero(as_tuple=True)
    pooled = encoder.pool(activations[segments, positions], segments, positions)
    return pooled._replace(sample=numbers[pooled.sample])


class Progress:
    """A bar over samples that also shows tokens per second, padding not counted."""

    def __init__(self, total: int | None, initial: int, name: str, shown: bool):
        self._bar = tqdm(total=total, initial=initial, desc=name, unit=" samples", disable=not shown)
        self._tokens, self._began = 0, monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def advance(self, samples: int, tokens: int) -> None:
        self._tokens += tokens
        rate = self._tokens / max(monotonic() - self._began, 1e-9)
        self._bar.set_postfix_str(f"{rate:,.0f} tokens/s", refresh=False)
        self._bar.update(samples)
