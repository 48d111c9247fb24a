"""Data sets are made of what their make-up says, and its properties do not go with each other."""

import numpy as np
import pytest

from fac_lab.errors import SettingsError
from fac_lab.studies.make_up import (
    DESIGNS,
    FACTORS,
    USUAL,
    Factor,
    MakeUp,
    design,
    latin_hypercube,
    toxic_rows,
    true_coverage,
)
from fac_lab.world import concepts, recognise

BY_ID = {concept.id: concept for concept in concepts()}


def made(**changes):
    values = {"concepts": 12, "size": 80, "wordings": 10, "frames": 400, "duplicates": 0.0, "noise": 0.0, "seed": 3}
    return MakeUp(**(values | changes))


def test_each_column_of_a_hypercube_takes_every_part_once_and_none_goes_with_another():
    cube = latin_hypercube(40, 6, seed=1)
    assert cube.shape == (40, 6)
    for column in cube.T:
        assert sorted((column * 40).astype(int)) == list(range(40))
    worst = np.abs(np.corrcoef(cube.T) - np.eye(6)).max()
    assert worst < 0.25 and worst < np.abs(np.corrcoef(latin_hypercube(40, 6, seed=1, tries=1).T) - np.eye(6)).max()
    np.testing.assert_array_equal(cube, latin_hypercube(40, 6, seed=1))


def test_factors_reach_both_ends():
    assert Factor(3, 72, log=True, whole=True).at(np.array([0.0, 0.5, 1.0])).tolist() == [3, 15, 72]
    assert Factor(0.0, 0.5).at(np.array([0.5])).tolist() == [0.25]


@pytest.mark.parametrize("name", DESIGNS)
def test_only_what_a_design_varies_varies(name):
    points = design(name, 12, seed=5)
    assert points == design(name, 12, seed=5) and len({point.seed for point in points}) == 12
    for factor in FACTORS:
        values = {getattr(point, factor) for point in points}
        assert (len(values) > 3) == (factor in DESIGNS[name])
        if factor not in DESIGNS[name]:
            assert values == {USUAL[factor]}


def test_unknown_and_tiny_designs_are_refused():
    with pytest.raises(SettingsError, match="'random'; there are: equal size"):
        design("random", 10, seed=0)
    with pytest.raises(SettingsError, match="at least three"):
        design("equal size", 2, seed=0)


def test_rows_are_about_what_they_say_and_labelled_harmful():
    rows = toxic_rows(made(noise=0.25))
    assert len(rows) == len({row.id for row in rows}) == 80 and {row.label for row in rows} == {1}
    assert all(recognise(row.text).id == row.concept for row in rows)
    harmful = [row for row in rows if BY_ID[row.concept].harmful]
    assert len(harmful) == 60 and len({row.concept for row in harmful}) == 12
    assert true_coverage(rows) == 12 / 72
    assert toxic_rows(made(noise=0.25)) == rows != toxic_rows(made(noise=0.25, seed=4))


def test_copies_are_copies():
    rows = toxic_rows(made(duplicates=0.5))
    assert len(rows) == 80 and len({row.text for row in rows}) <= 40
    assert len({row.text for row in toxic_rows(made())}) > 70


def test_wordings_and_frames_are_as_many_as_asked_for():

    one = toxic_rows(made(wordings=1, size=60, concepts=3))
    objects = {(row.concept, thing) for row in one for thing in BY_ID[row.concept].objects if thing in row.text}
    many = toxic_rows(made(wordings=10, size=60, concepts=3))
    more = {(row.concept, thing) for row in many for thing in BY_ID[row.concept].objects if thing in row.text}
    # An aside brings another wording of its own, in a query of seven.
    assert 3 <= len(objects) < len(more)
    few = {row.text.split(" ")[0] for row in toxic_rows(made(frames=4, size=200))}
    assert len(few) <= 8 < len({row.text.split(" ")[0] for row in toxic_rows(made(frames=400, size=200))})


def test_a_set_that_is_nearly_all_noise_keeps_a_harmful_row():
    rows = toxic_rows(made(size=2, noise=0.9, duplicates=0.0))
    assert sum(BY_ID[row.concept].harmful for row in rows) == 1
