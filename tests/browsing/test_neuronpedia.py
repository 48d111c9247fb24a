"""Explanation files in every published form, and links that lead nowhere else."""

import gzip
import json

import pytest

from fac_lab.browsing.neuronpedia import page_url, read_labels
from fac_lab.errors import DataError

EXPORTED = [
    {"modelId": "gpt2-small", "layer": "0-res-jb", "index": "0", "description": " exams ", "explanationModelName": "m"},
    {"modelId": "gpt2-small", "layer": "0-res-jb", "index": "2", "description": "first"},
    {"modelId": "gpt2-small", "layer": "0-res-jb", "index": "2", "description": "better", "scores": [{"value": 0.4}]},
    {"modelId": "gpt2-small", "layer": "0-res-jb", "index": "2", "description": "worse", "scores": [{"value": 0.0}]},
]
FEATURES = [
    {
        "feature": 1,
        "explanations": [{"description": "one"}, {"description": "two", "scores": [{"value": 0.1}, {"value": 0.9}]}],
    },
    {"index": 3, "explanations": ["a bare text"]},
]


def lines(entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


def test_lines_of_an_export_zipped_or_not(tmp_path):
    for name, content in (("a.jsonl", lines(EXPORTED)), ("a.jsonl.gz", gzip.compress(lines(EXPORTED)))):
        (tmp_path / name).write_bytes(content)
        found = read_labels(tmp_path / name, d_sae=5, source="gpt2-small/0-res-jb")
        assert found.source == "gpt2-small/0-res-jb" and found.rejected == []
        assert {i: label.summary for i, label in found.labels.items()} == {0: "exams", 2: "better"}
        assert (found.labels[0].by, found.labels[0].score, found.labels[2].score) == ("m", None, 0.4)


@pytest.mark.parametrize(
    "content",
    [
        lines(FEATURES),
        json.dumps(FEATURES).encode(),
        json.dumps({"features": FEATURES}).encode(),
        b"\xef\xbb\xbf" + json.dumps({"explanations": FEATURES}, indent=1).encode(),
    ],
)
def test_features_with_their_explanations(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    found = read_labels(tmp_path / "x.json", d_sae=5)
    assert {i: label.summary for i, label in found.labels.items()} == {1: "two", 3: "a bare text"}
    assert found.labels[1].score == 0.9 and found.source == "x.json"


def test_unusable_entries_are_listed_with_their_row(tmp_path):
    entries = [{"index": 9, "description": "x"}, {"index": "a", "description": "x"}, {"index": 1}, {"description": "x"}]
    content = lines(entries) + b"{broken\n[1]\n\n" + lines([{"index": 0, "description": "a \u2028 b"}])
    (tmp_path / "x.jsonl").write_bytes(content)
    found = read_labels(tmp_path / "x.jsonl", d_sae=5)
    assert found.labels[0].summary == "a \u2028 b" and [row.row for row in found.rejected] == [1, 2, 3, 4, 5, 6]
    assert "0 to 4" in found.rejected[0].reason and "description" in found.rejected[2].reason


def test_files_of_another_sae_and_no_files_at_all_are_refused(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(lines(EXPORTED))
    with pytest.raises(DataError, match="gpt2-small/0-res-jb.*gemma/1-res"):
        read_labels(tmp_path / "x.jsonl", d_sae=5, source="gemma/1-res")
    mixed = [*EXPORTED, {**EXPORTED[0], "layer": "1-res-jb"}]
    (tmp_path / "mixed.jsonl").write_bytes(lines(mixed))
    with pytest.raises(DataError, match="two SAEs"):
        read_labels(tmp_path / "mixed.jsonl", d_sae=5)
    for content in (b"", b"\x1f\x8bbroken", b"\xff\xfe", lines([{"index": 99, "description": "x"}]), b"7"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(DataError, match="bad"):
            read_labels(tmp_path / "bad", d_sae=5)
    with pytest.raises(DataError, match="gone"):
        read_labels(tmp_path / "gone", d_sae=5)


def test_links_lead_to_neuronpedia_and_nowhere_else():
    assert page_url("gpt2-small/0-res-jb", 12) == "https://www.neuronpedia.org/gpt2-small/0-res-jb/12"
    for bad in (
        None,
        "",
        7,
        "gpt2",
        "a/b/c",
        "/evil.example/x",
        "a/../b",
        "x@evil.example/a",
        "a/b?c",
        "a/b#c",
        "a b/c",
    ):
        assert page_url(bad, 1) is None
    assert page_url("../x", 1) is None and page_url("javascript:alert(1)/x", 1) is None
