"""Training a Top-K SAE on the subject's own activations, with sae-lens' trainer.

The loop is ours because sae-lens' `fit` resumes neither its data nor its progress bar; the model, the losses
and the optimiser step are its own. Features start on clusters of the vectors. Everything random follows from the
seed and the step, so a run that is killed and started again ends in the same weights: bit for bit on a CPU with the
same number of threads, and otherwise up to the rounding of parallel sums.

Inputs are scaled to mean norm sqrt(d_in) while training, so that one learning rate serves every model, and
the scale is folded into the weights at the end: the saved SAE encodes raw activations, its decoder rows have
norm 1, and a feature's value is its length in the residual stream.
"""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from fac_lab.digests import digest
from fac_lab.errors import ArtifactError
from fac_lab.features.clusters import cluster_directions
from fac_lab.features.saes import load_sae, quiet_sae_lens
from fac_lab.features.subject import Subject
from fac_lab.features.vectors import vector_rounds
from fac_lab.profile import SaeSettings, SaeTrainingSettings
from fac_lab.store import write_atomic

if TYPE_CHECKING:
    from fac_lab.corpora import Corpus

log = logging.getLogger(__name__)

RECORD = "training.json"
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 60.0
CLUSTERED_PER_FEATURE = 24
"""Vectors of the first round, for every feature, on which the clustering looks."""
# What a checkpoint keeps of the trainer beside weights, optimiser and schedule.
_COUNTERS = (
    "n_training_steps",
    "n_training_samples",
    "act_freq_scores",
    "n_forward_passes_since_fired",
    "n_frac_active_samples",
)


class _Place(NamedTuple):
    """Where a round begins."""

    row: int
    """Rows of the pass before it."""
    step: int
    """Training steps before it."""


def train_sae(
    subject: Subject, corpus: "Corpus", settings: SaeTrainingSettings, folder: Path, *, progress: bool = True
):
    """Train, save into `folder` in sae-lens layout, and return the saved SAE as `load_sae` reads it.

    Trains on the positions that `pool="paper"` pools over. The corpus is read as often as it takes to see
    `settings.tokens` activation vectors, rounded down to whole batches. A run that was interrupted continues
    from its last checkpoint (one a minute); a finished one is loaded. Raises ArtifactError where the folder
    holds an SAE of other inputs, DataError where the corpus does not fill one batch.
    """
    folder = Path(folder)
    made_by = {
        "subject": subject.digest,
        "corpus": corpus.digest,
        "settings": {key: getattr(settings, key) for key in settings.__dataclass_fields__},
    }
    key = digest(made_by)
    saved = SaeSettings("folder", str(folder.resolve()))
    if (folder / RECORD).exists():
        _check_same(_read(folder / RECORD, lambda path: json.loads(path.read_text(encoding="utf-8"))), key, folder)
        return load_sae(saved, subject)
    with quiet_sae_lens():
        trainer = _build_trainer(subject, corpus, settings)
    place = _restore(trainer, folder / CHECKPOINT, key) or _Place(0, 0)
    _fit(trainer, subject, corpus, settings, place, folder / CHECKPOINT, key, progress)
    _save(trainer, folder)
    record = {"key": key, "made_by": made_by, "corpus": corpus.name, "steps": trainer.n_training_steps}
    text = json.dumps(record, indent=1) + "\n"
    write_atomic(folder / RECORD, lambda path: path.write_text(text, encoding="utf-8"))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return load_sae(saved, subject)


def _build_trainer(subject: Subject, corpus: "Corpus", settings: SaeTrainingSettings):
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    steps = settings.tokens // settings.batch
    metadata = SAEMetadata(
        model_name=subject.name,
        hook_name=subject.hook_name,
        layer=subject.layer,
        context_size=subject.max_tokens,
        template=subject.template,
        pool="paper",
        dataset=corpus.name,
        subject_digest=subject.digest,
        training_tokens=steps * settings.batch,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        sae = TopKTrainingSAE(
            TopKTrainingSAEConfig(
                d_in=subject.d_model,
                d_sae=settings.d_sae,
                k=settings.k,
                normalize_activations="expected_average_only_in",
                metadata=metadata,
            )
        )
    device = str(subject.device)
    return SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=steps * settings.batch,
            train_batch_size_samples=settings.batch,
            lr=settings.lr,
            lr_end=settings.lr,
            lr_warm_up_steps=steps // 20,
            lr_decay_steps=steps // 4,
            device=device,
            dead_feature_window=max(20, round(steps * settings.dead_after)),
            feature_sampling_window=max(20, steps // 10),
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae=sae.to(device),
        data_provider=iter(()),  # batches are handed to `step` one by one
    )


def _fit(
    trainer: Any,
    subject: Subject,
    corpus: "Corpus",
    settings: SaeTrainingSettings,
    place: _Place,
    checkpoint: Path,
    key: str,
    progress: bool,
) -> None:
    """Run the remaining steps, and fold the input scale into the weights."""
    total, batch = trainer.cfg.total_training_steps, settings.batch
    bar = tqdm(
        total=total * batch,
        initial=trainer.n_training_samples,
        desc="training the SAE",
        unit=" tokens",
        unit_scale=True,
        disable=not progress,
    )
    saved_at = monotonic()
    rounds = vector_rounds(subject, corpus, batch=settings.batch, seed=settings.seed, row=place.row)
    with bar:
        while trainer.n_training_steps < total:
            vectors, next_row = next(rounds)
            if trainer.activation_scaler.scaling_factor is None:
                _start_from_data(trainer, vectors, settings, progress)
            order = np.random.default_rng([settings.seed, place.step]).permutation(len(vectors))
            order = torch.from_numpy(order).split(batch)[: len(vectors) // batch]
            for rows in order[trainer.n_training_steps - place.step : total - place.step]:
                trainer.maybe_reset_sparsity()
                output = trainer.step(vectors[rows].float())
                trainer.n_training_steps += 1
                if trainer.n_training_steps % 20 == 0:
                    bar.set_postfix(_state(trainer, output), refresh=False)
                bar.update(batch)
                if monotonic() - saved_at > CHECKPOINT_SECONDS:
                    _save_checkpoint(trainer, place, checkpoint, key)
                    saved_at = monotonic()
            place = _Place(next_row, trainer.n_training_steps)
    trainer.sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    trainer.set_final_sae_metadata()


def _start_from_data(trainer: Any, vectors: torch.Tensor, settings: SaeTrainingSettings, progress: bool) -> None:
    """Set the input scale and the decoder bias from the first round, and each feature along a line of its vectors.

    A feature that starts where vectors are is used from the first step on, and one that starts on a cluster of them
    stays with what the cluster stands for: random directions mostly die, and from single vectors the concepts of the
    mini world came to share directions that meant nothing by themselves.
    """
    vectors = vectors[: CLUSTERED_PER_FEATURE * settings.d_sae].float()
    scale = math.sqrt(vectors.shape[1]) / vectors.norm(dim=1).mean().item()
    trainer.activation_scaler.scaling_factor = scale
    sae = trainer.sae
    centred = (vectors - vectors.mean(0)).to(sae.W_dec.device) * scale
    directions = cluster_directions(
        centred, settings.d_sae, rounds=settings.clustering, seed=settings.seed, progress=progress
    )
    with torch.no_grad():
        sae.b_dec.copy_(vectors.mean(0) * scale)
        sae.W_dec.copy_(directions)
        sae.W_enc.copy_(directions.T)


def _state(trainer: Any, output: Any) -> dict[str, str]:
    with torch.no_grad():
        missed = (output.sae_in - output.sae_out).pow(2).sum()
        spread = (output.sae_in - output.sae_in.mean(0)).pow(2).sum()
    dead = trainer.dead_neurons.float().mean().item()
    return {"explained": f"{1 - (missed / spread).item():.3f}", "dead": f"{dead:.1%}"}


def _save_checkpoint(trainer: Any, place: _Place, path: Path, key: str) -> None:
    state = {
        "key": key,
        "place": tuple(place),
        "sae": trainer.sae.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "lr_scheduler": trainer.lr_scheduler.state_dict(),
        "scaling_factor": trainer.activation_scaler.scaling_factor,
        "counters": {name: getattr(trainer, name) for name in _COUNTERS},
    }
    write_atomic(path, lambda file: torch.save(state, file))


def _restore(trainer: Any, path: Path, key: str) -> _Place | None:
    """Put the trainer back where a checkpoint left it; None where there is none."""
    if not path.exists():
        return None
    state = _read(path, lambda path: torch.load(path, map_location=trainer.cfg.device, weights_only=True))
    _check_same(state, key, path.parent)
    trainer.sae.load_state_dict(state["sae"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.lr_scheduler.load_state_dict(state["lr_scheduler"])
    trainer.activation_scaler.scaling_factor = state["scaling_factor"]
    for name, value in state["counters"].items():
        setattr(trainer, name, value)
    log.info("%s: continuing at step %d of %d", path, trainer.n_training_steps, trainer.cfg.total_training_steps)
    return _Place(*state["place"])


def _read(path: Path, read: Callable[[Path], dict]) -> dict:
    try:
        return read(path)
    except Exception as error:  # a damaged file fails in any way whatever
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}). Delete it and run again.") from error


def _check_same(found: dict, key: str, folder: Path) -> None:
    if found.get("key") != key:
        raise ArtifactError(
            f"{folder} holds the training of another SAE (other subject, corpus or settings). Choose another "
            "folder, or delete this one."
        )


def _save(trainer: Any, folder: Path) -> None:
    """Write weights and cfg.json; the record that follows them makes the folder complete."""
    unfinished = folder / ".unfinished"
    trainer.sae.save_inference_model(unfinished)
    for name in ("sae_weights.safetensors", "cfg.json"):
        source = unfinished / name
        write_atomic(folder / name, lambda path, source=source: source.replace(path))
    unfinished.rmdir()
