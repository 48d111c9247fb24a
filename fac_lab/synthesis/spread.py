"""Selection with no feature in mind: rows far apart, rows in the middle of clusters, rows drawn at random.

The baselines of greedy coverage. They look at one vector per row; distances are Euclidean.
"""

import warnings
from typing import Any

import numpy as np

from fac_lab.errors import DataError
from fac_lab.synthesis.selection import Selection, check_budget

ROWS_AT_ONCE = 8192
CENTRES_AT_ONCE = 256
"""Products of so many rows and centres are held at once: 8 MB."""
WATCHED = 2048
"""Rows farthest from all centres whose distances are kept exact while the others' wait."""
SAME = 1e-5
"""Squared distance, as a share of the largest from the mean, below which two rows are taken to be one: what rounding in
float32 leaves of zero."""
LARGE = 5_000_000
"""Rows times clusters from which k-means works on small batches."""


def select_k_center(vectors: np.ndarray, n: int, *, start: np.ndarray | None = None, seed: int = 0) -> Selection:
    """Farthest-first choice (Gonzalez 1985): each row is the one farthest from all that were chosen before it.

    `vectors [n_rows, d]`. `start [m, d]` are vectors of what is there already, such as the seed's rows, which count
    as chosen (Sener and Savarese 2018, "Active learning for convolutional neural networks: a core-set approach");
    without any, the first row is drawn by `seed`. The largest distance of a row to its nearest chosen one is then
    at most twice the least that any n rows reach. Rows that coincide with a chosen one are not chosen. Raises
    DataError for vectors that are not finite.

    Only the rows farthest away are kept up to date. While one of them is farther than the others were at their last
    update (distances only shrink), it is the farthest of all; the others are updated in blocks of centres, as
    matrix products. The choice is the same as with every distance updated at every step.
    """
    n = check_budget(n)
    points = _checked(vectors)
    centre = points.mean(axis=0) if len(points) else 0.0
    points = points - centre
    square = np.einsum("ij,ij->i", points, points)
    nearest = np.full(len(points), np.inf, np.float32)
    chosen: list[int] = []
    gains: list[float] = []
    waiting: list[int] = []
    if start is not None and len(start):
        _approach(nearest, points, square, _checked(start) - centre)
    elif n and len(points):
        chosen, gains = [int(np.random.default_rng(seed).integers(len(points)))], [np.inf]
        waiting = chosen.copy()
    least = SAME * float(square.max(initial=0.0))
    near, bound = np.empty(0, np.float32), np.inf
    while len(chosen) < min(n, len(points)):
        if not len(near) or near.max() <= bound:
            _approach(nearest, points, square, points[waiting])
            waiting = []
            watched, bound = _farthest(nearest)
            near, held, held_square = nearest[watched], points[watched], square[watched]
        place = int(near.argmax())
        if near[place] <= least:
            break
        row = int(watched[place])
        gains.append(float(np.sqrt(near[place])))
        chosen.append(row)
        waiting.append(row)
        distance = held_square + square[row] - 2 * (held @ points[row])
        np.minimum(near, np.maximum(distance, 0), out=near)
    return Selection.of(chosen, gains, n, why=f"the pool has {len(points)} rows, the others coincide with chosen ones")


def select_centres(vectors: np.ndarray, n: int, *, seed: int = 0) -> Selection:
    """The rows nearest the centres of `n` clusters, largest cluster first (scikit-learn's k-means, one start).

    `vectors [n_rows, d]`. From 5 million rows times clusters on, k-means works on small batches. A row is chosen
    once: where two centres have the same nearest row, the smaller cluster takes its next. Where there are fewer
    different rows than `n`, each of them is chosen. Raises DataError for vectors that are not finite.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    n = check_budget(n)
    points = _checked(vectors)
    first = np.unique(points, axis=0, return_index=True)[1]
    why = f"the pool has {len(points)} rows, {len(first)} of them different"
    if n == 0 or len(first) <= n:
        rows = np.sort(first)[:n]
        return Selection.of(rows, np.ones(len(rows)), n, why=why)
    large = len(points) * n > LARGE
    settings: dict[str, Any] = {"n_clusters": n, "n_init": 1, "random_state": seed}
    model = MiniBatchKMeans(**settings, batch_size=4096) if large else KMeans(**settings)
    with warnings.catch_warnings():
        # Rows that differ by rounding only make fewer clusters than asked for, which is no harm here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        member = model.fit_predict(points)
    size = np.bincount(member, minlength=n)
    square = np.einsum("ij,ij->i", points, points)
    free = np.ones(len(points), bool)
    rows = []
    order = np.argsort(-size, kind="stable")
    for cluster in order:
        inside = np.flatnonzero((member == cluster) & free)
        among = inside if len(inside) else np.flatnonzero(free)
        middle = model.cluster_centers_[cluster]
        rows.append(int(among[np.argmin(square[among] - 2 * (points[among] @ middle))]))
        free[rows[-1]] = False
    return Selection.of(rows, size[order], n, why=why)


def select_at_random(n_rows: int, n: int, *, seed: int = 0) -> Selection:
    """`n` of `n_rows` rows, drawn without replacement."""
    n = check_budget(n)
    rows = np.random.default_rng(seed).permutation(n_rows)[:n]
    return Selection.of(rows, np.full(len(rows), np.nan), n, why=f"the pool has {n_rows} rows")


def _approach(nearest: np.ndarray, points: np.ndarray, square: np.ndarray, centres: np.ndarray) -> None:
    """Lower the squared distances `nearest [n_rows]` to those to the `centres [m, d]`, where they are nearer."""
    for begin in range(0, len(centres), CENTRES_AT_ONCE):
        block = centres[begin : begin + CENTRES_AT_ONCE]
        offset = np.einsum("ij,ij->i", block, block)
        for low in range(0, len(points), ROWS_AT_ONCE):
            rows = slice(low, low + ROWS_AT_ONCE)
            product = points[rows] @ block.T
            product *= -2
            product += offset
            closest = np.maximum(product.min(axis=1) + square[rows], 0)
            np.minimum(nearest[rows], closest, out=nearest[rows])


def _farthest(nearest: np.ndarray) -> tuple[np.ndarray, float]:
    """The rows to watch, ascending, and the largest squared distance of all others (-1 where there are none)."""
    if len(nearest) <= WATCHED:
        return np.arange(len(nearest)), -1.0
    order = np.argpartition(nearest, len(nearest) - WATCHED - 1)
    return np.sort(order[-WATCHED:]), float(nearest[order[-WATCHED - 1]])


def _checked(vectors: np.ndarray) -> np.ndarray:
    points = np.asarray(vectors, np.float32)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise DataError(
            f"vectors of shape {points.shape} cannot be selected by: give one finite vector per row, [n_rows, d]"
        )
    return points
