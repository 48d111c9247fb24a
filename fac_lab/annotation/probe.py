"""Task relevance without an annotator: which features' activity goes with the labels of labelled samples.

`information_gain` looks at each feature alone, `sparse_probe` at all of them at once; both take pooled activations
`[n_samples, d_sae]` and binary labels, and return one row per feature: `feature`, `score`, `p`, `q`, `sign`,
`relevant`. Relevant is a feature whose activity *raises* the chance of the positive label (`sign` is 1) with
`q <= fdr`: of the features counted relevant a share `fdr` at most, in expectation, has nothing to do with the label.
Under the null, labels shuffled over the samples, any feature is found relevant in a share `fdr` of the tries at most.

What neither can see: a feature that no labelled sample activates. Labels on the seed alone say nothing about the
features that the seed lacks; the labelled samples have to come from where those features occur, such as the anchor.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import entr, gammaln
from scipy.stats import false_discovery_control
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from fac_lab.errors import DataError

FDR = 0.05
STRENGTHS = tuple(np.geomspace(1.5, 500, 8).round(2).tolist())
"""Inverse strengths of the L1 penalty, as multiples of the largest at which every coefficient is zero."""


def information_gain(
    matrix: sparse.csr_matrix,
    labels: np.ndarray,
    delta: float | np.ndarray = 0.0,
    *,
    features: np.ndarray | None = None,
    fdr: float = FDR,
    min_rate: float = 0.0,
) -> pd.DataFrame:
    """What "active above delta" tells about the label, feature by feature, in bits (`score`).

    `delta` is one threshold or `[d_sae]`; `features` are the indices to test (all if None), over which false
    discoveries are controlled. p is Fisher's exact one: the chance that, of as many samples drawn at random, as many
    or more are positive. Also returned: `active`, the samples above delta, and `rate`, the share of positive ones
    among them (NaN where there are none). Significance is not size, with many samples a rate just above the base rate
    is enough: `min_rate` asks of a relevant feature that its rate exceeds it too.
    """
    labels = binary(labels, matrix.shape[0])
    features = _chosen(features, matrix.shape[1])
    active, both = _counts(matrix, labels, delta)
    active, both = active[features], both[features]
    n, n_positive = len(labels), int(labels.sum())
    rate = np.divide(both, active, out=np.full(len(features), np.nan), where=active > 0)
    silent = np.divide(n_positive - both, n - active, out=np.zeros(len(features)), where=active < n)
    gain = _bits(n_positive / n) - active / n * _bits(np.nan_to_num(rate)) - (1 - active / n) * _bits(silent)
    p = upper_tail(both, n, n_positive, active)
    sign = np.sign(both * n - active * n_positive)
    frame = _frame(features, np.maximum(gain, 0.0), p, benjamini_hochberg(p), sign, fdr).assign(
        active=active, rate=rate
    )
    return frame.assign(relevant=frame.relevant & (frame.rate > min_rate))


def sparse_probe(
    matrix: sparse.csr_matrix,
    labels: np.ndarray,
    *,
    features: np.ndarray | None = None,
    strength: float | None = None,
    fdr: float = FDR,
    seed: int = 0,
) -> pd.DataFrame:
    """Logistic regression of the label on all features, with an L1 penalty that keeps few; `score` is a coefficient.

    Features are scaled to a root mean square of 1, so that coefficients compare. `strength` is one of those that
    `cross_validate` compares, None for its best. At a strength that predicts well an L1 penalty also keeps features
    of no use, so each feature competes with shadows: a copy of all features, its samples shuffled, takes part in the
    regression (pseudovariables; Wu, Boos and Stefanski 2007), and `against_shadows` makes p and q of that. Fewer than
    1 / fdr relevant features are never found.

    Of several features that say the same some are kept: this way asks what a probe needs, not all that matters. Many
    features are narrowed down by `features` (indices), by their activity and not by these labels, which would favour
    them over their shadows.
    """
    labels = binary(labels, matrix.shape[0])
    features = _chosen(features, matrix.shape[1])
    if strength is None:
        table = cross_validate(matrix, labels, features=features, seed=seed)
        strength = float(table.strength[table.log_loss.idxmin()])
    scaled = _scaled(matrix, features)
    shadows = scaled[np.random.default_rng(seed).permutation(len(labels))]
    both = sparse.hstack([scaled, shadows], format="csr")
    coefficients = _model(scaled, labels, strength).fit(both, labels).coef_[0]
    score, shadow = np.split(coefficients, 2)
    p, q = against_shadows(score, shadow)
    return _frame(features, score, p, q, np.sign(score).astype(int), fdr)


def against_shadows(score: np.ndarray, shadow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and q of scores `[n]` that competed with those of as many shadows; both are 1 for a score of 0 or less.

    p is the share of shadows that score as high, counting one more on both sides. Of the features from a threshold
    on, about as many are false as there are shadows from there on, plus one (Barber and Candes 2015): q is the least
    such share at any threshold that lets the feature in.
    """
    shadows_as_high = len(shadow) - np.searchsorted(np.sort(shadow), score, side="left")
    features_as_high = len(score) - np.searchsorted(np.sort(score), score, side="left")
    p = np.where(score > 0, (1 + shadows_as_high) / (1 + len(shadow)), 1.0)
    share = np.where(score > 0, np.minimum(1.0, (1 + shadows_as_high) / features_as_high), 1.0)
    order = np.argsort(score, kind="stable")
    q = np.empty(len(score))
    q[order] = np.minimum.accumulate(share[order])
    return p, q


def cross_validate(
    matrix: sparse.csr_matrix,
    labels: np.ndarray,
    *,
    features: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Held-out log loss of the sparse probe at each of STRENGTHS: `strength`, `log_loss`, `se` (over folds).

    Folds keep the share of positive samples. Raises DataError where a class has fewer samples than there are folds.
    """
    labels = binary(labels, matrix.shape[0])
    fewest = int(min(labels.sum(), (1 - labels).sum()))
    if fewest < folds:
        raise DataError(f"one class has {fewest} labelled samples, fewer than the {folds} folds: label more of it")
    scaled = _scaled(matrix, _chosen(features, matrix.shape[1]))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    rows = []
    for strength in STRENGTHS:
        model = _model(scaled, labels, strength)
        losses = -cross_val_score(model, scaled, labels, cv=split, scoring="neg_log_loss")
        rows.append({"strength": strength, "log_loss": losses.mean(), "se": losses.std(ddof=1) / np.sqrt(folds)})
    return pd.DataFrame(rows)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q-values of p-values `[n]`: the least false-discovery rate at which each is a discovery. Empty for none."""
    return false_discovery_control(p) if len(p) else np.zeros(0)


def upper_tail(k: np.ndarray, n: int, n_positive: int, drawn: np.ndarray) -> np.ndarray:
    """P(X >= k) where X is the number of positive ones among `drawn` of n samples, `n_positive` of them positive.

    Hypergeometric, exact, for all of `k` and `drawn` (int, of equal shape) at once: the steps of the sum are those
    over X, taken for all features together, and it runs away from the mean, where terms fall.
    """
    k, drawn = np.asarray(k, dtype=np.int64), np.asarray(drawn, dtype=np.int64)
    above = k * n > drawn * n_positive
    # Below the mean the other tail is summed: P(X >= k) = 1 - P(X <= k - 1).
    start = np.where(above, k, k - 1)
    tail = _tail(start, n, n_positive, drawn, np.where(above, 1, -1))
    return np.clip(np.where(above, tail, 1.0 - tail), 0.0, 1.0)


def _tail(x: np.ndarray, n: int, n_positive: int, drawn: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Sum of the hypergeometric probabilities from `x` on, upwards where `step` is 1, downwards where it is -1."""

    def log_choose(total: np.ndarray | int, part: np.ndarray) -> np.ndarray:
        return gammaln(total + 1.0) - gammaln(part + 1.0) - gammaln(total - part + 1.0)

    least, most = np.maximum(0, drawn + n_positive - n), np.minimum(drawn, n_positive)
    result = np.zeros(len(x))
    rest = np.flatnonzero((x >= least) & (x <= most))
    x, drawn, step, least, most = x[rest], drawn[rest], step[rest], least[rest], most[rest]
    first = np.exp(log_choose(n_positive, x) + log_choose(n - n_positive, drawn - x) - log_choose(n, drawn))
    total, term = np.ones(len(x)), np.ones(len(x))
    result[rest] = first
    while len(rest):
        low = np.minimum(x, x + step).astype(float)
        up = (n_positive - low) * (drawn - low) / np.maximum((low + 1) * (n - n_positive - drawn + low + 1), 1.0)
        term = term * np.where(step > 0, up, 1 / np.maximum(up, 1e-300))
        x = x + step
        inside = (x >= least) & (x <= most) & (term > 1e-17 * total)
        total = total + np.where(inside, term, 0.0)
        result[rest[~inside]] = (first * total)[~inside]
        rest, x, drawn, step, least, most = (array[inside] for array in (rest, x, drawn, step, least, most))
        first, total, term = first[inside], total[inside], term[inside]
    return result


def _counts(matrix: sparse.csr_matrix, labels: np.ndarray, delta: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples above delta, and positive ones among them, int64 `[d_sae]` each."""
    matrix = matrix.tocsr()
    limit = delta if np.ndim(delta) == 0 else np.asarray(delta)[matrix.indices]
    above = sparse.csr_matrix(
        ((matrix.data > limit).astype(np.int32), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    counts = (above.T @ np.column_stack([np.ones_like(labels), labels]).astype(np.int32)).astype(np.int64)
    return counts[:, 0], counts[:, 1]


def _bits(share: np.ndarray | float) -> np.ndarray:
    """Entropy of a share, in bits."""
    share = np.asarray(share, float)
    return (entr(share) + entr(1 - share)) / np.log(2)


def _scaled(matrix: sparse.csr_matrix, features: np.ndarray) -> sparse.csr_matrix:
    """Columns of the features at a root mean square of 1; one that never fires stays empty."""
    chosen = matrix.tocsr()[:, features].astype(np.float64)
    size = np.sqrt(np.asarray(chosen.multiply(chosen).mean(axis=0)).ravel())
    return sparse.csr_matrix(chosen @ sparse.diags_array(1 / np.where(size > 0, size, 1.0)))


def _model(scaled: sparse.csr_matrix, labels: np.ndarray, strength: float) -> LogisticRegression:
    # With an inverse strength up to 1 / max |X'(y - mean)| all coefficients are zero.
    largest = np.abs(scaled.T @ (labels - labels.mean())).max()
    # liblinear penalises the intercept as well; scaled up, a small coefficient makes any intercept.
    return LogisticRegression(
        C=strength / max(largest, 1e-12),
        l1_ratio=1.0,
        solver="liblinear",
        intercept_scaling=100.0,
        tol=1e-3,
        max_iter=1000,
        random_state=0,
    )


def _frame(
    features: np.ndarray, score: np.ndarray, p: np.ndarray, q: np.ndarray, sign: np.ndarray, fdr: float
) -> pd.DataFrame:
    relevant = (q <= fdr) & (sign > 0)
    return pd.DataFrame({"feature": features, "score": score, "p": p, "q": q, "sign": sign, "relevant": relevant})


def binary(labels: np.ndarray, n: int) -> np.ndarray:
    """Labels as 0 and 1, int64 `[n]`, of both classes."""
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise DataError(f"there are {n} samples and labels of shape {labels.shape}: give one label per sample")
    if not np.isin(labels, (0, 1)).all():
        raise DataError("a label is neither 0 nor 1: say which class is the positive one, and drop unlabelled samples")
    if labels.min(initial=1) == labels.max(initial=0):
        raise DataError("all labelled samples are of one class, so nothing can go with the label: add the other class")
    return labels.astype(np.int64)


def _chosen(features: np.ndarray | None, d_sae: int) -> np.ndarray:
    return np.arange(d_sae) if features is None else np.asarray(features, dtype=np.int64)
