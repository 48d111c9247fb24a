"""The strongest spans of each feature: what a person, or an annotator, reads to tell what it stands for.

Kept as dense arrays `[d_sae, k]`, so that a whole chunk of samples is offered at once and only the features
that gain a span are touched. At most one span per feature and sample. Spans are ordered by value (largest
first), then sample id, then text: a total order, so the k best do not depend on how the data were split.
Values are kept to ten significant bits: texts with the same beginning activate a causal model alike but for
rounding, which differs from batch to batch and must not decide which of them is shown.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fac_lab.features.encoder import Pooled
    from fac_lab.features.tokens import TokenizedText


class Span(NamedTuple):
    """A piece of one text in which a feature reached its maximum over that text."""

    feature: int
    """Feature index."""
    value: float
    """Pooled activation of the text, within 0.05 %."""
    sample_id: str
    """Id of the text's row in its corpus."""
    text: str
    """The piece, as it stands in the text."""
    peak: tuple[int, int]
    """Characters `[start, stop)` of `text` that are the token with the maximum. Both are `len(text)` where
    the maximum lies in the chat template behind the text."""


class SpanTable(NamedTuple):
    """Spans as columns of equal length, in no particular order."""

    feature: np.ndarray
    """int64 `[n]`."""
    value: np.ndarray
    """float32 `[n]`, all above 0."""
    sample_id: np.ndarray
    """Texts, object `[n]`."""
    text: np.ndarray
    """Texts, object `[n]`."""
    peak: np.ndarray
    """int64 `[n, 2]`."""

    def take(self, rows: np.ndarray) -> "SpanTable":
        """The rows that an index or mask names."""
        return SpanTable(*(column[rows] for column in self))


def cut(text: str, offsets: Sequence[tuple[int, int]], position: int, span_tokens: int) -> tuple[str, tuple[int, int]]:
    """The piece of `text` that shows what made a feature fire at token `position`, and the peak within it.

    `offsets` are the characters of each pooled token in `text`, those of template tokens behind it
    `(len(text), len(text))`; `position` counts from the first of them. The piece has at most `span_tokens`
    tokens: the peak, up to a quarter of them behind it (a word often ends there), the rest before it, because
    a causal model has seen nothing else. A peak in the template gets the end of the text.
    """
    end = len(text)
    n_content = bisect_left(offsets, (end, end))
    last = min(n_content - 1, position + span_tokens // 4)
    if last < 0:
        return "", (0, 0)
    start, stop = offsets[max(0, last - span_tokens + 1)][0], offsets[last][1]
    if position >= n_content:
        return text[start:stop], (stop - start, stop - start)
    return text[start:stop], (offsets[position][0] - start, offsets[position][1] - start)


def cut_before(
    ids: np.ndarray, start: int, position: int, span_tokens: int, decode: Callable[[np.ndarray], str]
) -> tuple[str, tuple[int, int]]:
    """The up to `span_tokens` tokens before `position`, none before `start`, and a peak of no characters behind them.

    The authors' script cuts its spans so: the token that peaked is not in them, tokens of the template are, and a
    feature that peaks at the first pooled token has an empty one.
    """
    text = decode(ids[max(start, position - span_tokens) : position])
    return text, (len(text), len(text))


class TopSpans:
    """The `k` strongest spans of each of `d_sae` features."""

    def __init__(self, d_sae: int, k: int):
        self.d_sae, self.k = d_sae, k
        # Slots are filled from the left, strongest first; an empty one has value 0.
        self._value = np.zeros((d_sae, k), np.float32)
        self._sample_id = np.full((d_sae, k), "", dtype=object)
        self._text = np.full((d_sae, k), "", dtype=object)
        self._peak = np.zeros((d_sae, k, 2), np.int64)

    def update(
        self,
        pooled: "Pooled",
        ids: Sequence[str],
        texts: Sequence[str],
        tokens: Sequence["TokenizedText"],
        *,
        span_tokens: int,
        decode: Callable[[np.ndarray], str] | None = None,
    ) -> None:
        """Offer a chunk of samples (as in `FeatureStats.update`); only texts of possible winners are cut.

        With `decode`, spans are what it makes of the tokens before the peak (see `cut_before`).
        """
        if self.k == 0:
            return
        value = _ten_bits(pooled.value)
        # A tie with the weakest span may still win by its sample id.
        rows = np.flatnonzero(value >= self._value[pooled.feature, -1])
        weakest = _kth_largest(pooled.feature[rows], value[rows], self.k, self.d_sae)
        rows = rows[value[rows] >= weakest[pooled.feature[rows]]]
        place = np.empty(len(ids), np.int64)
        place[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
        rows = rows[np.lexsort((place[pooled.sample[rows]], -value[rows], pooled.feature[rows]))]
        rank = rank_within(pooled.feature[rows])
        rows, rank = rows[rank < self.k], rank[rank < self.k]
        # The best of the chunk has to beat the weakest span only, the next one the weakest but one, and so on.
        rows = rows[value[rows] >= self._value[pooled.feature[rows], self.k - 1 - rank]]
        if not len(rows):
            return
        # Features that peak at one token share its piece.
        width = int(pooled.position.max()) + 1
        places, piece = np.unique(pooled.sample[rows] * width + pooled.position[rows], return_inverse=True)
        pieces, peaks = [], []
        for place_of_peak in places.tolist():
            sample, position = divmod(int(place_of_peak), width)
            own = tokens[sample]
            text, peak = (
                cut(texts[sample], own.offsets, position - own.start, span_tokens)
                if decode is None
                else cut_before(own.ids, own.start, position, span_tokens, decode)
            )
            pieces.append(text)
            peaks.append(peak)
        self.offer(
            SpanTable(
                pooled.feature[rows],
                value[rows],
                np.array(ids, dtype=object)[pooled.sample[rows]],
                np.array(pieces, dtype=object)[piece],
                np.array(peaks, np.int64)[piece],
            )
        )

    def offer(self, candidates: SpanTable) -> None:
        """Take in those candidates that are among the best, of either side, for their feature."""
        if self.k == 0:
            return
        # Those below a feature's weakest span are beaten by k others; one that ties may win by its sample id.
        candidates = candidates.take(candidates.value >= self._value[candidates.feature, -1])
        if len(candidates.feature) == 0:
            return
        touched = np.unique(candidates.feature)
        both = SpanTable(*(np.concatenate(pair) for pair in zip(self.table(touched), candidates, strict=True)))
        both = both.take(_best_first(both))
        both = both.take(_first_of_each_sample(both))
        rank = rank_within(both.feature)
        kept, rank = both.take(rank < self.k), rank[rank < self.k]
        # Offering never lowers a feature's number of spans, so every slot that was filled is written again.
        self._value[kept.feature, rank] = kept.value
        self._sample_id[kept.feature, rank] = kept.sample_id
        self._text[kept.feature, rank] = kept.text
        self._peak[kept.feature, rank] = kept.peak

    def copy(self) -> "TopSpans":
        """The same spans, to which others may be offered."""
        both = TopSpans(0, self.k)
        both.d_sae = self.d_sae
        for name in ("_value", "_sample_id", "_text", "_peak"):
            setattr(both, name, getattr(self, name).copy())
        return both

    def table(self, features: np.ndarray | None = None) -> SpanTable:
        """Spans of some features (or of all), feature by feature in the order given, strongest first."""
        features = np.arange(self.d_sae) if features is None else np.asarray(features, dtype=np.int64)
        row, rank = np.nonzero(self._value[features])
        feature = features[row]
        return SpanTable(
            feature,
            self._value[feature, rank],
            self._sample_id[feature, rank],
            self._text[feature, rank],
            self._peak[feature, rank],
        )

    def spans(self, feature: int) -> list[Span]:
        """The spans of one feature, strongest first."""
        table = self.table(np.array([feature]))
        return [
            Span(int(feature), float(value), sample_id, text, (int(peak[0]), int(peak[1])))
            for _, value, sample_id, text, peak in zip(*table, strict=True)
        ]


def _ten_bits(value: np.ndarray) -> np.ndarray:
    """Positive float32 values rounded to ten significant bits; none becomes 0."""
    bits = value.astype(np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(1 << 13)) & ~np.uint32((1 << 14) - 1)).view(np.float32)
    return np.maximum(rounded, np.finfo(np.float32).tiny)


def _kth_largest(feature: np.ndarray, value: np.ndarray, k: int, d_sae: int) -> np.ndarray:
    """The k-th largest of the positive values of each feature, float32 `[d_sae]`; 0 where there are fewer."""
    # Positive floats are ordered as their bits are; one sort of one key is much faster than one by two columns.
    key = (feature.astype(np.uint64) << np.uint64(32)) | ~value.view(np.uint32)
    key.sort()
    stop = np.cumsum(np.bincount(feature, minlength=d_sae))
    at = np.diff(stop, prepend=0) >= k
    weakest = np.zeros(d_sae, np.float32)
    weakest[at] = (~key[(stop - np.diff(stop, prepend=0))[at] + k - 1].astype(np.uint32)).view(np.float32)
    return weakest


def rank_within(feature: np.ndarray) -> np.ndarray:
    """Place of each row among those of its feature, from 0; rows of a feature stand together."""
    starts = np.flatnonzero(np.diff(feature, prepend=-1))
    return np.arange(len(feature)) - np.repeat(starts, np.diff(starts, append=len(feature)))


def _best_first(table: SpanTable) -> np.ndarray:
    """Order of the rows by feature, then strongest first; ties by sample id, text, peak."""
    order = np.lexsort((-table.value, table.feature))
    feature, value = table.feature[order], table.value[order]
    equal = (feature[1:] == feature[:-1]) & (value[1:] == value[:-1])
    if not equal.any():
        return order
    # Comparing texts is slow and ties are rare, so only the tied rows are ranked by theirs.
    tied = order[np.concatenate([equal, [False]]) | np.concatenate([[False], equal])]
    keys = list(zip(table.sample_id[tied], table.text[tied], map(tuple, table.peak[tied].tolist()), strict=True))
    place = {key: number for number, key in enumerate(sorted(set(keys)))}
    tie = np.zeros(len(order), np.int64)
    tie[tied] = [place[key] for key in keys]
    return np.lexsort((tie, -table.value, table.feature))


def _first_of_each_sample(table: SpanTable) -> np.ndarray:
    """Rows (ascending) that are the first of their feature and sample."""
    # Few samples come twice, and texts are slow to compare: first it is seen whether any do.
    code = np.fromiter(map(hash, table.sample_id), np.int64, len(table.sample_id))
    order = np.lexsort((code, table.feature))
    feature, code = table.feature[order], code[order]
    if not ((feature[1:] == feature[:-1]) & (code[1:] == code[:-1])).any():
        return np.arange(len(order))
    numbers: dict[str, int] = {}
    sample = np.array([numbers.setdefault(sample_id, len(numbers)) for sample_id in table.sample_id])
    _, first = np.unique(table.feature * len(numbers) + sample, return_index=True)
    return np.sort(first)
