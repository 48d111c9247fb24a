"""A corpus in parquet shards: what many workers read, one shard each at a time.

A worker reads whole shards, so a shard is also what a lost worker costs. Where every shard but the last holds
a multiple of `collect.chunk` rows, the chunks of all workers are those of one process that reads the corpus
from end to end, and so are its batches: the statistics are then equal to the last bit, not only up to the
rounding that other batches bring.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from fac_lab.atomic import write_atomic
from fac_lab.corpora import Corpus, Row
from fac_lab.digests import digest
from fac_lab.errors import DataError
from fac_lab.store import Artifact, Store

log = logging.getLogger(__name__)

SHARDS_VERSION = 1


class Shard(NamedTuple):
    """One parquet file."""

    path: str
    """Where every worker finds it: a folder that all machines share."""
    rows: int
    """Rows in the file, unusable ones included."""
    digest: str
    """Digest of its content and of the columns that are read."""


@dataclass(frozen=True)
class Shards:
    """A corpus in the order of its shards."""

    name: str
    """Name of the corpus."""
    digest: str
    """Digest of the whole corpus."""
    files: tuple[Shard, ...]
    """In order."""
    text_column: str = "text"
    """Column that holds the text."""
    id_column: str | None = None
    """Column of ids; None numbers the rows of each shard."""
    prefixed: bool = True
    """Whether ids begin with the shard's name: files that others wrote may use an id in two of them."""

    def part(self, number: int) -> Corpus:
        """The rows of one shard. Raises DataError where the file is no longer the one that was planned."""
        shard = self.files[number]
        rows = Corpus.from_file(shard.path, text_column=self.text_column, id_column=self.id_column)
        if rows.digest != shard.digest:
            raise DataError(f"{shard.path} was changed since the run began: leave the shards alone, and run it again")
        if not self.prefixed:
            return rows
        return Corpus(rows.name, self.part_digest(number), lambda: _prefixed(rows, Path(shard.path).stem))

    def part_digest(self, number: int) -> str:
        """Digest of `part(number)`, without opening the file."""
        shard = self.files[number]
        return digest(shard.digest, Path(shard.path).stem) if self.prefixed else shard.digest

    def corpus(self) -> Corpus:
        """All rows, shard after shard: what one process reads."""
        return Corpus(
            self.name, self.digest, lambda: (row for number in range(len(self.files)) for row in self.part(number))
        )


def open_shards(
    files: str | Path | Sequence[str | Path],
    *,
    text_column: str = "text",
    id_column: str | None = None,
    name: str | None = None,
) -> Shards:
    """The parquet files of a folder (by name), or the files listed (in that order), as one corpus.

    Every file is opened and hashed at once, so that a half-written one is found before any work is done:
    DataError, with the file and the cure. Files without rows are left out. Ids become `file/id`.
    """
    if isinstance(files, str | Path):
        folder = Path(files)
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; name the folder that holds the parquet shards")
        paths = sorted(folder.glob("*.parquet"))
        if not paths:
            raise DataError(f"{folder} holds no .parquet files; write the corpus there as parquet shards")
        name = name or folder.name
    else:
        paths = [Path(path) for path in files]
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise DataError(f"two shards are named {twice}, so their rows would have the same ids; rename one of them")
    opened = [_open(path, text_column, id_column) for path in paths]
    filled = tuple(shard for shard in opened if shard.rows)
    if not filled:
        raise DataError(f"none of the {len(paths)} shards has any rows; check how they were written")
    whole = digest("shards", [(Path(shard.path).stem, shard.digest) for shard in filled])
    return Shards(name or "shards", whole, filled, text_column, id_column)


def write_shards(corpus: Corpus, store: Store, *, rows: int) -> Shards:
    """The usable rows of a corpus in shards of `rows` rows, kept in the store; one shard is in memory at a time.

    The shards stand for the corpus itself: they have its digest, and rows keep their ids.
    """

    def build(artifact: Artifact) -> dict:
        left, sizes = iter(corpus), []
        for number in count():
            block = list(islice(left, rows))
            if not block:
                return {"name": corpus.name, "rows": sizes}
            _write(artifact.file(f"shard-{number:06d}.parquet"), block)
            sizes.append(len(block))

    artifact = store.once("shards", build, version=SHARDS_VERSION, corpus=corpus.digest, rows=rows)
    paths = [artifact.file(f"shard-{number:06d}.parquet").resolve() for number in range(len(artifact.facts["rows"]))]
    files = tuple(_open(path, "text", "id") for path in paths)
    return Shards(corpus.name, corpus.digest, files, "text", "id", prefixed=False)


def _write(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # large_string, because a column of texts may exceed 2 GB.
    columns = {name: pa.array([getattr(row, name) for row in rows], pa.large_string()) for name in ("id", "text")}
    write_atomic(path, lambda temporary: pq.write_table(pa.table(columns), temporary))


def _open(path: Path, text_column: str, id_column: str | None) -> Shard:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = path.resolve()
    try:
        rows = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not a whole parquet file ({error}): it is damaged or still being written; write it again"
        ) from error
    if rows == 0:
        log.warning("%s has no rows: left out", path)
        return Shard(str(path), 0, "")
    corpus = Corpus.from_file(path, text_column=text_column, id_column=id_column)
    return Shard(str(path), rows, corpus.digest)


def _prefixed(rows: Corpus, stem: str) -> Iterator[Row]:
    return (row._replace(id=f"{stem}/{row.id}") for row in rows)
