"""FAC of many data sets at once, under every combination of anchor, rule, relevance and weight.

`coverage.cover` gives one of these numbers at a time, from statistics collected for it. Where hundreds of data sets
are drawn from one pool, the pool's matrix of activations holds them all: a product of two sparse matrices says what
each set activates, and all ways of counting that are another product. The numbers are those of `cover` and
`weighted_fac` (a test compares them).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from fac_lab.annotation.probe import information_gain
from fac_lab.coverage import threshold
from fac_lab.errors import SettingsError
from fac_lab.features.stats import EDGES, N_BINS, FeatureStats
from fac_lab.settings import CoverageRule
from fac_lab.support import minimum_support

VARIANT = ("anchor", "rule", "relevance", "weight")
"""What a column of the grid is named by."""
WEIGHTS = ("feature", "frequency", "three samples")
"""A feature of the anchor's support counts 1; as many as it has anchor samples (the paper's frequency-weighted FAC);
or 1, of which each of the first three samples that activate it covers a third."""
LEAST_LOG_ODDS = float(np.log(2))
FEWEST_TOXIC = 3
RANDOM_DRAWS = 5

Relevance = Callable[[float | np.ndarray], Mapping[str, np.ndarray]]


def subset(stats: FeatureStats, rows: Sequence[int] | np.ndarray) -> FeatureStats:
    """Statistics of some samples (row numbers; one that is named twice counts twice) of stats that kept their matrix.

    Without spans, and without counts of tokens, which are not kept per sample.
    """
    if stats.matrix is None:
        raise SettingsError("these statistics kept no matrix: collect them with keep_matrix=True")
    rows = np.asarray(rows, np.int64)
    part = FeatureStats.empty(stats.d_sae, 0, stats.made_by)
    part.matrix = stats.matrix.tocsr()[rows]
    part.sample_ids = [stats.sample_ids[row] for row in rows]
    part.n_samples = len(rows)
    bins = np.searchsorted(EDGES, part.matrix.data) - 1
    place = part.matrix.indices.astype(np.int64)
    np.add.at(part.histogram.reshape(-1), place * N_BINS + bins, np.int32(1))
    np.maximum.at(part.maximum, place, part.matrix.data)
    return part


def coverage_grid(
    sets: Sequence[np.ndarray],
    pool: FeatureStats,
    anchors: Mapping[str, np.ndarray],
    rules: Mapping[str, CoverageRule],
    relevance: Relevance,
) -> pd.DataFrame:
    """FAC of every data set, one row per set and one column per (anchor, rule, relevance, weight).

    `sets` and `anchors` are row numbers of `pool`, whose statistics have their matrix. `relevance` gives masks
    `[d_sae]` by name for a threshold. NaN where an anchor's support is empty. A rule without a support has the one of
    `alpha` for each size of set; SettingsError for one that goes by `fdr`, whose support depends on what is covered.
    """
    following = [name for name, rule in rules.items() if rule.support is None and rule.fdr is not None]
    if following:
        raise SettingsError(f"rules {following} choose their support by fdr, for each set another: set fdr to null")
    sizes = np.array([len(rows) for rows in sets])
    place = np.repeat(np.arange(len(sets)), sizes)
    belongs = sparse.csr_matrix(
        (np.ones(len(place), np.float32), (place, np.concatenate(sets))), shape=(len(sets), pool.n_samples)
    )
    columns, seen = {}, {}
    for anchor, rows in anchors.items():
        stats = subset(pool, rows)
        for name, rule in rules.items():
            delta = threshold(stats, rule)
            key = np.asarray(delta).tobytes()
            if key not in seen:
                seen[key] = (np.asarray((belongs @ _above(pool.matrix, delta)).todense()), relevance(delta))
            times, masks = seen[key]
            count = stats.counts(delta)
            for size in np.unique(sizes):
                m = minimum_support(rule, count, count, stats.n_samples, int(size))
                for relevant, mask in masks.items():
                    for weight, share in _shares(times[sizes == size], count, mask & (count >= m)).items():
                        column = columns.setdefault((anchor, name, relevant, weight), np.full(len(sets), np.nan))
                        column[sizes == size] = share
    frame = pd.DataFrame(columns)
    frame.columns = pd.MultiIndex.from_tuples(columns, names=VARIANT)
    return frame


def _above(matrix: sparse.csr_matrix, delta: float | np.ndarray) -> sparse.csr_matrix:
    limit = delta if np.ndim(delta) == 0 else np.asarray(delta)[matrix.indices]
    # A copy, because leaving out zeros happens in place, and indices would be shared with the matrix.
    active = sparse.csr_matrix(
        ((matrix.data > limit).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape, copy=True
    )
    active.eliminate_zeros()
    return active


def _shares(times: np.ndarray, count: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """Covered share of the support by each weight, `[n_sets]`; `times [n_sets, d_sae]` are active samples."""
    n = int(support.sum())
    if n == 0:
        return dict.fromkeys(WEIGHTS, np.full(len(times), np.nan))
    times, count = times[:, support], count[support]
    covered = times > 0
    return {
        "feature": covered.mean(axis=1),
        "frequency": covered @ count / count.sum(),
        "three samples": np.minimum(times, 3).mean(axis=1) / 3,
    }


def relevance_by_labels(
    matrix: sparse.csr_matrix,
    labels: np.ndarray,
    *,
    fixed: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Relevance:
    """Ways of saying which features matter, from labelled samples `[n_samples, d_sae]` and labels 0 or 1.

    `all`; `log odds`: those that fire above the threshold in FEWEST_TOXIC positive samples at least, with odds twice
    as high as in the others; `probe`: `annotation.probe.information_gain` at its default rate of false discoveries;
    `random 1` to `random 5`: as many as by log odds, drawn at random of those that fire at all. `fixed` are further
    masks by name that do not depend on the threshold.
    """
    labels = np.asarray(labels)
    positive = labels == 1

    def masks(delta: float | np.ndarray) -> dict[str, np.ndarray]:
        active = _above(matrix, delta)
        inside = np.asarray(active[positive].sum(axis=0)).ravel()
        outside = np.asarray(active[~positive].sum(axis=0)).ravel()
        odds = log_odds(inside, outside, int(positive.sum()), int((~positive).sum()))
        found = (inside >= FEWEST_TOXIC) & (odds >= LEAST_LOG_ODDS)
        probe = information_gain(matrix, labels, delta)
        named = {
            "all": np.ones(matrix.shape[1], bool),
            "log odds": found,
            "probe": probe.relevant.to_numpy(),
            **(fixed or {}),
        }
        firing = np.flatnonzero(inside + outside > 0)
        dice = np.random.default_rng(seed)
        for number in range(1, RANDOM_DRAWS + 1):
            named[f"random {number}"] = np.zeros(matrix.shape[1], bool)
            named[f"random {number}"][dice.choice(firing, min(int(found.sum()), len(firing)), replace=False)] = True
        return named

    return masks


def log_odds(inside: np.ndarray, outside: np.ndarray, n_inside: int, n_outside: int) -> np.ndarray:
    """Log of the odds of firing in positive samples over those in the others, half a sample added to each count
    (Haldane 1956), so that it is finite."""
    return (
        np.log(inside + 0.5)
        - np.log(n_inside - inside + 0.5)
        - np.log(outside + 0.5)
        + np.log(n_outside - outside + 0.5)
    )
