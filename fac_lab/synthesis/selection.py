"""Selection from a real pool: which rows of it activate the most missing features.

Where a pool exists this is the honest rival of synthesis, and without a chat model it is the way to fill a gap.
Greedy choice reaches at least 1 - 1/e of the best possible coverage (Nemhauser, Wolsey and Fisher 1978), and no
polynomial algorithm guarantees more. Its rivals with no feature in mind are in `spread`.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_lab.errors import DataError, SettingsError
from fac_lab.shapes import size

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

log = logging.getLogger(__name__)


class Selection(NamedTuple):
    """Rows of a pool in the order in which they were chosen."""

    rows: np.ndarray
    """Row numbers, int64 `[n_chosen]`, all different."""
    gains: np.ndarray
    """What each row added, float64 `[n_chosen]`, in the measure of the method: features newly covered (greedy; of the
    first round these add up to the coverage), distance to what was there before (k-center; inf for a first row),
    rows of its cluster (k-means), NaN (random)."""
    rounds: np.ndarray
    """Round in which each was chosen, int64 `[n_chosen]`: round r of greedy choice gives features their r-th row; 1
    for the other methods."""
    short: str = ""
    """Why fewer rows were chosen than were asked for; empty where they were not."""

    @classmethod
    def of(
        cls,
        rows: Sequence[int] | np.ndarray,
        gains: Sequence[float] | np.ndarray,
        asked: int,
        *,
        why: str,
        rounds: np.ndarray | None = None,
    ) -> "Selection":
        """A selection for `asked` rows; where it has fewer, `why` is said in the log and kept as `short`."""
        short = f"{len(rows)} rows chosen instead of {asked}: {why}" if len(rows) < asked else ""
        if short:
            log.warning("%s", short)
        rounds = np.ones(len(rows)) if rounds is None else rounds
        return cls(np.array(rows, np.int64), np.array(gains, np.float64), np.array(rounds, np.int64), short)


def check_budget(n: int) -> int:
    """`n` as the number of rows to choose; SettingsError where it is none."""
    if isinstance(n, bool) or int(n) != n or n < 0:
        raise SettingsError(f"{n!r} rows cannot be chosen: give a whole number of at least 0")
    return int(n)


def select_greedily(
    pool: "csr_matrix", features: Sequence[int] | np.ndarray, n: int, *, delta: float | np.ndarray = 0.0
) -> Selection:
    """Up to `n` rows of `pool [n_rows, d_sae]` that cover `features` (indices): always the row that adds the most.

    A row covers a feature that it activates above `delta` (one threshold, or `[d_sae]`). Of rows that add equally
    many, the one with the larger sum of activations of those features wins, then the earlier one. When no row adds
    a feature any more, a new round begins in which every feature wants one more row; it ends at `n` rows, or when
    all rows that cover anything are chosen.

    Gains are kept exactly instead of lazily: a covered feature is taken from its rows once, so a round costs as much
    as the covered entries of `pool`, and each choice one maximum over the rows. Lazy greedy choice (Minoux 1978)
    ends in the same rows and looks only at those whose old gain still leads, but it counts each of these anew, one
    at a time; `benchmarks/selection.py` times both. Raises DataError for features outside the pool's columns.
    """
    n = check_budget(n)
    features = np.unique(np.asarray(features, np.int64))
    n_rows, d_sae = size(pool)
    if len(features) and not 0 <= features[0] <= features[-1] < d_sae:
        raise DataError(f"features lie in 0 to {d_sae - 1}, but {features[0]} to {features[-1]} were asked for")
    features_of = covering(pool, features, delta)
    rows_of = features_of.tocsc()
    free = np.ones(n_rows, bool)
    chosen: list[tuple[int, int, int]] = []
    number = 1
    while len(chosen) < n:
        before = len(chosen)
        _one_round(features_of, rows_of, free, n, number, chosen)
        if len(chosen) == before:
            break
        number += 1
    rows, gains, rounds = np.array(chosen, np.int64).reshape(-1, 3).T
    why = f"no other of the pool's {n_rows} rows activates one of the {len(features)} features"
    return Selection.of(rows, gains, n, why=why, rounds=rounds)


def covering(pool: "csr_matrix", features: np.ndarray, delta: float | np.ndarray) -> "csr_matrix":
    """Activations of `features` above `delta`, `[n_rows, n_features]`, sorted; nothing else is stored."""
    columns = pool.tocsc()[:, features]
    threshold = np.broadcast_to(np.asarray(delta, np.float64), size(pool)[1])[features]
    columns.data[columns.data <= np.repeat(threshold, np.diff(columns.indptr))] = 0
    columns.eliminate_zeros()
    columns.sort_indices()
    return columns.tocsr()


def _one_round(
    features_of: "csr_matrix", rows_of, free: np.ndarray, n: int, number: int, chosen: list[tuple[int, int, int]]
) -> None:
    """Choose until every feature that a free row has is covered once more, or `n` rows are chosen."""
    gain = np.diff(features_of.indptr).astype(np.int64)
    mass = np.asarray(features_of.sum(axis=1), np.float64).reshape(-1)
    gain[~free] = 0
    wanted = np.ones(size(features_of)[1], bool)
    while len(chosen) < n and (most := int(gain.max(initial=0))):
        best = np.flatnonzero(gain == most)
        row = int(best[np.argmax(mass[best])])
        own = features_of.indices[features_of.indptr[row] : features_of.indptr[row + 1]]
        for feature in own[wanted[own]]:
            held = slice(rows_of.indptr[feature], rows_of.indptr[feature + 1])
            gain[rows_of.indices[held]] -= 1
            mass[rows_of.indices[held]] -= rows_of.data[held]
        wanted[own] = False
        gain[row] = 0
        free[row] = False
        gain[~free] = 0
        chosen.append((row, most, number))
