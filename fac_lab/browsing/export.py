"""A selection as files: CSV for spreadsheets, JSONL for programs, and a manifest that says what it was selected by.

Texts come from data sets, and a spreadsheet runs a cell that begins like a formula. So such texts get an apostrophe
in front in the CSV, behind which spreadsheets show them as text; numbers stay numbers, and the JSONL holds every text
as it is.
"""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fac_lab.atomic import write_atomic

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A text that begins with one of these could be run by a spreadsheet."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class Exported(NamedTuple):
    """Where a selection was written."""

    csv: Path
    jsonl: Path
    manifest: Path


def export(
    records: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], folder: str | Path, name: str
) -> Exported:
    """Write NAME.csv, NAME.jsonl and NAME.manifest.json into a folder, each whole or not at all.

    `records` have the same keys; a value is None, a bool, a number, a text, or a list or mapping of such. Raises
    ArtifactError where the folder cannot be written.
    """
    folder = Path(folder)
    files = Exported(*(folder / f"{name}.{kind}" for kind in ("csv", "jsonl", "manifest.json")))
    facts = {**manifest, "rows": len(records), "files": [files.csv.name, files.jsonl.name]}
    for path, content in (
        (files.csv, csv_bytes(records)),
        (files.jsonl, jsonl_bytes(records)),
        (files.manifest, _json(facts, indent=1) + b"\n"),
    ):
        write_atomic(path, lambda temporary, content=content: temporary.write_bytes(content))
    return files


def csv_bytes(records: Sequence[Mapping[str, Any]]) -> bytes:
    """The records as CSV in UTF-8, the keys of the first as header; without records, nothing."""
    if not records:
        return b""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    header = list(records[0])
    writer.writerow([_cell(name) for name in header])
    writer.writerows([_cell(record[name]) for name in header] for record in records)
    return out.getvalue().encode("utf-8", "backslashreplace")


def jsonl_bytes(records: Sequence[Mapping[str, Any]]) -> bytes:
    """The records as one JSON object a line, in UTF-8; NaN becomes null."""
    return b"".join(_json(record) + b"\n" for record in records)


def guarded(text: str) -> str:
    """A text that no spreadsheet runs: with an apostrophe in front where it begins like a formula.

    A text that is a number, such as "-0.3", is none.
    """
    return "'" + text if text.startswith(FORMULA) and not _NUMBER.fullmatch(text) else text


def _cell(value: Any) -> Any:
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, list):
        value = " | ".join(str(item["text"] if isinstance(item, dict) and "text" in item else item) for item in value)
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    return guarded(value) if isinstance(value, str) else value


def _json(value: Any, **style: Any) -> bytes:
    # Half a surrogate pair has no UTF-8; written as \udxxx it is JSON's own escape of it.
    return json.dumps(_plain(value), ensure_ascii=False, **style).encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """A value in JSON's terms."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
