"""Self-BLEU: how much of each text the other texts hold already. Exact, in near-linear time.

Zhu et al. 2018 (Texygen, arXiv 1802.01886): the mean over the texts of a text's BLEU with all other texts as its
references. Done text by text that is quadratic, hence the samples it is usually estimated from. But BLEU asks of
the references only two things: for each n-gram the largest count in any of them, and the length nearest to the
text's. The largest count in any *other* text is the largest over all, or the second largest where the text holds the
largest itself; so one sort of the n-grams serves all texts, and nothing has to be sampled.
"""

from collections.abc import Sequence

import numpy as np

from fac_lab.diversity.inputs import Undefined
from fac_lab.diversity.words import Ngrams, Words, ngrams, words

ORDERS = 4
EPSILON = 0.1


def self_bleu(texts: Sequence[str] | Words) -> float:
    """Mean BLEU of each text against all the others, in [0, 1]; 1 for copies, lower is more diverse.

    BLEU (Papineni et al. 2002) with equal weights on 1- to 4-grams; a text of fewer than four words is scored on
    the orders it has. An order without a match counts 0.1 matches (smoothing 1 of Chen and Cherry 2014, as in
    Texygen), a text that shares no word with any other scores 0. Texts without words take no part; Undefined where
    fewer than two are left. It grows with the number of texts, as more references match more.
    """
    found = words(texts)
    lengths = found.lengths
    held = np.flatnonzero(lengths)
    if len(held) < 2:
        return Undefined(f"{len(held)} text holds words, and it takes two" if len(held) else "no text holds a word")
    logs, any_match = np.zeros(len(lengths)), np.zeros(len(lengths), bool)
    for n in range(1, ORDERS + 1):
        matched = _matches(ngrams(found, n), len(lengths))
        if n == 1:
            any_match = matched > 0
        scored = np.flatnonzero(lengths >= n)
        precision = np.maximum(matched[scored], EPSILON) / (lengths[scored] - n + 1)
        logs[scored] += np.log(precision)
    scores = np.exp(logs[held] / np.minimum(lengths[held], ORDERS)) * _brevity(lengths[held])
    return float(np.where(any_match[held], scores, 0.0).mean())


def _matches(grams: Ngrams, n_texts: int) -> np.ndarray:
    """For each text the sum over its n-grams of its count, clipped at the largest count in any other text,
    int64 `[n_texts]`."""
    if not len(grams.ids):
        return np.zeros(n_texts, np.int64)
    pairs, counts = np.unique(grams.ids * n_texts + grams.texts, return_counts=True)
    gram, text = pairs // n_texts, pairs % n_texts
    # Pairs are sorted by n-gram, so that those of one are a run.
    run = np.flatnonzero(np.diff(gram, prepend=-1))
    most = np.maximum.reduceat(counts, run)[gram]
    leads = counts == most
    sole = np.add.reduceat(leads.astype(np.int64), run)[gram] == 1
    second = np.maximum.reduceat(np.where(leads, 0, counts), run)[gram]
    elsewhere = np.where(leads & sole, second, most)
    return np.bincount(text, weights=np.minimum(counts, elsewhere), minlength=n_texts).astype(np.int64)


def _brevity(lengths: np.ndarray) -> np.ndarray:
    """BLEU's penalty for texts shorter than the nearest length among the others (of two the shorter one),
    float64 `[n_texts]`, for positive `lengths`."""
    known, place, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    below = np.concatenate([[-np.inf], known[:-1]])
    above = np.concatenate([known[1:], [np.inf]])
    nearest = np.where(known - below <= above - known, below, above)
    nearest = np.where(counts > 1, known, nearest)
    return np.exp(np.minimum(0.0, 1 - nearest / known))[place]
