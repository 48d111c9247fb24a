"""Data sets of different make-up from one pool of rows: what a correlation over data sets is taken over.

How many clusters of a pool a set is drawn from is what diversity should see. Size, copies, noise and length are varied
independently of it: a metric that follows any of them would otherwise seem to follow diversity, or the other way round.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fac_lab.diversity.clusters import assign, find_clusters
from fac_lab.errors import DataError, SettingsError
from fac_lab.studies.make_up import latin_hypercube

N_CLUSTERS = 24
REACH = 1.5
"""A cluster gives some of so many times the rows that it has to give, nearest to its centre first: which ones is drawn,
or is decided by their length. Otherwise all sets of many clusters would be one and the same."""


class MakeUp(NamedTuple):
    """How one data set is drawn; all its rows are labelled toxic, rightly or not."""

    clusters: int
    """Clusters that its toxic rows come from, of N_CLUSTERS."""
    size: int = 100
    """Rows, copies and noise among them."""
    duplicates: float = 0.0
    """Share of the rows that are copies of other rows."""
    noise: float = 0.0
    """Share of the rows that are not toxic rows of the pool."""
    noise_kind: str = "safe"
    """What they are instead, a name among the kinds that `draw` is given."""
    length: str = "any"
    """"short" and "long" prefer such texts among neighbours; "any" draws."""
    fill: str = "nearest"
    """"nearest": rows are all different, a cluster that runs out goes on with its neighbours;
    "repeat": only members of the clusters, again and again where they do not suffice."""


LEVELS: dict[str, tuple] = {
    "clusters": (1, 2, 3, 4, 6, 8, 12, 24),
    "size": (60, 100, 140),
    "duplicates": (0.0, 0.25, 0.5),
    "noise": (0.0, 0.15, 0.3),
    "noise_kind": ("safe", "foreign"),
    "length": ("short", "any", "long"),
}
DESIGNS: dict[str, dict[str, tuple]] = {
    "breadth": {"clusters": LEVELS["clusters"], "size": (60,)},
    "repeat": {"clusters": LEVELS["clusters"], "fill": ("repeat",)},
    "mixed": LEVELS,
}
"""Which factors vary. `breadth`: 60 different rows around 1 to 24 centres, nothing else (ToxicChat has 331 toxic ones;
100 of them around one centre would be a third of all). `repeat`: 100 rows of 1 to 24 clusters, so that a narrow set
has fewer different ones, too. `mixed`: everything varies, each factor independently of all others."""


class Clusters(NamedTuple):
    """A clustering of the pool's toxic rows."""

    member: np.ndarray
    """Cluster of each row, int64 `[n]`."""
    similarity: np.ndarray
    """Cosine of each row with each centre, float `[n, n_clusters]`."""


def design(n: int, levels: Mapping[str, tuple], *, seed: int) -> list[MakeUp]:
    """`n` make-ups in which every factor takes its levels equally often, but for what does not divide.

    A Latin hypercube, so that no factor goes with another. Raises SettingsError for a factor that a make-up has not.
    """
    unknown = sorted(set(levels) - set(MakeUp._fields))
    if unknown:
        raise SettingsError(f"a data set's make-up has no {', '.join(unknown)}; it has {', '.join(MakeUp._fields)}")
    cube = latin_hypercube(n, len(levels), seed=seed)
    columns = [
        [values[min(int(share * len(values)), len(values) - 1)] for share in column]
        for values, column in zip(levels.values(), cube.T, strict=True)
    ]
    return [MakeUp(**dict(zip(levels, row, strict=True))) for row in zip(*columns, strict=True)]


def cluster(vectors: np.ndarray, *, seed: int, n: int = N_CLUSTERS) -> Clusters:
    """k-means of unit vectors `[n_rows, d]`, best of four starts. Raises DataError for fewer rows than clusters."""
    if len(vectors) < n:
        raise DataError(f"{len(vectors)} toxic rows cannot make {n} clusters: give a pool with more of them")
    found = find_clusters(vectors, n, seed=seed)
    centres = found.centres / np.maximum(np.linalg.norm(found.centres, axis=1, keepdims=True), 1e-12)
    return Clusters(assign(found, vectors), vectors @ centres.T)


def draw(
    makeup: MakeUp,
    clusters: Clusters,
    lengths: Sequence[int] | np.ndarray,
    noise: Mapping[str, np.ndarray],
    *,
    seed: int,
) -> np.ndarray:
    """Rows of a data set, int64 `[makeup.size]`: toxic rows first, then their copies, then noise.

    Toxic rows are numbered as in `clusters`, and `lengths` are theirs; `noise` names row numbers by kind. Raises
    DataError where more different rows are asked for than there are.
    """
    dice = np.random.default_rng(seed)
    n_noise, n_copies = round(makeup.noise * makeup.size), round(makeup.duplicates * makeup.size)
    n_toxic = makeup.size - n_noise - n_copies
    if n_toxic < 1:
        raise SettingsError(f"{makeup} leaves no row that is neither a copy nor noise: lower duplicates or noise")
    chosen = dice.permutation(clusters.similarity.shape[1])[: makeup.clusters]
    if makeup.fill == "repeat":
        members = dice.permutation(np.flatnonzero(np.isin(clusters.member, chosen)))
        toxic = np.resize(members, n_toxic)
    else:
        order = {"short": np.asarray(lengths), "long": -np.asarray(lengths)}.get(makeup.length)
        order = dice.random(len(lengths)) if order is None else order
        toxic = _nearest(clusters.similarity[:, chosen], order, n_toxic)
    wrong = noise.get(makeup.noise_kind, np.zeros(0, np.int64)) if n_noise else np.zeros(0, np.int64)
    if n_noise > len(wrong):
        raise DataError(f"{n_noise} rows of noise were asked for, {len(wrong)} of kind {makeup.noise_kind} are there")
    parts = toxic, dice.choice(toxic, n_copies), dice.choice(wrong, n_noise, replace=False) if n_noise else wrong[:0]
    return np.concatenate(parts).astype(np.int64)


def _nearest(similarity: np.ndarray, order: np.ndarray, n: int) -> np.ndarray:
    """`n` different rows, each centre giving as many of those near it that are left, lowest `order` first."""
    if n > len(similarity):
        raise DataError(f"{n} different toxic rows were asked for, there are {len(similarity)}: lower the size")
    shares = np.diff(np.linspace(0, n, similarity.shape[1] + 1).round().astype(int))
    free = np.ones(len(similarity), bool)
    taken = []
    for column, share in zip(similarity.T, shares, strict=True):
        near = np.argsort(-column, kind="stable")
        near = near[free[near]][: math.ceil(REACH * share)]
        taken.append(near[np.argsort(order[near], kind="stable")][:share])
        free[taken[-1]] = False
    return np.concatenate(taken)
