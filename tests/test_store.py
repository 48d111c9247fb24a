import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.atomic import write_atomic
from fac_lab.errors import ArtifactError
from fac_lab.settings import CoverageRule
from fac_lab.store import MANIFEST, Store, digest

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_digest_survives_json_and_the_order_of_keys(value):
    again = json.loads(json.dumps(value))
    assert digest(again) == digest(value)
    if isinstance(value, dict):
        assert digest(dict(reversed(value.items()))) == digest(value)


@given(json_values, json_values)
def test_digest_tells_values_apart(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (digest(a) == digest(b)) == same


def test_digest_is_the_same_in_every_process():
    # sha256 of the text [{"a":[1,2.5,"x",null]}], by hand: hashes of strings differ from process to process.
    assert digest({"a": [1, 2.5, "x", None]}) == "382c7f0f09018040"


def test_digest_of_types_beyond_json(tmp_path):
    class Pair(NamedTuple):
        a: int
        b: str

    assert digest(Pair(1, "x")) == digest([1, "x"]) == digest((1, "x"))
    assert digest(CoverageRule()) == digest(CoverageRule()) != digest(CoverageRule(delta=1.0))
    assert digest(1) != digest(1.0) != digest(True)
    assert digest("ab", "c") != digest("a", "bc") != digest(["ab", "c"])

    array = np.arange(6, dtype=np.int64)
    assert digest(array) == digest(array.copy()) != digest(array.astype(np.int32)) != digest(array.reshape(2, 3))
    table = np.arange(6).reshape(2, 3)
    assert digest(table.T) == digest(np.ascontiguousarray(table.T)) != digest(table)
    assert digest(np.int64(3)) == digest(3) and digest(np.float32(0.5)) == digest(0.5)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":
        (tmp_path / folder / "x.txt").write_text("same")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a" / "x.txt") == digest(b"same")
    (tmp_path / "b" / "x.txt").rename(tmp_path / "b" / "y.txt")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")
    with pytest.raises(ArtifactError, match="does not exist"):
        digest(tmp_path / "c")
    for unstable in ({1, 2}, {1: 2}, object(), np.array([object()])):
        with pytest.raises(TypeError):
            digest(unstable)


def test_an_atomic_write_shows_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "deep" / "x.json"
    write_atomic(path, lambda p: p.write_text("old"))

    def breaks(temporary: Path):
        temporary.write_text("half of the n")
        assert path.read_text() == "old" and temporary.suffix == ".json"
        raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        write_atomic(path, breaks)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["x.json"]


def test_a_full_disk_is_reported_with_the_cure(tmp_path):
    def fill(temporary: Path):
        temporary.write_text("begun")
        Path("/dev/full").write_text("no room here")

    with pytest.raises(ArtifactError, match="disk is full.*free some space"):
        write_atomic(tmp_path / "x", fill)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_may_not_be_written_is_reported_with_the_cure(tmp_path, number):
    def refuse(temporary: Path):
        raise OSError(number, os.strerror(number))

    with pytest.raises(ArtifactError, match="may not be written.*choose another folder"):
        write_atomic(tmp_path / "x", refuse)


def test_a_file_in_the_place_of_a_folder_is_reported(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ArtifactError, match="a file is where its folder should be"):
        write_atomic(tmp_path / "runs" / "x", lambda p: p.write_text("x"))


def build_two_files(artifact):
    artifact.write_json("numbers.json", {"a": [1, 2.5, "ü"]})
    artifact.write_frame("table.parquet", pd.DataFrame({"text": ["a", "b"], "n": [1, 2]}))
    return {"rows": np.int64(2)}


def test_once_builds_once_and_reads_back(tmp_path):
    store = Store(tmp_path)
    artifact = store.once("step", build_two_files, version=1, size=3)
    assert artifact.complete and artifact.facts == {"rows": 2}
    assert artifact.read_json("numbers.json") == {"a": [1, 2.5, "ü"]}
    assert artifact.read_frame("table.parquet")["n"].tolist() == [1, 2]
    manifest = artifact.manifest
    assert manifest["made_by"] == {"version": 1, "size": 3}
    assert set(manifest["files"]) == {"numbers.json", "table.parquet"}

    def never(artifact):
        raise AssertionError("built again")

    assert Store(tmp_path).once("step", never, version=1, size=3).path == artifact.path
    for other in ({"version": 2, "size": 3}, {"version": 1, "size": 4}, {"version": 1}):
        assert store.artifact("step", **other).path != artifact.path
        assert not store.artifact("step", **other).complete


def test_finished_artifacts_are_listed_oldest_first(tmp_path, caplog):
    store = Store(tmp_path)
    assert store.finished("step") == []
    kept = [store.once("step", build_two_files, version=1, size=size) for size in (3, 1, 2)]
    for artifact, when in zip(kept, ("2026-01-02", "2026-01-03", "2026-01-01"), strict=True):
        artifact.write_json(MANIFEST, artifact.manifest | {"created": when})
    store.artifact("step", version=1, size=9).write_json("numbers.json", 1)  # not finished
    store.once("other", build_two_files, version=1)
    found = store.finished("step")
    assert [artifact.made_by["size"] for artifact in found] == [2, 3, 1]
    assert [artifact.path for artifact in found] == [kept[2].path, kept[0].path, kept[1].path]
    assert all(artifact.complete for artifact in found)
    (kept[0].path / MANIFEST).write_text("{")
    assert len(store.finished("step")) == 2 and str(kept[0].path) in caplog.text


def test_discard_makes_room_for_a_new_one(tmp_path):
    store = Store(tmp_path)
    store.once("step", build_two_files, version=1).discard()
    artifact = store.artifact("step", version=1)
    assert not artifact.complete and not artifact.path.exists()
    artifact.discard()  # nothing there is nothing to do


def truncate(artifact):
    artifact.file("numbers.json").write_text("{")


def flip(artifact):
    content = artifact.file("table.parquet").read_bytes()
    artifact.file("table.parquet").write_bytes(content[:10] + bytes([content[10] ^ 1]) + content[11:])


def lose(artifact):
    artifact.file("table.parquet").unlink()


def garble_manifest(artifact):
    artifact.file(MANIFEST).write_text("{not json")


def foreign_manifest(artifact):
    artifact.file(MANIFEST).write_text('{"key": "abc", "files": {}}')


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (truncate, "numbers.json has 1 bytes"),
        (flip, "table.parquet is not the file that was written"),
        (lose, "table.parquet is missing"),
        (garble_manifest, "manifest.json is not a manifest"),
        (foreign_manifest, "belongs to artifact abc"),
    ],
)
def test_a_damaged_artifact_is_named_and_never_rebuilt_in_silence(tmp_path, damage, named):
    artifact = Store(tmp_path).once("step", build_two_files, version=1)
    damage(artifact)
    with pytest.raises(ArtifactError, match=f"(?s){named}.*delete the folder .*{artifact.key}"):
        Store(tmp_path).once("step", build_two_files, version=1)


def test_a_file_that_does_not_parse_is_named(tmp_path):
    artifact = Store(tmp_path).artifact("step", version=1)
    with pytest.raises(ArtifactError, match="is not finished"):
        _ = artifact.manifest
    for name, read in (("x.json", artifact.read_json), ("x.parquet", artifact.read_frame)):
        write_atomic(artifact.file(name), lambda p: p.write_text("garbage"))
        with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
            read(name)


def run(script: str, *args: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, args)])


def test_a_killed_build_is_resumed(tmp_path):
    script = """
import os, signal, sys
from fac_lab.store import Store
def build(artifact):
    if artifact.file("part-0.json").exists():
        return {"resumed": True}
    artifact.write_json("part-0.json", 1)
    (artifact.path / ".part-1.tmp").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
artifact = Store(sys.argv[1]).once("step", build, version=1)
assert artifact.facts == {"resumed": True}
"""
    assert run(script, tmp_path).wait() == -signal.SIGKILL
    assert not Store(tmp_path).artifact("step", version=1).complete
    assert run(script, tmp_path).wait() == 0
    assert list(Store(tmp_path).artifact("step", version=1).manifest["files"]) == ["part-0.json"]


def test_two_processes_build_an_artifact_once(tmp_path):
    script = """
import logging, sys, time
from pathlib import Path
from fac_lab.store import Store
logging.basicConfig(filename=sys.argv[2])
def build(artifact):
    with Path(sys.argv[1], "built").open("a") as file:
        file.write("x")
    time.sleep(1)
Store(sys.argv[1]).once("step", build, version=1)
"""
    first = run(script, tmp_path, tmp_path / "log-1")
    while not (tmp_path / "built").exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = run(script, tmp_path, tmp_path / "log-2")
    assert (first.wait(), second.wait()) == (0, 0)
    assert (tmp_path / "built").read_text() == "x"
    assert f"being made by process {first.pid} on" in (tmp_path / "log-2").read_text()
