"""What a run left behind, in a form that two runs can be compared by."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fac_lab.store import MANIFEST

WHEN = ("created", "seconds", "made")
"""What a manifest says of the moment of its making."""


def contents_of(folder: Path) -> dict[str, object]:
    """Every file by its path: bytes, of manifests all but the time; locks are no content."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in (".lock", ".holder"):
            continue
        name = path.relative_to(folder).as_posix()
        if path.name == MANIFEST:
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in WHEN}
        else:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, object]]:
    """`contents(folder)`: every file of a run by its path, but for the times that manifests record."""
    return contents_of
