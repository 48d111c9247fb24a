"""Where a training of an SAE stands, on disk: all that a run which was killed needs to end in the same weights."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fac_lab.atomic import write_atomic
from fac_lab.errors import ArtifactError

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
# What a checkpoint keeps of the trainer beside weights, optimiser and schedule.
_COUNTERS = (
    "n_training_steps",
    "n_training_samples",
    "act_freq_scores",
    "n_forward_passes_since_fired",
    "n_frac_active_samples",
)


class Place(NamedTuple):
    """Where a round begins."""

    row: int
    """Rows of the pass before it."""
    step: int
    """Training steps before it."""


def save_checkpoint(trainer: Any, place: Place, path: Path, key: str) -> None:
    """Write the state of a sae-lens trainer that is in the round which begins at `place`."""
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


def restore_checkpoint(trainer: Any, path: Path, key: str) -> Place | None:
    """Put the trainer back where a checkpoint left it; None where there is none.

    Raises ArtifactError for a damaged one and for one of another `key`.
    """
    if not path.exists():
        return None
    state = read_or_refuse(path, lambda path: torch.load(path, map_location=trainer.cfg.device, weights_only=True))
    check_same(state, key, path.parent)
    trainer.sae.load_state_dict(state["sae"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.lr_scheduler.load_state_dict(state["lr_scheduler"])
    trainer.activation_scaler.scaling_factor = state["scaling_factor"]
    for name, value in state["counters"].items():
        setattr(trainer, name, value)
    log.info("%s: continuing at step %d of %d", path, trainer.n_training_steps, trainer.cfg.total_training_steps)
    return Place(*state["place"])


def read_or_refuse(path: Path, read: Callable[[Path], dict]) -> dict:
    """What `read` gives, or ArtifactError with the cure."""
    try:
        return read(path)
    except Exception as error:  # a damaged file fails in any way whatever
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}). Delete it and run again.") from error


def check_same(found: dict, key: str, folder: Path) -> None:
    """Raise ArtifactError unless what was found in a folder has this key."""
    if found.get("key") != key:
        raise ArtifactError(
            f"{folder} holds the training of another SAE (other subject, corpus or settings). Choose another "
            "folder, or delete this one."
        )
