"""A selection of features on its way out of the browser."""

import csv
import json


def test_the_selection_is_exported_with_its_manifest(small, tmp_path):
    small.set_scope("all")
    small.edit_summary(3, "=1+1", by="Ann")
    small.set_filters(status=("missing",))
    files = small.export(tmp_path, "missing")
    rows = list(csv.DictReader(files.csv.read_text().splitlines()))
    assert [row["feature"] for row in rows] == ["1", "3"]
    assert rows[1]["summary"] == "'=1+1" and rows[1]["machine_summary"] == "asking for a refund"
    assert rows[1]["summary_by"].startswith("Ann, ") and rows[0]["spans"] == "exam | oven"
    lines = [json.loads(line) for line in files.jsonl.read_text().splitlines()]
    assert lines[1]["summary"] == "=1+1" and lines[1]["spans"][0]["text"] == "<b>refund</b>"
    manifest = json.loads(files.manifest.read_text())
    assert (manifest["delta"], manifest["m"], manifest["n_missing"], manifest["rows"]) == (0.0, 1, 2, 2)
    assert manifest["anchor"]["sae"] == "sae-1" and manifest["filters"] == {"status": ["missing"]}
    assert len(small.records([0, 4])) == 2
