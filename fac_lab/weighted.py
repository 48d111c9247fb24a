"""Correlation coefficients of weighted points, for many weightings at once: the arithmetic behind `correlation`.

A point that is drawn k times is a point of weight k, so that what thousands of draws give are a few products of
matrices.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fac_lab.errors import DataError
from fac_lab.shapes import Float

_ROUNDING = 1e-10
"""Variance of a column of unit scale up to which it counts as constant."""

Weights = Float[np.ndarray, "draws n"]
Coefficients = Callable[[Weights], Float[np.ndarray, " draws"]]
"""From weights to coefficients; NaN where one is undefined."""


@lru_cache(8)
def drawn_weights(n: int, draws: int, seed: int) -> Weights:
    """How often each point is drawn, float64 `[draws, n]`; the same for the same seed, and not to be written to."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)


def coefficient(kind: str, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Coefficients:
    """That of "pearson", "spearman" (mid-ranks) or "kendall" (tau-b) of two columns."""
    if kind == "pearson":
        columns = np.column_stack([_standard(x), _standard(y)])
        return lambda weights: _from_covariance(_covariance(weights, columns))
    if kind == "spearman":
        below = _below(x), _below(y)

        def spearman(weights: Weights) -> Float[np.ndarray, " draws"]:
            return _from_covariance(_covariance(weights, np.stack([weights @ half for half in below], axis=2)))

        return spearman
    if kind == "kendall":
        signs = [np.sign(np.subtract.outer(column, column)) for column in (x, y)]
        products = signs[0] * signs[1], signs[0] ** 2, signs[1] ** 2

        def kendall(weights: Weights) -> Float[np.ndarray, " draws"]:
            both, of_x, of_y = (((weights @ product) * weights).sum(axis=1) for product in products)
            return _ratio(both, np.sqrt(of_x * of_y))

        return kendall
    raise DataError(f'correlations are "pearson", "spearman" or "kendall", not {kind!r}')


def partial_coefficient(kind: str, columns: Float[np.ndarray, "n p"]) -> Coefficients:
    """The same for the first two of `columns [n, p]` given the rest."""
    if kind not in ("pearson", "spearman"):
        raise DataError(f'partial correlations are "pearson" or "spearman", not {kind!r}')
    standard = np.column_stack([_standard(column) for column in columns.T])
    below = [_below(column) for column in columns.T]

    def given_the_rest(weights: Weights) -> Float[np.ndarray, " draws"]:
        if kind == "pearson":
            covariance = _covariance(weights, standard)
        else:
            covariance = _covariance(weights, np.stack([weights @ half for half in below], axis=2))
        rest = covariance[:, 2:, 2:]
        mixed = covariance[:, :2, 2:]
        # The pseudo-inverse, because covariates may be constant or say the same.
        explained = mixed @ np.linalg.pinv(rest, rcond=1e-9, hermitian=True) @ mixed.transpose(0, 2, 1)
        left = covariance[:, :2, :2] - explained
        return _from_covariance(left)

    return given_the_rest


def _below(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """`[n, n]` that turns weights into mid-ranks, up to a constant and a factor: they lie in [0, 1]."""
    return ((column[:, None] < column) + 0.5 * (column[:, None] == column)) / len(column)


def _covariance(weights: Weights, columns: Float[np.ndarray, "*own n p"]) -> Float[np.ndarray, "draws p p"]:
    """Weighted covariances `[draws, p, p]` of columns `[n, p]`, or `[draws, n, p]`, one for each draw."""
    total = weights.sum(axis=1)
    subscripts = "dn,np->dp" if columns.ndim == 2 else "dn,dnp->dp"
    means = np.einsum(subscripts, weights, columns) / total[:, None]
    if columns.ndim == 2:
        pairs = np.einsum("np,nq->npq", columns, columns)
        products = (weights @ pairs.reshape(len(pairs), -1)).reshape(len(weights), *pairs.shape[1:])
    else:
        products = np.einsum("dn,dnp,dnq->dpq", weights, columns, columns, optimize=True)
    return products / total[:, None, None] - means[:, :, None] * means[:, None, :]


def _from_covariance(covariance: Float[np.ndarray, "draws _ _"]) -> Float[np.ndarray, " draws"]:
    spread = covariance[:, [0, 1], [0, 1]]
    # Columns are of unit scale; a constant one has a variance of rounding errors.
    defined = (spread > _ROUNDING).all(axis=1)
    return _ratio(covariance[:, 0, 1], np.sqrt(np.where(defined, spread.prod(axis=1), 0.0)))


def _ratio(above: Float[np.ndarray, " n"], below: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Clipped to [-1, 1]; NaN where the divisor is 0."""
    return np.clip(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0), -1.0, 1.0)


def _standard(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """At mean 0 and standard deviation 1, so that no product loses digits; 0 for a constant."""
    spread = column.std()
    return (column - column.mean()) / (spread if spread > 0 else 1.0)
