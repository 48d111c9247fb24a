"""Killed at random moments and started again, a run ends in what it would have ended in, and pays nothing twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fac_lab.world import queries

DRIVER = Path(__file__).with_name("killing.py")
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "FAC_LAB_PROFILE": "smoke"}


def driven(
    folder: Path, command: list[str], *, kills: int, longest: float = 0.0, seed: int = 0, out: Path | None = None
) -> float:
    """Run a command, with "OUT" for its folder (`folder`/run unless named); seconds of its last run."""
    out = out or folder / "run"
    folder.mkdir()
    made = [str(out) if word == "OUT" else word for word in command]
    arguments = [str(out), str(folder / "paid"), str(kills), str(longest), str(seed), *made]
    done = subprocess.run(
        [sys.executable, str(DRIVER), *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=3600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.fixture
def check(tmp_path, contents):
    """`check(command, kills=N)`: the command undisturbed and killed N times leaves the same, and pays once."""

    def run(command: list[str], *, kills: int, pays: bool = True) -> None:
        seconds = driven(tmp_path / "whole", command, kills=0)
        driven(tmp_path / "killed", command, kills=kills, longest=seconds, seed=kills)
        whole, after = (contents(tmp_path / name / "run") for name in ("whole", "killed"))
        assert whole and sorted(whole) == sorted(after), "the same files, and none that was half-written"
        assert [name for name in whole if whole[name] != after[name]] == []
        if pays:
            paid = Counter((tmp_path / "killed" / "paid").read_text().split())
            assert paid and set(paid.values()) == {1}, "an answer that was kept is never asked for again"

    return run


@pytest.fixture
def files(tmp_path) -> tuple[str, str]:
    """A small data set, and a wider anchor."""
    found = []
    for name, n in (("mine", 60), ("anchor", 240)):
        path = tmp_path / f"{name}.jsonl"
        rows = [json.dumps({"text": text}) for _, text in queries(n, seed=n)]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        found.append(str(path))
    return found[0], found[1]


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_an_audit(check, files, kills):
    check(["-q", "audit", files[0], "--anchor", files[1], "--out", "OUT"], kills=kills, pays=False)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 25])
def test_a_synthesis(check, kills):
    # A module beside the driver, by its name.
    check(["-m", "synthesising", "OUT"], kills=kills)


@pytest.mark.slow
def test_two_demos_write_the_same_bytes(tmp_path, contents):
    for name in ("A", "B"):
        driven(tmp_path / name, ["-q", "demo", "--out", "OUT"], kills=0)
    one, other = (contents(tmp_path / name / "run") for name in ("A", "B"))
    assert {"report.html", "samples.parquet", "runs.csv", "coverage/coverage.npz"} <= set(one)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


@pytest.mark.slow
def test_the_demo(check):
    check(["-q", "demo", "--out", "OUT"], kills=25)


@pytest.mark.slow
def test_the_training_of_an_sae(tmp_path, files, contents):
    settings = tmp_path / "profile.yaml"
    sae = f"{{source: folder, path: {tmp_path / 'SAE'}}}"
    settings.write_text(f"extends: smoke\nsae: {sae}\n", encoding="utf-8")
    # The SAE's folder is a setting, so that both runs write to one place, one after the other.
    command, place, kept = ["-q", "sae", files[1], "--profile", str(settings)], tmp_path / "SAE", {}
    seconds = driven(tmp_path / "whole", command, kills=0, out=place)
    kept["whole"] = contents(place)
    place.rename(tmp_path / "SAE-whole")
    driven(tmp_path / "killed", command, kills=25, longest=seconds, seed=1, out=place)
    kept["killed"] = contents(place)
    assert kept["whole"] and kept["whole"] == kept["killed"]


@pytest.mark.slow
def test_the_main_table(check):
    command = ["-m", "fac_lab.studies.main_table", "--only", "toxicity", "--only", "FAC Synthesis", "--runs", "OUT"]
    check(command, kills=25)
