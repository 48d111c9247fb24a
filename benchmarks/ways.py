"""Three ways through the same texts: the floor, ours, and one text at a time.

Floor: on the batches of `collect`, already tokenized, the subject's forward pass to the layer and the encoder's
product of the pooled tokens; nothing is selected, reduced or kept. One text at a time: the reference's way as the
paper's published script goes it, with a forward pass per text, a full sort of all features per token, the decoder's
product, and loops over features.
"""

from collections.abc import Callable

import torch

from benchmarks.settings import Setting
from fac_lab.corpora import Corpus
from fac_lab.features.batches import batches
from fac_lab.features.collect import collect
from fac_lab.features.subject import pooled_mask

FLOOR_TOKENS = 256
"""Tokens in one product of the floor: the fastest of 64 to 8,192 on a CPU at 4,096 and at 65,536 features."""


def n_tokens(setting: Setting, corpus: Corpus) -> int:
    """Tokens that the subject reads, padding not counted."""
    return sum(len(text.ids) for text in setting.subject.tokenize([row.text for row in corpus], setting.collect.pool))


def floor(setting: Setting, corpus: Corpus) -> Callable[[], None]:
    """A run of the floor; what can be prepared is prepared."""
    subject, sae, settings = setting.subject, setting.sae, setting.collect
    texts, prepared = [row.text for row in corpus], []
    for start in range(0, len(texts), settings.chunk):
        tokens = subject.tokenize(texts[start : start + settings.chunk], settings.pool, settings.protocol)
        for batch in batches([len(text.ids) for text in tokens], settings.batch_tokens):
            some = [tokens[index] for index in batch]
            ids, mask = subject.batch(some)
            prepared.append((ids, mask, pooled_mask(some, ids.shape[1], ids.device)))

    @torch.inference_mode()
    def run() -> None:
        for ids, mask, pooled in prepared:
            x = subject.activations(ids, mask)[pooled] - sae.b_dec
            for rows in x.split(FLOOR_TOKENS):
                torch.addmm(sae.b_enc, rows, sae.W_enc)

    return run


def ours(setting: Setting, corpus: Corpus) -> Callable[[], None]:
    """A run of `collect`, from texts to statistics."""
    return lambda: collect(setting.subject, setting.sae, corpus, setting.collect, progress=False)


def one_at_a_time(setting: Setting, corpus: Corpus) -> Callable[[], None]:
    """A run of the obvious way to maxima and top spans."""
    subject, sae, settings = setting.subject, setting.sae, setting.collect

    @torch.inference_mode()
    def run() -> None:
        best: dict[int, list[tuple[float, str]]] = {}
        for row in corpus:
            tokens = subject.tokenize([row.text], settings.pool, settings.protocol)[0]
            activations = subject.activations(*subject.batch([tokens]))[0, tokens.start : tokens.stop]
            if settings.protocol.top_k:
                features = sae.encode(activations)
                features = features.to_dense() if features.is_sparse else features
            else:
                features = torch.relu(torch.addmm(sae.b_enc, activations - sae.b_dec, sae.W_enc))
            features @ sae.W_dec + sae.b_dec
            ordered, indices = features.sort(dim=-1, descending=True)
            maxima: dict[int, tuple[float, int]] = {}
            for position in range(len(ordered)):
                for value, feature in zip(ordered[position].tolist(), indices[position].tolist(), strict=True):
                    if value <= 0:
                        break
                    if value > maxima.get(feature, (0.0, 0))[0]:
                        maxima[feature] = (value, position)
            for feature, (value, position) in maxima.items():
                first = max(0, position - settings.span_tokens + 1)
                spans = best.setdefault(feature, [])
                spans.append((value, row.text[tokens.offsets[first][0] : tokens.offsets[position][1]]))
                spans.sort(reverse=True)
                del spans[settings.top_spans :]

    return run
