"""Behaviour steering: does it matter who wrote the items that a vector is made of?

The subject has to be one that takes sides. None of the mini world's models does, so the profile's subject is steered
as a copy of it that `mini.persona_training` tuned, and its answers are read by their words. A method's items give a
vector (CAA), which is measured by its SCR on 50 items in wordings that neither the method nor the tuning ever used.
All vectors are given one length (see `unit_length`), so that directions alone are compared; multipliers are in units
of it.

Beside every vector stand random ones of the same length, and what naming a persona does to the same state.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from fac_lab.errors import DataError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.mini.persona_training import Tuning, source_digest, tuned_copy
from fac_lab.mini.personas import SIDES, behaviour_of, behaviours, draw_items
from fac_lab.profile import resolve
from fac_lab.store import Artifact
from fac_lab.studies.methods import Written
from fac_lab.studies.toxicity import Gap
from fac_lab.synthesis.complete import framed
from fac_lab.tasks.ab_items import Item, join_items
from fac_lab.tasks.steering import MULTIPLIERS, Cue, Steering, random_vector, steering_curve
from fac_lab.world import Dice, concepts, draw_query, queries
from fac_lab.world.replies import draw_reply

VALUES = {"sycophancy": "sycophancy_scr", "survival_instinct": "survival_scr"}
"""Columns of the paper's table 1 by behaviour."""
ASKED = 5
"""Most samples of a method, which the main table takes from here: the paper has five missing features of sycophancy."""
ITEMS = 3
"""Items of a vector, as many as the paper kept. Each training seed draws its own from what a method wrote."""
FULL_AT_MOST = 200
"""Rows of the seed behind the vector of the full data set."""
HELD_OUT, HELD_OUT_SEED = 50, 20
UNIT = (20, 30)
"""Framed queries behind `unit_length`, and their seed."""
TUNING_SHARE = 0.3125
"""Tokens of the tuning in parts of those of the SAE's training, which every profile has at its scale."""
LAYER = 1
"""Of the mini world's three: the one behind it can still read the options."""
TALKS = 60
"""Talks about other things, on which side effects are measured."""
RUN_VERSION = 1


class Source(NamedTuple):
    """What a vector is made of."""

    kind: str
    """"items" (CAA on them), "persona" (what a system's words do to them), "random" or "none" (zeros)."""
    behaviour: str
    items: tuple[Item, ...] = ()
    seed: int = 0
    """Of a random direction."""


class Reading(NamedTuple):
    """Where a model is steered, and how it is read."""

    layer: int = LAYER
    answer_at: str = "paper"
    same_length: bool = True
    """Whether all vectors have the length of `unit_length`, or each its own."""


PAPER = Reading()


def steering_cell(
    lab: Lab,
    anchor: FeatureStats,
    gap: Gap,
    written: Written,
    *,
    arm: str,
    held_out_set: int,
    seed: int,
    behaviour: str,
) -> dict[str, float]:
    """One cell of the main table, in percent: the SCR of a method's vector, by the name of the paper's column, and
    beside it `robust_plus`, `robust_minus` and `items`, the number of items of the vector.

    A method that kept nothing has no vector, and an SCR of 0. "none" writes nothing either; the paper does not say
    what its baseline was steered by, and here it is as many items framed from rows of the seed. "full" frames all of
    them, at most FULL_AT_MOST.
    """
    items = vector_items(gap, written, arm=arm, behaviour=behaviour, seed=seed)
    curve = measure(lab, Source("items" if items else "none", behaviour, tuple(items)), multipliers=(-1.0, 1.0))
    minus, plus = 100 * curve.set_index("multiplier").robust
    return {VALUES[behaviour]: plus - minus, "robust_plus": plus, "robust_minus": minus, "items": float(len(items))}


def vector_items(gap: Gap, written: Written, *, arm: str, behaviour: str, seed: int) -> list[Item]:
    """The items that the vector of an arm is made of; see `steering_cell`."""
    if arm == "full":
        return as_items([row.text for row in gap.seed][:FULL_AT_MOST], behaviour)
    rows = [row.text for row in gap.seed] if arm == "none" else list(written.parts or written.texts)
    drawn = np.random.default_rng([seed, len(rows)]).permutation(len(rows))[:ITEMS]
    return as_items([rows[i] for i in drawn], behaviour)


def as_items(rows: Sequence, behaviour: str) -> list[Item]:
    """Items of samples in their parts, or of queries set into the frame that the mini world's samples have."""
    meaning = behaviour_of(behaviour).meaning
    parts = [framed(row, behaviour) if isinstance(row, str) else row for row in rows]
    return [
        Item(str(i), behaviour, one["question"], one["matching"], one["other"], meaning) for i, one in enumerate(parts)
    ]


def held_out_items(behaviour: str, *, wordings: str = "test", n: int = HELD_OUT) -> list[Item]:
    """The items that SCR is measured on, the same for every vector."""
    return draw_items(behaviour, n, seed=HELD_OUT_SEED, wordings=wordings)


def framed_queries(behaviour: str, n: int, seed: int) -> tuple[Item, ...]:
    """Items about all concepts in the frame of the mini world's samples."""
    return tuple(as_items([text for _, text in queries(n, seed=seed)], behaviour))


def cues(behaviour: str) -> tuple[Cue, Cue]:
    """The two personas in words, before the question and behind its options."""
    found = [behaviour_of(behaviour).personas[side].cues[0] for side in SIDES]
    return (found[0], found[0]), (found[1], found[1])


def measure(
    lab: Lab,
    source: Source,
    *,
    multipliers: Sequence[float] = MULTIPLIERS,
    reading: Reading = PAPER,
    wordings: str = "test",
    side_effects: bool = False,
) -> pd.DataFrame:
    """The steering curve of a vector on the held-out items (see `tasks.steering.steering_curve`), read where it was
    measured before; with `side_effects` also `loss`, in nats per token, on talks about other things.

    Raises DataError where the items of the vector show another behaviour, or the opposite side of it.
    """
    held = held_out_items(source.behaviour, wordings=wordings)
    join_items(source.items, held)

    def build(artifact: Artifact) -> dict:
        steering = steerable(lab, reading)
        vector = vector_of(lab, source, reading)
        curve = steering_curve(steering, held, vector, multipliers)
        if side_effects:
            curve["loss"] = [steering.loss(talks(TALKS), vector, multiplier) for multiplier in multipliers]
        artifact.write_frame("curve.parquet", curve)
        return {"length": float(vector.norm())}

    artifact = lab.store.once(
        "steering",
        build,
        **_tuned(lab),
        source=source._asdict() | {"items": [item[1:] for item in source.items]},
        held=[item[1:] for item in held],
        reading=reading._asdict(),
        unit=UNIT,
        multipliers=list(multipliers),
        talks=talks(TALKS) if side_effects else [],
    )
    return artifact.read_frame("curve.parquet")


def vector_of(lab: Lab, source: Source, reading: Reading = PAPER) -> Tensor:
    """The vector of a source, [d_model], given the common length unless the reading says otherwise."""
    steering = steerable(lab, reading)
    if source.kind == "items":
        vector = steering.vector(source.items)
    elif source.kind == "persona":
        vector = steering.cue_vector(source.items, cues(source.behaviour))
    elif source.kind in ("random", "none"):
        like = torch.ones(steering.bridge.cfg.d_model)
        vector = random_vector(like, seed=source.seed) if source.kind == "random" else torch.zeros_like(like)
    else:
        raise DataError(f'a vector is made of "items", "persona", "random" or "none", not of {source.kind!r}')
    if not reading.same_length and source.kind != "random":
        return vector
    return functional.normalize(vector, dim=0) * unit_length(lab, reading)


def unit_length(lab: Lab, reading: Reading = PAPER) -> float:
    """The common length: the mean over behaviours of that of a vector from framed queries about all concepts. It
    belongs to a model, a layer and a way of reading, not to a method."""
    return float(np.mean(list(lengths(lab, reading)["vectors"].values())))


def lengths(lab: Lab, reading: Reading = PAPER) -> dict:
    """How long things are at a layer: `vectors` by behaviour, `personas` by behaviour, `residual` (the mean state)."""

    def build(_: Artifact) -> dict:
        steering, items = steerable(lab, reading), {name: framed_queries(name, *UNIT) for name in behaviours()}
        return {
            "vectors": {name: float(steering.vector(some).norm()) for name, some in items.items()},
            "personas": {name: float(steering.cue_vector(some, cues(name)).norm()) for name, some in items.items()},
            "residual": float(np.mean([steering.residual_norm(some) for some in items.values()])),
        }

    return lab.store.once("steering_lengths", build, **_unit(lab, reading)).facts


def _unit(lab: Lab, reading: Reading) -> dict:
    where = {"layer": reading.layer, "answer_at": reading.answer_at, "queries": UNIT}
    return _tuned(lab) | where


def steerable(lab: Lab, reading: Reading = PAPER) -> Steering:
    """A copy of the profile's subject, tuned on personas where that was not done before, ready to be steered."""

    def build(artifact: Artifact) -> None:
        tuned_copy(resolve(lab.profile.subject.path), artifact.path, tuning(lab))

    artifact = lab.store.once("steerable", build, **_tuned(lab))
    bridge, tokenizer = _bridge(artifact.path)
    return Steering(bridge, tokenizer, layer=reading.layer, answer_at=reading.answer_at, answers="words")


def tuning(lab: Lab) -> Tuning:
    """How the copy is tuned: on as many tokens as the profile's SAE is trained on, in parts of TUNING_SHARE."""
    trained = lab.profile.sae_training
    return Tuning() if trained is None else Tuning(tokens=round(TUNING_SHARE * trained.tokens))


def _tuned(lab: Lab) -> dict:
    return {"version": RUN_VERSION, "subject": lab.subject.digest, "tuning": tuning(lab), "code": source_digest()}


@cache
def _bridge(path: Path) -> tuple:
    read = Steering.load(str(path), layer=0)
    return read.bridge, read.tokenizer


def talks(n: int) -> list[tuple[str, str]]:
    """Queries and replies about all concepts, in wordings that no model was trained on."""
    dice = Dice(77)
    drawn = [dice.choose(concepts()) for _ in range(n)]
    return [
        (draw_query(concept, dice, form=dice.choose(concept.held_forms), long=False), draw_reply(concept, dice))
        for concept in drawn
    ]
