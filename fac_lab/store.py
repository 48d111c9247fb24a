"""Artifacts on disk: results keyed by everything that made them, complete when their manifest is there.

A step's folder is `root/step/key`, the key a digest of the step's name, its code version and its inputs.
Files are written to a temporary name, synced and renamed; the manifest, which lists every file with size and
hash, comes last. So a run that is killed anywhere leaves either a complete artifact or a partial one that its
step can resume.
"""

import json
import logging
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from fac_lab.atomic import clear_temporaries, disk_trouble, write_atomic
from fac_lab.digests import canonical, digest, file_digest
from fac_lab.errors import ArtifactError
from fac_lab.parse import parse_json

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
RECORDED_PACKAGES = ("fac-lab", "numpy", "torch", "transformers", "sae-lens", "peft", "scikit-learn")


class Artifact:
    """The folder of one step's result. Write files, then `finish`; or read them once `complete`."""

    def __init__(self, root: Path, step: str, *, version: int, made_by: Mapping[str, Any]):
        self.step = step
        # Encoded once, because it may hash whole model folders.
        self.made_by = {"version": version, **json.loads(canonical(made_by))}
        self.key = digest(step, self.made_by)
        self.path = Path(root) / step / self.key

    def __repr__(self) -> str:
        return f"Artifact({self.step}/{self.key})"

    @property
    def complete(self) -> bool:
        """Whether the manifest is there and every file has its recorded size and hash.

        False without a manifest. Raises ArtifactError, naming the file, where the manifest does not parse or
        a file is missing or changed: a finished result that is damaged is never silently recomputed or used.
        """
        if not (self.path / MANIFEST).exists():
            return False
        for name, facts in self.manifest["files"].items():
            file = self.path / name
            if not file.is_file():
                raise ArtifactError(f"{file} is missing from a finished artifact; {self._cure}")
            if file.stat().st_size != facts["bytes"]:
                raise ArtifactError(f"{file} has {file.stat().st_size} bytes instead of {facts['bytes']}; {self._cure}")
            if file_digest(file) != facts["sha256"]:
                raise ArtifactError(f"{file} is not the file that was written (its hash differs); {self._cure}")
        return True

    @property
    def manifest(self) -> dict:
        """What `finish` wrote: step, key, made_by, packages, files, facts, created."""
        path = self.path / MANIFEST
        try:
            manifest = parse_json(path.read_text(encoding="utf-8"))
            key = manifest["key"]
            for name, file in manifest["files"].items():
                if type(file["bytes"]) is not int or type(file["sha256"]) is not str:
                    raise ValueError(f"size or hash of {name} is none")
        except FileNotFoundError:
            raise ArtifactError(f"{self.path} is not finished: it has no {MANIFEST}; run the step again") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path} is not a manifest ({error}); {self._cure}") from error
        if key != self.key:
            raise ArtifactError(f"{path} belongs to artifact {key}, not {self.key}; {self._cure}")
        if "facts" not in manifest:
            raise ArtifactError(f"{path} has lost the facts of its step; {self._cure}")
        return manifest

    @property
    def facts(self) -> dict:
        """The numbers a step left in its manifest."""
        return self.manifest["facts"]

    def file(self, name: str) -> Path:
        """Where the file `name` is, or is to be written (with `write_atomic`)."""
        return self.path / name

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON-able value."""
        text = json.dumps(value, indent=1, ensure_ascii=False)
        write_atomic(self.file(name), lambda path: path.write_text(text + "\n", encoding="utf-8"))
        return self.file(name)

    def read_json(self, name: str) -> Any:
        """Read what `write_json` wrote."""
        return self._read(name, lambda path: parse_json(path.read_text(encoding="utf-8")))

    def write_frame(self, name: str, frame: "pd.DataFrame") -> Path:
        """Write a data frame as parquet."""
        write_atomic(self.file(name), lambda path: frame.to_parquet(path, index=False))
        return self.file(name)

    def read_frame(self, name: str) -> "pd.DataFrame":
        """Read what `write_frame` wrote."""
        import pandas as pd

        return self._read(name, pd.read_parquet)

    def finish(self, **facts: Any) -> None:
        """Write the manifest: from now on the artifact is complete. `facts` are numbers worth reading in
        it."""
        listed = {
            file.relative_to(self.path).as_posix(): {
                "bytes": file.stat().st_size,
                "sha256": file_digest(file),
            }
            for file in sorted(self.path.rglob("*"))
            if file.is_file() and file.name != MANIFEST and not file.name.startswith(".")
        }
        manifest = {
            "step": self.step,
            "key": self.key,
            "made_by": self.made_by,
            "packages": package_versions(),
            "files": listed,
            "facts": json.loads(canonical(facts)),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.write_json(MANIFEST, manifest)

    def discard(self) -> None:
        """Remove the artifact, finished or not."""
        # The manifest goes first: a removal that is killed half-way must not leave a "complete" artifact.
        try:
            (self.path / MANIFEST).unlink(missing_ok=True)
            if self.path.exists():
                shutil.rmtree(self.path)
        except OSError as error:
            raise ArtifactError(f"{self.path} cannot be removed ({error}); remove it by hand") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this artifact against other processes; a second one waits and logs who holds it."""
        lock_path, holder_path = self.path.with_suffix(".lock"), self.path.with_suffix(".holder")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(lock_path)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                log.warning("%s is being made by %s: waiting for it", self, _holder(holder_path))
                lock.acquire()
            holder_path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        except OSError as error:
            raise ArtifactError(disk_trouble(error, lock_path) or f"cannot lock {lock_path}: {error}") from error
        try:
            yield
        finally:
            holder_path.unlink(missing_ok=True)
            lock.release()

    def _read(self, name: str, read: Callable[[Path], Any]) -> Any:
        try:
            return read(self.file(name))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.file(name)} cannot be read ({error}); {self._cure}") from error

    @property
    def _cure(self) -> str:
        return f"delete the folder {self.path} and run again, it will be made anew"


class Store:
    """All artifacts below one folder."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def artifact(self, step: str, *, version: int, **made_by: Any) -> Artifact:
        """The artifact of `step` made by these inputs, whether it exists yet or not.

        Raise `version` when the step's code changes what it writes. `made_by` takes whatever `digest` takes.
        """
        return Artifact(self.root, step, version=version, made_by=made_by)

    def clear_temporaries(self) -> None:
        """Remove what killed processes left half-written."""
        clear_temporaries(self.root)

    def finished(self, step: str) -> list[Artifact]:
        """Every finished artifact of a step, oldest first; a manifest that cannot be read is left out, with a warning.

        For what may be put together from several: see each one's `made_by`.
        """
        found = []
        for path in self.root.glob(f"{step}/*/{MANIFEST}"):
            try:
                manifest = parse_json(path.read_text(encoding="utf-8"))
                made_by = dict(manifest["made_by"])
                found.append(
                    (manifest["created"], Artifact(self.root, step, version=made_by.pop("version"), made_by=made_by))
                )
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.warning("%s cannot be read (%s): left out", path, error)
        return [artifact for _, artifact in sorted(found, key=lambda entry: (entry[0], entry[1].key))]

    def once(
        self,
        step: str,
        build: Callable[[Artifact], Mapping[str, Any] | None],
        *,
        version: int,
        **made_by: Any,
    ) -> Artifact:
        """The complete artifact: the one on disk, or a new one that `build` fills and whose facts it returns.

        An error in `build` leaves the unfinished files, from which the next call may resume. Two processes
        never build the same artifact at once. Raises ArtifactError where the one on disk is damaged.
        """
        artifact = self.artifact(step, version=version, **made_by)
        if artifact.complete:
            log.info("%s: found", artifact)
            return artifact
        with artifact.lock():
            if not artifact.complete:
                facts = build(artifact)
                artifact.finish(**(facts or {}))
        return artifact


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change a result."""
    versions = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # released in this moment, or about to be written
        return "another process"
