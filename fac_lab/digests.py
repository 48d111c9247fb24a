"""Stable hashes of settings and data, by which artifacts and caches are keyed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from fac_lab.errors import ArtifactError


def digest(*things: Any) -> str:
    """Stable hash of values, 16 hex characters: equal content gives an equal digest in every process.

    Takes JSON-able values, dataclasses and named tuples (their fields; those marked `plain.LATER` only where they
    are not at their default), NumPy arrays and scalars, bytes, and
    Paths (the content of the file, or names and contents below a folder, not where it lies). Lists and tuples
    are alike; 1, 1.0 and True are not. Raises TypeError for anything else and ArtifactError for a Path that
    is not there.
    """
    return hashlib.sha256(canonical(list(things)).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(thing: Any) -> str:
    """The JSON text behind `digest`: sorted keys, bulky content (arrays, bytes, files) as its hash."""
    return json.dumps(_encode(thing), sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _encode(thing: Any) -> Any:
    """`thing` in JSON's terms; bulky content as its hash."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, Mapping):
        if not all(isinstance(key, str) for key in thing):
            raise TypeError(f"only mappings with text keys have a stable digest, not {thing!r}")
        return {key: _encode(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_encode(item) for item in thing]
    if is_dataclass(thing) and not isinstance(thing, type):
        counted = (f for f in fields(thing) if not (f.metadata.get("later") and getattr(thing, f.name) == f.default))
        return {field.name: _encode(getattr(thing, field.name)) for field in counted}
    if isinstance(thing, bytes):
        return {"sha256": hashlib.sha256(thing).hexdigest()}
    if isinstance(thing, Path):
        return _encode_path(thing)
    if type(thing).__module__ == "numpy" and thing.dtype != object:
        if thing.ndim == 0:
            return thing.item()
        content = hashlib.sha256(thing.tobytes()).hexdigest()  # row-major, whatever the memory layout
        return {"dtype": thing.dtype.str, "shape": list(thing.shape), "sha256": content}
    raise TypeError(f"no stable digest for {type(thing).__name__}: {thing!r}")


def _encode_path(path: Path) -> Any:
    if path.is_file():
        return {"sha256": file_digest(path)}
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return {"folder": {file.relative_to(path).as_posix(): file_digest(file) for file in files}}
    raise ArtifactError(f"{path} does not exist, so nothing can be keyed by its content; check the path")
