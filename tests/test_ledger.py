import csv

import numpy as np
import pandas as pd
import pytest

from fac_lab.coverage import Coverage
from fac_lab.errors import ArtifactError, DataError
from fac_lab.ledger import COLUMNS, make_ledger, read_ledger, with_ids, write_ledger
from fac_lab.parse import sound
from fac_lab.settings import CoverageRule

WILD = 'line one\nline "two"\r, tab\t null \x00 bell \x07 =1+1 \u2028 مرحبا'


def coverage(delta=0.5) -> Coverage:
    """Six relevant features of eight: 0 is covered; 1, 2, 3, 4 and 5 are missing, 3 most frequent in the anchor."""
    counts = np.array([9, 4, 5, 8, 3, 2, 7, 0])
    return Coverage(
        rule=CoverageRule(kind="absolute", delta=0.5, support=2),
        delta=delta,
        m=2,
        relevant=np.arange(8) < 6,
        anchor_count=counts,
        seed_count=np.array([3, 0, 0, 0, 0, 0, 0, 0]),
        anchor_mean=np.ones(8),
        n_anchor=40,
        n_seed=30,
        anchor_made_by={"corpora": {"d1": "wide"}, "subject": "s1", "sae": "e1"},
        seed_made_by={"corpora": {"d2": "mine"}},
    )


def labels() -> pd.DataFrame:
    columns = ["feature", "summary", "check", "confirmed", "verdict", "relevant", "reason"]
    rows = [
        (1, "locks", "Yes", True, "Yes", True, "r1"),
        (3, None, None, False, "No", False, "cannot tell"),
        (0, "bread", "Maybe", True, "Probably", True, "r0"),
    ]
    return pd.DataFrame(rows, columns=columns)


def samples() -> pd.DataFrame:
    rows = [
        {"feature": 1, "text": "weak", "activation": 0.1, "kept": False, "reason": "does not activate: 0.1"},
        {"feature": 1, "text": "strong", "activation": 0.9, "kept": True, "positive": "p", "positive_activation": 1.0},
        {"feature": 1, "text": "again", "activation": 0.8, "kept": True},
        {"feature": 0, "text": "bread", "activation": 0.7, "kept": True},
        {"feature": None, "text": "plain", "activation": float("nan"), "kept": True},
        {"feature": 7, "text": WILD, "activation": 2.0, "kept": True},
    ]
    frame = pd.DataFrame([{"label": 1, "step": 1, "draw": 0, "seed": 5, "reason": ""} | row for row in rows])
    return frame.assign(model="writer", prompt_version="v1")


def test_every_sample_and_every_feature_has_its_row():
    ledger = make_ledger(samples(), coverage(), labels())
    assert ledger.columns.tolist() == list(COLUMNS)
    assert ledger.feature.tolist()[:-1] == [3, 2, 1, 1, 1, 4, 5, 0, 7] and pd.isna(ledger.feature.iloc[-1])
    assert sorted(ledger.sample_id.dropna()) == [f"sample-{i:06d}" for i in range(6)]
    none = ledger[ledger.feature == 4].iloc[0]
    assert (
        none.missing and none.anchor_count == 3 and pd.isna(none.text) and pd.isna(none.summary) and pd.isna(none.kept)
    )


def test_what_is_known_of_a_feature_stands_beside_each_of_its_samples():
    own = make_ledger(samples(), coverage(), labels())
    own = own[own.feature == 1]
    assert own.summary.tolist() == ["locks"] * 3 and own.label_reason.tolist() == ["r1"] * 3
    assert own.reason.tolist() == ["does not activate: 0.1", "", ""] and own.activates.tolist() == [False, True, True]
    assert own.positive.dropna().tolist() == ["p"] and own.delta.tolist() == [0.5] * 3


def test_the_gap_is_filled_once_per_missing_feature():
    ledger = make_ledger(samples(), coverage(), labels())
    gains = ledger.set_index("text").gap_gain
    assert gains["strong"] == 0.2 and gains["again"] == 0.0  # five are missing
    assert gains["bread"] == 0.0 and gains["plain"] == 0.0  # covered already; of no feature
    assert pd.isna(gains["weak"]) and ledger.gap_gain.sum() == 0.2
    first = coverage(delta=np.array([0.5, 0.85, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
    assert make_ledger(samples(), first).activates.fillna(False).sum() == 3  # one threshold per feature


def test_scores_and_arms_are_joined():
    scores = pd.DataFrame(
        {"feature": [1, 1, 0], "test": ["detection", "fuzzing", "detection"], "score": [0.9, 0.8, 0.6]}
    )
    gains = pd.DataFrame({"arm": ["fac", "random"], "mean": [0.05, 0.01], "low": [0.01, -0.1], "high": [0.1, 0.1]})
    ledger = make_ledger(
        samples(),
        coverage(),
        labels(),
        scores=scores,
        arms={"fac": ["strong", "weak"], "other": ["strong"]},
        gains=gains,
    ).set_index("text")
    assert ledger.detection["strong"] == 0.9 and ledger.fuzzing["strong"] == 0.8
    assert ledger.detection["bread"] == 0.6 and pd.isna(ledger.fuzzing["bread"])
    assert ledger.arm["strong"] == "fac" and ledger.arm_gain["strong"] == 0.05 and ledger.arm_gain_low["strong"] == 0.01
    assert pd.isna(ledger.arm["weak"]) and pd.isna(ledger.arm["bread"])  # not kept; in no arm


def test_it_is_made_of_what_is_there():
    bare = make_ledger(samples()[["feature", "text", "kept"]])
    assert len(bare) == 6 and bare.summary.isna().all() and bare.gap_gain.isna().all()
    empty = make_ledger(samples()[:0], coverage(), labels())
    assert empty.feature.tolist() == [3, 2, 1, 4, 5, 0] and empty.text.isna().all()
    nothing = make_ledger(samples()[:0])
    assert nothing.columns.tolist() == list(COLUMNS) and not len(nothing)
    assert nothing.dtypes.equals(empty.dtypes) and empty.dtypes.equals(
        make_ledger(samples(), coverage(), labels()).dtypes
    )


def test_nothing_stands_twice():
    with pytest.raises(DataError, match="feature 1 has more than one label"):
        make_ledger(samples(), coverage(), pd.concat([labels(), labels()[:1]]))
    with pytest.raises(DataError, match="id b stands for two samples"):
        with_ids(samples().assign(id=list("abbcde")))
    with pytest.raises(DataError, match="sample 1 .* has no id"):
        with_ids(samples().assign(id=["a", None, "b", "c", "d", "e"]))


def test_it_reads_back_with_wild_texts(tmp_path):
    ledger = make_ledger(samples(), coverage(), labels())
    parquet, table = write_ledger(ledger, tmp_path)
    assert parquet.parent == table.parent == tmp_path
    pd.testing.assert_frame_equal(read_ledger(tmp_path), ledger)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ledger) and WILD in [row["text"] for row in rows]


def test_spreadsheets_run_no_text_and_files_hold_no_half_characters(tmp_path):
    wild = samples().assign(text=pd.Series(["=1+1", "@x", "-3", "half \ud83d", "b", "c"], dtype=object))
    write_ledger(make_ledger(wild), tmp_path)
    with (tmp_path / "ledger.csv").open(newline="", encoding="utf-8") as file:
        texts = {row["text"] for row in csv.DictReader(file)}
    assert {"'=1+1", "'@x", "-3", "half \ufffd"} <= texts
    assert "=1+1" in set(read_ledger(tmp_path).text)
    assert sound("a \ud83d\udca9 b \ud83d") == "a \U0001f4a9 b \ufffd"


def test_a_ledger_that_is_not_there_or_damaged_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="ledger.parquet cannot be read"):
        read_ledger(tmp_path)
    (tmp_path / "ledger.parquet").write_bytes(b"no table")
    with pytest.raises(ArtifactError, match="ledger.parquet cannot be read"):
        read_ledger(tmp_path)
    pd.DataFrame({"feature": [1]}).to_parquet(tmp_path / "ledger.parquet")
    with pytest.raises(ArtifactError, match="another version"):
        read_ledger(tmp_path)
