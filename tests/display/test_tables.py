import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.display.tables import (
    beside_paper,
    estimate,
    mean_sd,
    paired_differences,
    paper_table,
    summarise_arms,
    to_html,
)
from fac_lab.errors import ArtifactError, DataError


def runs(**arms):
    """Runs of each arm as [set][seed] lists."""
    return pd.DataFrame(
        {"held_out_set": i, "arm": arm, "seed": j, "auprc": value}
        for arm, sets in arms.items()
        for i, seeds in enumerate(sets)
        for j, value in enumerate(seeds)
    )


def test_t_interval_worked_by_hand():
    # 1, 2, 3: mean 2, sd 1, standard error 1/sqrt(3); t(0.975, 2) = 4.30265.
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.high - 2 == pytest.approx(4.30265 / math.sqrt(3), abs=1e-5)
    assert found.high - 2 == pytest.approx(2 - found.low)
    assert str(found) == "2.000 ± 1.000 (n = 3)"


def test_one_value_has_no_spread_and_none_no_mean():
    for method in ("t", "bootstrap"):
        found = estimate([0.5], method=method)
        assert found.mean == 0.5 and all(map(math.isnan, (found.sd, found.low, found.high)))
    assert mean_sd(0.5, math.nan, 1) == "0.500 (n = 1)"
    for values in ([], [1.0, math.nan]):
        with pytest.raises(DataError, match="drop missing values"):
            estimate(values)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12), st.sampled_from(["t", "bootstrap"]))
def test_an_interval_holds_its_mean_and_moves_with_the_values(values, method):
    found, moved = estimate(values, method=method), estimate([v + 3 for v in values], method=method)
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    np.testing.assert_allclose([moved.low, moved.high], [found.low + 3, found.high + 3], atol=1e-6)


def test_bootstrap_agrees_with_t_where_both_are_right():
    values = np.random.default_rng(1).normal(size=400)
    by_t, by_bootstrap = estimate(values), estimate(values, method="bootstrap")
    np.testing.assert_allclose(by_bootstrap[2:4], by_t[2:4], atol=0.01)


def test_differences_are_paired_and_seeds_of_a_set_are_no_extra_evidence():
    frame = runs(none=[[0.1, 0.3], [0.5, 0.7]], fac=[[0.2, 0.6], [0.5, 0.7]], oracle=[[0.1, 0.3], [0.9, 0.9]])
    found = paired_differences(frame.sample(frac=1, random_state=0), "none").set_index("arm")
    # fac: set 0 gains (0.1 + 0.3) / 2 = 0.2, set 1 gains 0: mean 0.1, sd 0.2 / sqrt(2), and n is 2 sets.
    assert found.loc["fac", "mean"] == pytest.approx(0.1)
    assert found.loc["fac", "sd"] == pytest.approx(0.2 / math.sqrt(2))
    assert found.loc["fac", "high"] == pytest.approx(0.1 + 12.7062 * 0.1, abs=1e-4)
    assert (found["n"] == 2).all() and found["better"].to_dict() == {"fac": 1, "oracle": 1}
    assert "none" not in found.index


def test_a_run_without_partner_is_named():
    frame = runs(none=[[0.1, 0.3]], fac=[[0.2]])
    with pytest.raises(DataError, match="1 of 2 pairs lack an arm, first held_out_set 0, seed 1"):
        paired_differences(frame, "none")
    with pytest.raises(DataError, match="none, fac|fac, none"):
        paired_differences(frame, "oracle")


def test_arms_keep_their_order():
    table = summarise_arms(runs(none=[[0.1, 0.3]], fac=[[0.2, 0.2]]))
    assert table["arm"].tolist() == ["none", "fac"]
    assert table["mean"].tolist() == pytest.approx([0.2, 0.2]) and table["n"].tolist() == [2, 2]


def test_cells_headers_and_caption_are_escaped_and_numbers_formatted():
    frame = pd.DataFrame(
        {
            "<b>text": ["<script>alert(1)</script>", None],
            "n": [12345, 2],
            "share": [0.12345, math.nan],
            "delta": [1.5, 2.0],
            "kept": [True, False],
        }
    )
    html = to_html(frame, caption="A & <B>", formats={"delta": ".1f", "n": lambda n: f"<{n}>"})
    assert "<script" not in html and "<b>" not in html and "<12345>" not in html
    for text in (
        "&lt;script&gt;",
        "&lt;b&gt;text",
        "A &amp; &lt;B&gt;",
        "&lt;12345&gt;",
        ">1.5<",
        ">0.123<",
        ">yes<",
    ):
        assert text in html
    assert html.count(">–<") == 2
    assert to_html(frame.assign(n=[12345, 2])).count(">12,345<") == 1


def test_paper_numbers_come_from_its_folder_only(tmp_path):
    (tmp_path / "table99.csv").write_text("method,auprc\nA,50.5\n")
    paper = paper_table("table99", tmp_path)
    ours = pd.DataFrame({"method": ["A", "B"], "ours": [0.5, 0.6]})
    joined = beside_paper(ours, paper, on="method", column="auprc")
    assert joined.columns.tolist() == ["method", "ours", "paper"]
    assert joined["paper"].iloc[0] == 50.5 and math.isnan(joined["paper"].iloc[1])
    with pytest.raises(ArtifactError, match="table99"):
        paper_table("table1", tmp_path)
