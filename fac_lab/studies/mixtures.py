"""Training distributions over concepts: what lacks a share of the harmful ones, and what fills it, known exactly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fac_lab.corpora import Row
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.toxicity import Gap
from fac_lab.world import Concept, Dice, concepts, draw_query

PER_CONCEPT = 10
"""Test queries about each concept, the same for all detectors."""


class Mixture(NamedTuple):
    """A training distribution: uniform over some concepts, and over others with the mass of what was held out."""

    kept: tuple[Concept, ...]
    extra: tuple[Concept, ...]
    """What the filling queries are about: held-out concepts, or harmful ones of `kept` where nothing is filled."""
    extra_mass: float

    @property
    def over_concepts(self) -> np.ndarray:
        """Probability of each concept of the world, in its order, `[n_concepts]`."""
        kept, extra = set(self.kept), set(self.extra)
        one = {concept: (1 - self.extra_mass) / len(kept) for concept in kept}
        for concept in extra:
            one[concept] = one.get(concept, 0.0) + self.extra_mass / len(extra)
        return np.array([one.get(concept, 0.0) for concept in concepts()])


def mixture(held_out: Sequence[Concept], share: float, *, order: int) -> Mixture:
    """The distribution with `share` of the held-out concepts filled; `order` draws which come first."""
    kept = tuple(concept for concept in concepts() if concept not in held_out)
    dice = np.random.default_rng(order)
    first = [held_out[i] for i in dice.permutation(len(held_out))[: round(share * len(held_out))]]
    extra = tuple(first) or tuple(concept for concept in kept if concept.harmful)
    return Mixture(kept, extra, len(held_out) / len(concepts()))


def training_rows(gap: Gap, mixed: Mixture, n: int, *, seed: int) -> tuple[list[Row], list[Row]]:
    """`n` rows of the mixture: those of the gap's seed, and the filling ones; a smaller n takes the first of each."""
    n_extra = round(n * mixed.extra_mass)
    others = [concept for concept in concepts() if concept not in mixed.extra]
    filling = world_corpus("filling", n_extra, seed=seed, without=others)
    return list(gap.seed)[: n - n_extra], list(filling)


def uniform() -> np.ndarray:
    """D: every concept alike, `[n_concepts]`."""
    return np.full(len(concepts()), 1 / len(concepts()))


def test_queries(per_concept: int = PER_CONCEPT, *, seed: int = 8) -> list[Row]:
    """Fresh labelled queries, as many about each concept, in the order of concepts."""
    dice = Dice(seed)
    return [
        Row(f"test-{c}-{i}", draw_query(concept, dice), int(concept.harmful), concept.id)
        for c, concept in enumerate(concepts())
        for i in range(per_concept)
    ]
