"""Clustering of directions: hand-worked cases, and what the two steps promise."""

import pytest
import torch

from fac_lab.features import clusters
from fac_lab.features.clusters import cluster_directions, unit


@pytest.fixture(scope="module")
def scattered():
    return torch.randn(500, 8, generator=torch.Generator().manual_seed(7))


def along(vectors, directions):
    return (vectors @ directions.T).max(dim=1).values.sum().item()


def test_lengths_count_and_signs_are_told_apart():
    """Two lines through the origin, one of them used in both senses: three directions."""
    vectors = torch.tensor([[2.0, 0.0], [4.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, 5.0]]).repeat(4, 1)
    found = cluster_directions(vectors, 3, rounds=8, seed=0)
    assert sorted(map(tuple, found.round(decimals=5).tolist())) == [(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0)]


def test_a_direction_is_the_normalised_sum_of_its_members():
    vectors = torch.tensor([[3.0, 4.0], [5.0, 0.0]])
    assert torch.allclose(cluster_directions(vectors, 1, rounds=1, seed=0), unit(torch.tensor([[8.0, 4.0]])))


def test_more_rounds_go_further_along(scattered):
    reached = [along(scattered, cluster_directions(scattered, 12, rounds=rounds, seed=1)) for rounds in range(8)]
    assert all(later >= earlier - 1e-3 for earlier, later in zip(reached, reached[1:], strict=False))
    assert reached[-1] > 1.05 * reached[0]


def test_no_round_returns_vectors_that_are_there(scattered):
    found = cluster_directions(scattered, 12, rounds=0, seed=1)
    assert torch.allclose((found @ unit(scattered).T).max(dim=1).values, torch.ones(12), atol=1e-5)


def test_an_idle_direction_moves_to_what_is_unexplained():
    """Of a thousand vectors one way and one another way, both ways get a direction whatever was drawn first."""
    vectors = torch.cat([torch.tensor([[1.0, 0.0]]).repeat(1000, 1), torch.tensor([[0.0, 3.0]])])
    found = cluster_directions(vectors, 2, rounds=3, seed=3)
    assert torch.allclose((vectors @ found.T).max(dim=1).values, vectors.norm(dim=1))


def test_fewer_vectors_than_directions_and_none_at_all():
    few = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    found = cluster_directions(few, 5, rounds=2, seed=0)
    assert found.shape == (5, 2)
    assert torch.isfinite(found).all()
    assert torch.allclose((few @ found.T).max(dim=1).values, few.norm(dim=1))


def test_blocks_and_the_global_seed_change_nothing(scattered, monkeypatch):
    whole = cluster_directions(scattered, 12, rounds=4, seed=5)
    torch.manual_seed(99)
    monkeypatch.setattr(clusters, "_PRODUCT_BYTES", 4 * 12 * 7)
    assert torch.allclose(cluster_directions(scattered, 12, rounds=4, seed=5), whole, atol=1e-5)
    assert not torch.allclose(cluster_directions(scattered, 12, rounds=4, seed=6), whole, atol=1e-2)
