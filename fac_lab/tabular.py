"""Tables on disk (.jsonl, .csv, .tsv, .parquet), read as a stream of records."""

import codecs
import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from fac_lab.digests import file_digest
from fac_lab.errors import DataError
from fac_lab.parse import parse_json

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".jsonl", *DELIMITERS, ".parquet")
LONGEST_CELL = 2**31 - 1
"""Characters; the csv module's own limit of 131,072 is less than a long document."""


class Unreadable(NamedTuple):
    """A row that does not parse, and why."""

    reason: str


@dataclass(frozen=True)
class Table:
    """A checked file and the columns that are wanted from it."""

    path: Path
    columns: tuple[str, ...]
    digest: str
    """sha256 of the file's bytes."""

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
        """(number, record) per row in file order; numbers count from 1, in .jsonl they are line numbers."""
        if self.path.suffix == ".parquet":
            return _parquet_rows(self.path, self.columns)
        if self.path.suffix == ".jsonl":
            return _jsonl_rows(self.path, self.columns)
        return _csv_rows(self.path, self.columns)


def listed(columns: Sequence[str]) -> str:
    """Names of columns for a message, as many and as long as can be read."""
    shown = [name if len(name) <= 40 else f"{name[:40]}..." for name in columns[:20]]
    more = [f"and {len(columns) - len(shown)} more"] if len(columns) > len(shown) else []
    return ", ".join([*shown, *more]) or "none"


def open_table(path: Path, *, columns: Sequence[str]) -> Table:
    """Check a file and return it as a table of `columns`.

    Raises DataError, with the cure, for a file that is missing, empty, of another format, not UTF-8 (with the
    byte offset), without rows, or without one of the columns (with those it has).
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {path}; check the path")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name one file in it")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is none of {', '.join(SUFFIXES)}; convert it, or give it the right suffix")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); check how it was written")
    digest = file_digest(path) if path.suffix == ".parquet" else _text_digest(path)
    there = _column_names(path)
    for column in columns:
        if column not in there:
            raise DataError(f"{path} has no column {column!r}; its columns: {listed(there)}")
    table = Table(path, tuple(dict.fromkeys(columns)), digest)
    if next(table.rows(), None) is None:
        raise DataError(f"{path} has columns but no rows; check how it was written")
    return table


def _text_digest(path: Path) -> str:
    """sha256 of a text file, decoded on the way so that a wrong encoding shows before any work is done."""
    hasher, decoder, read = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            if read == 0 and (chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in chunk[:4096]):
                raise DataError(f"{path} looks like UTF-16, not UTF-8 text (byte 0); {_recode(path, 'UTF-16')}")
            hasher.update(chunk)
            read += len(chunk)
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, read - len(error.object) + error.start) from None
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, read - len(error.object) + error.start) from None
    return hasher.hexdigest()


def _not_utf8(path: Path, offset: int) -> DataError:
    return DataError(
        f"{path} is not UTF-8: byte {offset} does not decode; if it is Windows or Latin-1 text, "
        f"{_recode(path, 'WINDOWS-1252')}"
    )


def _recode(path: Path, encoding: str) -> str:
    return f"recode it: iconv -f {encoding} -t UTF-8 '{path}' > '{path.stem}.utf8{path.suffix}'"


def _column_names(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return _open_parquet(path).schema_arrow.names
    if path.suffix == ".jsonl":
        # Keys may be left out of single rows, so look at more than one.
        records = (record for _, record in _jsonl_records(path) if isinstance(record, dict))
        names = list(dict.fromkeys(key for record in islice(records, 100) for key in record))
        if not names:
            raise DataError(f"{path} holds no JSON objects, one per line; convert it (an array is not .jsonl)")
        return names
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(_csv_reader(file, path), [])


def _jsonl_records(path: Path) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    with path.open(encoding="utf-8-sig") as file:
        yield from json_lines(file)


def json_lines(lines: Iterable[str | bytes]) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    """(number, object) of each line that is not blank, numbers from 1; of one that holds no object, why."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            yield number, Unreadable(f"not valid JSON: {error}")
            continue
        yield number, record if isinstance(record, dict) else Unreadable("a JSON value, but not an object")


def _jsonl_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    for number, record in _jsonl_records(path):
        if isinstance(record, dict):
            record = {column: record.get(column) for column in columns}
        yield number, record


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = _csv_reader(file, path)
        header = next(reader, [])
        where = {column: header.index(column) for column in columns}
        number = 0
        for cells in reader:
            if not cells:  # a blank line
                continue
            number += 1
            if len(cells) != len(header):
                yield number, Unreadable(f"{len(cells)} cells under {len(header)} columns")
                continue
            yield number, {column: cells[index] for column, index in where.items()}


def _csv_reader(file: Any, path: Path) -> Iterator[list[str]]:
    # The limit is the module's, not the reader's; raising it harms nobody, leaving it loses long texts.
    csv.field_size_limit(LONGEST_CELL)
    # Strict, because a quote that never closes otherwise swallows the rest of the file as one cell.
    reader = csv.reader(file, delimiter=DELIMITERS[path.suffix], strict=True)
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f'{path}, line {reader.line_num}: {error}; check the quotes there (one inside a cell is written twice: "")'
        ) from None


def _open_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file ({error}); write it again") from error


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa

    file = _open_parquet(path)
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
            for record in batch.to_pylist():
                number += 1
                yield number, record
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged after row {number} ({error}); write it again") from error
