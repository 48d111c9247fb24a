"""Is our length-controlled win rate AlpacaEval's? Both on the leaderboard's own annotations."""

import os
from pathlib import Path

import pandas as pd

from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.tasks.win_rates import length_controlled_win_rate, length_effect, raw_win_rate

ANNOTATIONS, LEADERBOARD = "alpaca_eval_annotations.parquet", "alpaca_eval_leaderboard.parquet"


def lc_check(lab: Lab) -> pd.DataFrame:
    """Published and computed win rates of the models whose annotations lie in the profile's data folder."""
    folder = lab.profile.data_dir or os.environ.get("FAC_LAB_DATA")
    if not folder:
        raise DataError("the check of win rates reads AlpacaEval's annotations: name their folder in $FAC_LAB_DATA")
    return check_against(Path(folder) / "instruct")


def check_against(folder: Path) -> pd.DataFrame:
    """One row per model: `model`, `n`; `published_wr`, `wr`, `wr_error`; `published_lc`, `lc` by the minimal formula,
    `lc_error`; `phi`, the judge's taste for length; `length` and `baseline_length`, mean characters of the answers.

    Reads `alpaca_eval_annotations.parquet` (model, preference from 1 to 2, output_length, baseline_length) and
    `alpaca_eval_leaderboard.parquet` (name, win_rate, length_controlled_winrate); DataError where one is lacking, or
    knows a model that the other does not.
    """
    try:
        notes = pd.read_parquet(folder / ANNOTATIONS)
        board = pd.read_parquet(folder / LEADERBOARD).set_index("name")
    except OSError as error:
        raise DataError(
            f"no annotations to check win rates on ({error}); put {ANNOTATIONS} and {LEADERBOARD} there"
        ) from error
    if unknown := sorted(set(notes.model) - set(board.index)):
        raise DataError(f"{folder / LEADERBOARD} does not list {unknown[0]}, of which there are annotations")
    rows = []
    for model, noted in notes.groupby("model"):
        wins = noted.preference.to_numpy() - 1
        lengths = noted.output_length.to_numpy(), noted.baseline_length.to_numpy()
        raw, controlled = raw_win_rate(wins), length_controlled_win_rate(wins, *lengths)
        rows.append(
            {
                "model": model,
                "n": raw.n,
                "published_wr": board.win_rate[model],
                "wr": raw.percent,
                "wr_error": raw.error,
                "published_lc": board.length_controlled_winrate[model],
                "lc": controlled.percent,
                "lc_error": controlled.error,
                "phi": length_effect(wins, *lengths),
                "length": lengths[0].mean(),
                "baseline_length": lengths[1].mean(),
            }
        )
    return pd.DataFrame(rows)
