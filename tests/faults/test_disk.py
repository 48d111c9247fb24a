"""A disk that is full or may not be written, two runs in one folder, and a clock that goes back."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fac_lab.world import queries

RUN = "import sys; from fac_lab.cli import main; sys.exit(main(sys.argv[1:]))"
CLOCK = "import time; now = time.time; time.time = lambda: now() - 2 * 86400\n"
"""Yesterday's yesterday, for everything that is imported after it."""
COMPARED = ("missing.csv", "sweep.csv", "coverage/coverage.json", "report.html")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("data")
    for name, n in (("mine", 40), ("anchor", 160)):
        rows = [json.dumps({"text": text}) for _, text in queries(n, seed=n)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return [str(folder / "mine.jsonl"), "--anchor", str(folder / "anchor.jsonl"), "--profile", "smoke"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, files) -> Path:
    """What an undisturbed run leaves."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with audit(files, out) as run:
        assert run.wait() == 0
    return out


@contextlib.contextmanager
def audit(files: list[str], out: Path, *, before: str = ""):
    run = subprocess.Popen(
        [sys.executable, "-c", before + RUN, "audit", *files, "--out", str(out)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with run:
        yield run


def ended(files: list[str], out: Path, **options) -> tuple[int, str]:
    with audit(files, out, **options) as run:
        said = run.communicate()[1]
    assert "Traceback" not in said
    return run.returncode, said


@pytest.fixture
def small_disk(tmp_path):
    """`mount(options)`: a file system of its own at tmp_path/disk, mounted anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str, *, again: bool = False) -> Path:
        command = ["mount", "-o", ("remount," if again else "") + options]
        done = subprocess.run([*command, *([] if again else ["-t", "tmpfs", "tmpfs"]), place], capture_output=True)
        if done.returncode:
            pytest.skip(f"no file system may be mounted here: {done.stderr.decode().strip()}")
        return place

    yield mount
    subprocess.run(["umount", "-l", place], capture_output=True)


def same(out: Path, whole: Path) -> None:
    for name in COMPARED:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert not [path for path in out.rglob(".*") if path.is_file()]


def test_a_full_disk_is_said_and_what_was_finished_is_kept(small_disk, files, whole):
    out = small_disk("size=48k") / "run"
    status, said = ended(files, out)
    assert status == 2 and re.search(r"the disk is full: .*run again", said)
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
    small_disk("size=64m", again=True)
    assert ended(files, out)[0] == 0
    same(out, whole)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.slow
def test_a_disk_that_may_not_be_written_is_said(small_disk, files):
    out = small_disk("size=8m,ro") / "run"
    status, said = ended(files, out)
    assert status == 2 and "may not be written" in said and "choose another folder" in said


@pytest.mark.slow
def test_two_runs_in_one_folder_make_each_artifact_once(tmp_path, files, whole):
    with audit(files, tmp_path / "run") as one, audit(files, tmp_path / "run") as other:
        said = [run.communicate()[1] for run in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), said
    same(tmp_path / "run", whole)
    assert "Traceback" not in "".join(said)


@pytest.mark.slow
def test_a_clock_that_went_back_changes_nothing(tmp_path, files, whole):
    out = tmp_path / "run"
    with audit(files, out) as run:
        # As far as the first finished artifact. Deeper than this, folders go while one looks.
        while not list(out.glob("store/*/*/manifest.json")) and run.poll() is None:
            time.sleep(0.05)
        assert run.poll() is None, "it had ended before it was killed"
        run.kill()
    assert ended(files, out, before=CLOCK)[0] == 0
    same(out, whole)
    assert ended(files, out)[0] == 0
    same(out, whole)
