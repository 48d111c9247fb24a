"""Streams of a subject's activation vectors, for training on them in random order and bounded memory.

Rows are drawn in shuffled order and their vectors handed out in rounds that fit in memory, to be shuffled again by
whoever trains on them. What is held: the window of 100,000 texts in which rows are shuffled; the vectors of a round
(0.5 GB, which are 32,768 of width 4,096 in float32; twice that while its pieces are joined), and what a round exceeds
that by, one chunk of 256 texts at most. Nothing is written to disk, however long the corpus.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from fac_lab.errors import DataError
from fac_lab.features.batches import batches
from fac_lab.features.subject import Subject, pooled_mask

if TYPE_CHECKING:
    from fac_lab.corpora import Corpus

# A round's vectors in memory, in float32.
ROUND_BYTES = 2**29
BATCH_TOKENS = 4096
_CHUNK_ROWS = 256
_SHUFFLED_ROWS = 100_000


def vector_rounds(
    subject: Subject, corpus: "Corpus", *, batch: int, seed: int, row: int = 0, progress: bool = False
) -> Iterator[tuple[torch.Tensor, int]]:
    """Endless rounds of activation vectors `[n, d_model]`, each with the row at which the next one begins.

    A round ends when it is full or when the pass over the corpus ends; every pass has the same order, so that
    the row alone says where a round begins. A corpus whose vectors fit in one round is run through the subject
    once. Raises DataError for one that does not fill a `batch`.
    """
    full = max(16 * batch, ROUND_BYTES // (4 * subject.d_model))
    with tqdm(
        total=full, desc="reading activations", unit=" vectors", unit_scale=True, disable=not progress, leave=False
    ) as bar:
        while True:
            held, begin = [], row
            rows = islice(_shuffled((row.text for row in corpus), seed), row, None)
            while texts := list(islice(rows, _CHUNK_ROWS)):
                read = _vectors(subject, texts)
                held += read
                row += len(texts)
                bar.update(sum(map(len, read)))
                if sum(map(len, held)) >= full:
                    yield torch.cat(held), row
                    held, begin = [], row
                    bar.reset()
            if begin == 0:
                break
            if held:
                yield torch.cat(held), 0
                bar.reset()
            row = 0
    whole = torch.cat(held) if held else torch.zeros(0, subject.d_model)
    if len(whole) < batch:
        raise DataError(
            f"{corpus.name} gives {len(whole)} activation vectors, fewer than one batch of {batch}. Use more texts, "
            "or lower sae_training.batch."
        )
    while True:
        yield whole, 0


def _vectors(subject: Subject, texts: list[str]) -> list[torch.Tensor]:
    """Activations at the pooled positions of some texts, on the CPU, batch by batch."""
    tokens = subject.tokenize(texts, pool="paper")
    found = []
    for batch in batches([len(text.ids) for text in tokens], BATCH_TOKENS):
        chosen = [tokens[index] for index in batch]
        activations = subject.activations(*subject.batch(chosen))
        found.append(activations[pooled_mask(chosen, activations.shape[1], activations.device)].cpu())
    return found


def _shuffled(texts: Iterable[str], seed: int) -> Iterator[str]:
    """The texts in random order, from a window of 100,000 of them: memory does not grow with the corpus."""
    chance, texts = random.Random(seed), iter(texts)
    window = list(islice(texts, _SHUFFLED_ROWS))
    chance.shuffle(window)
    for text in texts:
        place = chance.randrange(len(window))
        yield window[place]
        window[place] = text
    yield from window
