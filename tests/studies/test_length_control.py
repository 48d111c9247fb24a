"""The check against AlpacaEval's numbers, on annotations made by hand and, where they are at hand, on the real ones."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fac_lab.errors import DataError
from fac_lab.studies.length_control import ANNOTATIONS, LEADERBOARD, check_against
from fac_lab.studies.stored import read_result

REAL = os.environ.get("FAC_LAB_DATA")


@pytest.fixture
def folder(tmp_path):
    dice = np.random.default_rng(0)
    notes = pd.DataFrame(
        {
            "model": ["short"] * 200 + ["long"] * 200,
            "preference": 1 + np.r_[dice.random(200) < 0.3, dice.random(200) < 0.6].astype(float),
            "output_length": np.r_[dice.integers(100, 300, 200), dice.integers(200, 600, 200)],
            "baseline_length": dice.integers(100, 400, 400),
        }
    )
    notes.to_parquet(tmp_path / ANNOTATIONS)
    rates = notes.groupby("model").preference.mean().sub(1).mul(100)
    board = pd.DataFrame({"name": rates.index, "win_rate": rates.to_numpy(), "length_controlled_winrate": [1.0, 2.0]})
    board.to_parquet(tmp_path / LEADERBOARD)
    return tmp_path


def test_each_model_has_a_row_with_both_numbers(folder):
    found = check_against(folder).set_index("model")
    assert found.index.tolist() == ["long", "short"] and (found.n == 200).all()
    np.testing.assert_allclose(found.wr, found.published_wr)
    assert found.published_lc.tolist() == [1.0, 2.0]
    assert found.length["long"] > found.length["short"] and found.lc.between(0, 100).all()


def test_what_is_lacking_is_named(folder, tmp_path):
    board = pd.read_parquet(folder / LEADERBOARD)
    board[board.name != "long"].to_parquet(folder / LEADERBOARD)
    with pytest.raises(DataError, match="does not list long"):
        check_against(folder)
    with pytest.raises(DataError, match=ANNOTATIONS):
        check_against(tmp_path / "elsewhere")


def test_the_stored_check_holds_its_claim():
    stored, _ = read_result("lc_check")
    np.testing.assert_allclose(stored.wr, stored.published_wr, atol=1e-6)
    assert (stored.lc - stored.published_lc).abs().max() < 1.0
    assert stored.sort_values("lc").model.tolist() == stored.sort_values("published_lc").model.tolist()
    assert len(stored) == 5 and (stored.n == 805).all()


@pytest.mark.skipif(not REAL, reason="FAC_LAB_DATA names no folder with copies of the real data sets")
def test_the_stored_check_is_that_of_the_annotations():
    stored, _ = read_result("lc_check")
    again = check_against(Path(REAL) / "instruct")
    pd.testing.assert_frame_equal(stored, again, check_exact=False, rtol=1e-4)
