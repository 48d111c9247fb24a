"""What is exported can be read back, and no spreadsheet runs it."""

import csv
import io
import json

import numpy as np
import pytest

from fac_lab.browsing.export import csv_bytes, export, guarded, jsonl_bytes

RECORDS = [
    {
        "feature": np.int64(3),
        "summary": "=HYPERLINK(1)",
        "score": -0.3,
        "none": None,
        "nan": float("nan"),
        "flag": np.bool_(True),
        "spans": [{"text": "@sum", "value": 1.5}, {"text": 'a "b", c\n', "value": 0.5}],
    },
    {
        "feature": 4,
        "summary": "half \ud83d <b> مرحبا 🌳",
        "score": np.float32(0.5),
        "none": "x",
        "nan": 1.0,
        "flag": False,
        "spans": [],
    },
]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "+", "=", "-0.3.1"])
def test_what_begins_like_a_formula_is_guarded(text):
    assert guarded(text) == "'" + text


@pytest.mark.parametrize("text", ["", "plain", "a=1", "'=1", "-0.3", "+7", "-1e-4", "-.5", " =1"])
def test_other_texts_and_numbers_stay(text):
    assert guarded(text) == text


def test_csv_is_read_back_with_numbers_as_numbers():
    rows = list(csv.reader(io.StringIO(csv_bytes(RECORDS).decode())))
    assert rows[0] == list(RECORDS[0])
    assert rows[1] == ["3", "'=HYPERLINK(1)", "-0.3", "", "", "True", '\'@sum | a "b", c\n']
    assert rows[2][0] == "4" and rows[2][1].endswith("<b> مرحبا 🌳") and rows[2][2] == "0.5"
    assert csv_bytes([]) == b""
    assert csv_bytes([{"=x": 1}]).splitlines()[0] == b"'=x"


def test_jsonl_is_read_back_as_it_was():
    read = [json.loads(line) for line in jsonl_bytes(RECORDS).decode().split("\n") if line]
    assert read[0]["summary"] == "=HYPERLINK(1)" and read[0]["nan"] is None and read[0]["flag"] is True
    assert read[0]["spans"] == RECORDS[0]["spans"] and read[1]["summary"] == RECORDS[1]["summary"]


def test_three_files_and_the_manifest_names_them(tmp_path):
    facts = {"delta": np.float64(0.5), "fac": float("nan"), "among": np.array([1, 2])}
    files = export(RECORDS, facts, tmp_path / "new", "mine")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "mine.csv",
        "mine.jsonl",
        "mine.manifest.json",
    ]
    manifest = json.loads(files.manifest.read_text())
    assert manifest == {"delta": 0.5, "fac": None, "among": [1, 2], "rows": 2, "files": ["mine.csv", "mine.jsonl"]}
    assert files.csv.read_bytes() == csv_bytes(RECORDS) and files.jsonl.read_bytes() == jsonl_bytes(RECORDS)
