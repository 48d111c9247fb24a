"""Does F_miss name what was really left out? Possible only where the truth is known: in the mini world."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse


class Recovery(NamedTuple):
    """How well a set of missing features names the held-out concepts."""

    n_missing: int
    precision: float
    """Share of missing features whose anchor activation comes mostly from held-out concepts; NaN if none is."""
    recall: float
    """Share of held-out concepts that are the main concept of at least one missing feature."""


def main_concepts(
    features: np.ndarray, matrix: sparse.csr_matrix, concepts: Sequence[str], delta: float | np.ndarray
) -> pd.DataFrame:
    """What activates each of `features` in the anchor, by activation mass above the threshold.

    `matrix` holds the anchor's pooled activations [n_samples, d_sae], `concepts` [n_samples] what each sample is
    about, `delta` the threshold (one for all, or [d_sae]). Returns one row per feature: `feature`, `concept` (the
    one with the largest mass) and `share` (its share of the mass).
    """
    names, index = np.unique(np.asarray(concepts), return_inverse=True)
    mass = _mass(features, matrix, index, len(names), delta)
    main = mass.argmax(axis=0)
    share = mass.max(axis=0) / np.maximum(mass.sum(axis=0), 1e-12)
    return pd.DataFrame({"feature": features, "concept": names[main], "share": share})


def recovery(
    missing: np.ndarray,
    matrix: sparse.csr_matrix,
    concepts: Sequence[str],
    held_out: Collection[str],
    delta: float | np.ndarray,
) -> Recovery:
    """Precision and recall of the missing features against the concepts that were held out (shapes as above)."""
    if not len(missing):
        return Recovery(0, float("nan"), 0.0)
    names, index = np.unique(np.asarray(concepts), return_inverse=True)
    mass = _mass(missing, matrix, index, len(names), delta)
    is_out = np.isin(names, list(held_out))
    precise = mass[is_out].sum(axis=0) > 0.5 * mass.sum(axis=0)
    found = set(names[mass.argmax(axis=0)]) & set(held_out)
    return Recovery(len(missing), float(precise.mean()), len(found) / len(held_out))


def _mass(
    features: np.ndarray, matrix: sparse.csr_matrix, index: np.ndarray, n_concepts: int, delta: float | np.ndarray
) -> np.ndarray:
    """Activation above the threshold summed per concept and feature, [n_concepts, n_features]."""
    columns = matrix[:, features].tocsr()
    threshold = np.broadcast_to(np.asarray(delta, dtype=float), (matrix.shape[1],))[features]
    columns.data = np.where(columns.data > threshold[columns.indices], columns.data, 0.0)
    onehot = sparse.csr_matrix((np.ones(len(index)), (index, np.arange(len(index)))), shape=(n_concepts, len(index)))
    return (onehot @ columns).toarray()
