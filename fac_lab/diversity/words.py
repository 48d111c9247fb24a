"""Texts as numbered words, and their n-grams: what the lexical metrics count.

A word is a run of letters and digits of any script, with apostrophes and hyphens inside it, in lower case; punctuation
is none. So "Don't stop!" has two words. Scripts without blanks between words come out as one word per run: give
such texts segmented. N-grams lie within one text.
"""

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fac_lab.diversity.inputs import checked_texts

WORD = re.compile(r"\w+(?:['’\-]\w+)*")


class Words(NamedTuple):
    """The words of some texts as numbers, text after text: some 20 bytes a word while they are counted."""

    ids: np.ndarray
    """Which word, int64 `[n_words]`, in 0 to `n_vocabulary - 1`."""
    starts: np.ndarray
    """Where each text begins, int64 `[n_texts + 1]`; the last is `n_words`."""
    n_vocabulary: int
    """Different words."""

    @property
    def lengths(self) -> np.ndarray:
        """Words per text, int64 `[n_texts]`."""
        return np.diff(self.starts)


class Ngrams(NamedTuple):
    """Every n-gram of some texts, in order."""

    ids: np.ndarray
    """Which n-gram, int64 `[n_ngrams]`, in 0 to the number of different ones - 1."""
    texts: np.ndarray
    """In which text, int64 `[n_ngrams]`, ascending."""


def words(texts: Sequence[str] | Words) -> Words:
    """The words of texts; what is words already is returned as it is. Raises DataError for what is no list of
    strings."""
    return texts if isinstance(texts, Words) else number(WORD.findall(text.lower()) for text in checked_texts(texts))


def number(sequences: Iterable[Iterable[str]]) -> Words:
    """Sequences of any symbols (words, part-of-speech tags) as numbers, in order of first appearance."""
    vocabulary: dict[str, int] = {}
    ids, starts = array("q"), array("q", [0])
    for sequence in sequences:
        ids.extend(vocabulary.setdefault(symbol, len(vocabulary)) for symbol in sequence)
        starts.append(len(ids))
    return Words(np.frombuffer(ids, np.int64) if ids else np.zeros(0, np.int64), np.array(starts), len(vocabulary))


def ngrams(found: Words, n: int) -> Ngrams:
    """All runs of `n` words within a text; a text of fewer words has none."""
    texts = np.repeat(np.arange(len(found.starts) - 1), found.lengths)
    left = found.starts[1:][texts] - np.arange(len(texts))
    begins = np.flatnonzero(left >= n)
    ids = _compact(found.ids[begins])
    for step in range(1, n):
        # Numbered anew at each step, so that the product stays far below 2**63.
        ids = _compact(ids * found.n_vocabulary + found.ids[begins + step])
    return Ngrams(ids, texts[begins])


def _compact(keys: np.ndarray) -> np.ndarray:
    """Equal numbers for equal keys, from 0 without gaps."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int64, copy=False)
