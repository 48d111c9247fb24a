"""Chance that keeps its own account, so that the entropy of what it generates is known."""

import math
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of choices which adds up the surprise of every choice it makes.

    After a document is drawn, `nats` is `-log p(choices)`. Averaged over documents this is the entropy of the
    generator over choice sequences: an upper bound of the entropy of the text, since two sequences of choices may
    spell the same text, and therefore the loss that a perfect model of the text could not exceed.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.nats = 0.0

    def choose(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of `options`, with probability proportional to `weights` (uniform if None)."""
        if weights is None:
            self.nats += math.log(len(options))
            return self._random.choice(options)
        index = self._random.choices(range(len(options)), weights)[0]
        self.nats -= math.log(weights[index] / sum(weights))
        return options[index]

    def chance(self, probability: float) -> bool:
        """True with the given probability, strictly between 0 and 1."""
        return self.choose((True, False), (probability, 1 - probability))

    def several(self, options: Sequence[T], n: int) -> list[T]:
        """`n` options from different places, in random order."""
        places: list[int] = []
        for _ in range(n):
            places.append(self.choose([place for place in range(len(options)) if place not in places]))
        return [options[place] for place in places]
