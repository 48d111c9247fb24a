"""Answers on disk, so that nothing is paid twice: one JSON file per request, sharded over 256 folders.

A file per answer, renamed into place, needs no lock between processes, survives a kill at any moment, and
confines damage to one answer: what does not parse, or answers another request, is dropped, logged and asked
again.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fac_lab.atomic import write_atomic
from fac_lab.digests import canonical, digest
from fac_lab.errors import ArtifactError
from fac_lab.parse import parse_json

log = logging.getLogger(__name__)

FIELDS = {"text": str, "finish": str, "prompt_tokens": int, "completion_tokens": int}


class ReplyCache:
    """Maps everything that decides an answer (`question`, JSON-able) to that answer."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer's fields (`FIELDS`), or None where it was never stored or is damaged."""
        path = self.path(question)
        try:
            entry = parse_json(path.read_text(encoding="utf-8"))
            answer = {name: entry["answer"][name] for name in FIELDS}
            # Comparing the whole question also catches two that share a file name.
            intact = canonical(entry["question"]) == canonical(question)
            intact = intact and all(type(answer[name]) is kind for name, kind in FIELDS.items())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read ({error}); mend its rights, or delete it") from error
        except (ValueError, KeyError, TypeError):
            intact = False
        if intact:
            return answer
        log.warning("cached answer %s is damaged: dropped, its request is asked again", path)
        with suppress(OSError):  # another process may have been quicker; the new answer replaces it anyway
            path.unlink()
        return None

    def put(self, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Store an answer; raises ArtifactError where the disk is full or may not be written."""
        text = json.dumps({"question": question, "answer": dict(answer)})
        write_atomic(self.path(question), lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def path(self, question: Mapping[str, Any]) -> Path:
        """Where the answer to `question` is, or would be."""
        key = digest(question)
        return self.folder / key[:2] / f"{key}.json"
