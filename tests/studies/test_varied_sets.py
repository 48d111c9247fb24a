import numpy as np
import pytest

from fac_lab.errors import DataError, SettingsError
from fac_lab.studies.varied_sets import DESIGNS, LEVELS, Clusters, MakeUp, cluster, design, draw

DICE = np.random.default_rng(0)
CENTRES = np.eye(6)
MEMBER = np.repeat(np.arange(6), 10)
VECTORS = CENTRES[MEMBER] + 0.05 * DICE.standard_normal((60, 6))
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
LENGTHS = DICE.permutation(60)
NOISE = {"safe": np.arange(100, 140), "foreign": np.arange(200, 240)}
CLUSTERS = Clusters(MEMBER, VECTORS @ CENTRES.T)


def rows_of(seed=0, **make_up):
    return draw(MakeUp(**{"clusters": 1, "size": 10} | make_up), CLUSTERS, LENGTHS, NOISE, seed=seed)


def test_every_level_is_taken_equally_often_and_no_factor_goes_with_another():
    made = design(72, DESIGNS["mixed"], seed=1)
    for name, levels in LEVELS.items():
        taken = [levels.index(getattr(one, name)) for one in made]
        assert np.ptp(np.bincount(taken)) <= 1
    columns = np.array([[levels.index(getattr(one, name)) for one in made] for name, levels in LEVELS.items()])
    assert np.abs(np.corrcoef(columns) - np.eye(len(LEVELS))).max() < 0.25


def test_a_design_says_what_varies():
    made = design(24, DESIGNS["breadth"], seed=1)
    assert {one._replace(clusters=1) for one in made} == {MakeUp(1, size=60)}
    assert {one.fill for one in design(8, DESIGNS["repeat"], seed=1)} == {"repeat"}
    with pytest.raises(SettingsError, match="no colour"):
        design(4, {"colour": ("red",)}, seed=1)


def test_clusters_are_found():
    found = cluster(VECTORS, seed=3, n=6)
    of_true = [set(found.member[10 * k : 10 * k + 10]) for k in range(6)]
    assert all(len(labels) == 1 for labels in of_true) and len(set.union(*of_true)) == 6
    assert (found.similarity.argmax(axis=1) == found.member).all()
    with pytest.raises(DataError, match="60 toxic rows"):
        cluster(VECTORS, seed=3, n=61)


@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_rows_are_different_and_from_as_many_clusters_as_asked_for(n_clusters):
    rows = rows_of(clusters=n_clusters, size=5)
    assert len(set(rows)) == 5
    assert len(set(MEMBER[rows])) == n_clusters


def test_a_cluster_that_runs_out_goes_on_or_repeats():
    wide = rows_of(size=24)
    assert len(set(wide)) == 24 and len(set(MEMBER[wide])) > 1
    again = rows_of(size=24, fill="repeat")
    assert len(set(again)) == 10 and len(set(MEMBER[again])) == 1


def test_copies_and_noise_are_as_many_as_said():
    rows = rows_of(clusters=6, size=40, duplicates=0.25, noise=0.3, noise_kind="foreign")
    toxic, wrong = rows[rows < 60], rows[rows >= 60]
    assert len(rows) == 40 and len(wrong) == len(set(wrong)) == 12 and (wrong >= 200).all()
    assert len(set(toxic)) == 18 and len(toxic) == 28


def test_short_and_long_are_chosen_among_neighbours():
    short, usual, long = (rows_of(clusters=6, size=30, length=length) for length in ("short", "any", "long"))
    assert LENGTHS[short].mean() < LENGTHS[usual].mean() < LENGTHS[long].mean()
    assert all(len(set(MEMBER[rows])) == 6 for rows in (short, usual, long))


def test_seeds_decide_which_clusters_and_which_rows():
    assert (rows_of(seed=1) == rows_of(seed=1)).all()
    assert len({MEMBER[rows_of(seed=seed, size=4)[0]] for seed in range(8)}) > 2
    # Also where all clusters are in, sets differ.
    assert len({tuple(sorted(rows_of(seed=seed, clusters=6, size=24))) for seed in range(8)}) == 8


def test_too_much_is_refused():
    with pytest.raises(DataError, match="61 different toxic rows"):
        rows_of(size=61)
    with pytest.raises(DataError, match="of kind safe"):
        rows_of(clusters=6, size=60, noise=0.9)
    with pytest.raises(SettingsError, match="neither a copy nor noise"):
        rows_of(duplicates=0.5, noise=0.5)
