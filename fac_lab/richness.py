"""How many features a data set shows depends on how many samples it has. How many would fewer show, or more?

Ecology's questions, with samples for sites and features for species; a feature is *present* in a sample that activates
it above delta. All estimates need per feature the number of samples that activate it (`counts [n_features]`,
`FeatureStats.counts(delta)`) and the number of samples `n`, no more: incidence data. Intervals draw whole samples,
because features come together: one request about a new thing brings several of them.

Names as in that literature: Q1 are the features in exactly one sample, Q2 those in exactly two.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import gammaln, ndtri
from scipy.stats import hypergeom

from fac_lab.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 200
LEVEL = 0.95


class Estimate(NamedTuple):
    """An estimate with its bootstrap interval."""

    value: float
    low: float
    high: float


class Richness(NamedTuple):
    """What a data set shows, and what it is estimated not to show."""

    n: int
    """Samples."""
    seen: int
    """Features in at least one sample."""
    once: int
    """Q1."""
    twice: int
    """Q2."""
    sample_coverage: float
    """See `sample_coverage`."""
    unseen: float
    """See `chao2`."""

    @property
    def total(self) -> float:
        """Features seen and unseen: at least so many would be seen with endless samples."""
        return self.seen + self.unseen


def richness(counts: np.ndarray, n: int) -> Richness:
    """All point estimates from the counts of `n` samples."""
    counts = _checked(counts, n)
    seen, once, twice = int((counts > 0).sum()), int((counts == 1).sum()), int((counts == 2).sum())
    return Richness(n, seen, once, twice, sample_coverage(counts, n), chao2(counts, n))


def rarefied(counts: np.ndarray, n: int, at: Sequence[int], m: int = 1) -> np.ndarray:
    """Features expected in at least `m` of `t` samples drawn from the `n` without replacement, for each t of `at`.

    Exact: the sum over features of `P(X >= m)`, X hypergeometric. For m = 1 it is the classic
    `sum_i 1 - C(n - c_i, t) / C(n, t)` (Hurlbert 1971; for samples Colwell, Mao and Chang 2004). Expectations add,
    so it holds for features that come together too. Float64 `[len(at)]`; every t in [0, n], else DataError.
    """
    counts = _checked(counts, n)
    at = np.asarray(at, np.int64)
    if ((at < 0) | (at > n)).any():
        raise DataError(f"rarefaction goes from 0 to the {n} samples there are; further on, use `extrapolated`")
    # Thousands of features share some hundred different counts.
    different, times = np.unique(counts, return_counts=True)
    if m == 1:
        rest = (n - different)[:, None]
        possible = at <= rest
        held = np.where(possible, at, 0)
        log_absent = gammaln(rest + 1) - gammaln(rest - held + 1) - gammaln(n + 1) + gammaln(n - held + 1)
        chance = np.where(possible, -np.expm1(np.where(possible, log_absent, 0.0)), 1.0)
    else:
        chance = hypergeom.sf(m - 1, n, different[:, None], at[None, :])
    return times @ chance


def sample_coverage(counts: np.ndarray, n: int) -> float:
    """Share of all activations to come that belong to features already seen; in [0, 1].

    Good (1953, with Turing): 1 minus the share of the activations that are their feature's only one, in the version for
    samples of Chao and Jost (2012), which is a little less biased:
    `1 - Q1/U * (n - 1) Q1 / ((n - 1) Q1 + 2 Q2)`, U the number of all activations. NaN where nothing is active.
    """
    counts = _checked(counts, n)
    total, once, twice = counts.sum(), (counts == 1).sum(), (counts == 2).sum()
    if total == 0:
        return math.nan
    if once == 0:
        return 1.0
    if n == 1:
        return 0.0
    # With no feature seen twice, its bias-corrected form.
    above, below = (once, twice) if twice else (once - 1, 1)
    return float(1 - once / total * ((n - 1) * above / ((n - 1) * above + 2 * below)))


def chao2(counts: np.ndarray, n: int) -> float:
    """Features that no sample shows, at least so many: `(n - 1)/n * Q1^2 / (2 Q2)` (Chao 1987).

    `(n - 1)/n * Q1 (Q1 - 1) / 2` where Q2 is 0. A lower bound, sharp where rare features are about equally rare: what
    is much rarer still cannot be known from these samples. It supposes that samples are drawn independently.
    """
    counts = _checked(counts, n)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    unseen = once**2 / (2 * twice) if twice else once * (once - 1) / 2
    return (n - 1) / n * unseen if n else 0.0


def extrapolated(counts: np.ndarray, n: int, more: Sequence[int]) -> np.ndarray:
    """New features that so many more samples are expected to show, float64 `[len(more)]`.

    `Q0 (1 - (1 - Q1 / (n Q0 + Q1))^more)`, Q0 the unseen of `chao2` (Chao et al. 2014; good up to about twice
    the samples). Never more than Q0, however many samples.
    """
    counts = _checked(counts, n)
    unseen, once = chao2(counts, n), int((counts == 1).sum())
    more = np.asarray(more, float)
    if unseen == 0:
        return np.zeros(more.shape)
    return unseen * -np.expm1(more * np.log1p(-once / (n * unseen + once)))


def good_toulmin(counts: np.ndarray, n: int, more: int) -> float:
    """The same without any assumption about the rare ones, for at most as many samples again.

    Good and Toulmin (1956): `t Q1 - t^2 Q2 + t^3 Q3 - ...` with `t = more / n <= 1`, unbiased but noisy, above all at
    t = 1, where no term is small: it can be negative. DataError for t > 1, where the series explodes.
    """
    counts = _checked(counts, n)
    if not 0 <= more <= n:
        raise DataError(f"Good and Toulmin's series is for up to {n} further samples, not {more}: use `extrapolated`")
    of_count = np.bincount(counts)[1:]
    order = np.arange(1, len(of_count) + 1)
    # In logarithms, because t^k of thousands of terms underflows.
    t = more / n if n else 0.0
    powers = np.exp(order * math.log(t)) if t > 0 else np.zeros(len(order))
    return float((np.where(order % 2, 1.0, -1.0) * powers * of_count).sum())


def incidence(
    matrix: sparse.csr_matrix, delta: float | np.ndarray = 0.0, features: np.ndarray | None = None
) -> sparse.csr_matrix:
    """1 where a sample activates a feature above delta: int32 `[n_samples, n_features]` without stored zeros.

    `matrix` are pooled activations `[n_samples, d_sae]`; `delta` is one threshold or `[d_sae]`; `features`, indices or
    bool, are all if None.
    """
    matrix = matrix.tocsr()
    limit = delta if np.ndim(delta) == 0 else np.asarray(delta)[matrix.indices]
    ones = (matrix.data > limit).astype(np.int32)
    active = sparse.csr_matrix((ones, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    active.eliminate_zeros()
    return active if features is None else active[:, features]


def counts_of(active: sparse.csr_matrix) -> np.ndarray:
    """Samples that show each feature, int64 `[n_features]`, of what `incidence` returns."""
    return np.asarray(active.sum(axis=0), np.int64).ravel()


def bootstrap(
    active: sparse.csr_matrix, *, more: int | None = None, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[str, Estimate]:
    """Estimates of `incidence` data with intervals from samples drawn with replacement.

    Keys: "sample_coverage", "unseen", "total", and "new", which `more` further samples would show (as many again if
    None). A sample drawn twice turns a feature of one sample into one of two, so the draws themselves lie off the
    truth: only their spread is used. Intervals of numbers of features are log-normal above what is certain (Chao
    1987): the estimate divided and multiplied by `exp(z sqrt(log(1 + (sd / estimate)^2)))`; that of the sample
    coverage is normal, cut to [0, 1].
    """
    n = active.shape[0]
    more = n if more is None else more
    counts = counts_of(active)
    found = richness(counts, n)
    dice = np.random.default_rng(seed)
    drawn = []
    transposed = active.T.tocsr().astype(np.int64)
    for _ in range(draws):
        again = transposed @ np.bincount(dice.integers(n, size=n), minlength=n)
        drawn.append((sample_coverage(again, n), chao2(again, n), extrapolated(again, n, [more])[0]))
    spread = np.std(np.array(drawn), axis=0, ddof=1) if draws > 1 else np.full(3, math.nan)
    z = float(ndtri(0.5 + level / 2))
    unseen = _log_normal(found.unseen, spread[1], z)
    new = _log_normal(float(extrapolated(counts, n, [more])[0]), spread[2], z)
    covered = found.sample_coverage
    return {
        "sample_coverage": Estimate(covered, max(0.0, covered - z * spread[0]), min(1.0, covered + z * spread[0])),
        "unseen": unseen,
        "total": Estimate(*(found.seen + part for part in unseen)),
        "new": new,
    }


def hold_out(
    active: sparse.csr_matrix, *, repeats: int = 10, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> "pd.DataFrame":
    """Are the estimates right? From one half of the samples, chosen at random, predict what the other half adds.

    One row per split: `split`, `n` (samples of the first half), `seen`; `new` features that the second half added,
    beside `predicted`, `low`, `high` (Chao's extrapolation) and `good_toulmin`; `covered`, the share of the second
    half's activations that belong to features of the first, beside `sample_coverage`, `coverage_low`, `coverage_high`.
    """
    import pandas as pd

    n = active.shape[0]
    if n < 4:
        raise DataError(f"{n} samples are too few to be split in half: take four at least")
    dice = np.random.default_rng(seed)
    rows = []
    for split in range(repeats):
        order = dice.permutation(n)
        first, second = active[np.sort(order[: n // 2])], active[np.sort(order[n // 2 :])]
        counts, others = counts_of(first), counts_of(second)
        estimates = bootstrap(first, more=second.shape[0], draws=draws, level=level, seed=split)
        covered = others[counts > 0].sum() / max(others.sum(), 1)
        rows.append(
            {
                "split": split,
                "n": first.shape[0],
                "seen": int((counts > 0).sum()),
                "new": int(((counts == 0) & (others > 0)).sum()),
                "predicted": estimates["new"].value,
                "low": estimates["new"].low,
                "high": estimates["new"].high,
                "good_toulmin": good_toulmin(counts, first.shape[0], min(second.shape[0], first.shape[0])),
                "covered": float(covered),
                "sample_coverage": estimates["sample_coverage"].value,
                "coverage_low": estimates["sample_coverage"].low,
                "coverage_high": estimates["sample_coverage"].high,
            }
        )
    return pd.DataFrame(rows)


def _checked(counts: np.ndarray, n: int) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iu":
        raise DataError(
            f"counts are one whole number of samples per feature, not {counts.dtype} of shape {counts.shape}"
        )
    if len(counts) and (counts.min() < 0 or counts.max() > n):
        raise DataError(f"a feature is in {counts.min()} to {counts.max()} of {n} samples: counts and n do not fit")
    return counts.astype(np.int64)


def _log_normal(value: float, spread: float, z: float) -> Estimate:
    if value == 0 or math.isnan(spread):
        return Estimate(value, value if value == 0 else math.nan, value if value == 0 else math.nan)
    factor = math.exp(z * math.sqrt(math.log1p((spread / value) ** 2)))
    return Estimate(value, value / factor, value * factor)
