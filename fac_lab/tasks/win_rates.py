"""Win rates of one model's answers against a baseline's: raw, and with the effect of length taken out.

A preference is the judge's probability, in [0, 1], that the model's answer is the better one; the raw win rate is its
mean. The length-controlled one follows AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475): a logistic model of the
preference,

    P(model wins on x) = sigmoid(theta + phi * tanh((len_model - len_baseline) / sd) + psi * gamma_x),

with the instruction difficulty gamma_x, and the mean prediction with the length term at 0. AlpacaEval estimates
gamma_x from all models of its leaderboard and keeps it in a file of its hub; without it (`difficulty=None`) the term
is left out, which is the *minimal* formula here. sd is the standard deviation of the length differences.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from fac_lab.errors import DataError


class WinRate(NamedTuple):
    """A share of wins, in percent as the leaderboards give it."""

    percent: float
    error: float
    """Its standard error over instructions, in percent; NaN for one instruction."""
    n: int


def raw_win_rate(preferences: np.ndarray) -> WinRate:
    """Mean preference. `preferences [n_instructions]` in [0, 1], 0.5 a tie; NaN, no verdict, is left out."""
    known = _known(preferences)
    error = 100 * float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return WinRate(100 * float(known.mean()), error, len(known))


def length_controlled_win_rate(
    preferences: np.ndarray,
    model_lengths: np.ndarray,
    baseline_lengths: np.ndarray,
    *,
    difficulty: np.ndarray | None = None,
    n_bootstrap: int = 100,
    seed: int = 0,
) -> WinRate:
    """Win rate as if both answers were of equal length (formula above; all arrays `[n_instructions]`).

    Lengths are in characters, as AlpacaEval counts them. The error is a bootstrap's over instructions. Where all
    length differences are the same there is nothing to control for, and it is the raw rate's prediction. Raises
    DataError for arrays of different lengths.
    """
    arrays = [np.asarray(array, float) for array in (preferences, model_lengths, baseline_lengths)]
    if len({len(array) for array in arrays}) != 1 or (difficulty is not None and len(difficulty) != len(arrays[0])):
        raise DataError("preferences, lengths and difficulty have one number for each instruction, all of them")
    _known(arrays[0])
    keep = ~np.isnan(arrays[0])
    wins, ours, theirs = (array[keep] for array in arrays)
    terms = np.stack([np.ones(len(wins)), _length_term(ours - theirs)], axis=1)
    if difficulty is not None:
        terms = np.column_stack([terms, np.asarray(difficulty, float)[keep]])
    estimate = _controlled(terms, wins)
    dice = np.random.default_rng(seed)
    draws = [_controlled(terms[rows], wins[rows]) for rows in dice.integers(len(wins), size=(n_bootstrap, len(wins)))]
    error = 100 * float(np.std(draws, ddof=1)) if len(wins) > 1 and n_bootstrap > 1 else math.nan
    return WinRate(100 * estimate, error, len(wins))


def length_effect(preferences: np.ndarray, model_lengths: np.ndarray, baseline_lengths: np.ndarray) -> float:
    """phi: the log-odds of winning that the judge gives for being longer by far; 0 where length leaves it cold."""
    keep = ~np.isnan(np.asarray(preferences, float))
    difference = (np.asarray(model_lengths, float) - np.asarray(baseline_lengths, float))[keep]
    terms = np.stack([np.ones(len(difference)), _length_term(difference)], axis=1)
    return float(_fit(terms, np.asarray(preferences, float)[keep])[1])


def _known(preferences: np.ndarray) -> np.ndarray:
    preferences = np.asarray(preferences, float)
    known = preferences[~np.isnan(preferences)]
    if not len(known):
        raise DataError("there is no verdict at all: the judge answered nothing that could be read")
    if known.min() < 0 or known.max() > 1:
        raise DataError(
            f"preferences lie in [0, 1]; these reach from {known.min():g} to {known.max():g}. Where 1 is "
            "the baseline and 2 the model, subtract 1"
        )
    return known


def _length_term(difference: np.ndarray) -> np.ndarray:
    spread = difference.std()
    return np.tanh(difference / spread) if spread else np.zeros(len(difference))


def _controlled(terms: np.ndarray, wins: np.ndarray) -> float:
    weights = _fit(terms, wins)
    level = terms.copy()
    level[:, 1] = 0.0
    return float(expit(level @ weights).mean())


def _fit(terms: np.ndarray, wins: np.ndarray) -> np.ndarray:
    """Coefficients of a logistic regression on shares, with a trace of ridge: all wins have no maximum."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = terms @ weights
        value = np.logaddexp(0, z).sum() - wins @ z + 5e-3 * weights @ weights
        return value, terms.T @ (expit(z) - wins) + 1e-2 * weights

    return minimize(loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B").x
