"""Activations token by token: where in a text a feature fires, and the same for its strongest spans.

Reads texts as `collect` and `measure` do (same template, same pooling, same protocol), but keeps every token,
those of the template too: its maximum over the pooled tokens is what `measure` gives.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from fac_lab.errors import DataError
from fac_lab.features.batches import batches
from fac_lab.features.encoder import Encoder
from fac_lab.features.spans import Span, cut
from fac_lab.features.tokens import TokenizedText, token_texts
from fac_lab.settings import CollectSettings

if TYPE_CHECKING:
    from fac_lab.corpora import Row
    from fac_lab.features.subject import Subject

# Tokens whose dense features exist at once: 64 MB at 65,536 features.
_CHUNK_TOKENS = 256


class TokenTrace(NamedTuple):
    """Every token of one text in its template, with the activations of some features."""

    text: str
    """The text, without the template."""
    features: np.ndarray
    """Feature of each column, int64 `[n_features]`."""
    values: np.ndarray
    """Activations, float32 `[n_tokens, n_features]`."""
    pieces: list[str]
    """What each token shows, `[n_tokens]`. Those of the text's own tokens, joined, are the text up to `unread`: white
    space that the tokenizer skips goes to the token behind it, and of several tokens that make up one character the
    first has it, the others have "". Tokens of the template show themselves."""
    offsets: np.ndarray
    """Characters `[start, stop)` of each token in `text`, int64 `[n_tokens, 2]`; tokens before it have (0, 0), behind
    it (len, len). Tokens of one character share its place."""
    pooled: np.ndarray
    """Whether a token counts for the pooled activation, bool `[n_tokens]`."""
    template: np.ndarray
    """Whether a token is the template's (or the tokenizer's own special one), not the text's, bool `[n_tokens]`."""
    unread: str
    """The end of the text that the length limit cut off; all of it where no token is the text's."""

    @property
    def maxima(self) -> np.ndarray:
        """Pooled activations, float32 `[n_features]`: what `measure` gives; 0 where nothing is pooled."""
        return np.maximum(self.values[self.pooled].max(axis=0, initial=0), 0)

    def peak(self, column: int = 0) -> int | None:
        """The token with a feature's maximum, the first if several tie; None where it does not fire."""
        counted = np.where(self.pooled, self.values[:, column], 0)
        return int(counted.argmax()) if counted.size and counted.max() > 0 else None

    def characters(self, token: int) -> str:
        """The characters that are a token, white space skipped before it left out; "" in the template."""
        start, stop = self.offsets[token]
        return self.text[start:stop]

    def span(self, span_tokens: int, token: int | None = None, column: int = 0, *, sample_id: str = "") -> Span:
        """The piece of the text around a pooled token (the peak, or the text's middle where there is none), cut as
        `collect` cuts spans.

        A text of at most `span_tokens` tokens is its own piece. `peak` of the span is that token; where there is
        none, and in the template, it has no characters.
        """
        feature, value = int(self.features[column]), float(self.maxima[column])
        counted = np.flatnonzero(self.pooled)
        offsets = [(int(start), int(stop)) for start, stop in self.offsets[counted]]
        n_content = sum(start < stop for start, stop in offsets)
        at = self.peak(column) if token is None else token
        place = None if at is None else int(np.searchsorted(counted, at))
        if n_content <= span_tokens:
            peak = (len(self.text), len(self.text)) if place is None else offsets[place]
            return Span(feature, value, sample_id, self.text, peak)
        text, peak = cut(self.text, offsets, n_content // 2 if place is None else place, span_tokens)
        return Span(feature, value, sample_id, text, (len(text), len(text)) if place is None else peak)

    def take(self, tokens: slice) -> "TokenTrace":
        """A run of the tokens as a trace of its own, whose text is theirs."""
        pieces, template = self.pieces[tokens], self.template[tokens]
        text = "".join(piece for piece, foreign in zip(pieces, template, strict=True) if not foreign)
        own = np.flatnonzero(~self.template)
        chosen = own[(own >= tokens.start) & (own < tokens.stop)]
        begin = sum(len(self.pieces[token]) for token in own[own < tokens.start])
        offsets = np.clip(self.offsets[tokens] - begin, 0, len(text)) if len(chosen) else 0 * self.offsets[tokens]
        return TokenTrace(
            text, self.features, self.values[tokens], pieces, offsets, self.pooled[tokens], template, unread=""
        )


class SpanTrace(NamedTuple):
    """A span with its tokens' activations."""

    span: Span
    trace: TokenTrace
    """The tokens of the span, one column: the span's feature. A peak in the template has that token too."""
    in_context: bool
    """Whether the whole text was read, so that values are those behind `span.value`. A span read alone has lost what
    stood before it, and its values differ."""


def trace(
    subject: "Subject", sae: Any, text: str, features: Sequence[int], settings: CollectSettings | None = None
) -> TokenTrace:
    """Activations of `features` at every token of `text`, collected as `settings` say."""
    return traces(subject, sae, [text], features, settings)[0]


def traces(
    subject: "Subject",
    sae: Any,
    texts: Sequence[str],
    features: Sequence[int],
    settings: CollectSettings | None = None,
) -> list[TokenTrace]:
    """The same for several texts in one go, in their order.

    Texts may be empty or of white space: only tokens of the template are left then, or none. Text beyond the subject's
    limit is not read (see `TokenTrace.unread`). Raises DataError for features that do not exist.
    """
    return _traces(subject, sae, texts, [features] * len(texts), settings)


def trace_each(
    subject: "Subject",
    sae: Any,
    texts: Sequence[str],
    features: Sequence[int],
    settings: CollectSettings | None = None,
) -> list[TokenTrace]:
    """One feature along each text: traces with one column, `features[i]` along `texts[i]`.

    A text that is named several times is run once. Raises DataError for lists of unequal length, and for features
    that do not exist.
    """
    if len(texts) != len(features):
        raise DataError(f"{len(texts)} texts and {len(features)} features were given: name one feature per text")
    asked: dict[str, dict[int, int]] = {}
    for text, feature in zip(texts, features, strict=True):
        columns = asked.setdefault(text, {})
        columns.setdefault(int(feature), len(columns))
    found = _traces(subject, sae, list(asked), [list(columns) for columns in asked.values()], settings)
    traced = dict(zip(asked, found, strict=True))
    result = []
    for text, feature in zip(texts, features, strict=True):
        column = [asked[text][int(feature)]]
        several = traced[text]
        result.append(several._replace(features=several.features[column], values=several.values[:, column]))
    return result


def trace_spans(
    subject: "Subject",
    sae: Any,
    spans: Sequence[Span],
    settings: CollectSettings | None = None,
    *,
    texts: Mapping[str, str] | None = None,
) -> list[SpanTrace]:
    """Token by token what made spans fire, in their order.

    `texts` are whole texts by sample id (see `texts_of`): a span is read in its text and cut out, so that its maximum
    is `span.value`. One whose text is not there, or no longer holds it, is read alone.
    """
    settings, texts = settings or CollectSettings(), texts or {}
    held = [span.text in texts.get(span.sample_id, "") or settings.protocol.span == "before" for span in spans]
    held = [whole and span.sample_id in texts for whole, span in zip(held, spans, strict=True)]
    read = [texts[span.sample_id] if whole else span.text for span, whole in zip(spans, held, strict=True)]
    traced = trace_each(subject, sae, read, [span.feature for span in spans], settings)
    result = []
    for span, whole, found in zip(spans, held, traced, strict=True):
        tokens = _window(found, span, settings.span_tokens) if whole else _counted(found)
        result.append(SpanTrace(span, found.take(tokens), whole))
    return result


def texts_of(rows: Iterable["Row"], sample_ids: Iterable[str]) -> dict[str, str]:
    """Texts of a corpus by id, those that are asked for; one pass at most, which ends with the last of them."""
    wanted, found = set(sample_ids), {}
    for row in rows:
        if row.id in wanted:
            found[row.id] = row.text
            if len(found) == len(wanted):
                break
    return found


def _traces(
    subject: "Subject",
    sae: Any,
    texts: Sequence[str],
    features: Sequence[Sequence[int]],
    settings: CollectSettings | None,
) -> list[TokenTrace]:
    """`features[i]`, in this order, along `texts[i]`. Of the other features' activations one chunk exists at a time."""
    settings = settings or CollectSettings()
    encoder = Encoder(sae, top_k=settings.protocol.selects)
    asked = [np.asarray(columns, np.int64).reshape(-1) for columns in features]
    for columns in asked:
        if len(columns) and not 0 <= columns.min() <= columns.max() < encoder.d_sae:
            raise DataError(
                f"features lie in 0 to {encoder.d_sae - 1}, but {columns.min()} to {columns.max()} were asked for"
            )
    pooled = subject.tokenize(texts, settings.pool, settings.protocol)
    # The same tokens, with the range that is the text's own whatever is pooled.
    own = subject.tokenize(texts, "content", replace(settings.protocol, prefix="template"))
    values = [np.zeros((len(tokens.ids), len(columns)), np.float32) for tokens, columns in zip(own, asked, strict=True)]
    for batch in batches([len(tokens.ids) for tokens in own], settings.batch_tokens):
        filled = [index for index in batch if len(own[index].ids)]
        if filled:
            union = np.unique(np.concatenate([asked[index] for index in filled]))
            found = _activations(subject, encoder, [own[index] for index in filled], union)
            for index, rows in zip(filled, found, strict=True):
                values[index] = rows[:, np.searchsorted(union, asked[index])]
    return [_trace(subject, *row) for row in zip(texts, own, pooled, values, asked, strict=True)]


@torch.inference_mode()
def _activations(
    subject: "Subject", encoder: Encoder, tokens: Sequence[TokenizedText], features: np.ndarray
) -> list[np.ndarray]:
    """Activations of each text's tokens, float32 `[n_tokens, n_features]`; one batch through the subject."""
    ids, mask = subject.batch(tokens)
    residual = subject.activations(ids, mask)[mask.bool()]
    columns = torch.as_tensor(features, device=encoder.device)
    parts = [encoder.encode(chunk)[:, columns].float().cpu() for chunk in residual.split(_CHUNK_TOKENS)]
    return [rows.numpy() for rows in torch.cat(parts).split([len(text.ids) for text in tokens])]


def _trace(
    subject: "Subject",
    text: str,
    own: TokenizedText,
    pooled: TokenizedText,
    values: np.ndarray,
    features: np.ndarray,
) -> TokenTrace:
    n = len(own.ids)
    place = np.arange(n)
    template = (place < own.start) | (place >= own.stop)
    offsets = np.zeros((n, 2), np.int64)
    offsets[own.start : own.stop] = np.array(own.offsets, np.int64).reshape(-1, 2)
    offsets[own.stop :] = len(text)
    pieces = np.full(n, "", dtype=object)
    pieces[template] = token_texts(subject.tokenizer, own.ids[template])
    end = 0
    for token in range(own.start, own.stop):
        stop = max(end, int(offsets[token, 1]))
        pieces[token] = text[end:stop]
        end = stop
    if own.stop > own.start and not own.truncated:
        pieces[own.stop - 1] += text[end:]
        end = len(text)
    counted = (place >= pooled.start) & (place < pooled.stop)
    return TokenTrace(text, features, values, pieces.tolist(), offsets, counted, template, text[end:])


def _window(found: TokenTrace, span: Span, span_tokens: int) -> slice:
    """The tokens of a whole text that show `span`, the pooled token of the maximum among them."""
    peak = found.peak()
    own = np.flatnonzero(~found.template)
    if peak is None or not len(own):
        return _counted(found)
    if found.template[peak]:
        start = int(found.offsets[own[-1], 1]) - len(span.text)
    else:
        start = int(found.offsets[peak, 0]) - span.peak[0]
    stop = start + len(span.text)
    # A token of white space may have no width of its own and stand behind what it shows.
    begins, ends = found.offsets[own].T
    inside = own[(ends > start) & ((begins < stop) | (ends <= stop))]
    if start < 0 or not len(inside) or found.text[start:stop] != span.text:
        # Cut by another protocol, or two tokens within rounding of each other: what stands before the peak.
        return slice(max(0, peak - span_tokens + 1), peak + 1)
    return slice(int(min(inside[0], peak)), int(max(inside[-1], peak)) + 1)


def _counted(found: TokenTrace) -> slice:
    """The text's tokens and the pooled ones."""
    shown = np.flatnonzero(found.pooled | ~found.template)
    return slice(int(shown[0]), int(shown[-1]) + 1) if len(shown) else slice(0, 0)
