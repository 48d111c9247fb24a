"""Clusters of vectors, their entropy and their coverage: planted groups, and what must not matter."""

import math

import numpy as np
import pytest

from fac_lab.diversity import clusters as module
from fac_lab.diversity.clusters import assign, cluster_entropy, dense_coverage, find_clusters, semantic_entropy
from fac_lab.errors import DataError


@pytest.fixture(scope="module")
def planted():
    """Groups of 40, 20, 10 and 10 vectors along four axes, of any length."""
    dice = np.random.default_rng(3)
    group = np.repeat(np.arange(4), [40, 20, 10, 10])
    made = np.eye(6)[group] + 0.02 * dice.normal(size=(80, 6))
    return made * dice.uniform(0.5, 5, size=(80, 1)), group


def test_planted_groups_are_found(planted):
    made, group = planted
    found = find_clusters(made, 4)
    assert sorted(found.counts) == [10, 10, 20, 40]
    own = assign(found, made)
    assert len({(a, b) for a, b in zip(own, group, strict=True)}) == 4
    shares = np.array([4, 2, 1, 1]) / 8
    assert cluster_entropy(made, 4) == pytest.approx(-(shares * np.log(shares)).sum())
    assert semantic_entropy(made, found) == pytest.approx(cluster_entropy(made, 4))
    assert semantic_entropy(made[60:], found) == pytest.approx(math.log(2))


@pytest.mark.parametrize("many", [10_000, 50])
def test_order_and_the_global_seed_are_nothing(scattered, monkeypatch, many):
    monkeypatch.setattr(module, "MANY_VECTORS", many)
    made = scattered(300, 8)
    value = cluster_entropy(made, 12, seed=1)
    np.random.seed(5)
    shuffled = np.random.default_rng(2).permutation(made)
    assert cluster_entropy(shuffled, 12, seed=1) == pytest.approx(value, abs=1e-12)
    assert 0 < value <= math.log(12)


def test_mini_batches_find_planted_groups_too(planted, monkeypatch):
    whole = cluster_entropy(planted[0], 4)
    monkeypatch.setattr(module, "MANY_VECTORS", 50)
    assert cluster_entropy(planted[0], 4) == pytest.approx(whole)


def test_coverage_by_hand(planted):
    made, group = planted
    found = find_clusters(made, 4)
    home = [int(assign(found, made[group == g])[0]) for g in range(4)]
    reached = dense_coverage(found, made[group == 1][:3])
    assert reached.share == pytest.approx(1 / 4)
    assert reached.counts[home[1]] == 3 and reached.counts.sum() == 3
    assert reached.missing[0] == home[0] and set(reached.missing) == set(home) - {home[1]}
    # Two clusters have 20 or more of the anchor's vectors, one of them is reached.
    assert dense_coverage(found, made[group == 1], support=20).share == pytest.approx(1 / 2)
    assert dense_coverage(found, made).share == 1 and not len(dense_coverage(found, made).missing)
    assert dense_coverage(found, np.zeros((2, 6))).share == 0
    assert math.isnan(dense_coverage(found, made, support=99).share)


def test_copies_and_additions(scattered):
    found = find_clusters(scattered(400, 6), 15)
    few = scattered(30, 6, seed=4)
    assert dense_coverage(found, np.tile(few, (2, 1))).share == dense_coverage(found, few).share
    shares = [dense_coverage(found, few[:n]).share for n in range(1, 31)]
    assert all(later >= earlier for earlier, later in zip(shares, shares[1:], strict=False))


def test_fewer_directions_than_clusters():
    assert find_clusters(np.ones((5, 3)), 4).counts.tolist() == [5]
    assert cluster_entropy(np.ones((5, 3)), 4) == 0
    assert cluster_entropy(np.eye(3), 20) == pytest.approx(math.log(3))
    with_zero = np.vstack([np.eye(3), np.zeros(3)])
    assert assign(find_clusters(with_zero, 3), with_zero)[3] == -1


def test_too_few_and_wrong_input(planted):
    found = find_clusters(planted[0], 4)
    assert cluster_entropy(np.eye(3)[:1]).reason.startswith("one vector")
    assert cluster_entropy(np.zeros((3, 2))).reason == "no vector has a direction"
    assert semantic_entropy(np.zeros((3, 6)), found).reason == "no vector has a direction"
    with pytest.raises(DataError, match="width 2 do not belong to clusters of width 6"):
        assign(found, np.eye(2))
    with pytest.raises(DataError, match="all texts empty"):
        find_clusters(np.zeros((3, 2)))
    with pytest.raises(DataError, match="not 0"):
        find_clusters(np.eye(2), 0)
