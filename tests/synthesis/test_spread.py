from itertools import combinations

import numpy as np
import pytest

from benchmarks.selection import drawn_vectors, plain_k_center
from fac_lab.errors import DataError
from fac_lab.synthesis import spread
from fac_lab.synthesis.spread import select_at_random, select_centres, select_k_center


def radius(vectors: np.ndarray, rows) -> float:
    return float(np.linalg.norm(vectors[:, None] - vectors[np.asarray(rows)], axis=2).min(axis=1).max())


@pytest.mark.parametrize("watched", [4, 37, 2000])
def test_watching_some_rows_changes_no_choice(watched, monkeypatch):
    monkeypatch.setattr(spread, "WATCHED", watched)
    monkeypatch.setattr(spread, "ROWS_AT_ONCE", 64)
    vectors = drawn_vectors(500, 12, seed=0)
    found = select_k_center(vectors, 120, seed=4)
    assert found.rows.tolist() == plain_k_center(vectors, 120, seed=4).tolist()
    for place in (1, 50, 119):  # a gain is the distance to what was there before
        before = np.linalg.norm(vectors[found.rows[place]] - vectors[found.rows[:place]], axis=1).min()
        assert found.gains[place] == pytest.approx(before, rel=1e-4)
    assert np.isinf(found.gains[0]) and (np.diff(found.gains[1:]) <= 1e-5).all()


@pytest.mark.parametrize("seed", range(6))
def test_its_radius_is_at_most_twice_the_least(seed):
    vectors = np.random.default_rng(seed).normal(size=(11, 2))
    for n in (1, 2, 3):
        least = min(radius(vectors, rows) for rows in combinations(range(11), n))
        assert radius(vectors, select_k_center(vectors, n, seed=seed).rows) <= 2 * least + 1e-6


def test_what_is_there_already_counts_as_chosen():
    vectors = np.array([[0.0, 0], [10, 0], [0, 7], [1, 0]])
    found = select_k_center(vectors, 2, start=np.array([[10.0, 0.5]]))
    assert found.rows.tolist() == [2, 3]  # far from (10, .5); then (1, 0), a little farther from (0, 7) than the origin
    assert found.gains.tolist() == pytest.approx([np.hypot(10, 6.5), np.sqrt(50)], rel=1e-4)


def test_rows_that_coincide_are_chosen_once_and_the_lack_is_said(caplog):
    vectors = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, 2.0]])
    for found in (select_k_center(vectors, 4), select_centres(vectors, 4), select_centres(vectors, 3)):
        assert len(found.rows) == 2 and len(np.unique(vectors[found.rows], axis=0)) == 2
        assert found.short.startswith("2 rows chosen instead of") and found.short in caplog.text


def test_centres_are_the_middle_rows_of_clusters_largest_first():
    rng = np.random.default_rng(0)
    middles = np.array([[0.0, 0], [50, 0], [0, 50]])
    sizes = (30, 10, 20)
    vectors = np.concatenate([middle + rng.normal(size=(size, 2)) for middle, size in zip(middles, sizes, strict=True)])
    found = select_centres(vectors, 3, seed=1)
    assert found.gains.tolist() == [30, 20, 10] and found.short == ""
    for row, (begin, end) in zip(found.rows, [(0, 30), (40, 60), (30, 40)], strict=True):
        cluster = vectors[begin:end]
        assert row == begin + np.linalg.norm(cluster - cluster.mean(axis=0), axis=1).argmin()


def test_many_rows_go_in_small_batches(monkeypatch):
    monkeypatch.setattr(spread, "LARGE", 10)
    vectors = drawn_vectors(300, 8, seed=2)
    found = select_centres(vectors, 40)
    assert len(set(found.rows.tolist())) == 40 and found.gains.sum() == 300


def test_random_rows_are_a_draw_without_replacement(caplog):
    found = select_at_random(50, 20, seed=3)
    assert len(set(found.rows.tolist())) == 20 and found.rows.tolist() == select_at_random(50, 20, seed=3).rows.tolist()
    assert found.rows.tolist() != select_at_random(50, 20, seed=4).rows.tolist()
    assert sorted(select_at_random(5, 20).rows) == list(range(5)) and "the pool has 5 rows" in caplog.text


@pytest.mark.parametrize("choose", [select_k_center, select_centres])
def test_nothing_asked_or_nothing_there(choose):
    assert len(choose(np.zeros((3, 2)), 0).rows) == 0
    assert len(choose(np.zeros((0, 2)), 2).rows) == 0


@pytest.mark.parametrize("choose", [select_k_center, select_centres])
@pytest.mark.parametrize("vectors", [np.array([[1.0, np.nan]]), np.ones(4)])
def test_vectors_that_no_distance_is_defined_for_are_refused(choose, vectors):
    with pytest.raises(DataError, match="one finite vector per row"):
        choose(vectors, 1)
