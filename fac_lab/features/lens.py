"""Which tokens a feature speaks for: its decoder direction seen through the unembedding.

The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") reads a residual stream as if no layer
came after it; here the vector read is a feature's decoder direction d, at length 1. With the final norm's
elementwise weight g, a token's effect is `u . (g * d)`, u its row of the unembedding, and the mean over the
vocabulary is taken off, because softmax does not see it. Where the norm subtracts the mean of its input
(LayerNorm), d loses its own first. What is left out: the norm's division by the length of the whole residual
stream, so effects rank tokens of one feature and are no logits, and all layers in between, so that early
layers show little.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from fac_lab.errors import DataError
from fac_lab.features.tokens import token_texts

if TYPE_CHECKING:
    from fac_lab.features.subject import Subject

_TINY = 1e-8


class TokenEffect(NamedTuple):
    """What a feature does to one token of the vocabulary."""

    token_id: int
    """Row of the unembedding."""
    text: str
    """The token as it reads inside a text, a blank before it included."""
    effect: float
    """Effect on its logit, up to a positive factor; the mean over the vocabulary is 0."""


class Lens(NamedTuple):
    """The tokens a feature raises and lowers most."""

    promoted: list[TokenEffect]
    """Largest effect first."""
    suppressed: list[TokenEffect]
    """Smallest (most negative) effect first."""


@torch.inference_mode()
def promoted(subject: "Subject", sae: Any, feature: int, k: int = 10) -> Lens | None:
    """The `k` tokens that a feature promotes and the `k` that it suppresses; None where `no_lens` gives a reason.

    One product of the unembedding `[vocabulary, d_model]` with a vector, in the model's own precision (bfloat16
    keeps three digits). Rows behind the tokenizer's last token are padding and left out. Raises DataError for a
    feature that does not exist.
    """
    if no_lens(subject, sae, feature) is not None:
        return None
    head = subject.model.get_output_embeddings().weight
    direction = sae.W_dec[feature].detach().float()
    direction = (direction / direction.norm()).to(head.device)
    norm = _final_norm(subject)
    if norm is not None:
        weight, centres = _effect_of_norm(norm, head)
        direction = weight * (direction - direction.mean() if centres else direction)
    rows = min(len(head), len(subject.tokenizer))
    effect = (head[:rows] @ direction.to(head.dtype)).float()
    effect -= effect.mean()
    return Lens(
        _effects(subject, effect.topk(min(k, rows))),
        _effects(subject, effect.topk(min(k, rows), largest=False)),
    )


def no_lens(subject: "Subject", sae: Any, feature: int) -> str | None:
    """Why a feature has no promoted tokens, in a sentence for people; None where it has."""
    if not 0 <= feature < len(sae.W_dec):
        raise DataError(f"features lie in 0 to {len(sae.W_dec) - 1}, but the tokens of {feature} were asked for")
    head = subject.model.get_output_embeddings() if hasattr(subject.model, "get_output_embeddings") else None
    if head is None:
        return f"{subject.name} has no unembedding: it is an encoder and predicts no next token."
    if head.weight.ndim != 2 or head.weight.shape[1] != sae.W_dec.shape[1]:
        return (
            f"The unembedding of {subject.name} reads vectors of another width ({tuple(head.weight.shape)}) than "
            f"the dictionary writes ({sae.W_dec.shape[1]})."
        )
    if not sae.W_dec[feature].detach().float().norm() > _TINY:
        return f"Feature {feature} has no direction: its row of the decoder is zero."
    return None


def _final_norm(subject: "Subject") -> torch.nn.Module | None:
    """The norm between the last layer and the unembedding: the last one that stands beside the list of layers."""
    for module in subject.model.modules():
        children = list(module.children())
        lists = [child for child in children if isinstance(child, torch.nn.ModuleList)]
        if any(layer is subject.hook_module for found in lists for layer in found):
            norms = [child for child in children if "norm" in type(child).__name__.lower()]
            return norms[-1] if norms else None
    return None


def _effect_of_norm(norm: torch.nn.Module, head: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """A norm's elementwise weight `[d_model]`, and whether it subtracts its input's mean.

    Measured rather than read off, because some families store the weight as it is and some less one: a vector of
    1 and -1 in turn has mean 0 and length 1 per element, so the norm only multiplies it (and may add a bias).
    """
    probe = torch.ones(head.shape[1], device=head.device, dtype=head.dtype)
    probe[1::2] = -1
    plus, minus = norm(probe[None])[0].float(), norm(-probe[None])[0].float()
    shifted = norm(probe[None] + 1)[0].float()
    return probe.float() * (plus - minus) / 2, torch.allclose(shifted, plus, rtol=0.02, atol=0.02)


def _effects(subject: "Subject", found: torch.return_types.topk) -> list[TokenEffect]:
    ids, values = found.indices.tolist(), found.values.tolist()
    texts = token_texts(subject.tokenizer, ids)
    return [TokenEffect(*row) for row in zip(ids, texts, values, strict=True)]
