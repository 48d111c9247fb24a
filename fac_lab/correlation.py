"""Correlations with their uncertainty: of one measure, given others, and of two measures on the same points.

Every interval is a percentile one over points drawn with replacement (Efron and Tibshirani 1993, chapter 13). A point
drawn k times is a point of weight k, so that thousands of draws are a few products of matrices: no loop over draws.
What has no correlation (a constant, too few points) has NaN and a reason, neither an exception nor a warning.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from fac_lab.errors import DataError
from fac_lab.weighted import coefficient, drawn_weights, partial_coefficient

DRAWS = 2000
LEVEL = 0.95
LEAST_POINTS = 4
"""Fewer points than these have a coefficient at best, and no interval."""
_TINY = 1e-12

Values = Sequence[float] | np.ndarray
"""One number per point, `[n]`."""


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
    x: Values,
    y: Values,
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
    one, other = _columns(x, y)
    n = len(one)
    reason = _fault({"the first": one, "the second": other})
    if reason:
        return Correlation(math.nan, math.nan, math.nan, n, reason)
    with_weights = coefficient(kind, one, other)
    value = float(with_weights(np.ones((1, n)))[0])
    return Correlation(value, *_interval(with_weights(drawn_weights(n, draws, seed)), level), n)


def partial(
    x: Values,
    y: Values,
    covariates: Mapping[str, Values],
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
    columns = _columns(x, y, *(covariates[name] for name in names))
    n = len(columns[0])
    reason = _fault({"the first": columns[0], "the second": columns[1]})
    if reason is None and n < LEAST_POINTS + len(names):
        reason = f"{n} points are too few for {len(names)} covariates"
    if reason:
        return Correlation(math.nan, math.nan, math.nan, n, reason)
    with_weights = partial_coefficient(kind, np.column_stack(columns))
    value = float(with_weights(np.ones((1, n)))[0])
    if math.isnan(value):
        return Correlation(value, value, value, n, f"one of the two is a function of {', '.join(names)}")
    return Correlation(value, *_interval(with_weights(drawn_weights(n, draws, seed)), level), n)


def compare(
    a: Values,
    b: Values,
    y: Values,
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
    one, other, outcome = _columns(a, b, y)
    n = len(outcome)
    reason = _fault({"the first measure": one, "the second measure": other, "the outcome": outcome})
    if reason:
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, n, reason)
    whole = np.ones((1, n))
    # Each measure turned so that it rises with the outcome.
    risen = [(np.sign(coefficient(kind, c, outcome)(whole)[0]) or 1.0) * c for c in (one, other)]
    both = [coefficient(kind, c, outcome) for c in risen]
    value = float((both[0](whole) - both[1](whole))[0])
    weights = drawn_weights(n, draws, seed)
    drawn = both[0](weights) - both[1](weights)
    drawn = drawn[np.isfinite(drawn)]
    p = min(1.0, 2 * (1 + min((drawn <= 0).sum(), (drawn >= 0).sum())) / (1 + len(drawn)))
    t, t_p = (math.nan, math.nan)
    if kind == "pearson":
        a_y, b_y = (float(found(whole)[0]) for found in both)
        t, t_p = williams(a_y, b_y, float(coefficient(kind, *risen)(whole)[0]), n)
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
    measures: Mapping[str, Values],
    y: Values,
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
    outcome = np.asarray(y, float)
    shares = dict.fromkeys(measures, 0.0)
    given = {name: np.asarray(values, float) for name, values in measures.items()}
    given = {name: values for name, values in given.items() if _fault({name: values[np.isfinite(values)]}) is None}
    whole = np.isfinite(np.column_stack([outcome, *given.values()])).all(axis=1)
    outcome = outcome[whole]
    given = {name: values[whole] for name, values in given.items()}
    given = {name: values for name, values in given.items() if _fault({name: values}) is None}
    if not given or _fault({"y": outcome}):
        return shares
    weights = drawn_weights(int(whole.sum()), draws, seed)
    found = np.stack([np.abs(coefficient(kind, values, outcome)(weights)) for values in given.values()])
    found = found[:, np.isfinite(found).any(axis=0)]
    firsts = np.where(np.isfinite(found), found, -1.0).argmax(axis=0)
    counted = np.bincount(firsts, minlength=len(given)) / max(len(firsts), 1)
    return shares | dict(zip(given, counted.tolist(), strict=True))


def _columns(*columns: Values) -> list[np.ndarray]:
    """Float arrays of the rows in which none is NaN; DataError where their lengths differ."""
    arrays = [np.asarray(column, float) for column in columns]
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise DataError(f"measures of shapes {shapes} do not belong to the same points: give one value per point each")
    whole = np.isfinite(np.stack(arrays)).all(axis=0)
    return [array[whole] for array in arrays]


def _fault(columns: Mapping[str, np.ndarray]) -> str | None:
    """Why there is no correlation with these columns; None where there is one."""
    for name, column in columns.items():
        if len(column) < LEAST_POINTS:
            return f"{len(column)} points are too few: {LEAST_POINTS} at least"
        if np.ptp(column) <= _TINY * max(1.0, np.abs(column).max()):
            return f"{name} is constant ({column[0]:.4g})"
    return None


def _interval(drawn: np.ndarray, level: float) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return math.nan, math.nan
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
