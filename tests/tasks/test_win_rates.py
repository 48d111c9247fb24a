"""Win rates by hand, by an independent fit, and against AlpacaEval's own annotations where they are at hand."""

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from fac_lab.errors import DataError
from fac_lab.tasks.win_rates import length_controlled_win_rate, length_effect, raw_win_rate

REAL = os.environ.get("FAC_LAB_DATA")


def test_raw_rates_by_hand():
    rate = raw_win_rate(np.array([1.0, 0.0, 0.5, 1.0, np.nan]))
    assert rate.percent == 62.5 and rate.n == 4
    assert rate.error == pytest.approx(100 * np.std([1, 0, 0.5, 1], ddof=1) / 2)
    assert math.isnan(raw_win_rate(np.array([1.0])).error)


def test_what_is_no_preference_is_refused():
    with pytest.raises(DataError, match="no verdict at all"):
        raw_win_rate(np.array([np.nan]))
    with pytest.raises(DataError, match="subtract 1"):
        raw_win_rate(np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="one number for each instruction"):
        length_controlled_win_rate(np.ones(3), np.ones(3), np.ones(2))


def drawn(n, theta, phi, seed=0):
    dice = np.random.default_rng(seed)
    lengths = dice.normal(1000, 300, n), dice.normal(1000, 300, n)
    difference = lengths[0] - lengths[1]
    p = 1 / (1 + np.exp(-(theta + phi * np.tanh(difference / difference.std()))))
    return (dice.random(n) < p).astype(float), *lengths


def test_a_judge_that_only_likes_length_leaves_a_half():
    _, _, theirs = drawn(4000, 0.0, 0.0)
    ours = theirs + np.random.default_rng(1).normal(500, 300, 4000)
    longer = (ours > theirs).astype(float)
    assert raw_win_rate(longer).percent > 90
    assert length_controlled_win_rate(longer, ours, theirs, n_bootstrap=2).percent == pytest.approx(50, abs=8)


def test_the_fit_is_that_of_a_library():
    wins, ours, theirs = drawn(2000, 0.4, 1.2)
    rate = length_controlled_win_rate(wins, ours, theirs, n_bootstrap=50)
    difference = ours - theirs
    terms = np.tanh(difference / difference.std())[:, None]
    fitted = LogisticRegression(C=100, tol=1e-10).fit(terms, wins)
    assert rate.percent == pytest.approx(100 / (1 + np.exp(-fitted.intercept_[0])), abs=0.1)
    assert length_effect(wins, ours, theirs) == pytest.approx(fitted.coef_[0, 0], abs=0.02)
    assert abs(rate.percent - 100 / (1 + math.exp(-0.4))) < 3 * rate.error < 8


def test_edges():
    same = length_controlled_win_rate(np.array([1.0, 0.0, 1.0]), np.ones(3), np.ones(3), n_bootstrap=5)
    assert same.percent == pytest.approx(200 / 3, abs=0.5)
    assert length_controlled_win_rate(np.ones(9), np.arange(9.0), np.ones(9), n_bootstrap=2).percent > 95
    again = [length_controlled_win_rate(*drawn(50, 0, 1), seed=3) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.skipif(not REAL, reason="FAC_LAB_DATA names no folder with copies of the real data sets")
def test_against_the_published_leaderboard():
    folder = Path(REAL) / "instruct"
    notes = pd.read_parquet(folder / "alpaca_eval_annotations.parquet")
    board = pd.read_parquet(folder / "alpaca_eval_leaderboard.parquet").set_index("name")
    ours, published = {}, {}
    for model, rows in notes.groupby("model"):
        wins = rows.preference.to_numpy() - 1
        assert raw_win_rate(wins).percent == pytest.approx(board.win_rate[model], abs=1e-6)
        lengths = rows.output_length.to_numpy(), rows.baseline_length.to_numpy()
        ours[model] = length_controlled_win_rate(wins, *lengths, n_bootstrap=2).percent
        published[model] = board.length_controlled_winrate[model]
    # The minimal formula, without instruction difficulty: within a point of the published number, in its order.
    assert max(abs(ours[model] - published[model]) for model in ours) < 1.0
    assert sorted(ours, key=ours.get) == sorted(published, key=published.get)
