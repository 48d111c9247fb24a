from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from benchmarks.selection import drawn_pool, lazily
from fac_lab.errors import DataError, SettingsError
from fac_lab.synthesis.selection import select_greedily


def covered(pool: np.ndarray, rows, features, delta=0.0) -> int:
    return int((pool[np.asarray(rows, int)][:, features] > delta).any(axis=0).sum())


def slowly(pool: np.ndarray, features, n: int, delta: float) -> list[int]:
    """The definition, row by row: most new features, then most activation of these, then first."""
    active = np.where(pool[:, features] > delta, pool[:, features], 0)
    chosen: list[int] = []
    while len(chosen) < n:
        wanted, before = np.ones(len(features), bool), len(chosen)
        while len(chosen) < n:
            new = (active > 0) & wanted
            new[chosen] = False
            rank = sorted(range(len(pool)), key=lambda row: (-new[row].sum(), -active[row][new[row]].sum(), row))
            if not new[rank[0]].any():
                break
            chosen.append(rank[0])
            wanted &= ~new[rank[0]]
        if len(chosen) == before:
            break
    return chosen


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_greedy_choice(seed):
    rng = np.random.default_rng(seed)
    pool = rng.random((25, 30)) * (rng.random((25, 30)) < 0.15)
    features = rng.choice(30, 18, replace=False)
    found = select_greedily(sparse.csr_matrix(pool), features, 12, delta=0.2)
    assert found.rows.tolist() == slowly(pool, np.sort(features), 12, 0.2)
    first = found.rounds == 1
    assert found.gains[first].sum() == covered(pool, found.rows[first], features, 0.2)
    assert (np.diff(found.gains[first]) <= 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_it_reaches_its_guarantee_and_all_that_can_be_covered(seed):
    rng = np.random.default_rng(100 + seed)
    pool = (rng.random((9, 14)) < 0.25).astype(float)
    features = np.arange(14)
    for n in (1, 2, 3):
        best = max(covered(pool, rows, features) for rows in combinations(range(9), n))
        ours = covered(pool, select_greedily(sparse.csr_matrix(pool), features, n).rows, features)
        assert ours == best if n == 1 else ours >= (1 - 1 / np.e) * best
    everything = select_greedily(sparse.csr_matrix(pool), features, 100)
    assert covered(pool, everything.rows, features) == (pool > 0).any(axis=0).sum()
    assert sorted(everything.rows) == np.flatnonzero(pool.any(axis=1)).tolist()  # later rounds take the rest


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_best_choice_where_rows_share_no_feature(seed):
    rng = np.random.default_rng(200 + seed)
    owner = rng.integers(8, size=20)
    pool = (owner == np.arange(8)[:, None]).astype(float)
    for n in (1, 3, 5):
        best = max(covered(pool, rows, np.arange(20)) for rows in combinations(range(8), n))
        assert covered(pool, select_greedily(sparse.csr_matrix(pool), np.arange(20), n).rows, np.arange(20)) == best


def test_lazy_choice_ends_in_the_same_rows():
    pool, features = drawn_pool(300, 120, 12, seed=5), np.arange(0, 120, 2)
    ours = select_greedily(pool, features, 250, delta=0.3)
    assert len(ours.rows) == 250 and ours.rounds.max() > 2
    assert ours.rows.tolist() == lazily(pool, features, 250, delta=0.3).tolist()


def test_a_pool_smaller_than_the_budget_is_used_up_and_said(caplog):
    pool = sparse.csr_matrix(np.array([[1.0, 0], [0, 0], [1, 1]]))
    found = select_greedily(pool, [0, 1], 5)
    assert sorted(found.rows) == [0, 2]
    assert found.short == "2 rows chosen instead of 5: no other of the pool's 3 rows activates one of the 2 features"
    assert found.short in caplog.text
    assert select_greedily(pool, [0, 1], 2).short == ""


@pytest.mark.parametrize("n", [-1, 2.5, True])
def test_a_budget_that_is_no_number_of_rows_is_refused(n):
    with pytest.raises(SettingsError, match="whole number"):
        select_greedily(sparse.csr_matrix(np.eye(3)), [1], n)


def test_ties_go_to_the_stronger_row_then_to_the_earlier():
    pool = sparse.csr_matrix(np.array([[1.0, 1, 0], [2, 1, 0], [2, 1, 0], [0, 0, 1]]))
    assert select_greedily(pool, [0, 1, 2], 2).rows.tolist() == [1, 3]


def test_thresholds_may_differ_by_feature():
    pool = sparse.csr_matrix(np.array([[1.0, 0.5], [3, 0]]))
    assert select_greedily(pool, [0, 1], 5, delta=np.array([2, 0.1])).rows.tolist() == [1, 0]
    assert select_greedily(pool, [0, 1], 5, delta=np.array([2, 0.6])).rows.tolist() == [1]


def test_nothing_to_cover_chooses_nothing():
    pool = sparse.csr_matrix((3, 4))
    assert len(select_greedily(pool, [0, 1], 2).rows) == 0
    assert len(select_greedily(sparse.csr_matrix(np.eye(3)), [], 2).rows) == 0
    assert len(select_greedily(sparse.csr_matrix(np.eye(3)), [0], 0).rows) == 0


def test_features_outside_the_pool_are_refused():
    with pytest.raises(DataError, match="0 to 2, but 1 to 7"):
        select_greedily(sparse.csr_matrix(np.eye(3)), [1, 7], 2)
