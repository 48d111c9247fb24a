"""Features matched between models: worked by hand, against a slow implementation, and under the null."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from fac_lab.errors import DataError, SettingsError
from fac_lab.features import matching
from fac_lab.features.matching import WAYS, groups, match, match_stats, null_likeness, null_quantile
from fac_lab.features.stats import FeatureStats

# Six texts. Feature 0 of a fires as feature 2 of b does; 1 of a like 0 of b, but for one text; 2 of a never fires.
A = np.array([[2, 0, 0], [4, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]], float)
B = np.array([[0, 0, 1, 7], [0, 0, 2, 7], [3, 0, 0, 7], [3, 0, 0, 7], [0, 0, 0, 7], [0, 9, 0, 7]], float)


def slow(a, b, *, how="correlation", least=1):
    """Best match of each feature of a, one pair of columns after the other."""
    best, alike = [], []
    for x in a.T:
        row = []
        for y in b.T:
            fires = (x > 0).sum() >= least and (y > 0).sum() >= least and (x > 0).any() and (y > 0).any()
            if how == "correlation":
                u, v = x - x.mean(), y - y.mean()
            else:
                u, v = x, y
            length = np.sqrt((u * u).sum() * (v * v).sum())
            row.append((u * v).sum() / length if fires and length > 1e-9 else 0.0)
        row = np.round(row, 9)
        best.append(int(np.argmax(row)) if row.max() > 0 else -1)
        alike.append(max(row.max(), 0.0))
    return np.array(best), np.array(alike)


def test_by_hand():
    found = match(sparse.csr_matrix(A), sparse.csr_matrix(B))
    assert found.best.tolist() == [2, 0, -1] and found.back.tolist() == [1, -1, 0, -1]
    # (1,1,1,0,0,0) with (3,3,0,...) around their means: 6 - 6*.5*1 = 3 over sqrt(1.5 * 12).
    assert found.likeness == pytest.approx([1.0, 3 / np.sqrt(18), 0.0])
    assert found.mutual.tolist() == [True, True, False]
    assert found.pairs().tolist() == [[0, 2], [1, 0]] and found.pairs(0.9).tolist() == [[0, 2]]


def test_the_cosine_takes_what_always_fires_for_alike():
    found = match(sparse.csr_matrix(A), sparse.csr_matrix(B), how="cosine")
    # Feature 3 of b fires on every text: no correlation with anything, but half a cosine with (0,0,1,1,1,0).
    assert found.likeness == pytest.approx([1.0, 6 / np.sqrt(3 * 18), 0.0])
    assert found.likeness_back[3] == pytest.approx(3 / np.sqrt(3 * 6)) and found.back[3] == 1


def test_a_feature_that_fires_too_seldom_has_no_match_and_is_none():
    found = match(sparse.csr_matrix(A), sparse.csr_matrix(B), least=3)
    assert found.best.tolist() == [-1, -1, -1] and (found.back == -1).all()
    assert match(sparse.csr_matrix(A), sparse.csr_matrix(B), least=2).best.tolist() == [2, 0, -1]


def test_equally_alike_features_give_the_first_across_blocks(monkeypatch):
    monkeypatch.setattr(matching, "BLOCK", 2)
    twice = np.concatenate([B, B, B], axis=1)
    found = match(sparse.csr_matrix(np.concatenate([A, A], axis=1)), sparse.csr_matrix(twice))
    assert found.best.tolist() == [2, 0, -1, 2, 0, -1]
    assert found.back[[2, 6, 10]].tolist() == [0, 0, 0] and found.mutual.tolist() == [True, True] + [False] * 4


MATRICES = hnp.arrays(float, (7, 5), elements=st.sampled_from([0, 0, 0, 1, 2, 5]))


@given(MATRICES, MATRICES, st.sampled_from(WAYS), st.integers(1, 3))
def test_as_the_slow_way(a, b, how, least):
    found = match(sparse.csr_matrix(a), sparse.csr_matrix(b), how=how, least=least)
    best, alike = slow(a, b, how=how, least=least)
    assert found.likeness == pytest.approx(alike, abs=1e-8)
    assert found.best.tolist() == best.tolist()
    other = match(sparse.csr_matrix(b), sparse.csr_matrix(a), how=how, least=least)
    assert found.back.tolist() == other.best.tolist() and found.likeness_back == pytest.approx(other.likeness)
    # Matching does not mind how strong a feature is in general, nor what order the texts are in.
    order = np.random.default_rng(0).permutation(7)
    scaled = match(sparse.csr_matrix(3 * a[order]), sparse.csr_matrix(b[order]), how=how, least=least)
    assert scaled.likeness == pytest.approx(found.likeness, abs=1e-8) and scaled.best.tolist() == found.best.tolist()


def copies(n=400, d=60, noise=0.1, seed=0):
    """Two models of one dictionary: the second has its features in another order, and fires a little differently."""
    dice = np.random.default_rng(seed)
    a = dice.random((n, d)) * (dice.random((n, d)) < 0.05)
    order = dice.permutation(d)
    return a, (a * (1 + noise * dice.random((n, d))))[:, order], np.argsort(order)


def test_one_dictionary_in_two_orders_is_found_and_its_null_is_not():
    a, b, where = copies()
    found = match(sparse.csr_matrix(a), sparse.csr_matrix(b), least=4)
    assert found.best.tolist() == where.tolist() and found.mutual.all()
    null = null_likeness(sparse.csr_matrix(a), sparse.csr_matrix(b), shuffles=3, least=4)
    assert null_quantile(null, 1.0) < found.likeness.min()
    assert null_quantile(null, 0.5) < null_quantile(null, 0.99) < null_quantile(null, 1.0)
    again = null_likeness(sparse.csr_matrix(a), sparse.csr_matrix(b), shuffles=3, least=4)
    assert all((x.likeness == y.likeness).all() for x, y in zip(null, again, strict=True))
    assert not (null[0].likeness == null[1].likeness).all()


def test_shuffled_within_a_kind_a_feature_of_the_kind_stays_alike():
    kinds = np.repeat([0, 1, 2, 3], 25)
    dice = np.random.default_rng(1)
    of_kind = (kinds == 2).astype(float)
    of_text = (dice.random(100) < 0.1).astype(float)
    a, b = np.stack([of_kind, of_text], 1), np.stack([of_kind * 2, of_text * 3], 1)
    (within,) = null_likeness(sparse.csr_matrix(a), sparse.csr_matrix(b), shuffles=1, within=kinds)
    assert within.likeness[0] == pytest.approx(1.0) and within.likeness[1] < 0.7
    # Each text of a kind alone: nothing can be shuffled.
    (alone,) = null_likeness(sparse.csr_matrix(a), sparse.csr_matrix(b), shuffles=1, within=range(100))
    assert alone.likeness == pytest.approx([1.0, 1.0])


def test_nothing_to_match():
    empty = match(sparse.csr_matrix((5, 0)), sparse.csr_matrix((5, 3)))
    assert empty.best.shape == (0,) and empty.back.tolist() == [-1, -1, -1] and empty.pairs().shape == (0, 2)
    assert null_quantile([empty], 0.99) == 0.0


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (A, B[:5], "6 texts on one side and 5"),
        (A[:1], B[:1], "two at the very least"),
        (-A, B, "side a hold negative"),
        (A, B * np.nan, "side b hold negative values or values that are no number"),
    ],
)
def test_bad_activations_are_refused(a, b, said):
    with pytest.raises(DataError, match=said):
        match(sparse.csr_matrix(a), sparse.csr_matrix(b))


def test_bad_settings_are_refused():
    a = sparse.csr_matrix(A)
    with pytest.raises(SettingsError, match="correlation or cosine, not by 'overlap'"):
        match(a, a, how="overlap")
    with pytest.raises(SettingsError, match="at least 1"):
        null_likeness(a, a, shuffles=0)
    with pytest.raises(DataError, match="2 kinds for 6 texts"):
        null_likeness(a, a, within=[0, 1])


def stats_of(matrix, ids, corpora):
    stats = FeatureStats.empty(matrix.shape[1], 0, {"corpora": corpora})
    stats.matrix, stats.sample_ids, stats.n_samples = sparse.csr_matrix(matrix), ids, len(ids)
    return stats


def test_statistics_have_to_be_of_the_same_texts():
    ids = [str(i) for i in range(6)]
    a = stats_of(A, ids, {"c1": "anchor"})
    assert match_stats(a, stats_of(B, ids, {"c1": "anchor"})).best.tolist() == [2, 0, -1]
    with pytest.raises(SettingsError, match="different texts"):
        match_stats(a, stats_of(B, ids[::-1], {"c1": "anchor"}))
    # Rows that are numbered alike are not the same rows.
    with pytest.raises(SettingsError, match=r"corpora \['c1'\] and \['c2'\]"):
        match_stats(a, stats_of(B, ids, {"c2": "anchor"}))
    with pytest.raises(SettingsError, match="keep_matrix"):
        match_stats(a, FeatureStats.empty(4))


def test_groups_by_hand():
    members = [np.array([3, 1, 9]), np.array([5, 6]), np.array([7])]
    links = {(0, 1): np.array([[1, 5], [4, 6]]), (1, 2): np.array([[5, 7]]), (0, 2): np.zeros((0, 2), int)}
    found = [tuple(part.tolist() for part in group) for group in groups(members, links)]
    # 1 and 7 are one feature though nothing links them directly; 4 is no member, so 6 stays alone.
    assert found == [([3], [], []), ([1], [5], [7]), ([9], [], []), ([], [6], [])]
    assert groups([np.zeros(0, int)] * 3, links) == []


def test_turned_is_matched_the_other_way_round():
    a, b, _ = copies(d=20, noise=1.0)
    a[:, 0] = 0
    found, other = (match(sparse.csr_matrix(x), sparse.csr_matrix(y)) for x, y in ((a, b), (b, a)))
    assert all(np.allclose(x, y) for x, y in zip(found.turned, other, strict=True))
    assert found.pairs()[:, ::-1].tolist() == sorted(other.pairs().tolist(), key=lambda pair: pair[1])
