import numpy as np
import pandas as pd
import pytest

from fac_lab.display.synthesis import (
    coverage_by_draws,
    over_sets,
    per_feature,
    ratios,
    steps_beside_paper,
    temperatures,
)
from fac_lab.studies.steps import DRAWS


def steps_rows():
    rows = []
    for held_out_set in range(2):
        for way, base in (("one step", 0.4), ("two steps", 0.5), ("step 2 of two", 0.45), ("plain", 0.2)):
            for draws in DRAWS:
                for place, rule in enumerate(("paper", "profile", "strict")):
                    any_ = base + 0.02 * draws - 0.1 * place + 0.1 * held_out_set
                    own = np.nan if way == "plain" else any_ - 0.1
                    where = {"held_out_set": held_out_set, "way": way, "draws": draws, "texts": "all", "rule": rule}
                    rows.append(where | {"delta": float(place), "by_own": own, "by_any": any_})
    return pd.DataFrame(rows)


def test_seeds_are_averaged_before_sets():
    rows = pd.DataFrame(
        {
            "held_out_set": [0, 0, 0, 1],
            "arm": ["a"] * 4,
            "auprc": [0.2, 0.4, 0.6, 0.8],
            "by_own": [np.nan, np.nan, np.nan, 0.5],
        }
    )
    table = over_sets(rows, ["arm"], ["auprc", "by_own"])
    assert table.auprc[0] == pytest.approx((0.4 + 0.8) / 2) and table.sets[0] == 2
    assert table.auprc_sd[0] == pytest.approx(0.4 / np.sqrt(2))
    assert table.by_own[0] == 0.5 and np.isnan(table.by_own_sd[0])


def test_the_papers_numbers_stand_in_the_row_of_their_rank():
    table = steps_beside_paper(steps_rows(), one=2, two=4)
    assert table.rule.tolist() == ["paper", "profile", "strict"]
    assert table["paper's delta"].tolist() == [0.0, 1.0, 2.0]
    assert table["paper, two"].tolist() == pytest.approx([0.818, 0.458, 0.407])
    # Means of two sets: one step of 2 drafts 0.44 + 0.05, two steps of 4 in all 0.58 + 0.05.
    assert table["one, any"][0] == pytest.approx(0.49) and table["two, any"][0] == pytest.approx(0.63)


def test_lines_are_drawn_for_what_was_measured():
    figure = coverage_by_draws(steps_rows())
    of_plain = [trace for trace in figure.data if trace.name == "plain"]
    assert sorted(len(trace.y) for trace in of_plain) == [0, 3], "plain texts have no feature of their own"
    assert sum(bool(trace.showlegend) for trace in figure.data) == 4
    numbers = pd.DataFrame(
        {"held_out_set": [0, 0, 1, 1], "per_feature": [1, 2, 1, 2], "auprc": 0.5, "des": 0.3, "by_any": 0.4}
    )
    assert [trace.x.tolist() for trace in per_feature(numbers).data] == [[1, 2]] * 3
    heats = pd.DataFrame(
        {"held_out_set": 0, "generator": ["m", "m"], "temperature": [0.4, 1.2], "by_any": 0.2, "distinct": 1.0}
    ).assign(auprc=0.5)
    assert {trace.name for trace in temperatures(heats).data} == {"m", "paper: Llama", "paper: GPT-4o mini"}
    shares = pd.DataFrame({"held_out_set": 0, "budget": ["one a feature", "fixed total"], "ratio": 0.3, "auprc": 0.5})
    drawn = {trace.name: trace for trace in ratios(shares).data}
    assert drawn["paper"].x.tolist() == pytest.approx([0.3, 0.6, 1.0]) and drawn["paper"].y[0] == pytest.approx(0.456)
