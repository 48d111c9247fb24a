"""Results kept in data/results: small frames that notebooks show without computing them again.

Each is a .csv with a manifest beside it that says what made it: profile, versions, time. Apart from the studies that
make them, which take seconds to import.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fac_lab.atomic import write_atomic
from fac_lab.digests import digest
from fac_lab.errors import ArtifactError
from fac_lab.parse import parse_json
from fac_lab.profile import project_root
from fac_lab.store import package_versions


def results_folder() -> Path:
    """Where results are kept."""
    return project_root() / "data" / "results"


def write_result(name: str, frame: pd.DataFrame, facts: dict[str, Any], folder: Path | None = None) -> None:
    """Store a result with a manifest that says `facts`, versions and time."""
    folder = folder or results_folder()
    manifest = {
        "name": name,
        "rows": len(frame),
        "frame": digest(frame.to_csv(index=False)),
        **facts,
        "versions": package_versions(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(folder / f"{name}.csv", lambda path: frame.to_csv(path, index=False))
    text = json.dumps(manifest, indent=1) + "\n"
    write_atomic(folder / f"{name}.json", lambda path: path.write_text(text, encoding="utf-8"))


def read_result(name: str, folder: Path | None = None) -> tuple[pd.DataFrame, dict]:
    """A stored result and its manifest. Raises ArtifactError, with the cure, where it is absent or was edited."""
    folder = folder or results_folder()
    try:
        manifest = parse_json((folder / f"{name}.json").read_text(encoding="utf-8"))
        described = manifest["frame"]
        frame = pd.read_csv(folder / f"{name}.csv")
        found = digest((folder / f"{name}.csv").read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(f"there is no result {name} in {folder} ({error}); {_cure(name)}") from error
    if found != described:
        raise ArtifactError(f"{folder / name}.csv is not what its manifest describes; {_cure(name)}")
    return frame, manifest


def _cure(name: str) -> str:
    if name.startswith("speed_"):
        return "run: make bench"
    if name.startswith("correlation_real"):
        return "run: python -m fac_lab.studies.real_correlation DATA_DIR"
    return f"run: python -m fac_lab.studies.results {name}"
