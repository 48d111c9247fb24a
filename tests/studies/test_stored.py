"""Stored results: read as written, refused when edited, and all of them explained."""

import json
import re

import pandas as pd
import pytest

from fac_lab.errors import ArtifactError
from fac_lab.studies.stored import read_result, results_folder, write_result

FRAME = pd.DataFrame({"arm": ["none", "fac"], "auprc": [0.25, 0.5]})


def test_what_is_written_is_read_with_its_facts(tmp_path):
    write_result("tiny", FRAME, {"seconds": 3}, tmp_path)
    frame, manifest = read_result("tiny", tmp_path)
    pd.testing.assert_frame_equal(frame, FRAME, check_dtype=False)
    assert manifest["name"] == "tiny" and manifest["rows"] == 2 and manifest["seconds"] == 3
    assert {"versions", "made", "frame"} <= set(manifest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.csv", "tiny.json"]


def test_an_edited_table_is_refused(tmp_path):
    write_result("tiny", FRAME, {}, tmp_path)
    table = tmp_path / "tiny.csv"
    table.write_text(table.read_text().replace("0.5", "0.9"))
    with pytest.raises(ArtifactError, match="is not what its manifest describes; run: python -m .*results tiny$"):
        read_result("tiny", tmp_path)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("arms", "run: python -m fac_lab.studies.results arms"),
        ("speed_collect", "run: make bench"),
        ("correlation_real_runs", "run: python -m fac_lab.studies.real_correlation DATA_DIR"),
    ],
)
def test_an_absent_table_says_what_makes_it(tmp_path, name, cure):
    with pytest.raises(ArtifactError, match=f"there is no result {name} .*{re.escape(cure)}$"):
        read_result(name, tmp_path)


def test_every_stored_result_is_explained_and_whole():
    explained = (results_folder() / "README.md").read_text(encoding="utf-8")
    heads = " ".join(re.findall(r"^## (.*)$", explained, re.MULTILINE))
    for table in sorted(results_folder().glob("*.csv")):
        name = table.stem
        assert re.search(rf"\b{name}\b", heads if not name.startswith("correlation_real_") else explained), name
        frame, manifest = read_result(name)
        assert len(frame) == manifest["rows"] > 0
    manifests = {json.loads(path.read_text())["name"] for path in results_folder().glob("*.json")}
    assert manifests == {path.stem for path in results_folder().glob("*.csv")}
