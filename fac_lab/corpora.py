"""Data sets: rows of text, streamed from files or drawn from the mini world, every unusable row listed."""

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from fac_lab import world
from fac_lab.digests import digest
from fac_lab.errors import DataError, SettingsError
from fac_lab.profile import resolve
from fac_lab.recipes.catalogue import catalogue
from fac_lab.recipes.sources import open_source
from fac_lab.rows import Rejection, Row, as_label, fault
from fac_lab.settings import CorpusSettings
from fac_lab.tabular import Unreadable, open_table

__all__ = ["Corpus", "Rejection", "Row", "open_corpus"]

log = logging.getLogger(__name__)


class Corpus:
    """A data set that can be read again and again, one row at a time.

    Each pass streams from the file: memory does not grow with the rows, except for a fingerprint of each id
    (some 70 bytes) where there is an id column to be searched for repeats. `rejections` lists the unusable
    rows of the last full pass and is empty before the first. A full pass without any usable row ends in a
    DataError.
    """

    def __init__(
        self,
        name: str,
        digest: str,
        read: Callable[[], Iterator[Row | Rejection]],
        *,
        record: dict[str, Any] | None = None,
    ):
        self.name = name
        self.digest = digest
        self.record = record
        """Of a named source: what it is made of, in plain values, for the run's record."""
        self.rejections: list[Rejection] = []
        self._read = read

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}, {self.digest})"

    def __iter__(self) -> Iterator[Row]:
        rejections, n_rows = [], 0
        for item in self._read():
            if isinstance(item, Rejection):
                rejections.append(item)
            else:
                n_rows += 1
                yield item
        if rejections and rejections != self.rejections:
            log.warning("%s: %d of %d rows rejected", self.name, len(rejections), n_rows + len(rejections))
        self.rejections = rejections
        if n_rows == 0:
            first = "; ".join(f"row {r.row}: {r.reason}" for r in rejections[:3]) or "there are no rows"
            raise DataError(f"{self.name} has no usable row ({first}); check the file and the text column")

    @classmethod
    def from_rows(cls, name: str, rows: Iterable[Row]) -> "Corpus":
        """A data set held in memory; its rows are checked like those of a file."""
        held = tuple(rows)
        return cls(name, digest(held), lambda: _checked(enumerate(held, start=1), repeats=True))

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        text_column: str = "text",
        id_column: str | None = None,
        label_column: str | None = None,
        name: str | None = None,
    ) -> "Corpus":
        """A .jsonl, .csv, .tsv or .parquet file; without `id_column` rows are named row-1, row-2, ...

        Checked at once, with a DataError that names the cure: the file exists, has rows and the columns, and
        is UTF-8 to its end. Rejected while reading: rows that do not parse, texts that are empty or no
        strings, repeated ids (the first is kept), labels that are no integers.
        """
        table = open_table(Path(path), columns=[c for c in (text_column, id_column, label_column) if c])

        def read() -> Iterator[Row | Rejection]:
            parsed = (
                (number, _parse(number, record, text_column, id_column, label_column))
                for number, record in table.rows()
            )
            return _checked(parsed, repeats=id_column is not None)

        return cls(name or Path(path).name, digest(table.digest, text_column, id_column, label_column), read)

    def head(self, n: int, seed: int) -> "Corpus":
        """`n` rows drawn without replacement, in the order of the file; all of them if there are fewer.

        One streaming pass, now; the rows are then in memory and this corpus' rejections go with them.
        """
        chance = random.Random(seed)
        reservoir: list[tuple[int, Row]] = []
        for index, row in enumerate(self):
            if index < n:
                reservoir.append((index, row))
            elif (place := chance.randrange(index + 1)) < n:
                reservoir[place] = (index, row)
        if len(reservoir) < n:
            log.warning("%s has %d usable rows, fewer than the %d asked for", self.name, len(reservoir), n)
        items = (*(row for _, row in sorted(reservoir)), *self.rejections)
        return Corpus(self.name, digest(self.digest, n, seed), lambda: iter(items), record=self.record)

    def split(self, n: int, seed: int) -> tuple["Corpus", "Corpus"]:
        """`n` rows drawn without replacement, and all the others; both stream, in the order of the file.

        One pass, now, counts the rows; with fewer than n + 1 of them nothing would be left: DataError.
        """
        size = sum(1 for _ in self)
        if n >= size:
            raise DataError(f"{self.name} has {size} usable rows: {n} cannot be drawn and some be left; draw fewer")
        drawn = bytearray(size)  # a byte a row, where a set of numbers would take sixty for each that is drawn
        for index in random.Random(seed).sample(range(size), n):
            drawn[index] = 1

        def part(inside: bool) -> "Corpus":
            which = "drawn" if inside else "rest"
            return Corpus(
                f"{self.name} ({which})",
                digest(self.digest, n, seed, which),
                lambda: (
                    row for row, is_drawn in zip(self, chain(drawn, repeat(0)), strict=False) if is_drawn == inside
                ),
                record=self.record,
            )

        return part(True), part(False)


def open_corpus(settings: CorpusSettings, role: str, *, data_dir: str | Path | None = None) -> Corpus:
    """The data set of a role ("anchor", "seed", "pool", "test"); its name is the role.

    A source that `recipes/catalogue.yaml` names (recipe, mix or protocol) is read below `data_dir`, or else
    $FAC_LAB_DATA, or else from the hub; its files are checked now, the number of its rows at the end of each pass.

    From the mini world, rows carry the concept and label 1 where it is harmful; the concepts that
    `world.hold_out(settings.held_out, seed=settings.held_out_seed)` names are left out.
    """
    if settings.source == "mini":
        left_out = set(world.hold_out(settings.held_out, seed=settings.held_out_seed))
        among = [concept for concept in world.concepts() if concept not in left_out]
        # Never null here: see CorpusSettings.
        drawn = world.queries(settings.n or 0, seed=settings.seed, among=among)
        return Corpus.from_rows(
            role,
            (
                Row(f"{role}-{number}", text, int(concept.harmful), concept.id)
                for number, (concept, text) in enumerate(drawn, start=1)
            ),
        )
    if settings.source in catalogue():
        if (settings.text_column, settings.id_column, settings.label_column) != ("text", None, None):
            raise SettingsError(f"corpora.{role}: {settings.source} knows its columns; remove those that are named")
        opened = open_source(settings.source, role, data_dir=data_dir, accept=settings.accept)
        named = Corpus(role, opened.digest, opened.read, record=opened.record)
        return named if settings.n is None else named.head(settings.n, settings.seed)
    corpus = Corpus.from_file(
        resolve(settings.source),
        text_column=settings.text_column,
        id_column=settings.id_column,
        label_column=settings.label_column,
        name=role,
    )
    return corpus if settings.n is None else corpus.head(settings.n, settings.seed)


def _parse(
    number: int,
    record: dict[str, Any] | Unreadable,
    text_column: str,
    id_column: str | None,
    label_column: str | None,
) -> Row | Rejection:
    if isinstance(record, Unreadable):
        return Rejection(number, None, record.reason)
    row_id = record[id_column] if id_column else f"row-{number}"
    if row_id is None or row_id == "":
        return Rejection(number, None, f"no id in {id_column!r}")
    label = None
    if label_column:
        label = as_label(record[label_column])
        if label is None:
            reason = f"label {record[label_column]!r} is not an integer"
            return Rejection(number, str(row_id), reason)
    return Row(str(row_id), record[text_column], label)


def _checked(numbered: Iterable[tuple[int, Row | Rejection]], *, repeats: bool) -> Iterator[Row | Rejection]:
    """Rows as they are, unusable ones turned into rejections; `repeats`: look for ids seen before."""
    seen: set[int] = set()
    for number, item in numbered:
        if isinstance(item, Rejection):
            yield item
            continue
        reason = fault(item)
        if reason is None and repeats:
            fingerprint = hash(item.id)
            reason = f"id {item.id!r} was there before" if fingerprint in seen else None
            seen.add(fingerprint)
        yield item if reason is None else Rejection(number, item.id, reason)
