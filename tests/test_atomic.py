"""What killed writers leave is swept away, and nothing else is."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fac_lab import atomic

WRITER = """
import sys, time
from pathlib import Path
from fac_lab.atomic import write_atomic
def write(path):
    path.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
write_atomic(Path(sys.argv[1]), write)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing deep/data.json."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "deep" / "data.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def test_the_file_of_a_killed_writer_goes_and_that_of_a_living_one_stays(tmp_path, writer):
    assert atomic.clear_temporaries(tmp_path) == [] and len(list((tmp_path / "deep").iterdir())) == 1
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    (left,) = atomic.clear_temporaries(tmp_path)
    assert left.name.startswith(".data.") and not list((tmp_path / "deep").iterdir())


def test_what_is_not_ours_stays(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in ("data.json", ".gitignore", ".data.json", f".data.00000000-{dead.pid}-0123abcd.json", ".a.b-1-c.json"):
        (tmp_path / name).write_text("x")
    mine = tmp_path / f".data.{atomic._HOST}-{dead.pid}-0123abcd.json"
    mine.write_text("x")
    assert atomic.clear_temporaries(tmp_path) == [mine]
    assert len(list(tmp_path.iterdir())) == 5
    assert atomic.clear_temporaries(tmp_path / "nowhere") == []


def test_a_large_folder_is_swept_in_no_time(tmp_path):
    for i in range(20):
        (tmp_path / str(i)).mkdir()
        for j in range(100):
            (tmp_path / str(i) / f"{j}.json").touch()
    began = time.process_time()
    atomic.clear_temporaries(tmp_path)
    assert time.process_time() - began < 1.0
    assert os.path.exists(tmp_path / "19" / "99.json")
