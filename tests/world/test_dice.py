import math

import pytest

from fac_lab.world import Dice


def test_surprise_is_minus_log_probability_of_the_choices():
    dice = Dice(0)
    dice.choose("abcd")
    assert dice.nats == pytest.approx(math.log(4))
    dice.nats = 0.0
    kind = dice.choose(("rare", "common"), (1, 3))
    assert dice.nats == pytest.approx(-math.log(0.25 if kind == "rare" else 0.75))


def test_mean_surprise_approaches_the_entropy():
    dice = Dice(1)
    for _ in range(20_000):
        dice.chance(0.9)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert dice.nats / 20_000 == pytest.approx(entropy, rel=0.03)


def test_several_are_different_and_their_surprise_counts_the_shrinking_choice():
    dice = Dice(2)
    chosen = dice.several(range(5), 3)
    assert len(set(chosen)) == 3
    assert dice.nats == pytest.approx(math.log(5 * 4 * 3))


def test_same_seed_same_choices():
    first, second = ([Dice(3).choose(range(1000)) for _ in range(5)] for _ in range(2))
    assert first == second
