"""Records of any data file a hub holds: besides the tables, .json arrays and gzipped JSON, nested values kept."""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from fac_lab.digests import file_digest
from fac_lab.errors import DataError
from fac_lab.tabular import Table, Unreadable, json_lines, listed, open_table

JSON_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
CHUNK = 1 << 20
LONGEST_RECORD = 1 << 26
"""Characters; without a limit one broken record of a 700 MB array would be searched for its end in all of it."""


class JsonRecords:
    """Records of a JSON file, one object per line or one array of objects, gzipped or not; see `tabular.Table`."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self.path, self.columns = path, tuple(columns)
        self.digest = file_digest(path)

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
        """(number, record) in file order; numbers count from 1, over lines or over elements."""
        for number, record in self._records():
            if isinstance(record, dict):
                record = {column: record.get(column) for column in self.columns}
            yield number, record

    def check(self) -> None:
        """DataError for a file without records, or without one of the columns in its first hundred."""
        first = [record for _, record in islice(self._records(), 100) if isinstance(record, dict)]
        there = list(dict.fromkeys(key for record in first for key in record))
        if not there:
            raise DataError(f"{self.path} holds no JSON objects; check how it was written")
        for column in self.columns:
            if column not in there:
                raise DataError(f"{self.path} has no column {column!r}; its columns: {listed(there)}")

    def _records(self) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
        opener = gzip.open if self.path.suffix == ".gz" else open
        number = 0
        try:
            with opener(self.path, "rt", encoding="utf-8-sig") as file:
                start = file.read(64).lstrip()[:1]
                file.seek(0)
                for number, record in _array(file) if start == "[" else json_lines(file):
                    yield number, record
        except (OSError, EOFError, zlib.error) as error:  # a gzip file that is cut, or no gzip file at all
            raise DataError(f"{self.path} is damaged after record {number} ({error}); fetch it again") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path} is not UTF-8 after record {number} ({error}); fetch it again") from error
        except _BrokenArray as error:
            raise DataError(f"{self.path}, after element {number}: {error}; fetch it again") from None


def open_records(path: Path, columns: Sequence[str]) -> Table | JsonRecords:
    """A checked data file with `digest` (sha256 of its bytes) and `rows()`; memory does not grow with it.

    Raises DataError, with the cure, for a file that is missing, empty, of another format, or lacks a column.
    """
    if not path.name.endswith(JSON_SUFFIXES) or not path.is_file():
        return open_table(path, columns=columns)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); fetch it again")
    records = JsonRecords(path, columns)
    records.check()
    return records


class _BrokenArray(Exception):
    """The array does not go on as JSON."""


def _array(file: TextIO) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    """Elements of one array, decoded as they come: json.load would hold a 700 MB file several times over."""
    decode = json.JSONDecoder().raw_decode
    text, at, number, ended = file.read(CHUNK).lstrip()[1:], 0, 0, False
    wanted = CHUNK
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] == "]":
            return
        try:
            record, at = decode(text, at)
        except (ValueError, RecursionError) as error:
            more = "" if ended or len(text) - at > LONGEST_RECORD else file.read(wanted)
            if not more:
                raise _BrokenArray(str(error) if at < len(text) else "the file ends before the array does") from None
            text, at, ended = text[at:] + more, 0, len(more) < wanted
            wanted *= 2  # a record longer than a chunk is decoded again from its start
            continue
        number += 1
        wanted = CHUNK
        yield number, record if isinstance(record, dict) else Unreadable("a JSON value, but not an object")
