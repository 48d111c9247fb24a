"""One feature along one text: its activation at every token, to find the peak and the tokens where it is silent."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from fac_lab.errors import DataError
from fac_lab.features.collect import batches
from fac_lab.features.encoder import Encoder
from fac_lab.features.spans import Span, cut
from fac_lab.features.subject import Subject, pooled_mask
from fac_lab.profile import CollectSettings


class Trace(NamedTuple):
    """A feature's activations over the pooled tokens of a text, the template's suffix included."""

    feature: int
    text: str
    values: np.ndarray
    """float32 `[n_tokens]`; empty for a text without pooled tokens."""
    offsets: tuple[tuple[int, int], ...]
    """Characters `[start, stop)` of each token in `text`; `(len, len)` for those of the template behind it."""

    @property
    def position(self) -> int | None:
        """The token at which the feature peaks, the first of several; None where it is not active."""
        return int(self.values.argmax()) if len(self.values) and self.values.max() > 0 else None

    @property
    def silent(self) -> tuple[int, ...]:
        """Tokens of the text, not of white space, at which the feature is not active."""
        return tuple(i for i, value in enumerate(self.values) if value <= 0 and self.token(i).strip())

    def token(self, position: int) -> str:
        """The characters of a token; "" in the template."""
        start, stop = self.offsets[position]
        return self.text[start:stop]

    def piece(self, span_tokens: int, position: int | None = None, sample_id: str = "") -> Span:
        """The piece of the text around a token (the peak, or the middle of a text without one), as spans are cut.

        A text of at most `span_tokens` tokens is its own piece. `peak` of the span is that token; where there is
        none, and in the template, it has no characters.
        """
        content = [offset for offset in self.offsets if offset[0] < offset[1]]
        chosen = self.position if position is None else position
        value = float(self.values.max()) if len(self.values) else 0.0
        if len(content) <= span_tokens:
            peak = self.offsets[chosen] if chosen is not None else (len(self.text),) * 2
            return Span(self.feature, value, sample_id, self.text, peak)
        middle = len(content) // 2
        text, peak = cut(self.text, self.offsets, middle if chosen is None else chosen, span_tokens)
        return Span(self.feature, value, sample_id, text, (len(text),) * 2 if chosen is None else peak)


def trace(
    subject: Subject,
    sae: Any,
    texts: Sequence[str],
    features: Sequence[int],
    settings: CollectSettings | None = None,
) -> list[Trace]:
    """Activations of `features[i]` at the pooled tokens of `texts[i]`, read as `collect` reads them.

    A text that is named several times is run once. Of the dense activations, one batch exists at a time and only the
    asked columns are kept. Raises DataError for a feature that the SAE has not, or for lists of unequal length.
    """
    settings = settings or CollectSettings()
    encoder = Encoder(sae, top_k=settings.protocol.top_k)
    if len(texts) != len(features):
        raise DataError(f"{len(texts)} texts and {len(features)} features were given: name one feature per text")
    wrong = [feature for feature in features if not 0 <= feature < encoder.d_sae]
    if wrong:
        raise DataError(f"features lie in 0 to {encoder.d_sae - 1}, but {wrong[0]} was asked for")
    distinct = list(dict.fromkeys(texts))
    wanted: dict[str, list[int]] = {text: [] for text in distinct}
    for text, feature in zip(texts, features, strict=True):
        wanted[text].append(int(feature))
    tokens = subject.tokenize(distinct, settings.pool, settings.protocol)
    values: dict[tuple[str, int], np.ndarray] = {}
    for batch in batches([len(text.ids) for text in tokens], settings.batch_tokens):
        filled = [index for index in batch if tokens[index].stop > tokens[index].start]
        if not filled:
            continue
        chosen = [tokens[index] for index in filled]
        activations = subject.activations(*subject.batch(chosen))
        rows = activations[pooled_mask(chosen, activations.shape[1], activations.device)]
        parts = rows.split([text.stop - text.start for text in chosen])
        for index, part in zip(filled, parts, strict=True):
            columns = torch.tensor(wanted[distinct[index]], device=encoder.device)
            kept = encoder.encode(part)[:, columns].float().cpu().numpy()
            values |= {(distinct[index], f): kept[:, i] for i, f in enumerate(wanted[distinct[index]])}
    offsets = {text: tuple(found.offsets) for text, found in zip(distinct, tokens, strict=True)}
    none = np.zeros(0, np.float32)
    return [
        Trace(int(feature), text, values.get((text, int(feature)), none), offsets[text])
        for text, feature in zip(texts, features, strict=True)
    ]
