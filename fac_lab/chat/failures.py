"""What failed, one JSON line each, so that it can be looked at and asked again."""

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fac_lab.atomic import write_atomic
from fac_lab.errors import ArtifactError
from fac_lab.parse import parse_json

log = logging.getLogger(__name__)

# Bytes that are no text come back as they were.
_BYTES = ("utf-8", "surrogateescape")
REQUEST_FIELDS = {"messages", "temperature", "top_p", "max_tokens", "seed", "schema"}


class FailureFile:
    """A JSONL file: `time`, `backend`, `error` and `request` (`REQUEST_FIELDS`) on each line."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, failure: Mapping[str, Any]) -> None:
        """Add one failure; raises ArtifactError where the file cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One short write in append mode: the lines of two processes do not mix.
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(failure))
        except OSError as error:
            raise ArtifactError(
                f"{self.path} cannot be written ({error}): free space or choose another folder"
            ) from error

    def requests(self) -> list[dict[str, Any]]:
        """The fields of every failed request, in order, repeats included; lines that are none are logged."""
        read = [_request(line) for line in self._lines()]
        if None in read:
            log.warning("%s: %d lines are not requests and stay as they are", self.path, read.count(None))
        return [fields for fields in read if fields is not None]

    def keep_only(self, failures: Iterable[Mapping[str, Any]]) -> None:
        """Replace all requests by these failures; lines that are not requests stay."""
        lines = [line + "\n" for line in self._lines() if _request(line) is None]
        lines += [_line(failure) for failure in failures]
        write_atomic(self.path, lambda path: path.write_bytes("".join(lines).encode(*_BYTES)))

    def _lines(self) -> list[str]:
        return self.path.read_bytes().decode(*_BYTES).split("\n")[:-1] if self.path.exists() else []


def _line(failure: Mapping[str, Any]) -> str:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"time": when, **failure}) + "\n"


def _request(line: str) -> dict[str, Any] | None:
    try:
        fields = parse_json(line)["request"]
        return fields if set(fields) == REQUEST_FIELDS else None
    except (ValueError, KeyError, TypeError):
        return None
