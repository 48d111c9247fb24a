"""Points in two dimensions such that neighbours stay neighbours: UMAP's objective, in a few vectorised steps.

After McInnes, Healy and Melville 2018, "UMAP: Uniform Manifold Approximation and Projection": a graph of nearest
neighbours with fuzzy weights, laid out by stochastic gradients with negative samples. Differences: neighbours are
exact, by cosine; the kernel is `1 / (1 + d^2)`, as in t-SNE (a = b = 1 in UMAP's terms); edges are taken in random
batches in place of one by one, so that a step is a few tensor operations.

Why not the package umap-learn: its just-in-time compiler works in every new process, for many times as long as
4,096 points then take; with numba and llvmlite it is a download of 64 MB that ties the version of NumPy. With more
negative samples than its default, this layout keeps as many of a feature's neighbours near it.
"""

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

NEIGHBOURS = 15
ROUNDS = 200
NEGATIVES = 20
"""Random points that push for each neighbour that pulls: more than UMAP's 5 keep more neighbours together."""
_BATCH_PER_POINT = 2
_PRODUCT_BYTES = 2**27
_CLIP = 4.0


def lay_out(points: torch.Tensor, *, seed: int = 0, progress: bool = False) -> np.ndarray:
    """Places for `points [n, d]`, float32 `[n, 2]`, centred, near each other where cosines are large.

    It starts from the first two columns (so put principal components in). Up to three points have no neighbourhoods
    to keep: they get these two columns as they are.
    """
    n = len(points)
    start = torch.nn.functional.pad(points[:, :2].float(), (0, max(0, 2 - points.shape[1])))
    if n <= 3:
        return (start - start.mean(0)).numpy()
    similar, index = neighbours(points, min(NEIGHBOURS, n - 1), progress=progress)
    edges = fuzzy_graph(1 - similar.numpy(), index.numpy())
    generator = torch.Generator().manual_seed(seed)
    # As in UMAP: a small start, so that the graph decides; noise parts points that coincide.
    places = 10 * start / start.abs().max().clamp_min(1e-12) + 1e-3 * torch.randn(n, 2, generator=generator)
    head, tail = (torch.from_numpy(ends.astype(np.int64)) for ends in (edges.row, edges.col))
    chance = torch.from_numpy(edges.data / edges.data.max()).float()
    for number in tqdm(range(ROUNDS), desc="laying out the map", unit=" rounds", disable=not progress):
        drawn = torch.nonzero(torch.rand(len(chance), generator=generator) < chance)[:, 0]
        drawn = drawn[torch.randperm(len(drawn), generator=generator)]
        for batch in drawn.split(_BATCH_PER_POINT * n):
            _step(places, head[batch], tail[batch], 1 - number / ROUNDS, generator)
    return (places - places.mean(0)).numpy()


def neighbours(points: torch.Tensor, k: int, *, progress: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Each point's `k` nearest others by cosine: cosines and indices, both `[n, k]`, nearest first."""
    unit = torch.nn.functional.normalize(points.float(), dim=1)
    rows = max(1, _PRODUCT_BYTES // (4 * len(unit)))
    found = []
    with tqdm(total=len(unit), desc="finding neighbours", unit=" features", disable=not progress) as bar:
        for start in range(0, len(unit), rows):
            product = unit[start : start + rows] @ unit.T
            own = torch.arange(len(product))
            product[own, start + own] = -torch.inf
            found.append(product.topk(k, dim=1))
            bar.update(len(product))
    similar, index = (torch.cat(column) for column in zip(*found, strict=True))
    return similar.clamp(-1, 1), index


def fuzzy_graph(distance: np.ndarray, index: np.ndarray) -> sparse.coo_array:
    """Symmetric weights in (0, 1] from `k` neighbours' distances and indices `[n, k]`, nearest first.

    A neighbour weighs `exp(-(d - nearest) / width)`, the width such that a point's weights add up to log2(k); both
    directions are joined as `a + b - a b`.
    """
    n, k = distance.shape
    beyond = distance - distance[:, :1]
    low, high = np.zeros((n, 1)), np.full((n, 1), 4.0)
    for _ in range(40):
        width = (low + high) / 2
        too_wide = np.exp(-beyond / width).sum(1, keepdims=True) > np.log2(max(k, 2))
        low, high = np.where(too_wide, low, width), np.where(too_wide, width, high)
    # Among many equals no width is small enough: it must not vanish.
    weight = np.exp(-beyond / np.maximum(width, 1e-3 * distance.mean() + 1e-12))
    one_way = sparse.coo_array((weight.ravel(), (np.repeat(np.arange(n), k), index.ravel())), shape=(n, n)).tocsr()
    both = (one_way + one_way.T - one_way * one_way.T).tocoo()
    keep = both.data > both.data.max() / 500  # drawn less than once in a whole layout
    return sparse.coo_array((both.data[keep], (both.row[keep], both.col[keep])), shape=(n, n))


def _step(places: torch.Tensor, head: torch.Tensor, tail: torch.Tensor, rate: float, generator) -> None:
    """Pull each `head [m]` and its `tail [m]` together, push each head from random points; in place."""
    apart = places[head] - places[tail]
    pull = apart * (-2 / (1 + apart.square().sum(1, keepdim=True)))
    pull = rate * pull.clamp_(-_CLIP, _CLIP)
    other = torch.randint(len(places), (len(head), NEGATIVES), generator=generator)
    apart = places[head][:, None] - places[other]
    square = apart.square().sum(2, keepdim=True)
    push = (apart * (2 / ((1e-3 + square) * (1 + square)))).clamp_(-_CLIP, _CLIP)
    places.index_add_(0, head, pull + rate * push.sum(1))
    places.index_add_(0, tail, -pull)
