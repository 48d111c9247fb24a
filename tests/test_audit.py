import json

import numpy as np
import pandas as pd
import pytest

from fac_lab.audit import audit
from fac_lab.cli import main
from fac_lab.coverage import Coverage
from fac_lab.errors import ArtifactError, DataError, ModelError
from fac_lab.world import hold_out, queries


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An anchor about everything as parquet, and a seed that lacks 60 concepts as .csv, some rows unusable."""
    folder = tmp_path_factory.mktemp("audit")
    out = set(hold_out(60, seed=1))
    anchor = [text for _, text in queries(900, seed=1)]
    seed = [text for concept, text in queries(700, seed=2) if concept not in out]
    pd.DataFrame({"query": anchor}).to_parquet(folder / "anchor.parquet")
    rows = {"text": [*seed, "", None, "twice", "x " * 400], "id": [*range(len(seed) + 2), 0, "long"]}
    pd.DataFrame(rows).to_csv(folder / "seed.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def result(files):
    return audit(
        files / "seed.csv",
        anchor=files / "anchor.parquet",
        profile="smoke",
        id_column="id",
        anchor_text_column="query",
        out=files / "out",
    )


def test_counts_add_up_and_bad_rows_are_listed(result, files):
    coverage = result.coverage
    assert 0 < coverage.fac < 1
    assert len(coverage.missing) == len(result.missing) == coverage.anchor_support.sum() - coverage.covered.sum()
    assert result.rejected == {"seed": 3, "anchor": 0}
    listed = [json.loads(line) for line in (files / "out" / "rejected.jsonl").read_text().splitlines()]
    assert len(listed) == 3 and all(row["data"] == "seed" and row["reason"] for row in listed)


def test_the_null_is_drawn_from_the_anchor(result):
    assert result.null.n_seed + result.null.n_anchor == result.coverage.n_anchor
    assert result.null.n_seed <= result.coverage.n_seed


def test_what_is_written_can_be_read_again(result, files):
    saved = Coverage.load(files / "out" / "coverage")
    assert saved.fac == result.coverage.fac
    assert np.array_equal(saved.missing, result.coverage.missing)
    missing = pd.read_csv(files / "out" / "missing.csv")
    assert missing.feature.tolist() == result.missing.feature.tolist()
    assert missing.spans.str.len().min() > 0


def test_a_second_audit_says_the_same(result, files):
    again = audit(
        files / "seed.csv",
        anchor=files / "anchor.parquet",
        profile="smoke",
        id_column="id",
        anchor_text_column="query",
        out=files / "out",
    )
    assert str(again) == str(result)


def test_a_damaged_artifact_is_named(result, files):
    stats = next((files / "out" / "store" / "stats").glob("*/stats.json"))
    whole = stats.read_bytes()
    stats.write_bytes(whole[:40])
    with pytest.raises(ArtifactError, match="delete the folder"):
        audit(
            files / "seed.csv",
            anchor=files / "anchor.parquet",
            profile="smoke",
            id_column="id",
            anchor_text_column="query",
            out=files / "out",
        )
    stats.write_bytes(whole)


def test_bad_files_are_named_before_any_model_is_loaded(files, tmp_path):
    with pytest.raises(DataError, match="query"):
        audit(files / "seed.csv", anchor=files / "anchor.parquet", profile="smoke", out=tmp_path)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(DataError):
        audit(empty, anchor=files / "anchor.parquet", anchor_text_column="query", profile="smoke", out=tmp_path)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("text\ncafé\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        audit(latin, anchor=files / "anchor.parquet", anchor_text_column="query", profile="smoke", out=tmp_path)


def test_the_command_line_prints_the_result_and_its_errors(files, tmp_path, capsys):
    arguments = [
        "-q",
        "audit",
        str(files / "seed.csv"),
        "--anchor",
        str(files / "anchor.parquet"),
        "--profile",
        "smoke",
    ]
    assert main([*arguments, "--anchor-text-column", "query", "--out", str(tmp_path)]) == 0
    assert "FAC 0." in capsys.readouterr().out
    assert main([*arguments, "--text-column", "nope", "--out", str(tmp_path)]) == 2
    assert "nope" in capsys.readouterr().err


def test_a_model_whose_layer_is_not_the_saes_is_refused(files, tmp_path):
    from dataclasses import replace

    from fac_lab.profile import load_profile

    profile = load_profile("smoke")
    other = replace(profile, subject=replace(profile.subject, layer=0))
    with pytest.raises(ModelError, match="layer"):
        audit(
            files / "anchor.parquet",
            anchor=files / "anchor.parquet",
            text_column="query",
            profile=other,
            out=tmp_path,
        )
