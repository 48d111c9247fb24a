"""One answer as a line: in a rater's file, in an export, and back.

A CSV file is opened with spreadsheets, which run cells that look like formulas: those get an apostrophe before them,
and lose it when they are read.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fac_lab.errors import DataError
from fac_lab.tabular import Unreadable, json_lines, open_table

FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""What a spreadsheet may run when it opens a CSV file (https://owasp.org/www-community/attacks/CSV_Injection)."""


class Answer(NamedTuple):
    """One line of a rater's file."""

    sheet: str
    """The sheet's digest."""
    item: str
    question: str
    answer: str | None
    """One of the question's options; None withdraws what was said before."""
    rater: str
    by: str
    """"person" or "model"."""
    at: str
    """UTC time in ISO format."""


def read_answers(path: Path) -> Iterator[tuple[int, Answer | Unreadable]]:
    """(number, answer) per line of a .jsonl, or per row of a .csv as exported; unchecked but for their types.

    Raises DataError where the file is missing, and where a .csv lacks columns.
    """
    if path.suffix == ".csv":
        records = _csv_records(path)
    elif path.is_file():
        records = _jsonl_records(path.read_bytes())
    else:
        raise DataError(f"there is no file of ratings {path}")
    for number, record in records:
        yield number, record if isinstance(record, Unreadable) else _answer(record)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """What to write to `path`, which is a .csv or a .jsonl, for rows that all have the columns."""
    if path.suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False, default=_plain) + "\n" for row in rows)
    if path.suffix == ".csv":
        return _to_csv(rows, columns)
    raise DataError(f"{path}: ratings are exported as .csv or .jsonl")


def _answer(record: Mapping[str, Any]) -> Answer | Unreadable:
    values = {name: record.get(name) for name in Answer._fields}
    values["answer"] = values["answer"] or None
    wrong = [name for name, value in values.items() if not isinstance(value, str) and (name, value) != ("answer", None)]
    return Unreadable(f"{', '.join(wrong)} missing, or not a text") if wrong else Answer(**values)


def _jsonl_records(content: bytes) -> Iterator[tuple[int, Mapping[str, Any] | Unreadable]]:
    for number, record in json_lines(content.split(b"\n")):
        torn = isinstance(record, Unreadable)
        yield number, Unreadable(f"{record.reason}; perhaps torn when a run was killed") if torn else record


def _csv_records(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | Unreadable]]:
    for number, row in open_table(path, columns=Answer._fields).rows():
        yield number, row if isinstance(row, Unreadable) else {name: _unguarded(cell) for name, cell in row.items()}


def _to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows({name: _guarded(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _guarded(value: Any) -> Any:
    """Text that a spreadsheet would run, with an apostrophe before it; numbers and other text as they are."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    return value.item() if hasattr(value, "item") else str(value)
