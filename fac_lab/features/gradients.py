"""Loss gradients of texts in a language model, one projected vector per text: what G-Vendi compares.

G-Vendi (Jung et al. 2025, "Prismatic Synthesis", arXiv 2505.20161) takes each sample's loss gradient in a small
proxy model, projects it at random and measures the Vendi score of the directions. A gradient with respect to all
weights is as large as the model, so it is never formed. For a linear layer `y = W x` it is `sum_t dy_t x_t'` over the
tokens t, and with random signs `P` and `Q` its projection is `P (sum_t dy_t x_t') Q' = sum_t (P dy_t) (Q x_t)'`: two
thin products and one of size `side x side` (Choe et al. 2024, "What is your data worth to GPT?", arXiv 2405.13954).
Samples of a batch do not touch each other, so that one backward pass of the summed loss gives the `dy` of all of them:
per-sample gradients cost what one ordinary batch costs, weight gradients left out. Exact for all linear layers, the
head included, up to the projection; embeddings, norms and biases are left out (a head that is tied to the embedding
counts as head only).

The projections of all layers are added up into one vector, as a projection of the concatenated gradient would be: inner
products between samples are kept in expectation, with an error of about `1 / side` of their lengths for gradients of
many directions, and `1 / sqrt(side)` for one layer and one token, where the product of two projections is noisier than
a projection of as many numbers drawn at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from fac_lab.errors import ModelError
from fac_lab.features.batches import batches
from fac_lab.features.subject import Subject, pooled_mask

SIDE = 32
"""Vectors have this many numbers squared: 1,024."""
BATCH_TOKENS = 1024
_CHUNK_TEXTS = 2048


def loss_gradients(
    subject: Subject,
    texts: Sequence[str],
    *,
    side: int = SIDE,
    seed: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    progress: bool = False,
) -> np.ndarray:
    """Projected gradient of each text's next-token loss, float32 `[n_texts, side * side]`.

    The loss is the cross-entropy of the text's own tokens in their template, summed; Vendi scores only hear the
    direction. Zeros, which have no direction, for a text without a token that could be predicted. The whole model
    is run, whatever layer the subject reads. Vectors compare only where subject, `side` and `seed` are the same.
    Memory: the result, and what a backward pass over `batch_tokens` tokens needs, logits of the whole vocabulary among
    it. Raises ModelError for a model that predicts no next token, and for one whose linear layers do not see batches
    (mixtures of experts).
    """
    if not subject.has_head:
        raise ModelError(
            f"{subject.name} predicts no next token, so there is no loss to take gradients of: use a causal language "
            "model as proxy (a small one will do)"
        )
    texts = list(texts)
    vectors = np.zeros((len(texts), side * side), np.float32)
    with (
        tqdm(total=len(texts), desc="gradients", unit=" texts", disable=not progress) as bar,
        _Projected(subject, side, seed) as projected,
    ):
        for first in range(0, len(texts), _CHUNK_TEXTS):
            tokens = subject.tokenize(texts[first : first + _CHUNK_TEXTS], pool="content")
            for batch in batches([len(text.ids) for text in tokens], batch_tokens):
                # The first token of all is predicted by nothing.
                filled = [index for index in batch if tokens[index].stop > max(1, tokens[index].start)]
                if filled:
                    chosen = [tokens[index] for index in filled]
                    ids, mask = subject.batch(chosen)
                    predicted = pooled_mask(chosen, ids.shape[1], ids.device)[:, 1:]
                    with projected.batch(len(filled)) as gradients:
                        logits = subject.forward(ids, mask).logits[:, :-1][predicted].float()
                        cross_entropy(logits, ids[:, 1:][predicted], reduction="sum").backward()
                    vectors[first + np.array(filled)] = gradients.flatten(1).cpu().numpy()
                bar.update(len(batch))
    return vectors


class _Projected:
    """Within its context, backward passes through a model leave projected gradients and touch no weight."""

    def __init__(self, subject: Subject, side: int, seed: int):
        self.subject = subject
        self.side = side
        self.layers = list(linear_layers(subject.model))
        generator = torch.Generator().manual_seed(seed)
        self.signs = [
            tuple(random_signs(side, width, generator).to(subject.device) for width in widths)
            for _, _, widths in self.layers
        ]
        self._total = torch.zeros(0, side, side)

    def __enter__(self) -> "_Projected":
        model = self.subject.model
        self._handles = [
            module.register_forward_hook(self._hook(name, *signs))
            for (name, module, _), signs in zip(self.layers, self.signs, strict=True)
        ]
        # Weights are frozen, so that no gradient of their size is made: the pass begins at the embedded tokens.
        self._handles.append(
            model.get_input_embeddings().register_forward_hook(lambda *call: call[2].detach().requires_grad_())
        )
        self._asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter in self._asked:
            parameter.requires_grad_(False)
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()
        for parameter in self._asked:
            parameter.requires_grad_(True)

    @contextmanager
    def batch(self, n: int) -> Iterator[torch.Tensor]:
        """Gradients `[n, side, side]` of the samples whose loss is differentiated in this context."""
        self._total = torch.zeros(n, self.side, self.side, device=self.subject.device)
        with torch.enable_grad():
            yield self._total

    def _hook(self, name: str, signs_in: torch.Tensor, signs_out: torch.Tensor):
        def keep(module, args, output):
            if args[0].ndim != 3:
                raise ModelError(
                    f"{name} of {self.subject.name} does not see [samples, tokens, width] but {list(args[0].shape)}: "
                    "its gradient cannot be told apart by sample; use a model without experts as proxy"
                )
            total, inputs = self._total, args[0].detach().float() @ signs_in.T

            def add(gradient):
                total.add_(torch.bmm((gradient.float() @ signs_out.T).transpose(1, 2), inputs))

            output.register_hook(add)

        return keep


def linear_layers(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, tuple[int, int]]]:
    """Name, module and (inputs, outputs) of each linear layer, GPT-2's transposed ones included."""
    from transformers.pytorch_utils import Conv1D

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield name, module, (module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            n_in, n_out = module.weight.shape
            yield name, module, (n_in, n_out)


def random_signs(side: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Signs over the root of `side`, float32 `[side, width]`: products of two vectors are kept in expectation."""
    return (torch.randint(0, 2, (side, width), generator=generator) * 2 - 1) / side**0.5
