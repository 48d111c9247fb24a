"""Memory of the machine, or of the container that holds this process where it has less."""

from pathlib import Path
from typing import NamedTuple

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# What a control group says of its memory, in the two versions of Linux: bound, use, and of that the files which are
# given up for whoever needs memory.
_UNIFIED = ("memory.max", "memory.current", "inactive_file")
_LEGACY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


class Memory(NamedTuple):
    """Bytes there are, and bytes that could be taken now."""

    total: int
    available: int


def memory(cgroups: Path = _CGROUPS, own_groups: Path = _OWN_GROUPS) -> Memory:
    """What this process can take. A control group that says nothing readable bounds nothing."""
    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    try:
        groups = [line.split(":", 2) for line in own_groups.read_text().splitlines()]
    except OSError:  # not Linux
        groups = []
    for _, controllers, path in (group for group in groups if len(group) == 3):
        if controllers == "":
            found = _bounds(cgroups, path, _UNIFIED)
        elif "memory" in controllers.split(","):
            found = _bounds(cgroups / "memory", path, _LEGACY)
        else:
            continue
        for bound, left in found:
            total, available = min(total, bound), min(available, left)
    return Memory(total, available)


def _bounds(root: Path, path: str, names: tuple[str, str, str]) -> list[tuple[int, int]]:
    """Bound and what is left of it, of a group and of all that hold it. Inside a container the path may be that of
    the machine outside, and then only the root is there to be read."""
    bound, use, files = names
    folder, found = root / path.lstrip("/"), []
    for group in (folder, *folder.parents):
        try:
            most, used = int((group / bound).read_text()), int((group / use).read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            found.append((most, max(0, most - used + int(stat.get(files, 0)))))
        except (OSError, ValueError):  # "max" is no number: no bound
            pass
        if group == root:
            break
    return found
