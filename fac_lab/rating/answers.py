"""Answers of raters, kept as they come: one JSONL file per rater, to which lines are only ever added.

A changed answer is a new line, a withdrawn one a line without an answer, so nothing that was said is lost. Lines are
written whole, under a lock and synced: two raters, or one rater in two windows, may save at once, and a machine that
is switched off leaves at most one torn line, which is skipped and reported. Answers of models are marked as such in
every line.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import filelock

from fac_lab.atomic import write_atomic
from fac_lab.digests import digest
from fac_lab.errors import ArtifactError, DataError
from fac_lab.rating.lines import Answer, read_answers, write_rows
from fac_lab.rating.sheet import Key, Sheet, rater_id
from fac_lab.rows import Rejection
from fac_lab.tabular import Unreadable

log = logging.getLogger(__name__)

PERSON, MODEL = "person", "model"
Given = dict[tuple[str, str], str]
"""A rater's standing answers by item and question."""


class Imported(NamedTuple):
    """What became of a file of answers."""

    added: int
    known: int
    """Lines that were there already."""
    rejected: list[Rejection]


class Ratings:
    """All raters' answers to one sheet, in a folder: `<rater>.jsonl` each."""

    def __init__(self, folder: str | Path, sheet: Sheet) -> None:
        self.folder = Path(folder)
        self.sheet = sheet
        self._options = {question.name: question.options for question in sheet.questions}
        self._items = {item.id for item in sheet.items}

    def path(self, rater: str) -> Path:
        """The file of a rater: readable, and different for different names."""
        name = rater_id(rater)
        slug = re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:40]
        return self.folder / f"{slug or 'rater'}-{digest(name)[:6]}.jsonl"

    def record(self, rater: str, item: str, question: str, answer: str | None, *, by: str = PERSON) -> Answer:
        """Add an answer to the rater's file and return it; DataError where it does not fit the sheet.

        A name belongs to a person or to a model, whoever answered first.
        """
        return self.record_all(rater, [(item, question, answer)], by=by)[0]

    def record_all(
        self, rater: str, answers: Iterable[tuple[str, str, str | None]], *, by: str = PERSON
    ) -> list[Answer]:
        """Add answers (item, question, answer), all of them or, where one does not fit, none."""
        name, at = " ".join(str(rater).split()), datetime.now(UTC).isoformat(timespec="microseconds")
        lines = [Answer(self.sheet.digest, *answer, name, by, at) for answer in answers]
        self._add(rater, lines)
        return lines

    def given(self, rater: str) -> Given:
        """The rater's answers that stand: per item and question the latest, unless it was withdrawn."""
        found: Given = {}
        # By time, because a file from another machine may have been added behind later answers.
        for line in sorted(self._read(self.path(rater))[0], key=lambda line: datetime.fromisoformat(line.at)):
            if line.answer is None:
                found.pop((line.item, line.question), None)
            else:
                found[line.item, line.question] = line.answer
        return found

    def raters(self, by: str | None = None) -> list[str]:
        """Names of those who answered anything, all or those of a kind, in the order of their files."""
        last = [lines[-1] for path in self._paths() if (lines := self._read(path)[0])]
        return [line.rater for line in last if by in (None, line.by)]

    def lines(self) -> list[Answer]:
        """Every line of every rater, withdrawn and changed ones too, file by file in the order written."""
        return [line for path in self._paths() for line in self._read(path)[0]]

    def add_file(self, path: str | Path) -> Imported:
        """Take in a rater's file, or an export, of this sheet (.jsonl or .csv). Importing twice adds nothing.

        Lines that do not fit are rejected with a reason, one by one. DataError where the file cannot be read.
        """
        lines, rejected = self._read(Path(path), foreign=True)
        per_rater: dict[str, list[Answer]] = {}
        for line in lines:
            per_rater.setdefault(rater_id(line.rater), []).append(line)
        added = sum(self._add(rater, of_rater, new=True) for rater, of_rater in per_rater.items())
        return Imported(added, len(lines) - added, rejected)

    def export(self, path: str | Path, *, key: Key | None = None) -> Path:
        """Write all lines as .csv or .jsonl, each with the summary or text that was rated.

        With the key, its facts are added as columns `key_...`: such a file is not for people who still have to rate.
        """
        path = Path(path)
        if path.suffix == ".jsonl" and path.parent.resolve() == self.folder.resolve():
            raise DataError(f"{path} would be taken for a rater's file: export to another folder than {self.folder}")
        shown = {item.id: {"summary": item.summary, "text": item.text} for item in self.sheet.items}
        facts = sorted({name for one in (key or {}).values() for name in one})
        rows = [
            {
                **line._asdict(),
                **shown[line.item],
                **{f"key_{name}": (key or {}).get(line.item, {}).get(name) for name in facts},
            }
            for line in self.lines()
        ]
        content = write_rows(path, rows, [*Answer._fields, "summary", "text", *(f"key_{name}" for name in facts)])
        write_atomic(path, lambda temporary: temporary.write_bytes(content.encode("utf-8", "replace")))
        return path

    def _add(self, rater: str, lines: list[Answer], *, new: bool = False) -> int:
        """Append lines to a rater's file; with `new`, only those that are not in it. Returns how many."""
        for line in lines:
            reason = self._fault(line)
            if reason:
                raise DataError(f"an answer that does not fit sheet {self.sheet.name}: {reason}")
        path = self.path(rater)
        with _locked(path):
            there = self._read(path)[0]
            kinds = {line.by for line in (*there, *lines)}
            if len(kinds) > 1:
                taken = there[0].by if there else "both"
                raise DataError(
                    f"{rater!r} names a person and a model ({path.name} is by a {taken}): give one another name"
                )
            known = set(there) if new else set()
            lines = [line for line in dict.fromkeys(lines) if line not in known]
            _append(path, "".join(json.dumps(line._asdict()) + "\n" for line in lines))
        return len(lines)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def _read(self, path: Path, *, foreign: bool = False) -> tuple[list[Answer], list[Rejection]]:
        """Lines that fit the sheet, and the others with reasons; nothing where a rater has no file yet."""
        if not foreign and not path.is_file():
            return [], []
        lines, rejected = [], []
        for number, line in read_answers(path):
            reason = line.reason if isinstance(line, Unreadable) else self._fault(line)
            if reason:
                rejected.append(Rejection(number, None if isinstance(line, Unreadable) else line.item, reason))
            else:
                lines.append(line)
        if rejected and not foreign:
            log.warning("%s: %d lines left out, the first: %s", path, len(rejected), rejected[0].reason)
        return lines, rejected

    def _fault(self, line: Answer) -> str:
        """Why a line is not an answer to this sheet; "" where it is."""
        if line.sheet != self.sheet.digest:
            return f"it answers sheet {line.sheet}, not {self.sheet.name} ({self.sheet.digest})"
        if line.item not in self._items:
            return f"there is no item {line.item!r}"
        if line.question not in self._options:
            return f"there is no question {line.question!r}, only {', '.join(self._options)}"
        if line.answer is not None and line.answer not in self._options[line.question]:
            return f"{line.answer!r} is none of {', '.join(self._options[line.question])}"
        if line.by not in (PERSON, MODEL):
            return f"it is by {line.by!r}, neither {PERSON} nor {MODEL}"
        try:
            rater_id(line.rater)
            timed = datetime.fromisoformat(line.at).tzinfo is not None
        except (DataError, ValueError) as error:
            return str(error)
        return "" if timed else f"its time {line.at!r} has no zone"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_suffix(".lock"), timeout=30)
        lock.acquire()
    except filelock.Timeout:
        raise ArtifactError(f"{path} has been locked for 30 s: close the other window, then answer again") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written ({error}): choose another folder for the ratings") from error
    try:
        yield
    finally:
        lock.release()


def _append(path: Path, text: str) -> None:
    """Add whole lines and sync them; a torn line at the end is closed first, so that it harms no other."""
    if not text:
        return
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    text = "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ArtifactError(f"{path}: the answer was NOT saved ({error}); make room, then answer again") from error
