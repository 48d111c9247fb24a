"""Diversity of vectors, one per text: distances, spread, and the Vendi score. Linear in the number of texts.

Vectors come from a model (`features.embeddings`, `features.gradients`) or from anywhere else. Directions are compared
for distances and Vendi scores, so that a common offset of all vectors, which hidden states of language models have,
makes every set look alike: subtract an anchor's mean first where that matters. A vector of length 0 has no direction
and is left out there.
"""

import math
from typing import Any

import numpy as np

from fac_lab.diversity.inputs import BLOCK_ROWS, Undefined, checked_vectors, directions
from fac_lab.errors import DataError
from fac_lab.shapes import Float

# The smaller side of a Gram matrix that is decomposed: 0.5 GB in double precision.
LARGEST_SIDE = 8192


def pairwise_distance(vectors: Any) -> float:
    """Mean cosine distance over all pairs of different texts, 0 for one direction throughout; Undefined for fewer
    than two directions.

    With unit vectors u the sum of all cosines is `|sum u|^2`, n of them a text's with itself, so that the mean
    distance `1 - (|sum u|^2 - n) / (n (n - 1))` needs no pair. At most `n / (n - 1)`, where the sum is 0.
    """
    units, _ = directions(vectors)
    n = len(units)
    if n < 2:
        return _too_few(n)
    total = np.zeros(units.shape[1])
    for start in range(0, n, BLOCK_ROWS):
        total += units[start : start + BLOCK_ROWS].sum(axis=0, dtype=np.float64)
    return max(0.0, float(1 - (total @ total - n) / (n * (n - 1))))


def covariance_trace(vectors: Any) -> float:
    """Trace of the vectors' sample covariance, `sum |x - mean|^2 / (n - 1)`: half the mean squared distance over all
    pairs. Lengths count, in the square of their unit; Undefined for fewer than two vectors."""
    made = checked_vectors(vectors)
    n = len(made)
    if n < 2:
        return Undefined("there is one vector, and it takes two" if n else "there are no vectors")
    blocks = range(0, n, BLOCK_ROWS)
    mean = sum(made[start : start + BLOCK_ROWS].sum(axis=0, dtype=np.float64) for start in blocks) / n
    squares = (np.square(made[start : start + BLOCK_ROWS] - mean).sum() for start in blocks)
    return float(sum(squares) / (n - 1))


def vendi(vectors: Any, q: float = 1.0) -> float:
    """Vendi score of order q: how many different texts the set amounts to, from 1 (one direction) to `min(n, d)`.

    The eigenvalues `w` of the cosine kernel over n sum to 1; the score is their Hill number, `exp(-sum w log w)` for
    q = 1 (Friedman and Dieng 2023, arXiv 2210.02410) and `(sum w^q)^(1 / (1 - q))` otherwise (Pasarkar and Dieng
    2024, arXiv 2310.12952): q = 0 counts directions, however rare, q = inf hears the most common one alone. It never
    rises with q. Duplicating the whole set leaves it as it is, duplicating a part shifts weight there.

    The kernel `U U' [n, n]` and `U' U [d, d]` have the same positive eigenvalues, and the smaller of the two is
    decomposed: O(n d min(n, d)). Undefined without a direction. Raises DataError for a negative q, and where both
    sides exceed 8,192.
    """
    if not q >= 0:
        raise DataError(f"the order q of a Vendi score is at least 0, not {q}")
    units, _ = directions(vectors)
    if not len(units):
        return _too_few(0)
    shares = _spectrum(units)
    if q == 1:
        return math.exp(-float((shares * np.log(shares)).sum()))
    if math.isinf(q):
        return float(1 / shares.max())
    if q == 0:
        return float(len(shares))
    # Over the largest, so that high orders do not underflow.
    largest = shares.max()
    log_sum = math.log(float(((shares / largest) ** q).sum())) + q * math.log(largest)
    return math.exp(log_sum / (1 - q))


def _spectrum(units: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " rank"]:
    """Positive eigenvalues of the cosine kernel over n, which sum to 1, float64."""
    n, d = units.shape
    if min(n, d) > LARGEST_SIDE:
        raise DataError(
            f"a Vendi score of {n} vectors of width {d} needs eigenvalues of a matrix with {min(n, d)} rows, more than "
            f"{LARGEST_SIDE}: project the vectors (a random projection keeps cosines) or draw fewer texts"
        )
    if n <= d:
        wide = units.astype(np.float64)
        gram = wide @ wide.T
    else:
        gram = np.zeros((d, d))
        for start in range(0, n, BLOCK_ROWS):
            block = units[start : start + BLOCK_ROWS].astype(np.float64)
            gram += block.T @ block
    values = np.linalg.eigvalsh(gram)
    # What rounding leaves of zeros is no direction: that of this product, and, squared, that of the vectors.
    noise = max(len(gram) * np.finfo(np.float64).eps, (8 * np.finfo(units.dtype).eps) ** 2)
    values = values[values > values.max() * noise]
    return values / values.sum()


def _too_few(n: int) -> Undefined:
    return Undefined("one vector has a direction, and it takes two" if n else "no vector has a direction")
