"""How likely texts are to a subject that reads them: perplexity per token, in batches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fac_lab.errors import ModelError
from fac_lab.features.batches import batches
from fac_lab.features.subject import Subject, pooled_mask

_BATCH_TOKENS = 2048


@torch.inference_mode()
def perplexity(subject: Subject, texts: Sequence[str], *, batch_tokens: int = _BATCH_TOKENS) -> np.ndarray:
    """`exp` of the mean next-token loss over each text's own tokens, float64 `[n_texts]`.

    A text stands where the subject reads it: in the chat template as a user's turn, else bare. Tokens of the template
    are read but do not count, and neither does a bare text's first token, which nothing predicts. NaN for a text
    without any token that counts. A text longer than the subject's limit counts up to there. Raises ModelError for a
    subject that predicts no next token.
    """
    if not subject.has_head:
        raise ModelError(f"{subject.name} predicts no next token, so no perplexity can be had from it")
    tokens = subject.tokenize(texts, pool="content")
    found = np.full(len(tokens), np.nan)
    for batch in batches([len(text.ids) for text in tokens], batch_tokens):
        chosen = [index for index in batch if tokens[index].stop > max(tokens[index].start, 1)]
        if not chosen:
            continue
        rows = [tokens[index] for index in chosen]
        ids, mask = subject.batch(rows)
        counted = pooled_mask(rows, ids.shape[1], ids.device)[:, 1:]
        logits = subject.forward(ids, mask).logits[:, :-1][counted].float()
        loss = cross_entropy(logits, ids[:, 1:][counted], reduction="none").double()
        total = loss.new_zeros(len(rows)).index_add_(0, counted.nonzero()[:, 0], loss)
        found[chosen] = (total / counted.sum(1)).exp().cpu().numpy()
    return found
