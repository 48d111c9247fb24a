"""Run again what a manifest tells of, and compare: is it the same here and now?

What can be repeated: a stored result (data/results/NAME.json), an audit (its audit.json) and a demo (its
profile.json). Everything is made anew in a folder of its own, so that nothing is read from what is to be compared.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.digests import digest, file_digest
from fac_lab.errors import ArtifactError, DataError
from fac_lab.lab import Lab
from fac_lab.parse import parse_json
from fac_lab.plain import build
from fac_lab.profile import Profile
from fac_lab.store import package_versions
from fac_lab.studies.stored import read_result

OF_TIME = ("seconds", "least", "most")
"""Columns of a result that tell of a machine's speed: compared by nobody."""
AUDIT_FILES = ("missing.csv", "sweep.csv", "rejected.jsonl", "coverage/coverage.json", "null/coverage.json")
DEMO_FILES = ("naming.csv", "after.csv", "samples.csv", "runs.csv", "coverage/coverage.json", "null/coverage.json")


class Compared(NamedTuple):
    """One thing of then beside the same of now."""

    what: str
    same: bool
    detail: str = ""
    """In what they differ, and by how much at most."""

    def __str__(self) -> str:
        return f"{'same' if self.same else 'differs':8}{self.what}{': ' if self.detail else ''}{self.detail}"


def reproduce(manifest: str | Path, *, tolerance: float = 0.0) -> list[Compared]:
    """Repeat what `manifest` tells of and compare it, part by part, numbers within `tolerance` (absolute).

    0 asks for equality, which one machine with the versions of the manifest gives; the first lines say where versions
    differ, which decides nothing. Raises ArtifactError for a file that is no such manifest, and where the result that
    it describes is not there, DataError where an audit's data are not what they were.
    """
    path = Path(manifest)
    try:
        facts = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as a manifest ({error})") from error
    facts = facts if isinstance(facts, dict) else {}
    if {"frame", "profile", "name"} <= set(facts):
        return [*_versions(facts.get("versions", {})), _result(path, facts, tolerance)]
    if {"seed", "anchor", "profile"} <= set(facts):
        return _audit(path, facts, tolerance)
    if {"subject", "sae", "corpora"} <= set(facts):
        return _demo(path, facts, tolerance)
    raise ArtifactError(
        f"{path} tells of nothing that can be repeated: name a manifest of data/results, an audit.json, or the "
        "profile.json of a demo"
    )


def _versions(then: Mapping[str, str]) -> Iterable[Compared]:
    now = package_versions()
    for name in sorted(then):
        if then[name] != now.get(name):
            yield Compared(f"version of {name}", True, f"{then[name]} then, {now.get(name, 'absent')} now")


def _result(path: Path, facts: Mapping[str, Any], tolerance: float) -> Compared:
    from fac_lab.studies.results import RESULTS

    name = facts["name"]
    if name not in RESULTS:
        raise ArtifactError(
            f"{path}: no study makes the result {name!r} by name; data/results/README.md says what does"
        )
    then, _ = read_result(name, path.parent)
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab.open(build(Profile, dict(facts["profile"])), out=folder)
        # Through the file's own form, in which numbers were rounded to what they are written as.
        now = _read_back(RESULTS[name](lab), Path(folder) / "now.csv")
    return Compared(name, *_frames(then, now, tolerance))


def _audit(path: Path, facts: Mapping[str, Any], tolerance: float) -> list[Compared]:
    from fac_lab.audit import audit
    from fac_lab.corpora import Corpus

    for role in ("seed", "anchor"):
        asked = facts[role]
        columns = {"text_column": asked["text_column"], "id_column": asked["id_column"]}
        corpus = Corpus.from_file(asked["file"], **columns)
        corpus = corpus if facts["limit"] is None else corpus.head(facts["limit"], seed=0)
        if corpus.digest != asked["digest"]:
            raise DataError(f"{asked['file']} is not the {role} of {path}: it was changed since; put the old one back")
    with tempfile.TemporaryDirectory() as folder:
        audit(
            facts["seed"]["file"],
            anchor=facts["anchor"]["file"],
            profile=build(Profile, dict(facts["profile"])),
            text_column=facts["seed"]["text_column"],
            anchor_text_column=facts["anchor"]["text_column"],
            id_column=facts["seed"]["id_column"],
            limit=facts["limit"],
            out=folder,
        )
        return [_files(path.parent / name, Path(folder) / name, name, tolerance) for name in AUDIT_FILES]


def _demo(path: Path, facts: Mapping[str, Any], tolerance: float) -> list[Compared]:
    from fac_lab.demo import run_demo

    with tempfile.TemporaryDirectory() as folder:
        run_demo(build(Profile, dict(facts)), out=folder)
        return [_files(path.parent / name, Path(folder) / name, name, tolerance) for name in DEMO_FILES]


def _files(then: Path, now: Path, name: str, tolerance: float) -> Compared:
    if not then.is_file():
        return Compared(name, False, "it is not there any more")
    if file_digest(then) == file_digest(now):
        return Compared(name, True)
    if then.suffix == ".csv" and then.read_text(encoding="utf-8").strip() and now.read_text(encoding="utf-8").strip():
        return Compared(name, *_frames(pd.read_csv(then), pd.read_csv(now), tolerance))
    if then.suffix == ".json":
        old, new = (parse_json(file.read_text(encoding="utf-8")) for file in (then, now))
        keys = sorted(key for key in {*old, *new} if digest(old.get(key)) != digest(new.get(key)))
        return Compared(name, not keys, ", ".join(keys))
    return Compared(name, False, "its bytes differ")


def _read_back(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    frame.to_csv(path, index=False)
    return pd.read_csv(path)


def _frames(then: pd.DataFrame, now: pd.DataFrame, tolerance: float) -> tuple[bool, str]:
    """Whether two tables agree, and the columns in which they do not, with the largest difference of each."""
    if list(then.columns) != list(now.columns) or len(then) != len(now):
        return False, f"{len(then)} rows of {', '.join(then.columns)} then; {len(now)} of {', '.join(now.columns)} now"
    said, alike = [], True
    for name in (column for column in then.columns if column not in OF_TIME):
        old, new = then[name], now[name]
        if pd.api.types.is_numeric_dtype(old) and pd.api.types.is_numeric_dtype(new):
            old, new = old.to_numpy(float), new.to_numpy(float)
            lacking = np.isnan(old) != np.isnan(new)
            apart = float(np.nanmax(np.abs(old - new), initial=0.0)) if not np.isnan(old - new).all() else 0.0
            if lacking.any() or apart > tolerance:
                alike = False
            if lacking.any() or apart > 0:
                said.append(f"{name} by {apart:.3g}" + (f", {lacking.sum()} only once" if lacking.any() else ""))
        elif not old.fillna("").astype(str).equals(new.fillna("").astype(str)):
            alike = False
            said.append(f"{name} in {(old.fillna('').astype(str) != new.fillna('').astype(str)).sum()} rows")
    return alike, "; ".join(said)
