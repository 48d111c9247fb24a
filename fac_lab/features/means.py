"""One vector per text: the mean of its tokens' vectors at the subject's layer. What distances between texts go by."""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from fac_lab.features.collect import batches
from fac_lab.features.subject import Subject, pooled_mask

BATCH_TOKENS = 4096
TEXTS_AT_ONCE = 1024


def mean_vectors(
    subject: Subject, texts: Sequence[str], *, pool: str = "content", progress: bool = False
) -> np.ndarray:
    """Mean of the residual stream over each text's tokens, float32 `[n_texts, d_model]`.

    `pool` as in `Subject.tokenize`. A text without any token that is pooled has the zero vector.
    """
    found = np.zeros((len(texts), subject.d_model), np.float32)
    with tqdm(total=len(texts), desc="vectors of texts", unit=" texts", disable=not progress, leave=False) as bar:
        for begin in range(0, len(texts), TEXTS_AT_ONCE):
            tokens = subject.tokenize(texts[begin : begin + TEXTS_AT_ONCE], pool=pool)
            for members in batches([len(text.ids) for text in tokens], BATCH_TOKENS):
                chosen = [tokens[index] for index in members]
                values = subject.activations(*subject.batch(chosen)).float()
                inside = pooled_mask(chosen, values.shape[1], values.device)[..., None]
                total = torch.where(inside, values, 0.0).sum(dim=1) / inside.sum(dim=1).clamp_min(1)
                found[begin + np.array(members)] = total.cpu().numpy()
                bar.update(len(members))
    return found
