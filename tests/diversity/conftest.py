"""Texts and vectors that the diversity tests share."""

import random

import numpy as np
import pytest

WORDS = ("the", "a", "my", "bread", "moon", "tide", "bakes", "rises", "sinks", "slowly", "again", "today", "and", "not")


@pytest.fixture(scope="session")
def sentences():
    """`sentences(n, seed=0, longest=9)`: texts of 1 to `longest` words from a small vocabulary."""

    def draw(n: int, *, seed: int = 0, longest: int = 9) -> list[str]:
        dice = random.Random(seed)
        return [" ".join(dice.choices(WORDS, k=dice.randint(1, longest))) for _ in range(n)]

    return draw


@pytest.fixture(scope="session")
def scattered():
    """`scattered(n, d, seed=0)`: vectors around a few centres, float32 `[n, d]`."""

    def draw(n: int, d: int, *, seed: int = 0) -> np.ndarray:
        dice = np.random.default_rng(seed)
        centres = dice.normal(size=(5, d))
        return (centres[dice.integers(5, size=n)] + 0.5 * dice.normal(size=(n, d))).astype(np.float32)

    return draw
