"""Memory of the machine, and of groups that have less."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fac_lab.memory import memory

GB = 10**9
FILES = {
    "unified": ("memory.max", "memory.current", "inactive_file"),
    "legacy": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@pytest.fixture
def groups(tmp_path):
    """`groups(version, {path: (bound, use, files)}, own)`: groups on disk, and what is left in the one at `own`."""

    def made(version, found, own):
        root = tmp_path / ("cgroup" if version == "unified" else "cgroup/memory")
        bound, use, files = FILES[version]
        for path, (most, used, inactive) in found.items():
            folder = root / path.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / bound).write_text(f"{most}\n")
            (folder / use).write_text(f"{used}\n")
            (folder / "memory.stat").write_text(f"anon 5\n{files} {inactive}\nactive_file 7\n")
        listed = tmp_path / "own"
        line = f"0::{own}" if version == "unified" else f"9:name=systemd:/\n4:cpu,memory:{own}"
        listed.write_text(f"{line}\n")
        return memory(tmp_path / "cgroup", listed)

    return made


@pytest.mark.parametrize("version", FILES)
def test_the_tightest_bound_above_a_process_counts(groups, version):
    total = psutil.virtual_memory().total
    tight, loose = (total // 10, total // 20, 1000), (total // 2, total // 20, 0)
    assert groups(version, {"/": loose, "/a": tight, "/a/b": loose}, "/a/b") == (
        total // 10,
        total // 10 - total // 20 + 1000,
    )
    # Beside the process, not above it.
    assert groups(version, {"/": loose, "/a": loose, "/other": (10, 5, 0)}, "/a").total == total // 2


@pytest.mark.parametrize("version", FILES)
def test_in_a_container_the_path_is_that_of_the_machine_outside(groups, version):
    assert groups(version, {"/": (GB, GB // 4, 0)}, "/docker/0123") == (GB, GB - GB // 4)


@pytest.mark.parametrize("version", FILES)
def test_a_group_that_is_full_leaves_nothing(groups, version):
    assert groups(version, {"/a": (GB, GB + 10, 0)}, "/a") == (GB, 0)


@pytest.mark.parametrize("bound", ["max", "", "9223372036854771712", "much"])
def test_without_a_bound_it_is_the_machines(groups, bound):
    machine = psutil.virtual_memory()
    found = groups("unified", {"/a": (bound, 5, 5)}, "/a")
    assert found.total == machine.total and found.available == pytest.approx(machine.available, rel=0.2)


def test_without_groups_it_is_the_machines(tmp_path):
    (tmp_path / "own").write_text("nothing that is known\n")
    assert memory(tmp_path, tmp_path / "own").total == memory(tmp_path, tmp_path / "none").total
    assert memory(tmp_path, tmp_path / "none").total == psutil.virtual_memory().total


def test_a_real_group_bounds_the_process_in_it():
    root, name = Path("/sys/fs/cgroup"), f"fac_lab_{os.getpid()}"
    version = next(
        (v for v, place in (("legacy", root / "memory"), ("unified", root)) if (place / "cgroup.procs").exists()), None
    )
    if version is None:
        pytest.skip("no control groups here")
    group = (root / "memory" if version == "legacy" else root) / name
    try:
        group.mkdir()
        (group / FILES[version][0]).write_text(str(2**30))
    except OSError as error:
        pytest.skip(f"no group can be made here: {error}")
    script = (
        f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
        "from fac_lab.memory import memory\nfound = memory()\nprint(found.total, found.available)"
    )
    try:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    finally:
        group.rmdir()
    total, available = map(int, done.stdout.split())
    assert total == 2**30 and 2**30 * 0.5 < available < 2**30
