"""Correlations with their uncertainty: of one measure, given others, and of two measures on the same points.

Every interval is a percentile one over points drawn with replacement (Efron and Tibshirani 1993, chapter 13). A point
drawn k times is a point of weight k, so that thousands of draws are a few products of matrices: no loop over draws.
What has no correlation (a constant, too few points) has NaN and a reason, neither an exception nor a warning.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from fac_lab.errors import DataError

DRAWS = 2000
LEVEL = 0.95
LEAST_POINTS = 4
"""Fewer points than these have a coefficient at best, and no interval."""
_TINY = 1e-12
_ROUNDING = 1e-10
"""Variance of a column of unit scale up to which it counts as constant."""


class Correlation(NamedTuple):
    """A coefficient with its interval."""

    value: float
    """In [-1, 1]; NaN where it is undefined."""
    low: float
    high: float
    """Ends of the bootstrap interval; NaN where `value` is."""
    n: int
    """Points that it is over."""
    reason: str | None = None
    """Why it is undefined; None where it is not."""


class Difference(NamedTuple):
    """How much more strongly one measure correlates with the outcome than another, on the same points."""

    value: float
    """`|r(a, y)| - |r(b, y)|`."""
    low: float
    high: float
    """Ends of the paired bootstrap interval."""
    p: float
    """Two-sided, from the same draws: twice the smaller share of them on either side of 0."""
    t: float
    """Williams' statistic; NaN where it does not apply."""
    t_p: float
    """Its two-sided p-value, of n - 3 degrees of freedom."""
    n: int
    reason: str | None = None
    """Why it is undefined; None where it is not."""


def correlate(
    x: Sequence[float],
    y: Sequence[float],
    kind: str = "pearson",
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Correlation:
    """Correlation of `x [n]` and `y [n]`: "pearson", "spearman" (mid-ranks) or "kendall" (tau-b, ties counted out).

    Pairs with a NaN are left out. Undefined for fewer than four pairs and where either is constant. Draws in which one
    of them is constant are left out of the interval.
    """
    x, y, _ = _columns(x, y)
    reason = _fault({"the first": x, "the second": y})
    if reason:
        return Correlation(math.nan, math.nan, math.nan, len(x), reason)
    with_weights = _coefficient(kind, x, y)
    value = float(with_weights(np.ones((1, len(x))))[0])
    return Correlation(value, *_interval(with_weights(_weights(len(x), draws, seed)), level), len(x))


def partial(
    x: Sequence[float],
    y: Sequence[float],
    covariates: Mapping[str, Sequence[float]],
    kind: str = "pearson",
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Correlation:
    """Correlation of what is left of `x` and of `y` after a linear fit on the covariates (Fisher 1924).

    "spearman" does the same with the ranks of all of them. A constant covariate takes nothing away. Undefined, beside
    the cases of `correlate`, where the covariates determine one of the two, or are too many for the points.
    """
    names = list(covariates)
    x, y, others = _columns(x, y, *(covariates[name] for name in names))
    reason = _fault({"the first": x, "the second": y})
    if reason is None and len(x) < LEAST_POINTS + len(names):
        reason = f"{len(x)} points are too few for {len(names)} covariates"
    if reason is None:
        with_weights = _partial_coefficient(kind, np.column_stack([x, y, *others]))
        value = float(with_weights(np.ones((1, len(x))))[0])
        if math.isnan(value):
            reason = f"one of the two is a function of {', '.join(names)}"
    if reason:
        return Correlation(math.nan, math.nan, math.nan, len(x), reason)
    return Correlation(value, *_interval(with_weights(_weights(len(x), draws, seed)), level), len(x))


def compare(
    a: Sequence[float],
    b: Sequence[float],
    y: Sequence[float],
    kind: str = "pearson",
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference:
    """Does `a` go with `y` more closely than `b` does? All `[n]`, the same points.

    Some measures fall where diversity rises, so that it is the sizes of the correlations that are compared; each keeps
    the sign that it has over all points. The same draws serve both, which is what makes the test paired. Williams' t
    (`williams`) stands beside it for "pearson".
    """
    a, b, (y,) = _columns(a, b, y)
    n = len(y)
    reason = _fault({"the first measure": a, "the second measure": b, "the outcome": y})
    if reason:
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, n, reason)
    signed = [np.sign(float(_coefficient(kind, c, y)(np.ones((1, n)))[0])) or 1.0 for c in (a, b)]
    both = [_coefficient(kind, sign * c, y) for sign, c in zip(signed, (a, b), strict=True)]
    value = float((both[0](np.ones((1, n))) - both[1](np.ones((1, n))))[0])
    weights = _weights(n, draws, seed)
    drawn = both[0](weights) - both[1](weights)
    drawn = drawn[np.isfinite(drawn)]
    p = min(1.0, 2 * (1 + min((drawn <= 0).sum(), (drawn >= 0).sum())) / (1 + len(drawn)))
    t, t_p = (math.nan, math.nan)
    if kind == "pearson":
        a_y, b_y = (float(found(np.ones((1, n)))[0]) for found in both)
        a_b = float(_coefficient(kind, signed[0] * a, signed[1] * b)(np.ones((1, n)))[0])
        t, t_p = williams(a_y, b_y, a_b, n)
    return Difference(value, *_interval(drawn, level), p, t, t_p, n)


def williams(a_y: float, b_y: float, a_b: float, n: int) -> tuple[float, float]:
    """Williams' t for two Pearson correlations that share a variable, and its two-sided p-value.

    Williams (1959), in the form that Steiger (1980, eq. 7) recommends:
    `t = (a_y - b_y) sqrt((n - 1)(1 + a_b) / (2 (n - 1)/(n - 3) |R| + ((a_y + b_y)/2)^2 (1 - a_b)^3))`, with
    `|R| = 1 - a_y^2 - b_y^2 - a_b^2 + 2 a_y b_y a_b` and n - 3 degrees of freedom. Supposes normal variables. NaN
    where it does not apply: fewer than four points, or two measures that are one.
    """
    if n < LEAST_POINTS or abs(a_b) > 1 - _TINY:
        return math.nan, math.nan
    determinant = max(1 - a_y**2 - b_y**2 - a_b**2 + 2 * a_y * b_y * a_b, 0.0)
    below = 2 * (n - 1) / (n - 3) * determinant + ((a_y + b_y) / 2) ** 2 * (1 - a_b) ** 3
    if below <= _TINY:
        return math.nan, math.nan
    t = (a_y - b_y) * math.sqrt((n - 1) * (1 + a_b) / below)
    return t, float(2 * stats.t.sf(abs(t), n - 3))


def first_shares(
    measures: Mapping[str, Sequence[float]],
    y: Sequence[float],
    kind: str = "pearson",
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, float]:
    """How often each measure correlates most closely with `y` when the points are drawn anew; shares add up to 1.

    What the winner of one sample is worth: the best of many measures is partly the luckiest, which a comparison with
    the next best alone does not show. Measures that are undefined get 0, and all do where there is nothing to compare.
    Points where any defined measure or `y` is NaN are left out.
    """
    y = np.asarray(y, float)
    shares = dict.fromkeys(measures, 0.0)
    given = {name: np.asarray(values, float) for name, values in measures.items()}
    given = {name: values for name, values in given.items() if _fault({name: values[np.isfinite(values)]}) is None}
    whole = np.isfinite(np.column_stack([y, *given.values()])).all(axis=1)
    given = {name: values[whole] for name, values in given.items()}
    given = {name: values for name, values in given.items() if _fault({name: values}) is None}
    if not given or _fault({"y": y[whole]}):
        return shares
    weights = _weights(int(whole.sum()), draws, seed)
    found = np.stack([np.abs(_coefficient(kind, values, y[whole])(weights)) for values in given.values()])
    found = found[:, np.isfinite(found).any(axis=0)]
    firsts = np.where(np.isfinite(found), found, -1.0).argmax(axis=0)
    counted = np.bincount(firsts, minlength=len(given)) / max(len(firsts), 1)
    return shares | dict(zip(given, counted.tolist(), strict=True))


def _columns(*columns: Sequence[float]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Float arrays of the rows in which none is NaN; DataError where their lengths differ."""
    arrays = [np.asarray(column, float) for column in columns]
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise DataError(f"measures of shapes {shapes} do not belong to the same points: give one value per point each")
    whole = np.isfinite(np.stack(arrays)).all(axis=0)
    first, second, *others = (array[whole] for array in arrays)
    return first, second, others


def _fault(columns: Mapping[str, np.ndarray]) -> str | None:
    """Why there is no correlation with these columns; None where there is one."""
    for name, column in columns.items():
        if len(column) < LEAST_POINTS:
            return f"{len(column)} points are too few: {LEAST_POINTS} at least"
        if np.ptp(column) <= _TINY * max(1.0, np.abs(column).max()):
            return f"{name} is constant ({column[0]:.4g})"
    return None


@lru_cache(8)
def _weights(n: int, draws: int, seed: int) -> np.ndarray:
    """How often each point is drawn, float64 `[draws, n]`; the same for the same seed, and not to be written to."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)


def _coefficient(kind: str, x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from weights `[draws, n]` to coefficients `[draws]`; NaN where one is undefined."""
    if kind == "pearson":
        columns = np.column_stack([_standard(x), _standard(y)])
        return lambda weights: _from_covariance(_covariance(weights, columns))
    if kind == "spearman":
        below = _below(x), _below(y)

        def spearman(weights: np.ndarray) -> np.ndarray:
            return _from_covariance(_covariance(weights, np.stack([weights @ half for half in below], axis=2)))

        return spearman
    if kind == "kendall":
        signs = [np.sign(np.subtract.outer(column, column)) for column in (x, y)]
        products = signs[0] * signs[1], signs[0] ** 2, signs[1] ** 2

        def kendall(weights: np.ndarray) -> np.ndarray:
            both, of_x, of_y = (((weights @ product) * weights).sum(axis=1) for product in products)
            return _ratio(both, np.sqrt(of_x * of_y))

        return kendall
    raise DataError(f'correlations are "pearson", "spearman" or "kendall", not {kind!r}')


def _partial_coefficient(kind: str, columns: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The same for the first two of `columns [n, p]` given the rest."""
    if kind not in ("pearson", "spearman"):
        raise DataError(f'partial correlations are "pearson" or "spearman", not {kind!r}')
    standard = np.column_stack([_standard(column) for column in columns.T])
    below = [_below(column) for column in columns.T]

    def coefficient(weights: np.ndarray) -> np.ndarray:
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

    return coefficient


def _below(column: np.ndarray) -> np.ndarray:
    """`[n, n]` that turns weights into mid-ranks, up to a constant and a factor: they lie in [0, 1]."""
    return ((column[:, None] < column) + 0.5 * (column[:, None] == column)) / len(column)


def _covariance(weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
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


def _from_covariance(covariance: np.ndarray) -> np.ndarray:
    spread = covariance[:, [0, 1], [0, 1]]
    # Columns are of unit scale; a constant one has a variance of rounding errors.
    defined = (spread > _ROUNDING).all(axis=1)
    return _ratio(covariance[:, 0, 1], np.sqrt(np.where(defined, spread.prod(axis=1), 0.0)))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Clipped to [-1, 1]; NaN where the divisor is 0."""
    return np.clip(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0), -1.0, 1.0)


def _standard(column: np.ndarray) -> np.ndarray:
    """At mean 0 and standard deviation 1, so that no product loses digits; 0 for a constant."""
    spread = column.std()
    return (column - column.mean()) / (spread if spread > 0 else 1.0)


def _interval(drawn: np.ndarray, level: float) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return math.nan, math.nan
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
