"""Features described by the words of their spans, and judged by them: no annotator, no activations of labelled text.

A feature is a class whose one document is its spans. Class-based TF-IDF (Grootendorst 2022, "BERTopic", eq. 3) gives
a word t the weight `tf(t, c) * log(1 + A / f(t))` in class c: tf is its count in the class, f its count in all
classes, A the mean number of words per class. The words of largest weight are the feature's summary.

The verdict asks in what texts these words stand. A word's evidence is its log-odds between labelled texts,
`log((n1 + 1) / (N1 + 2)) - log((n0 + 1) / (N0 + 2))` for n1 of N1 positive and n0 of N0 negative texts that hold it;
a feature's score is the mean evidence of its words, weighted by class-based TF-IDF. The null shuffles the labels over
the texts; relevant is a feature of positive score that exceeds its null with `q <= fdr` (Benjamini and Hochberg).
Because words are shared, a feature can be judged by texts that never activate it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import norm
from sklearn.feature_extraction.text import CountVectorizer

from fac_lab.annotation.probe import FDR, benjamini_hochberg, binary
from fac_lab.errors import DataError
from fac_lab.features.stats import FeatureStats

WORD = r"(?u)\b[^\W\d_][\w'-]+\b"
"""A word: a letter and at least one more character, of any script."""
SHUFFLES = 200


class FeatureWords(NamedTuple):
    """Words of features with their weights."""

    features: np.ndarray
    """Indices of the features, int64 `[n]`."""
    vocabulary: tuple[str, ...]
    """The words, lower case, sorted."""
    weights: sparse.csr_matrix
    """Class-based TF-IDF `[n, n_words]`, float64; a row without entries has no words."""

    def top(self, n: int = 5) -> list[list[str]]:
        """The `n` words of largest weight per feature, largest first, ties in alphabetical order; fewer if it has
        fewer."""
        found = []
        for start, stop in zip(self.weights.indptr[:-1], self.weights.indptr[1:], strict=True):
            words, weights = self.weights.indices[start:stop], self.weights.data[start:stop]
            found.append([self.vocabulary[word] for word in words[np.lexsort((words, -weights))[:n]]])
        return found


def feature_words(spans: Mapping[int, Sequence[str]]) -> FeatureWords:
    """Class-based TF-IDF of each feature's spans. Raises DataError where no span holds a word."""
    features = np.fromiter(spans, dtype=np.int64, count=len(spans))
    vectorizer = CountVectorizer(token_pattern=WORD)
    try:
        counts = vectorizer.fit_transform(" \n ".join(texts) for texts in spans.values()).astype(float)
    except ValueError as error:
        raise DataError("no span of these features holds a word: is collect.top_spans 0?") from error
    frequency = np.asarray(counts.sum(axis=0)).ravel()
    mean_words = counts.sum() / counts.shape[0]
    weights = sparse.csr_matrix(counts @ sparse.diags_array(np.log1p(mean_words / frequency)))
    weights.sort_indices()
    return FeatureWords(features, tuple(vectorizer.get_feature_names_out()), weights)


def spans_of(features: Sequence[int], stats: FeatureStats) -> dict[int, list[str]]:
    """Texts of the strongest spans per feature, in order."""
    texts: dict[int, list[str]] = {int(feature): [] for feature in features}
    table = stats.top.table(np.fromiter(texts, dtype=np.int64, count=len(texts)))
    for feature, text in zip(table.feature.tolist(), table.text.tolist(), strict=True):
        texts[feature].append(text)
    return texts


def lexical_summaries(words: FeatureWords, *, n: int = 4, lead: str = "texts about") -> pd.DataFrame:
    """`feature` and `summary`: the lead and the feature's top words; None where it has no words."""
    summaries = [f"{lead} {', '.join(top)}" if top else None for top in words.top(n)]
    return pd.DataFrame({"feature": words.features, "summary": pd.Series(summaries, dtype=object)})


def lexical_relevance(
    words: FeatureWords,
    texts: Sequence[str],
    labels: np.ndarray,
    *,
    fdr: float = FDR,
    n_shuffles: int = SHUFFLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Verdict by words, one row per feature: `feature`, `score`, `p`, `q`, `sign`, `relevant`.

    `labels` (0 or 1) belong to `texts`. p is that of a normal distribution with mean and spread of the feature's
    score in `n_shuffles` shuffles; a feature whose words are in no text has score 0 and p 1.
    """
    labels = binary(labels, len(texts))
    present = CountVectorizer(token_pattern=WORD, vocabulary=words.vocabulary, binary=True).transform(texts)
    known = np.asarray(present.sum(axis=0)).ravel() > 0
    weights = words.weights @ sparse.diags_array(known.astype(float))
    total = np.asarray(weights.sum(axis=1)).ravel()
    shares = sparse.diags_array(1 / np.where(total > 0, total, 1.0)) @ weights
    dice = np.random.default_rng(seed)
    shuffled = np.column_stack([dice.permutation(labels) for _ in range(n_shuffles)])
    score = shares @ _evidence(present, labels[:, None]).ravel()
    null = shares @ _evidence(present, shuffled)
    centre, spread = null.mean(axis=1), null.std(axis=1, ddof=1)
    p = np.where(spread > 0, norm.sf((score - centre) / np.where(spread > 0, spread, 1.0)), 1.0)
    q = benjamini_hochberg(p)
    return pd.DataFrame(
        {
            "feature": words.features,
            "score": score,
            "p": p,
            "q": q,
            "sign": np.sign(score).astype(int),
            "relevant": (q <= fdr) & (score > 0),
        }
    )


def _evidence(present: sparse.csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Log-odds of every word between positive and negative texts, for each column of `labels [n_texts, n]`."""
    held = present.T.astype(float)
    positive = held @ labels
    negative = np.asarray(held.sum(axis=1)).reshape(-1, 1) - positive
    n_positive = labels.sum(axis=0)
    n_negative = len(labels) - n_positive
    return np.log((positive + 1) / (n_positive + 2)) - np.log((negative + 1) / (n_negative + 2))
