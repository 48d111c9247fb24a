import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fac_lab.corpora import Row
from fac_lab.errors import DataError
from fac_lab.studies.results import RESULTS
from fac_lab.studies.selection import CHOICES, Pool, choose_rows, covered_share
from fac_lab.studies.selection_real import ADDED, CLUSTER_ROWS, SAFE_ROWS, Real, active, real_repeat, seed_rows

MATRIX = sparse.csr_matrix(np.array([[1.0, 0, 0, 2], [0, 3, 0, 0], [0, 0, 0, 0]]))


def test_results_are_registered():
    assert {"selection", "selection_real"} <= set(RESULTS)


def test_covered_share_by_hand():
    assert covered_share(MATRIX, [0], np.array([0, 1, 3]), 0.5) == pytest.approx(2 / 3)
    assert covered_share(MATRIX, [0, 1, 1], np.array([0, 1, 3]), np.array([1.0, 1, 1, 1])) == pytest.approx(2 / 3)
    assert covered_share(MATRIX, [], np.array([0, 1]), 0.0) == 0.0
    assert np.isnan(covered_share(MATRIX, [0], np.array([], int), 0.0))


def test_active_features():
    assert active(MATRIX, 1.5).tolist() == [1, 3]


def test_what_greedy_choice_leaves_is_drawn():
    pool = Pool([Row(str(i), "t", 1) for i in range(3)], MATRIX, np.eye(3, dtype=np.float32))
    settings = {"wanted": {"greedy": np.array([1])}, "delta": 0.0, "start": np.zeros((0, 3)), "seed": 0}
    rows = choose_rows("greedy", pool, 2, **settings)
    assert rows[0] == 1 and len(set(rows)) == 2
    assert sorted(choose_rows("k_means", pool, 3, **settings)) == [0, 1, 2]


def test_relevance_alone_ignores_overlap():
    matrix = sparse.csr_matrix(np.array([[1.0, 1, 0], [2, 1, 0], [0, 0, 1], [9, 0, 0]]))
    pool = Pool([Row(str(i), "t", 1) for i in range(4)], matrix, np.eye(4, dtype=np.float32))
    wanted = dict.fromkeys(("relevant", "greedy"), np.array([0, 1, 2]))
    settings = {"wanted": wanted, "delta": 0.5, "start": np.zeros((0, 4)), "seed": 0}
    assert choose_rows("relevant", pool, 3, **settings).tolist() == [1, 0, 3]
    assert choose_rows("greedy", pool, 3, **settings).tolist() == [1, 2, 0]


def drawn(n: int = 900) -> Real:
    """Toxic rows of six kinds, each with a feature and a direction of its own; safe rows have others."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n) < 300).astype(int)
    kind = np.where(labels == 1, np.arange(n) % 6, 6 + np.arange(n) % 20)
    directions = rng.normal(size=(26, 16))
    vectors = directions[kind] + 0.2 * rng.normal(size=(n, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    matrix = sparse.csr_matrix((np.ones(n), (np.arange(n), kind)), shape=(n, 26))
    pool = Pool([Row(str(i), "t", int(label)) for i, label in enumerate(labels)], matrix, vectors)
    return Real(pool, labels, np.arange(26) < 6, 0.0, vectors[::3], labels[::3])


def test_a_repeat_adds_as_many_rows_in_every_arm():
    runs = real_repeat(drawn(), 3, [42, 43])
    assert len(runs) == 2 * 2 * (1 + len(CHOICES))
    added = runs.groupby("arm").added.unique().to_dict()
    assert added.pop("none") == [0] and all(n == [ADDED] for n in added.values())
    assert (runs.toxic[(runs.pool == "toxic") & (runs.arm != "none")] == ADDED).all()
    greedy = runs[runs.arm == "greedy"]
    assert (greedy.gap_coverage == 1.0).all() and (greedy.n_missing == 5).all()  # the seed knows one kind of six
    assert greedy[greedy.pool == "toxic"].auprc.min() > runs[runs.arm == "none"].auprc.max()
    pd.testing.assert_frame_equal(real_repeat(drawn(), 3, [42, 43]), runs)


def test_seed_rows_are_of_one_cluster():
    real = drawn()
    toxic = real.labels == 1
    kinds = {tuple(np.unique(np.flatnonzero(toxic)[seed_rows(real.pool.vectors[toxic], r)] % 6)) for r in range(6)}
    assert all(len(found) == 1 for found in kinds) and len(kinds) > 1
    assert len(seed_rows(real.pool.vectors[toxic], 0)) == CLUSTER_ROWS and SAFE_ROWS < 600
    with pytest.raises(DataError, match="none of 8 clusters of 30 toxic rows has 20"):
        seed_rows(np.random.default_rng(0).normal(size=(30, 4)), 0)
