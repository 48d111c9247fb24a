"""The Top-K SAE while it is trained: sae-lens' own, or with a tied decoder, another loss, a falling k.

Inputs are scaled to mean norm sqrt(d_in), so that one learning rate serves every model and a rescaling of the
activations changes nothing; `fold_scale` writes the scale into the weights at the end, so that the saved SAE reads
raw activations.

Untied (sae-lens'): `x^ = sum_i a_i W_dec[i] / |W_dec[i]| + b_dec`, the k largest `a_i = (W_enc[:, i] (x - b_dec) +
b_enc[i]) |W_dec[i]|` of a vector kept; the saved decoder rows have norm 1, and a feature's value is its length in the
residual stream. Tied (the authors'): `W_dec = W_enc^T` is one parameter, `a_i = W_enc[:, i] (x - b_dec) + b_enc[i]`,
and the saved SAE is tied on raw activations too.
"""

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from fac_lab.features.subject import Subject
from fac_lab.settings import SaeTrainingSettings

if TYPE_CHECKING:
    from fac_lab.corpora import Corpus


def new_trainee(subject: Subject, corpus: "Corpus", settings: SaeTrainingSettings, *, training_tokens: int):
    """An untrained SAE for the subject, its random weights drawn from the settings' seed."""
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    tied = settings.decoder == "tied"
    cfg = TopKTrainingSAEConfig(
        d_in=subject.d_model,
        d_sae=settings.d_sae,
        k=settings.k,
        normalize_activations="expected_average_only_in",
        rescale_acts_by_decoder_norm=not tied,
        metadata=SAEMetadata(
            model_name=subject.name,
            hook_name=subject.hook_name,
            layer=subject.layer,
            context_size=subject.max_tokens,
            template=subject.template,
            pool="paper",
            dataset=corpus.name,
            subject_digest=subject.digest,
            training_tokens=training_tokens,
        ),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        trainee = (_tied_class() if tied else TopKTrainingSAE)(cfg)
    if settings.loss == "normalised":
        trainee.mse_loss_fn = normalised_error
    return trainee.to(str(subject.device))


def normalised_error(preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`(x^ - x)^2 d / |x|^2` for each number of the reconstructions x^ `[n, d]` and what they reconstruct, x.

    Summed over d and averaged over n it is d times the authors' normalised MSE, which a rescaling of x leaves as
    it is; times d, because inputs have norm sqrt(d) on average, so that it is of the squared error's size, and
    with it sae-lens' other loss and its clipping of gradients mean the same.
    """
    return (preds - target).square() * target.shape[-1] / target.square().sum(-1, keepdim=True).clamp_min(1e-12)


def k_at(step: int, steps: int, settings: SaeTrainingSettings) -> int:
    """Features kept per vector at a step (from 0): from k_start down to k over the first `k_share` of the steps.

    The fall is linear and rounded to the nearest; k from the first step on where there is no k_start. How the
    authors' falls between its two ends is not known.
    """
    if settings.k_start is None:
        return settings.k
    done = min(1.0, step / max(1, math.ceil(settings.k_share * steps)))
    return round(settings.k_start + (settings.k - settings.k_start) * done)


@torch.no_grad()
def place_features(trainee: Any, directions: torch.Tensor, b_dec: torch.Tensor) -> None:
    """Start each feature along a unit direction of `[d_sae, d_in]`, the decoder's bias at `b_dec [d_in]`."""
    trainee.b_dec.copy_(b_dec)
    trainee.W_enc.copy_(directions.T)
    if "W_dec" in trainee._parameters:
        trainee.W_dec.copy_(directions)


@torch.no_grad()
def fold_scale(trainee: Any, scale: float) -> None:
    """Make the SAE read raw activations `x` where it read `scale * x`: same features, same reconstruction, values in
    the units of x, which are `a(scale x) / scale`. A tied one stays tied."""
    if "W_dec" in trainee._parameters:
        trainee.fold_activation_norm_scaling_factor(scale)
        return
    trainee.b_enc.div_(scale)
    trainee.b_dec.div_(scale)
    trainee.cfg.normalize_activations = "none"


@cache
def _tied_class() -> type:
    """The tied SAE, defined when first needed, because importing sae-lens takes seconds."""
    from sae_lens.saes.topk_sae import TopKTrainingSAE

    class TiedTopKTrainingSAE(TopKTrainingSAE):
        """A Top-K SAE whose decoder is no parameter but the encoder's transpose."""

        def initialize_weights(self) -> None:
            super().initialize_weights()
            del self.W_dec

        def __getattr__(self, name: str) -> Any:
            # Reached only for what is no ordinary attribute: parameters, modules, and the decoder that is neither.
            if name == "W_dec" and "W_dec" not in self._parameters:
                return self.W_enc.T
            return super().__getattr__(name)

        def process_state_dict_for_saving_inference(self, state_dict: dict[str, Any]) -> None:
            super().process_state_dict_for_saving_inference(state_dict)
            state_dict["W_dec"] = state_dict["W_enc"].T.contiguous()

    return TiedTopKTrainingSAE
