"""What people changed: a journal that only grows, and the overlay that follows from it.

One JSON object a line. The first line names the SAE the edits are about; each further one is an edit with name and
time (UTC), or takes an earlier one back, which can be taken back in turn. A line is appended in one write behind a
file lock, so that two people who save at once both keep their change. A line that a killed process left unfinished is
moved to a file beside the journal, with a warning.
"""

import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from fac_lab.annotation.styles import VERDICTS
from fac_lab.errors import ArtifactError, SettingsError, short
from fac_lab.parse import parse_json

log = logging.getLogger(__name__)

FORMAT = 1
KINDS = ("summary", "verdict", "sample")
DECISIONS = ("accept", "reject")
LOCK_SECONDS = 30


class Edit(NamedTuple):
    """One change that a person made."""

    id: str
    """Names the entry in the journal."""
    at: str
    """When, in ISO format, UTC."""
    by: str
    """Who, as they call themselves."""
    kind: str
    """"summary", "verdict", "sample", or "undo"."""
    feature: int
    """The feature it is about."""
    value: str
    """The new summary, one of VERDICTS, or one of DECISIONS; of an undo, the entry that it takes back."""
    text: str | None = None
    """The sample that is accepted or rejected; None for the other kinds."""
    machine: str | None = None
    """What the machine had said at that time."""
    labels: str | None = None
    """Digest of the labels that were shown."""


class Overlay(NamedTuple):
    """The changes in force; of several about one thing the last one counts."""

    summaries: dict[int, Edit]
    """By feature."""
    verdicts: dict[int, Edit]
    """By feature."""
    samples: dict[tuple[int, str], Edit]
    """By feature and text."""


class Journal:
    """The edits about one SAE's features in one file.

    `sae` and `labels` are digests, `name` what to call the SAE in messages; `d_sae` its number of features. The file
    is made by the first edit. Raises ArtifactError for a file that is no journal or that belongs to another SAE,
    naming both.
    """

    def __init__(self, path: str | Path, *, sae: str, d_sae: int, name: str = "", labels: str | None = None) -> None:
        self.path = Path(path)
        self.sae, self.d_sae, self.name, self.labels = sae, d_sae, name or "the SAE", labels
        self._edits: list[Edit] = []
        self._read_upto = 0
        self.version = 0
        """Rises when entries are read or written."""
        if self.path.exists():
            # A folder that may not be written has no lock, but can be read.
            with suppress(OSError), self._locked():
                self._repair()
            self.refresh()

    @property
    def edits(self) -> list[Edit]:
        """All entries, oldest first, undone ones and undoings included."""
        self.refresh()
        return list(self._edits)

    def refresh(self) -> bool:
        """Read what others appended since; whether there was anything."""
        if not self.path.exists() or self.path.stat().st_size <= self._read_upto:
            return False
        with self.path.open("rb") as file:
            file.seek(self._read_upto)
            content = file.read()
        # What stands behind the last line end is being written at this moment.
        whole = content[: content.rfind(b"\n") + 1]
        first = self._read_upto == 0
        for number, line in enumerate(whole.splitlines(keepends=True)):
            if first and number == 0:
                self._check_header(line)
            elif (edit := self._read(line)) is not None:
                self._edits.append(edit)
        self._read_upto += len(whole)
        self.version += bool(whole)
        return bool(whole)

    def edit_summary(self, feature: int, summary: str, *, by: str, machine: str | None = None) -> Edit:
        """Say in one's own words what a feature stands for."""
        if not summary.strip():
            raise SettingsError("the new summary is empty: write one, or undo the edit to return to the old one")
        return self._append("summary", feature, summary, by=by, machine=machine)

    def override_verdict(self, feature: int, verdict: str, *, by: str, machine: str | None = None) -> Edit:
        """Say whether a feature matters to the task: one of VERDICTS."""
        if verdict not in VERDICTS:
            raise SettingsError(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
        return self._append("verdict", feature, verdict, by=by, machine=machine)

    def decide_sample(self, feature: int, text: str, decision: str, *, by: str, machine: str | None = None) -> Edit:
        """Accept or reject a sample that was written for a feature."""
        if decision not in DECISIONS:
            raise SettingsError(f"a sample is to be accepted or rejected ({', '.join(DECISIONS)}), not {decision!r}")
        return self._append("sample", feature, decision, by=by, machine=machine, text=text)

    def undo(self, entry: str | None = None, *, by: str) -> Edit | None:
        """Take back an entry (by id), or the last change of `by` that is in force; None where there is none.

        Undoing an undo brings the change back. Raises SettingsError for an id that is not in the journal or not in
        force.
        """
        active = self._active()
        if entry is None:
            own = [edit for edit in active if edit.by == by.strip() and edit.kind != "undo"]
            if not own:
                return None
            taken = own[-1]
        else:
            found = [edit for edit in active if edit.id == entry]
            if not found:
                raise SettingsError(f"there is no change {entry} in force in {self.path}: it was undone already")
            taken = found[0]
        return self._append("undo", taken.feature, taken.id, by=by)

    def redo(self, *, by: str) -> Edit | None:
        """Take back the last undo of `by`; None where there is none, or where they changed something since."""
        kinds = {edit.id: edit.kind for edit in self._edits}
        for edit in reversed(self._active()):
            if edit.by != by.strip() or (edit.kind == "undo" and kinds.get(edit.value) == "undo"):
                continue  # somebody else's, or itself what a redo wrote
            return self.undo(edit.id, by=by) if edit.kind == "undo" else None
        return None

    def overlay(self, *, by: str | None = None) -> Overlay:
        """The changes in force, of everybody or of one person."""
        found = Overlay({}, {}, {})
        for edit in self._active():
            if by is not None and edit.by != by:
                continue
            match edit.kind:
                case "summary":
                    found.summaries[edit.feature] = edit
                case "verdict":
                    found.verdicts[edit.feature] = edit
                case "sample":
                    found.samples[edit.feature, edit.text or ""] = edit
        return found

    def history(self, feature: int) -> list[Edit]:
        """All entries about a feature, oldest first."""
        return [edit for edit in self.edits if edit.feature == feature]

    def _active(self) -> list[Edit]:
        """Entries, undos among them, that no later entry in force takes back; oldest first."""
        undone: set[str] = set()
        active = []
        for edit in reversed(self.edits):
            if edit.id in undone:
                continue
            if edit.kind == "undo":
                undone.add(edit.value)
            active.append(edit)
        return active[::-1]

    def _append(self, kind: str, feature: int, value: str, *, by: str, **more: Any) -> Edit:
        if not by.strip():
            raise SettingsError("who makes this change? Give a name: each is kept with name and time")
        if not 0 <= feature < self.d_sae:
            raise SettingsError(f"there is no feature {feature} in {self.name}, only 0 to {self.d_sae - 1}")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        edit = Edit(secrets.token_hex(8), now, by.strip(), kind, int(feature), value, labels=self.labels, **more)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._repair()
                self.refresh()
                lines = [edit._asdict()]
                if self._read_upto == 0:
                    lines.insert(0, {"journal": "fac_lab edits", "format": FORMAT, "sae": self.sae, "name": self.name})
                self._write("".join(json.dumps(line) + "\n" for line in lines).encode())
        except OSError as error:
            raise ArtifactError(
                f"{self.path}: the change was not saved ({error}); make room on the disk, or choose another folder"
            ) from error
        self.refresh()
        return edit

    def _write(self, content: bytes) -> None:
        """Append in one write; a disk that fills up in the middle leaves the file as it was."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            try:
                if os.write(handle, content) < len(content):
                    raise OSError("the disk is full")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)

    def _repair(self) -> None:
        """Move an unfinished last line out of the way; to be called behind the lock, where nobody is writing."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        tail = content[content.rfind(b"\n") + 1 :]
        if not tail:
            return
        aside = self.path.with_suffix(".damaged")
        log.warning(
            "%s: its last line was not written to its end and is left out; what there is of it is in %s",
            self.path,
            aside,
        )
        try:
            with aside.open("ab") as file:
                file.write(tail + b"\n")
            os.truncate(self.path, len(content) - len(tail))
        except OSError as error:  # a folder that may not be written can still be read
            log.warning("%s could not be repaired (%s)", self.path, error)

    def _check_header(self, line: bytes) -> None:
        try:
            header = parse_json(line)
            sae, name, written = header["sae"], header["name"], header["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{self.path} is not a journal of edits ({error}); choose another file for the edits"
            ) from error
        if written != FORMAT:
            raise ArtifactError(f"{self.path} has format {written}, this version reads {FORMAT}: update fac-lab")
        if sae != self.sae:
            raise ArtifactError(
                f"{self.path} holds edits of the features of {name} ({sae}), but the features shown are those of "
                f"{self.name} ({self.sae}): the numbers of two SAEs' features have nothing to do with each other. "
                "Open the data that belong to it, or choose another folder for the edits"
            )

    def _read(self, line: bytes) -> Edit | None:
        try:
            values = parse_json(line)
            edit = Edit(**{name: values[name] for name in Edit._fields if name in values})
            texts = (edit.id, edit.at, edit.by, edit.kind, edit.value)
            more = (edit.text, edit.machine, edit.labels)
            sound = all(isinstance(text, str) for text in texts) and all(
                text is None or isinstance(text, str) for text in more
            )
            if not sound or type(edit.feature) is not int:
                raise ValueError("a field is of the wrong type")
            if edit.kind not in (*KINDS, "undo") or not 0 <= edit.feature < self.d_sae:
                raise ValueError(f"no {edit.kind} of feature {edit.feature} can be")
            return edit
        except (ValueError, TypeError) as error:
            log.warning("%s: a line cannot be read and is left out (%s)", self.path, short(error))
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with filelock.FileLock(self.path.with_suffix(".lock"), timeout=LOCK_SECONDS):
                yield
        except filelock.Timeout as error:
            raise ArtifactError(
                f"{self.path} has been held by another process for {LOCK_SECONDS} s: end it, then save again"
            ) from error
