"""How good an SAE is: what it explains, how sparse it is, what the model loses when it is spliced in."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from fac_lab.errors import DataError
from fac_lab.features.batches import batches
from fac_lab.features.encoder import Encoder
from fac_lab.features.subject import Subject, layer_output, pooled_mask

_CHUNK_TEXTS = 256
_CHUNK_TOKENS = 512

Edit = Callable[[torch.Tensor], torch.Tensor]


class SaeReport(NamedTuple):
    """Quality of an SAE on some texts, over the positions that `pool="paper"` pools over."""

    explained_variance: float
    """`1 - sum |x - x^|^2 / sum |x - mean(x)|^2` over all positions together: 1 is perfect."""
    l0: float
    """Mean number of active features per position."""
    dead_share: float
    """Share of the features that were never active; it falls with the number of texts."""
    loss: float | None
    """Next-token cross-entropy of the untouched model in nats per token; None for encoders."""
    loss_spliced: float | None
    """The same with the reconstruction in place of the layer's output; None for encoders."""
    loss_zeroed: float | None
    """The same with zeros in place of the layer's output; None for encoders."""
    loss_recovered: float | None
    """`(loss_zeroed - loss_spliced) / (loss_zeroed - loss)`: 1 is as good as untouched, 0 as bad as zeros.
    None for encoders, and where zeros do no harm."""


@torch.inference_mode()
def evaluate_sae(
    subject: Subject, sae: Any, texts: Sequence[str], *, batch_tokens: int = 1024, progress: bool = True
) -> SaeReport:
    """Measure an SAE, best on texts that it was not trained on.

    Splicing and zeroing replace the layer's output at the pooled positions only, where the SAE is meant to
    read; the template's prefix and padding stay. The loss counts the tokens that one pooled position predicts
    and that are pooled themselves. Raises DataError where no text has a pooled token.
    """
    encoder = Encoder(sae)
    fit = _Fit(subject.d_model, encoder)
    edits: dict[str, Edit] = {"untouched": torch.clone, "spliced": fit.reconstruct, "zeroed": torch.zeros_like}
    losses, n_predicted = dict.fromkeys(edits, 0.0), 0
    with tqdm(total=len(texts), desc="evaluating the SAE", unit=" texts", disable=not progress) as bar:
        for chosen in _batches(subject, texts, batch_tokens, bar):
            ids, mask = subject.batch(chosen)
            pooled = pooled_mask(chosen, ids.shape[1], ids.device)
            fit.add(subject.activations(ids, mask)[pooled])
            if subject.has_head:
                predicted = pooled[:, :-1] & pooled[:, 1:]
                n_predicted += int(predicted.sum())
                for name, edit in edits.items():
                    with _edited(subject, pooled, edit):
                        logits = subject.forward(ids, mask).logits[:, :-1][predicted].float()
                    losses[name] += cross_entropy(logits, ids[:, 1:][predicted], reduction="sum").item()
    if not fit.n:
        raise DataError("No text has a token to evaluate on: all are empty. Check the text column.")
    if not n_predicted:
        return SaeReport(*fit.report(), None, None, None, None)
    untouched, spliced, zeroed = (total / n_predicted for total in losses.values())
    recovered = (zeroed - spliced) / (zeroed - untouched) if zeroed != untouched else None
    return SaeReport(*fit.report(), untouched, spliced, zeroed, recovered)


class _Fit:
    """Sums over positions, in double precision, of which the report's first three numbers are made."""

    def __init__(self, d_in: int, encoder: Encoder):
        self.encoder = encoder
        self.n = 0
        self._missed = self._square = 0.0
        self._sum = torch.zeros(d_in, dtype=torch.float64)
        self._active = torch.zeros(encoder.d_sae, dtype=torch.int64)

    def add(self, x: torch.Tensor) -> None:
        """Count positions `x [n, d_in]`."""
        for part in x.split(_CHUNK_TOKENS):
            features = self.encoder.encode(part)
            # Decoded before the next encode, because some SAEs keep their input's norm in between.
            missed = part.double() - self.encoder.sae.decode(features).to(part.device).double()
            self._missed += missed.square().sum().item()
            self._square += part.double().square().sum().item()
            self._sum += part.double().sum(0).cpu()
            self._active += (features > 0).sum(0).cpu()
        self.n += len(x)

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """The SAE's reconstruction of `x [n, d_in]`."""
        parts = [self.encoder.sae.decode(self.encoder.encode(part)) for part in x.split(_CHUNK_TOKENS)]
        return torch.cat(parts).to(x)

    def report(self) -> tuple[float, float, float]:
        """Explained variance, L0, dead share."""
        spread = self._square - self._sum.square().sum().item() / self.n
        dead = (self._active == 0).double().mean().item()
        return 1 - self._missed / spread, self._active.sum().item() / self.n, dead


def _batches(subject: Subject, texts: Sequence[str], batch_tokens: int, bar: tqdm) -> Iterator[list]:
    """Tokenized texts of similar length together; those without a pooled token are left out."""
    for first in range(0, len(texts), _CHUNK_TEXTS):
        tokens = subject.tokenize(texts[first : first + _CHUNK_TEXTS], pool="paper")
        for batch in batches([len(text.ids) for text in tokens], batch_tokens):
            chosen = [tokens[index] for index in batch if tokens[index].stop > tokens[index].start]
            if chosen:
                yield chosen
            bar.update(len(batch))


@contextmanager
def _edited(subject: Subject, pooled: torch.Tensor, edit: Edit) -> Iterator[None]:
    """Within the context, the layer's output at the positions `pooled [n, t]` is what `edit` makes of it."""

    def replace(module, args, output):
        stream = layer_output(output).clone()
        stream[pooled] = edit(stream[pooled])
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    handle = subject.hook_module.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
