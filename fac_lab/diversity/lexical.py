"""Diversity of wording: distinct n-grams, their entropy, compression, and length.

All of them depend on the number of texts and on their length (a vocabulary is used up), so that only sets of equal
size compare; all are the same in any order of the texts.
"""

import gzip
from collections.abc import Sequence

import numpy as np

from fac_lab.diversity.inputs import Undefined, checked_texts
from fac_lab.diversity.words import Words, ngrams, words

_LEVEL = 9


def distinct(texts: Sequence[str] | Words, n: int) -> float:
    """Different n-grams over all n-grams of the set, in (0, 1]; 1 where none repeats. Undefined where no text has
    `n` words.

    Li et al. 2016 (arXiv 1510.03055), who divide by the number of words; dividing by the n-grams, as is usual since,
    makes 1 the largest value for every n.
    """
    ids = ngrams(words(texts), n).ids
    return _n_different(ids) / len(ids) if len(ids) else Undefined(_no_ngram(n))


def ngram_entropy(texts: Sequence[str] | Words, n: int) -> float:
    """Shannon entropy of the n-grams' shares in nats, `-sum p log p`: 0 for one n-gram throughout, at most the
    logarithm of their number. Undefined where no text has `n` words. (Ent-n of Zhang et al. 2018, arXiv 1809.05972.)
    """
    ids = ngrams(words(texts), n).ids
    return entropy(np.bincount(ids)) if len(ids) else Undefined(_no_ngram(n))


def mean_length(texts: Sequence[str] | Words) -> float:
    """Mean number of words per text. Undefined for no text. No diversity: what the others have to be held against."""
    lengths = words(texts).lengths
    return float(lengths.mean()) if len(lengths) else Undefined("there are no texts")


def compression_ratio(texts: Sequence[str], *, ordered: bool = False) -> float:
    """Bytes of all texts, a line each, over their bytes after gzip once: larger means more repetition.

    Shaib et al. 2024 (arXiv 2403.00553), who compress the texts as they come (`ordered=True`). Gzip finds repeats
    within 32 kB only, so that the order decides what it sees; here the texts are sorted first, which makes the ratio
    one of the set, and a little larger. Short sets fall below 1 by gzip's header. Undefined where all texts are empty.
    """
    lines = list(checked_texts(texts)) if ordered else sorted(checked_texts(texts))
    # What a row of a data set may hold and UTF-8 may not: half of a surrogate pair.
    data = "\n".join(lines).encode("utf-8", errors="surrogatepass")
    if not data.strip(b"\n"):
        return Undefined("there are no texts" if not lines else "all texts are empty")
    return len(data) / len(gzip.compress(data, _LEVEL, mtime=0))


def entropy(counts: np.ndarray) -> float:
    """Shannon entropy in nats of shares proportional to `counts [n]`, some of which are positive."""
    shares = counts[counts > 0] / counts.sum()
    # The sum of a single share is -0.0.
    return max(0.0, float(-(shares * np.log(shares)).sum()))


def _n_different(ids: np.ndarray) -> int:
    return int(ids.max()) + 1


def _no_ngram(n: int) -> str:
    return "no text holds a word" if n == 1 else f"no text holds {n} words"
