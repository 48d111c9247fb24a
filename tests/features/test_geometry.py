"""Neighbours against a full product, components against an SVD, the map against what it is for."""

import numpy as np
import pytest
import torch

from fac_lab.errors import DataError
from fac_lab.features import geometry, layout
from fac_lab.features.geometry import dictionary_map, make_map, nearest, principal_components
from fac_lab.features.layout import fuzzy_graph, lay_out, neighbours
from fac_lab.store import Store


class Dictionary:
    """An SAE as far as its decoder goes."""

    def __init__(self, decoder):
        self.W_dec = torch.as_tensor(decoder, dtype=torch.float32)


@pytest.fixture(autouse=True)
def _fewer_rounds(monkeypatch):
    monkeypatch.setattr(layout, "ROUNDS", 60)


@pytest.fixture(scope="module")
def clusters():
    """400 directions in 20 clusters, [400, 40], at lengths of their own; row 7 is zero."""
    dice = np.random.default_rng(0)
    centres = dice.normal(size=(20, 40))
    rows = np.repeat(centres, 20, axis=0) + 0.35 * dice.normal(size=(400, 40))
    rows *= dice.uniform(0.1, 5, (400, 1))
    rows[7] = 0
    return Dictionary(rows)


def test_nearest_is_the_full_product(clusters, monkeypatch):
    monkeypatch.setattr(geometry, "_BLOCK_BYTES", 4 * 40 * 33)  # 33 rows at a time
    decoder = clusters.W_dec.numpy().astype(float)
    unit = decoder / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-30)
    for feature in (0, 32, 33, 399):
        cosine = unit @ unit[feature]
        cosine[[feature, 7]] = -2
        found = nearest(clusters, feature, 5)
        assert [index for index, _ in found] == np.argsort(-cosine)[:5].tolist()
        np.testing.assert_allclose([value for _, value in found], np.sort(cosine)[::-1][:5], atol=1e-6)


def test_nearest_of_odd_features(clusters):
    assert nearest(clusters, 7) == []  # no direction
    assert nearest(clusters, 0, 0) == []
    everyone = [index for index, _ in nearest(clusters, 0, 10_000)]
    assert sorted(everyone) == [feature for feature in range(400) if feature not in (0, 7)]
    same = Dictionary([[1, 0], [2, 0], [-1, 0], [3, 0], [0, 1]])
    assert nearest(same, 3, 3) == [(0, 1.0), (1, 1.0), (4, 0.0)]  # ties by index, a length counts for nothing
    assert nearest(same, 3)[-1] == (2, -1.0)
    assert nearest(Dictionary([[1.0, 2.0]]), 0) == []
    for feature in (-1, 400):
        with pytest.raises(DataError, match="0 to 399"):
            nearest(clusters, feature)


def test_components_are_those_of_an_svd(clusters, monkeypatch):
    monkeypatch.setattr(geometry, "_BLOCK_BYTES", 4 * 40 * 33)
    scores, alive = principal_components(clusters.W_dec, 10)
    assert np.flatnonzero(~alive).tolist() == [7]
    unit = torch.nn.functional.normalize(clusters.W_dec[torch.from_numpy(alive)].double(), dim=1)
    spectrum = torch.linalg.svdvals(unit - unit.mean(0))
    np.testing.assert_allclose(scores.double().norm(dim=0), spectrum[:10], rtol=2e-3)
    np.testing.assert_allclose(scores.mean(0), 0, atol=1e-5)
    whole, _ = principal_components(clusters.W_dec, 40)
    np.testing.assert_allclose(torch.cdist(whole.double(), whole.double()), torch.cdist(unit, unit), atol=1e-4)


def test_the_map_keeps_clusters_together(clusters):
    places = make_map(clusters)
    assert places.shape == (400, 2) and places.dtype == np.float32
    assert np.isnan(places[7]).all() and np.isfinite(np.delete(places, 7, 0)).all()
    cluster = np.delete(np.repeat(np.arange(20), 20), 7)
    placed = torch.from_numpy(np.delete(places, 7, 0))
    distance = torch.cdist(placed, placed).fill_diagonal_(torch.inf)
    of_same = cluster[distance.topk(10, largest=False).indices.numpy()] == cluster[:, None]
    scores = principal_components(clusters.W_dec, 2)[0]
    flat = torch.cdist(scores, scores).fill_diagonal_(torch.inf)
    by_components = cluster[flat.topk(10, largest=False).indices.numpy()] == cluster[:, None]
    assert of_same.mean() > 0.97 > by_components.mean() + 0.1
    np.testing.assert_array_equal(make_map(clusters), places)
    assert not np.array_equal(make_map(clusters, seed=1), places, equal_nan=True)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_small_dictionaries_have_maps_too(n):
    rows = np.random.default_rng(n).normal(size=(n, 6))
    places = make_map(Dictionary(rows.reshape(n, 6)))
    assert places.shape == (n, 2) and np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == n


def test_equal_and_one_dimensional_directions_do_not_break_it():
    assert np.isfinite(make_map(Dictionary(np.ones((30, 5))))).all()
    assert np.isfinite(make_map(Dictionary(np.linspace(-1, 2, 30)[:, None] + 0.01))).all()


def test_neighbours_and_their_weights(clusters):
    points = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    similar, index = neighbours(points, 5)
    cosine = torch.nn.functional.cosine_similarity(points[:, None], points[None], dim=2).fill_diagonal_(-2)
    np.testing.assert_allclose(similar, cosine.topk(5).values, atol=1e-6)
    np.testing.assert_array_equal(index, cosine.topk(5).indices)
    graph = fuzzy_graph(1 - similar.numpy(), index.numpy()).toarray()
    np.testing.assert_allclose(graph, graph.T)
    assert graph.max() <= 1 + 1e-9 and (graph[np.arange(50), index[:, 0]] > 1 - 1e-6).all()
    # Hand-worked: two points apart from a third; each first neighbour weighs 1.
    two = fuzzy_graph(np.array([[0.1], [0.1], [0.5]]), np.array([[1], [0], [0]])).toarray()
    np.testing.assert_allclose(two, [[0, 1, 1], [1, 0, 0], [1, 0, 0]])


def test_maps_are_made_once(make_sae, tmp_path, monkeypatch):
    sae, store = make_sae(), Store(tmp_path)
    places = dictionary_map(sae, store, progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(geometry, "lay_out", None)  # whatever calls it fails
        np.testing.assert_array_equal(dictionary_map(sae, store, progress=False), places)
        with pytest.raises(TypeError):
            dictionary_map(sae, store, seed=1, progress=False)
    other = dictionary_map(make_sae(seed=1), store, progress=False)
    assert not np.array_equal(other, places)
    assert lay_out(torch.zeros(0, 2)).shape == (0, 2)
