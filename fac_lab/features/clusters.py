"""Directions that occur in a set of vectors, found by clustering: what a dictionary starts its training from.

Spherical k-means (Dhillon and Modha 2001, "Concept decompositions for large sparse text data using clustering")
in which vectors keep their lengths: a vector joins the unit direction that it goes furthest along, which is also
the one that leaves the least of it unexplained, and a direction becomes the normalised sum of its members. Both
steps raise the summed length along the directions, so that it never falls unless an empty direction is moved.
"""

import torch
from tqdm.auto import tqdm

# Rows whose products with all directions are held at once, in float32.
_PRODUCT_BYTES = 2**27
_TINY = 1e-6


def cluster_directions(
    vectors: torch.Tensor, n: int, *, rounds: int, seed: int, progress: bool = False
) -> torch.Tensor:
    """`n` unit directions `[n, d]` that the `vectors [n_vectors, d]` lie along.

    They start at `n` of the vectors, drawn at random (some of them twice where there are fewer vectors than
    directions), and move for that many `rounds`; 0 rounds return the drawn vectors' directions. A direction
    that no vector goes along moves to a vector drawn in proportion to how much of it is unexplained.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(max(len(vectors), n), generator=generator)[:n] % len(vectors)
    directions = unit(vectors[drawn.to(vectors.device)])
    square = vectors.square().sum(1)
    with tqdm(
        total=rounds * len(vectors), desc="clustering", unit=" vectors", unit_scale=True, disable=not progress
    ) as bar:
        for _ in range(rounds):
            member, length = _nearest(vectors, directions, bar)
            directions = torch.zeros_like(directions).index_add_(0, member, vectors)
            empty = torch.bincount(member, minlength=n) == 0
            unexplained = (square - length.clamp_min(0).square()).clamp_min(0)
            directions[empty] = vectors[_draw(unexplained, int(empty.sum()), generator)]
            directions = unit(directions)
    return directions


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors' directions: length 1, or 0 where there is none."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(_TINY)


def _nearest(vectors: torch.Tensor, directions: torch.Tensor, bar: tqdm) -> tuple[torch.Tensor, torch.Tensor]:
    """Each vector's direction, and its length along it, `[n_vectors]` each."""
    rows = max(1, _PRODUCT_BYTES // (4 * len(directions)))
    members, lengths = [], []
    for block in vectors.split(rows):
        length, member = (block @ directions.T).max(dim=1)
        members.append(member)
        lengths.append(length)
        bar.update(len(block))
    return torch.cat(members), torch.cat(lengths)


def _draw(weights: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """`n` indices drawn in proportion to `weights`, by their running sum: torch.multinomial stops at 2**24 rows."""
    total = weights.double().cumsum(0)
    marks = torch.rand(n, generator=generator, dtype=torch.float64).to(weights.device) * total[-1]
    return torch.searchsorted(total, marks).clamp_max(len(weights) - 1)
