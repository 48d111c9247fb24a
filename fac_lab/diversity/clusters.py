"""Diversity over clusters of dense vectors: their entropy, and how many of an anchor's clusters a data set reaches.

Clusters are scikit-learn's k-means over directions (unit vectors, so that nearness is cosine), in mini-batches
where there are many vectors. The rows are put in an order of their own first: the clusters are those of the set,
whatever order it came in.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np

from fac_lab.diversity.inputs import BLOCK_ROWS, Undefined, checked_vectors, directions
from fac_lab.diversity.lexical import entropy
from fac_lab.errors import DataError

N_CLUSTERS = 20
MANY_VECTORS = 10_000
"""From here on k-means goes by mini-batches: its own clusters' entropy is then an estimate."""
_STARTS = 4
_BATCH = 4096


class Clusters(NamedTuple):
    """Centres of clusters, and how many vectors of the set they were found in lie in each."""

    centres: np.ndarray
    """float64 `[k, d]`, means of unit vectors."""
    counts: np.ndarray
    """int64 `[k]`; positive."""


class ClusterCoverage(NamedTuple):
    """An anchor's clusters and what of them a data set reaches."""

    share: float
    """Reached clusters over the anchor's, in [0, 1]; Undefined where the anchor has none."""
    missing: np.ndarray
    """Clusters of the anchor that the data set does not reach, int64, largest in the anchor first."""
    counts: np.ndarray
    """Vectors of the data set in each cluster, int64 `[k]`."""


def find_clusters(vectors: Any, k: int = N_CLUSTERS, *, seed: int = 0) -> Clusters:
    """At most `k` clusters of the directions of `vectors [n, d]`: fewer where fewer directions differ.

    Above 10,000 vectors by mini-batches (Sculley 2010), in time linear in n. Raises DataError without a direction.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if k < 1:
        raise DataError(f"there is at least one cluster, not {k}")
    units = _in_own_order(directions(vectors)[0])
    if not len(units):
        raise DataError("no vector has a direction to cluster: are all texts empty?")
    settings = {"n_clusters": min(k, len(units)), "n_init": _STARTS, "random_state": seed}
    way = KMeans(**settings) if len(units) < MANY_VECTORS else MiniBatchKMeans(**settings, batch_size=_BATCH)
    with warnings.catch_warnings():
        # Fewer different directions than clusters: the empty ones are dropped below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        way.fit(units)
    centres = way.cluster_centers_.astype(np.float64)
    counts = np.bincount(_nearest(units, centres), minlength=len(centres))
    return Clusters(centres[counts > 0], counts[counts > 0])


def assign(clusters: Clusters, vectors: Any) -> np.ndarray:
    """Each vector's nearest cluster, int64 `[n]`; -1 for a vector of length 0. Raises DataError for vectors of
    another width."""
    units, rows = directions(vectors)
    if units.shape[1] != clusters.centres.shape[1]:
        raise DataError(
            f"vectors of width {units.shape[1]} do not belong to clusters of width {clusters.centres.shape[1]}: "
            "make both with one model and layer"
        )
    found = np.full(len(np.asarray(vectors)), -1, np.int64)
    found[rows] = _nearest(units, clusters.centres)
    return found


def cluster_entropy(vectors: Any, k: int = N_CLUSTERS, *, seed: int = 0) -> float:
    """Shannon entropy in nats of the shares of the set's own `k` clusters, 0 to log k.

    It says how evenly the set fills the clusters that it has, not how many there could be: any set of k texts reaches
    log k. `semantic_entropy` compares sets. Undefined for fewer than two directions.
    """
    n = int(checked_vectors(vectors).any(axis=1).sum())
    if n < 2:
        return Undefined("one vector has a direction, and it takes two" if n else "no vector has a direction")
    return entropy(find_clusters(vectors, k, seed=seed).counts)


def semantic_entropy(vectors: Any, clusters: Clusters) -> float:
    """Shannon entropy in nats of the set's shares in clusters that were found elsewhere, in an anchor: 0 to log k.
    (Sem-Ent of Han et al. 2022, arXiv 2210.05725.) Undefined without a direction."""
    found = assign(clusters, vectors)
    counts = np.bincount(found[found >= 0], minlength=len(clusters.counts))
    return entropy(counts) if counts.any() else Undefined("no vector has a direction")


def dense_coverage(clusters: Clusters, vectors: Any, *, support: int = 1) -> ClusterCoverage:
    """FAC with dense clusters in the place of features, as the row "dense clusters coverage" of the paper's table 12
    suggests, which does not define it.

    `clusters` were found in the anchor; those with at least `support` of its vectors are to be covered, and a data set
    reaches a cluster with one vector that is nearest to it. Each text is in one cluster where it may activate many
    features: that is the difference the table is about.
    """
    found = assign(clusters, vectors)
    counts = np.bincount(found[found >= 0], minlength=len(clusters.counts))
    wanted = clusters.counts >= support
    missing = np.flatnonzero(wanted & (counts == 0))
    missing = missing[np.argsort(-clusters.counts[missing], kind="stable")]
    if not wanted.any():
        return ClusterCoverage(Undefined(f"no cluster holds {support} vectors of the anchor"), missing, counts)
    return ClusterCoverage(float(1 - len(missing) / wanted.sum()), missing, counts)


def _nearest(units: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre, int64 `[n]`: `|x - c|^2` is smallest where `x c - |c|^2 / 2` is largest."""
    half = np.square(centres).sum(axis=1) / 2
    blocks = range(0, len(units), BLOCK_ROWS)
    found = [(units[start : start + BLOCK_ROWS] @ centres.T - half).argmax(axis=1) for start in blocks]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _in_own_order(units: np.ndarray) -> np.ndarray:
    """The rows sorted along a fixed random direction, which tells any two different rows apart."""
    along = np.random.default_rng(0).standard_normal(units.shape[1])
    keys = [units[start : start + BLOCK_ROWS] @ along for start in range(0, len(units), BLOCK_ROWS)]
    return units[np.argsort(np.concatenate([np.zeros(0), *keys]), kind="stable")]
