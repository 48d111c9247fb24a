"""What is repeated is compared with what was; what cannot be repeated is said."""

import json

import pandas as pd
import pytest

from fac_lab import reproduce as module
from fac_lab.cli import main
from fac_lab.errors import ArtifactError, DataError
from fac_lab.profile import as_dict, load_profile
from fac_lab.reproduce import reproduce
from fac_lab.studies import results
from fac_lab.studies.stored import write_result
from fac_lab.world import queries


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A result of the smoke profile whose numbers can be changed behind its back."""
    frame = pd.DataFrame({"arm": ["a", "b"], "auprc": [0.25, 1 / 3], "seconds": [1.0, 2.0]})
    monkeypatch.setitem(results.RESULTS, "tiny", lambda lab: frame)
    write_result("tiny", frame.copy(), {"profile": as_dict(load_profile("smoke"))}, tmp_path)
    return frame, tmp_path / "tiny.json"


def test_the_same_result_is_the_same(made, capsys):
    frame, manifest = made
    assert all(one.same for one in reproduce(manifest))
    assert main(["-q", "reproduce", str(manifest)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "same    tiny"


def test_a_number_that_moved_is_named_with_how_far_and_time_is_not(made):
    frame, manifest = made
    frame.loc[1, "auprc"] += 1e-4
    frame["seconds"] += 100
    (one,) = reproduce(manifest)
    assert not one.same and one.detail == "auprc by 0.0001"
    (one,) = reproduce(manifest, tolerance=1e-3)
    assert one.same and one.detail == "auprc by 0.0001"
    frame.loc[0, ["arm", "auprc"]] = ["c", None]
    (one,) = reproduce(manifest, tolerance=1.0)
    assert not one.same and one.detail == "arm in 1 rows; auprc by 0.0001, 1 only once"
    frame["one more"] = 1
    assert "2 rows of arm, auprc, seconds then; 2 of arm" in reproduce(manifest)[0].detail


def test_other_versions_are_said_and_decide_nothing(made, monkeypatch):
    monkeypatch.setattr(module, "package_versions", lambda: {"torch": "0.1"})
    compared = reproduce(made[1])
    assert any(one.what == "version of torch" and "0.1 now" in one.detail for one in compared)
    assert all(one.same for one in compared)


def test_a_result_that_was_edited_and_what_is_no_manifest_are_refused(made, tmp_path):
    path = made[1].with_suffix(".csv")
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(ArtifactError, match="not what its manifest describes"):
        reproduce(made[1])
    for text, said in (("[]", "nothing that can be repeated"), ("{", "cannot be read"), ('{"a": 1}', "nothing that")):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ArtifactError, match=said):
            reproduce(tmp_path / "other.json")
    with pytest.raises(ArtifactError, match="cannot be read"):
        reproduce(tmp_path / "nowhere.json")


def test_an_audit_is_repeated_from_its_own_record(tmp_path):
    for name, n in (("mine", 40), ("anchor", 160)):
        rows = [json.dumps({"text": text}) for _, text in queries(n, seed=n)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    files = [str(tmp_path / "mine.jsonl"), "--anchor", str(tmp_path / "anchor.jsonl")]
    assert main(["-q", "audit", *files, "--profile", "smoke", "--out", str(tmp_path / "run")]) == 0
    record = tmp_path / "run" / "audit.json"
    compared = reproduce(record)
    assert [one.what for one in compared] == list(module.AUDIT_FILES) and all(one.same for one in compared)
    (tmp_path / "run" / "missing.csv").write_text("feature\n1\n")
    assert [one.what for one in reproduce(record) if not one.same] == ["missing.csv"]
    with (tmp_path / "mine.jsonl").open("a") as file:
        file.write('{"text": "one more"}\n')
    with pytest.raises(DataError, match="is not the seed of"):
        reproduce(record)
