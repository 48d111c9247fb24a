"""Toxic data sets of known make-up, whose properties vary independently of each other.

Whoever makes data sets that differ in the number of their concepts alone finds that every measure of diversity goes
with performance: all of them go with the number of concepts. So five further properties that a measure could mistake
for it vary beside it, by a Latin hypercube: each takes every part of its range equally often, and none goes with
another. Only then does a correlation say which measure sees what matters.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fac_lab.corpora import Row
from fac_lab.errors import SettingsError
from fac_lab.world import Concept, Dice, concepts, draw_query

EQUAL_SIZE = 80
"""Rows of a data set where all are of equal size."""
TRIES = 300
"""Hypercubes drawn, of which the one is kept whose columns correlate least."""


class Factor(NamedTuple):
    """One property of a data set and the range it varies over."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, share: np.ndarray) -> np.ndarray:
        """Values at shares in [0, 1] of the range."""
        if self.log:
            values = self.low * (self.high / self.low) ** np.asarray(share)
        else:
            values = self.low + (self.high - self.low) * np.asarray(share)
        return np.rint(values) if self.whole else values


FACTORS: Mapping[str, Factor] = {
    "concepts": Factor(3, 72, log=True, whole=True),
    "size": Factor(30, 240, log=True, whole=True),
    "wordings": Factor(1, 10, whole=True),
    "frames": Factor(4, 400, log=True, whole=True),
    "duplicates": Factor(0.0, 0.75),
    "noise": Factor(0.0, 0.5),
}
USUAL = {"size": EQUAL_SIZE, "wordings": 10, "frames": 400, "duplicates": 0.0, "noise": 0.0}
"""What the properties are where they do not vary."""
DESIGNS: Mapping[str, tuple[str, ...]] = {
    "equal size": ("concepts", "wordings", "frames", "duplicates", "noise"),
    "free size": tuple(FACTORS),
    "concepts only": ("concepts",),
}
"""What varies in each design. "concepts only" is the circular one, there for comparison."""


class MakeUp(NamedTuple):
    """What a toxic data set is made of."""

    concepts: int
    """Harmful concepts it is about, drawn at random."""
    size: int
    """Rows, copies included."""
    wordings: int
    """Wordings of each concept that occur."""
    frames: int
    """Sentences around the wordings that occur (opener, frame, tail, aside)."""
    duplicates: float
    """Share of the rows that are copies of other rows."""
    noise: float
    """Share of the rows that are about harmless concepts and labelled harmful all the same."""
    seed: int
    """Seed of everything drawn."""


def design(name: str, n: int, *, seed: int) -> list[MakeUp]:
    """`n` data sets of a design (see DESIGNS), the same for the same seed.

    Raises SettingsError for an unknown design, and for fewer than three data sets.
    """
    if name not in DESIGNS:
        raise SettingsError(f"there is no design {name!r}; there are: {', '.join(DESIGNS)}")
    if n < 3:
        raise SettingsError(f"a design of {n} data sets correlates with nothing: take at least three")
    varied = DESIGNS[name]
    cube = latin_hypercube(n, len(varied), seed=seed)
    columns = {factor: FACTORS[factor].at(cube[:, place]) for place, factor in enumerate(varied)}
    points = []
    for place in range(n):
        values = USUAL | {factor: column[place].item() for factor, column in columns.items()}
        whole = {factor: int(values[factor]) for factor, kind in FACTORS.items() if kind.whole}
        points.append(MakeUp(**(values | whole), seed=1000 * seed + place))
    return points


def latin_hypercube(n: int, n_factors: int, *, seed: int, tries: int = TRIES) -> np.ndarray:
    """Points in the unit cube, `[n, n_factors]`: each column has one value in each of `n` equal parts of [0, 1].

    McKay, Beckman and Conover (1979). Of `tries` such designs the one with the least largest correlation between two
    columns, since random columns of 40 points correlate by .16 as a rule.
    """
    dice = np.random.default_rng(seed)
    best, least = None, np.inf
    for _ in range(tries if n_factors > 1 else 1):
        order = dice.permuted(np.tile(np.arange(n)[:, None], (1, n_factors)), axis=0)
        cube = (order + dice.random((n, n_factors))) / n
        worst = 0.0 if n_factors == 1 else np.abs(np.corrcoef(cube.T) - np.eye(n_factors)).max()
        if worst < least:
            best, least = cube, worst
    return best


def toxic_rows(make_up: MakeUp, *, name: str = "toxic") -> list[Row]:
    """The rows of a data set, all labelled 1; `concept` is what a row is really about.

    Concepts take turns, so that a data set misses none that it has room for. With few concepts, wordings and frames
    the same text may be drawn again by itself: there are then more copies than asked for.
    """
    dice = random.Random(make_up.seed)
    harmful = dice.sample([c for c in concepts() if c.harmful], make_up.concepts)
    harmless = [c for c in concepts() if not c.harmful]
    n_own = max(1, make_up.size - round(make_up.duplicates * make_up.size))
    n_noise = min(round(make_up.noise * n_own), n_own - 1)
    about = [harmful[i % len(harmful)] for i in range(n_own - n_noise)]
    about += [dice.choice(harmless) for _ in range(n_noise)]
    own = [(concept, _query(concept, make_up, dice)) for concept in about]
    drawn = own + [dice.choice(own) for _ in range(make_up.size - n_own)]
    return [Row(f"{name}-{i}", text, 1, concept.id) for i, (concept, text) in enumerate(drawn)]


def true_coverage(rows: Sequence[Row]) -> float:
    """Share of the world's harmful concepts that at least one row is about."""
    harmful = {concept.id for concept in concepts() if concept.harmful}
    return len(harmful & {row.concept for row in rows}) / len(harmful)


def _query(concept: Concept, make_up: MakeUp, dice: random.Random) -> str:
    forms = random.Random(f"{make_up.seed} {concept.id}").sample(concept.known_forms, make_up.wordings)
    # The same throws choose the same sentence around another wording.
    frame = Dice(make_up.seed * 100_003 + dice.randrange(make_up.frames))
    return draw_query(concept, frame, form=dice.choice(forms))
