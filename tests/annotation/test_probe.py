import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import fisher_exact, hypergeom
from sklearn.metrics import mutual_info_score

from fac_lab.annotation.probe import (
    against_shadows,
    benjamini_hochberg,
    cross_validate,
    information_gain,
    sparse_probe,
    upper_tail,
)
from fac_lab.errors import DataError

COLUMNS = ["feature", "score", "p", "q", "sign", "relevant"]


def planted(n=600, d=120, n_relevant=40, seed=0):
    """Labels, and features of which the first `n_relevant` are active four times as often on positive samples."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    chance = np.full((n, d), 0.1)
    chance[:, :n_relevant] = np.where(labels[:, None] == 1, 0.2, 0.02)
    active = rng.random((n, d)) < chance
    return sparse.csr_matrix(np.where(active, 1 + rng.random((n, d)), 0.0)), labels


@given(st.integers(1, 60), st.data())
def test_upper_tail_is_the_hypergeometric_one(n, data):
    n_positive = data.draw(st.integers(0, n))
    drawn = data.draw(st.integers(0, n))
    k = np.arange(-1, drawn + 2)
    found = upper_tail(k, n, n_positive, np.full(len(k), drawn))
    expected = [hypergeom.pmf(np.arange(max(i, 0), drawn + 1), n, n_positive, drawn).sum() for i in k]
    assert found == pytest.approx(expected, abs=1e-9)


def test_upper_tail_far_out_keeps_its_digits():
    # All 300 draws positive where half of 100,000 are: a product of 300 ratios.
    exact = np.sum(np.log((50_000 - np.arange(300)) / (100_000 - np.arange(300))))
    found = upper_tail(np.array([300]), 100_000, 50_000, np.array([300]))
    assert np.log(found[0]) == pytest.approx(exact, rel=1e-8)


def test_information_gain_by_hand():
    # Four samples, two positive. Feature 0 tells the label (1 bit), 1 nothing, 2 half of the positive ones, 3 is never
    # above its threshold.
    matrix = sparse.csr_matrix([[2.0, 2.0, 2.0, 1.0], [2.0, 0.5, 0.5, 0.0], [0.5, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    frame = information_gain(matrix, np.array([1, 1, 0, 0]), 1.0)
    assert list(frame)[:6] == COLUMNS
    half = 1 - 0.75 * (np.log2(3) - 2 / 3)
    assert frame.score.tolist() == pytest.approx([1.0, 0.0, half, 0.0])
    # Of two drawn both positive: 1 / 6; of two at least one: 5 / 6; of one: 1 / 2.
    assert frame.p.tolist() == pytest.approx([1 / 6, 5 / 6, 1 / 2, 1.0])
    assert frame.active.tolist() == [2, 2, 1, 0]
    assert frame.rate.tolist() == pytest.approx([1.0, 0.5, 1.0, np.nan], nan_ok=True)
    assert frame.sign.tolist() == [1, 0, 1, 0] and not frame.relevant.any()


def test_information_gain_is_mutual_information_and_fishers_test_one_by_one():
    matrix, labels = planted(n=150, d=30, n_relevant=10)
    delta = np.linspace(0, 2.1, 30)
    frame = information_gain(matrix, labels, delta)
    for row in frame.itertuples():
        active = matrix[:, [row.feature]].toarray().ravel() > delta[row.feature]
        table = [[(active & (labels == label)).sum(), (~active & (labels == label)).sum()] for label in (1, 0)]
        assert row.score == pytest.approx(mutual_info_score(labels, active) / np.log(2), abs=1e-9)
        assert row.p == pytest.approx(fisher_exact(table, alternative="greater").pvalue, abs=1e-9)


def test_thresholds_per_feature_and_a_choice_of_features():
    matrix, labels = planted()
    whole = information_gain(matrix, labels, 1.5)
    chosen = np.array([7, 3, 90])
    part = information_gain(matrix, labels, np.full(matrix.shape[1], 1.5), features=chosen)
    assert part.feature.tolist() == [7, 3, 90]
    assert part.score.tolist() == whole.score[chosen].tolist() and part.p.tolist() == whole.p[chosen].tolist()


def test_finds_planted_features_and_only_those_that_raise_the_chance():
    matrix, labels = planted()
    frame = information_gain(matrix, labels)
    assert frame.relevant[:40].mean() > 0.9 and frame.relevant[40:].sum() <= 4
    turned = information_gain(matrix, 1 - labels)
    assert not turned.relevant[:40].any() and (turned.sign[:40] == -1).mean() > 0.9
    strict = information_gain(matrix, labels, min_rate=0.9)
    assert set(strict.feature[strict.relevant]) == set(frame.feature[frame.relevant & (frame.rate > 0.9)])


def test_competition_with_shadows_by_hand():
    score, shadow = np.array([3.0, 5.0, 0.0, 1.0, 4.0, -2.0]), np.array([0.5, 3.5, 0.0, 0.0, -1.0, 0.0])
    p, q = against_shadows(score, shadow)
    assert p.tolist() == pytest.approx([2 / 7, 1 / 7, 1, 2 / 7, 1 / 7, 1])
    # From 1 on: (1 + 1) / 4; from 3 on 2 / 3, from 4 on 1 / 2, from 5 on 1. What is let in at 1 has 1 / 2.
    assert q.tolist() == pytest.approx([1 / 2, 1 / 2, 1, 1 / 2, 1 / 2, 1])
    # From 4 on: 1 / 2; from 5 on 1 / 1. The shadow at 3.5 spoils what stands below it.
    p, q = against_shadows(np.array([4.0, 5.0, 3.0]), np.array([3.5, 3.2, 3.1]))
    assert q.tolist() == pytest.approx([1 / 2, 1 / 2, 1])


def test_sparse_probe_finds_planted_features():
    matrix, labels = planted()
    table = cross_validate(matrix, labels)
    assert table.log_loss.min() < 0.8 * table.log_loss[0]
    frame = sparse_probe(matrix, labels, strength=float(table.strength[table.log_loss.idxmin()]))
    assert list(frame) == COLUMNS
    # It keeps what a probe needs, which is not all.
    assert frame.relevant[:40].mean() > 0.4 and frame.relevant[40:].sum() <= 4
    assert (frame.score[frame.relevant] > 0).all() and (frame.p[frame.score <= 0] == 1).all()
    by_score = frame[frame.score > 0].sort_values("score")
    assert (np.diff(by_score.q) <= 0).all()


def test_shuffled_labels_yield_relevant_features_no_oftener_than_stated():
    matrix, labels = planted(n=300, d=80)
    rng = np.random.default_rng(1)
    tries = 60
    shuffled = [rng.permutation(labels) for _ in range(tries)]
    gain = sum(information_gain(matrix, y, fdr=0.1).relevant.any() for y in shuffled)
    probe = sum(sparse_probe(matrix, y, strength=20.0, fdr=0.1, seed=i).relevant.any() for i, y in enumerate(shuffled))
    # At a rate of 0.1 more than 13 of 60 have a chance below 0.005.
    assert gain <= 13 and probe <= 13
    # The test would notice: without control nearly every try finds something.
    assert sum((information_gain(matrix, y).p <= 0.05).any() for y in shuffled) > 45


def test_q_values_by_hand():
    assert benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])).tolist() == pytest.approx(
        [0.04, 0.16 / 3, 0.16 / 3, 0.5]
    )
    assert benjamini_hochberg(np.array([])).tolist() == []


def test_labels_that_do_not_fit_are_refused():
    matrix, labels = planted(n=20)
    for wrong, said in (
        (labels[:-1], "one label per sample"),
        (labels * 2, "neither 0 nor 1"),
        (labels * 0, "one class"),
    ):
        with pytest.raises(DataError, match=said):
            information_gain(matrix, wrong)
    with pytest.raises(DataError, match="fewer than the 5 folds"):
        cross_validate(matrix, np.arange(20) < 3)
