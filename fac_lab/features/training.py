"""Training a Top-K SAE on the subject's own activations, with sae-lens' trainer.

The loop is ours because sae-lens' `fit` resumes neither its data nor its progress bar; the model, the losses
and the optimiser step are its own. Features start on clusters of the vectors. Everything random follows from the
seed and the step, so a run that is killed and started again ends in the same weights: bit for bit on a CPU with the
same number of threads, and otherwise up to the rounding of parallel sums. What is trained, and in which units, is
said in `trainee`.

Activations are streamed: a round of them (`vectors.ROUND_BYTES`) is in memory, none is ever on disk, and every pass
over the corpus runs the subject again, unless all of it fits in one round. Disk holds the checkpoint alone, which is
the weights three times (optimiser included), whatever the number of tokens.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from fac_lab.atomic import write_atomic
from fac_lab.digests import canonical, digest
from fac_lab.features.checkpoint import (
    CHECKPOINT,
    Place,
    check_same,
    read_or_refuse,
    restore_checkpoint,
    save_checkpoint,
)
from fac_lab.features.clusters import cluster_directions
from fac_lab.features.saes import load_sae, quiet_sae_lens
from fac_lab.features.subject import Subject
from fac_lab.features.trainee import fold_scale, k_at, new_trainee, place_features
from fac_lab.features.vectors import vector_rounds
from fac_lab.parse import parse_json
from fac_lab.settings import SaeSettings, SaeTrainingSettings

if TYPE_CHECKING:
    from fac_lab.corpora import Corpus

RECORD = "training.json"
CHECKPOINT_SECONDS = 60.0
CLUSTERED_PER_FEATURE = 24
"""Vectors of the first round, for every feature, on which the clustering looks."""


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
        # Where it is reported makes no difference to what it becomes.
        "settings": json.loads(canonical(replace(settings, wandb=None))),
    }
    key = digest(made_by)
    saved = SaeSettings("folder", str(folder.resolve()))
    if (folder / RECORD).exists():
        found = read_or_refuse(folder / RECORD, lambda path: parse_json(path.read_text(encoding="utf-8")))
        check_same(found, key, folder)
        return load_sae(saved, subject)
    with quiet_sae_lens():
        trainer = _build_trainer(subject, corpus, settings)
    place = restore_checkpoint(trainer, folder / CHECKPOINT, key) or Place(0, 0)
    _fit(trainer, subject, corpus, settings, place, folder / CHECKPOINT, key, progress)
    _save(trainer, folder)
    record = {"key": key, "made_by": made_by, "corpus": corpus.name, "steps": trainer.n_training_steps}
    text = json.dumps(record, indent=1) + "\n"
    write_atomic(folder / RECORD, lambda path: path.write_text(text, encoding="utf-8"))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return load_sae(saved, subject)


def _build_trainer(subject: Subject, corpus: "Corpus", settings: SaeTrainingSettings):
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    steps = settings.tokens // settings.batch
    return SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=steps * settings.batch,
            train_batch_size_samples=settings.batch,
            lr=settings.lr,
            lr_end=settings.lr,
            lr_warm_up_steps=steps // 20,
            lr_decay_steps=steps // 4,
            device=str(subject.device),
            dead_feature_window=max(20, round(steps * settings.dead_after)),
            feature_sampling_window=max(20, steps // 10),
            logger=LoggingConfig(log_to_wandb=False),  # its own reports belong to its own loop; ours: `_reports`
        ),
        sae=new_trainee(subject, corpus, settings, training_tokens=steps * settings.batch),
        data_provider=iter(()),  # batches are handed to `step` one by one
    )


def _fit(
    trainer: Any,
    subject: Subject,
    corpus: "Corpus",
    settings: SaeTrainingSettings,
    place: Place,
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
    rounds = vector_rounds(subject, corpus, batch=settings.batch, seed=settings.seed, row=place.row, progress=progress)
    with bar, _reports(settings, key) as report:
        while trainer.n_training_steps < total:
            vectors, next_row = next(rounds)
            if trainer.activation_scaler.scaling_factor is None:
                _start_from_data(trainer, vectors, settings, progress)
            order = np.random.default_rng([settings.seed, place.step]).permutation(len(vectors))
            order = torch.from_numpy(order).split(batch)[: len(vectors) // batch]
            for rows in order[trainer.n_training_steps - place.step : total - place.step]:
                trainer.maybe_reset_sparsity()
                trainer.sae.activation_fn.k = k_at(trainer.n_training_steps, total, settings)
                output = trainer.step(vectors[rows].float())
                trainer.n_training_steps += 1
                if trainer.n_training_steps % 20 == 0:
                    bar.set_postfix(_state(trainer, output), refresh=False)
                    report(trainer, output)
                bar.update(batch)
                if monotonic() - saved_at > CHECKPOINT_SECONDS:
                    save_checkpoint(trainer, place, checkpoint, key)
                    saved_at = monotonic()
            place = Place(next_row, trainer.n_training_steps)
    scale = trainer.activation_scaler.scaling_factor
    if scale is not None:
        fold_scale(trainer.sae, scale)
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
    centred = (vectors - vectors.mean(0)).to(trainer.sae.W_enc.device) * scale
    directions = cluster_directions(
        centred, settings.d_sae, rounds=settings.clustering, seed=settings.seed, progress=progress
    )
    place_features(trainer.sae, directions, vectors.mean(0) * scale)


@contextmanager
def _reports(settings: SaeTrainingSettings, key: str) -> Iterator[Callable[[Any, Any], None]]:
    """What a step is reported with: to a run of Weights & Biases if the settings name a project, else to nobody.

    A training that is resumed goes on in the run it began. Login and mode are wandb's own affair (WANDB_MODE=offline
    writes to a folder only).
    """
    if settings.wandb is None:
        yield lambda trainer, output: None
        return
    import wandb

    with wandb.init(project=settings.wandb, id=key, resume="allow", config=asdict(settings)) as run:

        def report(trainer: Any, output: Any) -> None:
            facts = trainer.build_train_step_log_dict(output, trainer.n_training_samples)
            run.log({**facts, "details/k": trainer.sae.activation_fn.k}, step=trainer.n_training_steps)

        yield report


def _state(trainer: Any, output: Any) -> dict[str, str]:
    with torch.no_grad():
        missed = (output.sae_in - output.sae_out).pow(2).sum()
        spread = (output.sae_in - output.sae_in.mean(0)).pow(2).sum()
    dead = trainer.dead_neurons.float().mean().item()
    return {"explained": f"{1 - (missed / spread).item():.3f}", "dead": f"{dead:.1%}"}


def _save(trainer: Any, folder: Path) -> None:
    """Write weights and cfg.json; the record that follows them makes the folder complete."""
    unfinished = folder / ".unfinished"
    trainer.sae.save_inference_model(unfinished)
    config = unfinished / "cfg.json"
    # sae-lens writes the settings in the order of a set, which is another one in each process.
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")), sort_keys=True), encoding="utf-8")
    for name in ("sae_weights.safetensors", "cfg.json"):
        source = unfinished / name
        write_atomic(folder / name, lambda path, source=source: source.replace(path))
    unfinished.rmdir()
