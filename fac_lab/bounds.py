"""The paper's theory in numbers: divergences between distributions, and what they say about a risk.

Pure formulas. Distributions are probabilities over one list of outcomes, `[n_outcomes]`, that sum to 1; logarithms are
natural, so information is in nats. Losses lie in [0, C]; with the 0/1 loss C is 1, and a bound of 1 or more is vacuous.
"""

import math
from typing import NamedTuple

import numpy as np

from fac_lab.errors import SettingsError
from fac_lab.shapes import Float

_ROUNDING = 1e-6
VACUOUS = 1.0
"""From here on, a bound on a risk under the 0/1 loss says nothing."""


Distribution = Float[np.ndarray, " n_outcomes"]


class Surrogate(NamedTuple):
    """The paper's eq. 3 with uniform distributions over the supports."""

    value: float
    """`|missing| / |F(P)| * log(|F| / (eps * |F(P)|))`, in nats."""
    per_feature: float
    """What one newly covered feature lowers it by: `log(|F| / (eps * |F(P)|)) / |F(P)|`."""


class UniformKl(NamedTuple):
    """KL of uniform distributions over two supports, in the two parts that the surrogate tells apart."""

    missing: float
    """From features of the anchor's support that the other lacks: the surrogate's value."""
    covered: float
    """From those in both: negative where the other's support is the smaller one. The surrogate leaves it out."""

    @property
    def value(self) -> float:
        return self.missing + self.covered


def total_variation(p: Distribution, q: Distribution) -> float:
    """`sum |p - q| / 2`, in [0, 1]: the largest difference of the probabilities that p and q give one event."""
    p, q = _distributions(p, q)
    return float(np.abs(p - q).sum() / 2)


def kl(p: Distribution, q: Distribution) -> float:
    """`sum p log(p / q)` in nats; 0 log 0 is 0, and infinite where q is 0 and p is not."""
    p, q = _distributions(p, q)
    there = p > 0
    if (q[there] == 0).any():
        return math.inf
    return max(0.0, float((p[there] * np.log(p[there] / q[there])).sum()))


def smoothed(q: Distribution, eps: float) -> Distribution:
    """`(1 - eps) q + eps / n_outcomes`: no outcome is impossible; eps in (0, 1)."""
    q = np.asarray(q, float)
    return (1 - _smoothing(eps)) * q + eps / len(q)


def entropy(p: Distribution) -> float:
    """`-sum p log p` in nats."""
    (p,) = _distributions(p)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def surrogate(n_missing: int, n_support: int, n_features: int, eps: float) -> Surrogate:
    """The missing features' part of KL(anchor || data set), the data set smoothed by `eps` in (0, 1).

    `n_support` is |F(P)|, of the anchor, `n_features` |F|. Both numbers are NaN where F(P) is empty. SettingsError
    unless 0 <= missing <= |F(P)| <= |F|.
    """
    _smoothing(eps)
    if not 0 <= n_missing <= n_support <= n_features:
        raise SettingsError(
            f"{n_missing} missing of {n_support} features of the anchor among {n_features}: each is part of the next"
        )
    if n_support == 0:
        return Surrogate(math.nan, math.nan)
    per_feature = math.log(n_features / (eps * n_support)) / n_support
    return Surrogate(n_missing * per_feature, per_feature)


def uniform_kl(n_missing: int, n_support: int, n_other: int, n_features: int, eps: float) -> UniformKl:
    """KL of the uniform distribution over F(P) against that over another support of `n_other` features, smoothed.

    With `n_other` 0 there is nothing to smooth: the other is uniform over all of F. NaN where F(P) is empty.
    """
    part = surrogate(n_missing, n_support, n_features, eps)
    if n_support == 0:
        return UniformKl(math.nan, math.nan)
    n_covered = n_support - n_missing
    if not n_covered <= n_other <= n_features - n_missing:
        raise SettingsError(f"{n_other} features cover {n_covered} of {n_support} among {n_features}: impossible")
    if n_other == 0:
        return UniformKl(math.log(n_features / n_support), 0.0)
    other = (1 - eps) / n_other + eps / n_features
    return UniformKl(part.value, n_covered / n_support * math.log(1 / (n_support * other)))


def pinsker(divergence: float, eps_cond: float = 0.0) -> float:
    """`sqrt(KL / 2 + eps_cond)`, the paper's bound on the total variation; above 1 it says nothing.

    `eps_cond` stands for what the features leave out of a text; it is not known, and 0 is the most favourable value.
    """
    if not divergence >= 0 or not eps_cond >= 0:
        raise SettingsError(f"a divergence of {divergence} and an eps_cond of {eps_cond}: neither can be negative")
    return math.sqrt(divergence / 2 + eps_cond)


def risk_bound(tv: float, sampling: float, *, loss: float = 1.0) -> float:
    """The paper's theorem 4.1: `2 C TV(D, D_gen) + (R_gen - Rhat_gen)`, which bounds `R - Rhat_gen`, C = `loss`.

    With TV as half the L1 distance `C TV` would do in place of `2 C TV`: see `shift_bound`.
    """
    return 2 * loss * tv + sampling


def shift_bound(tv: float, *, loss: float = 1.0) -> float:
    """`C TV(D, D_gen)`: how far the mean of any loss in [0, C] can move from one distribution to the other."""
    return loss * tv


def tv_from_accuracy(accuracy: float) -> float:
    """`2 a - 1`: a lower bound on the total variation of two classes told apart with balanced accuracy a.

    True of the accuracy in the long run; an estimate from some rows scatters around it and may be negative.
    """
    return 2 * accuracy - 1


def information_bound(information: float, n: int, *, sigma: float = 0.5, c: float = 0.0) -> float:
    """The paper's lemma 6.1: `sqrt(2 sigma^2 I / n) + c I / n`, which bounds `E[R - Rhat]` of n samples.

    `information` is I(S; W) in nats. A loss in [0, 1] is sub-Gaussian with sigma 1/2, that is sub-gamma with c 0.
    """
    if n < 1 or not information >= 0:
        raise SettingsError(f"{information} nats about {n} samples: give at least one sample and no negative nats")
    return math.sqrt(2 * sigma**2 * information / n) + c * information / n


def implied_information(gap: float, n: int, *, sigma: float = 0.5) -> float:
    """The nats that `information_bound` (c = 0) needs at least to allow a gap: `n gap^2 / (2 sigma^2)`; 0 below 0."""
    return n * max(gap, 0.0) ** 2 / (2 * sigma**2)


def _smoothing(eps: float) -> float:
    if not 0 < eps < 1:
        raise SettingsError(f"eps, the smoothing of the seed's distribution, lies in (0, 1), not at {eps}")
    return eps


def _distributions(*given: Distribution) -> list[Distribution]:
    arrays = [np.asarray(array, float) for array in given]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        raise SettingsError(f"distributions over different outcomes: shapes {[array.shape for array in arrays]}")
    for array in arrays:
        if not (array >= 0).all() or abs(array.sum() - 1) > _ROUNDING:
            raise SettingsError(f"no distribution: sum {array.sum():.6g}, least {array.min(initial=np.inf):.6g}")
    return arrays
