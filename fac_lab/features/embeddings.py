"""Texts as single vectors: the mean of the subject's hidden states over a text's own tokens."""

from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from fac_lab.features.batches import batches
from fac_lab.features.subject import Subject, pooled_mask

BATCH_TOKENS = 4096
_CHUNK_TEXTS = 2048


def embed(
    subject: Subject,
    texts: Sequence[str],
    *,
    pool: str = "content",
    batch_tokens: int = BATCH_TOKENS,
    progress: bool = False,
) -> np.ndarray:
    """Mean output of the subject's layer over each text's own tokens, float32 `[n_texts, d_model]`.

    Which tokens are a text's own is said by `pool`, as in `Subject.tokenize`. By default the template's tokens are
    context and stay out of the mean, among them the first token, whose state dwarfs all others in many models. A text
    without a token of its own gets zeros, which have no direction. Means are taken in float32 whatever the model's
    precision; texts are batched by length, and results differ from those of one text at a time by rounding only.
    Memory: the result, and one batch of `batch_tokens` tokens.
    """
    texts = list(texts)
    vectors = np.zeros((len(texts), subject.d_model), np.float32)
    with tqdm(total=len(texts), desc="embedding", unit=" texts", disable=not progress) as bar:
        for first in range(0, len(texts), _CHUNK_TEXTS):
            tokens = subject.tokenize(texts[first : first + _CHUNK_TEXTS], pool=pool)
            for batch in batches([len(text.ids) for text in tokens], batch_tokens):
                filled = [index for index in batch if tokens[index].stop > tokens[index].start]
                if filled:
                    chosen = [tokens[index] for index in filled]
                    states = subject.activations(*subject.batch(chosen)).float()
                    own = pooled_mask(chosen, states.shape[1], states.device)
                    # Not a product with the mask: what stands at padded positions means nothing, and may be NaN.
                    sums = states.masked_fill(~own[..., None], 0).sum(1)
                    vectors[first + np.array(filled)] = (sums / own.sum(1, keepdim=True)).cpu().numpy()
                bar.update(len(batch))
    return vectors
