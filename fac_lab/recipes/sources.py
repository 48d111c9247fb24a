"""From a name of the catalogue to rows: find its files, check them, turn records into rows, join and draw."""

import hashlib
import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from fac_lab.digests import digest
from fac_lab.errors import DataError
from fac_lab.profile import as_dict
from fac_lab.recipes.catalogue import Catalogue, DataFile, Mix, Recipe, catalogue
from fac_lab.recipes.hub import fetch
from fac_lab.recipes.records import open_records
from fac_lab.recipes.shapes import AnyRow, Unusable, as_row
from fac_lab.rows import Rejection, Row, as_query, fault
from fac_lab.tabular import Unreadable

log = logging.getLogger(__name__)

SHOWN = 12
"""Characters of a hash in messages and in `accept`."""


class FileOrigin(NamedTuple):
    """Where one file was read from."""

    path: str
    """Path in the repository, or below data_dir."""
    place: str
    """"huggingface", "github" or "data_dir"."""
    revision: str | None
    """The commit it is from; None in a data_dir, which does not know."""
    sha256: str
    checked: bool
    """Whether the recipe pins this hash; False also where the file was accepted though it differs."""


@dataclass
class Opened:
    """A recipe whose files are found and checked. Each `read` is one streaming pass; so memory stays flat."""

    name: str
    recipe: Recipe
    """As it is read here: with the columns and the row count of the copy."""
    origins: list[FileOrigin]
    digest: str
    """Of the files' content and of all that turns it into rows; not of where they lie."""
    read: Callable[[], Iterator[AnyRow | Rejection]] = field(repr=False)

    def rows(self) -> Iterator[AnyRow]:
        """The usable rows; how many were not, and why the first was not, is logged at the end of a pass."""
        rejections = []
        for row in self.read():
            if isinstance(row, Rejection):
                rejections.append(row)
            else:
                yield row
        if rejections:
            first = rejections[0]
            log.warning("%s: %d rows rejected, the first (%d): %s", self.name, len(rejections), *first[::2])


def open_recipe(
    name: str,
    *,
    data_dir: str | Path | None = None,
    accept: Sequence[str] = (),
    known: Catalogue | None = None,
) -> Opened:
    """Find and check the files of a recipe ("name", or "name@commit" for another revision).

    With `data_dir` (or $FAC_LAB_DATA) they are read there and nowhere else: as the recipe's local layout says, else
    as data_dir/<repo>/<path>, which is what `hf download REPO --repo-type dataset --local-dir` leaves. Without it
    they come from the hub. A pass yields rows of the recipe's kind, and rejections with their reason; of rows with one
    id the first is kept.

    Raises DataError where a file is not there, its hash is not the pinned one, or (at the end of a pass) the number
    of rows is not; `accept` lists the beginnings of hashes to take all the same. SettingsError: no such recipe.
    """
    known = known or catalogue()
    recipe = known.recipe(name)
    folder = data_dir or os.environ.get("FAC_LAB_DATA") or None
    if folder is None:
        recipe, found = _from_hub(name, recipe)
    else:
        recipe, found = _from_folder(name, recipe, Path(folder).expanduser())
    columns = _columns_read(recipe)
    tables = [open_records(path, columns) for _, path, _, _ in found]
    origins = []
    for (file, path, place, revision), table in zip(found, tables, strict=True):
        taken = _accepted(table.digest, accept)
        if file.sha256 not in (None, table.digest) and not taken:
            raise DataError(
                f"{name}: {path} is not the file the recipe was written for: sha256 {table.digest[:SHOWN]}..., not "
                f"{file.sha256[:SHOWN]}...{_at(recipe)}. {_cure(table.digest)}"
            )
        origins.append(FileOrigin(file.path, place, revision, table.digest, table.digest == file.sha256))
    sources = [(file, table) for (file, _, _, _), table in zip(found, tables, strict=True)]
    other = None
    if recipe.without is not None:
        other = open_recipe(recipe.without, data_dir=data_dir, accept=accept, known=known)
    all_taken = all(_accepted(origin.sha256, accept) for origin in origins)

    def read() -> Iterator[AnyRow | Rejection]:
        barred = {_fingerprint(row) for row in other.read() if not isinstance(row, Rejection)} if other else set()
        kept, seen = 0, set()
        for row in _rows(recipe, sources):
            kept += 1
            if not isinstance(row, Rejection) and "id" in recipe.columns:
                mark = hash(row.id)  # ids that this module makes itself do not repeat
                if mark in seen:
                    row = Rejection(kept, row.id, f"id {row.id!r} was there before")
                seen.add(mark)
            if barred and not isinstance(row, Rejection) and _fingerprint(row) in barred:
                row = Rejection(kept, row.id, f"its text is in {recipe.without}, too")
            yield row
        if recipe.rows not in (None, kept) and not all_taken:
            raise DataError(
                f"{name} has {kept:,} rows, not {recipe.rows:,}{_at(recipe)}. {_cure(*(o.sha256 for o in origins))}"
            )

    made_of = [origin.sha256 for origin in origins]
    how = {key: as_dict(recipe)[key] for key in ("kind", "columns", "shape", "keep", "values", "without")}
    ids = [(file.id, dict(file.set or {})) for file, _ in sources]
    return Opened(name, recipe, origins, digest(made_of, how, ids, other.digest if other else None), read)


class Joined(NamedTuple):
    """A source in one role, opened."""

    digest: str
    record: dict[str, Any]
    """What it is made of, for the run's record: the source written out, and where each file was read."""
    read: Callable[[], Iterator[Row | Rejection]]


def open_source(
    source: str,
    role: str,
    *,
    data_dir: str | Path | None = None,
    accept: Sequence[str] = (),
    known: Catalogue | None = None,
) -> Joined:
    """A recipe, mix or protocol as the queries of a role; other kinds give what a user would say in them.

    Of a mix the parts follow each other, ids get the part's name in front, and a share is drawn without
    replacement, in order. Errors as in `open_recipe`; DataError where the protocol leaves the role open.
    """
    known = known or catalogue()
    mix = known.mix(source, role)
    parts = [open_recipe(part.recipe, data_dir=data_dir, accept=accept, known=known) for part in mix.parts]
    record = {
        **known.describe(source, role),
        "role": role,
        "read": {part.name: {o.path: o._asdict() for o in part.origins} for part in parts},
    }
    made_by = {key: value for key, value in as_dict(mix).items() if key != "note"}
    return Joined(digest(made_by, [part.digest for part in parts]), record, lambda: _drawn(mix, parts))


def _drawn(mix: Mix, parts: Sequence[Opened]) -> Iterator[Row | Rejection]:
    if mix.share is None:
        yield from _joined(mix, parts)
        return
    # Counted in a pass of its own, because a draw from a stream of unknown length would have to hold the rows.
    n_rows = sum(not isinstance(row, Rejection) for row in _joined(mix, parts))
    drawn = set(random.Random(mix.seed).sample(range(n_rows), int(mix.share * n_rows + 1e-9)))
    index = -1
    for row in _joined(mix, parts):
        index += not isinstance(row, Rejection)
        if isinstance(row, Rejection) or index in drawn:
            yield row


def _joined(mix: Mix, parts: Sequence[Opened]) -> Iterator[Row | Rejection]:
    seen: set[int] = set()
    for opened, part in zip(parts, mix.parts, strict=True):
        for row in opened.read():
            if isinstance(row, Rejection):
                yield row
                continue
            query = as_query(row)
            if mix.unique:
                mark = _fingerprint(query)
                if mark in seen:
                    continue
                seen.add(mark)
            if len(parts) > 1:
                query = query._replace(id=f"{part.recipe}/{query.id}")
            yield query if part.label is None else query._replace(label=part.label)


Found = tuple[DataFile, Path, str, str | None]


def _from_hub(name: str, recipe: Recipe) -> tuple[Recipe, list[Found]]:
    if recipe.repo is None:
        raise DataError(f"{name} has no public name, only a local copy: set data_dir (or $FAC_LAB_DATA) to its folder")
    found: list[Found] = []
    revision = recipe.revision
    for file in recipe.files:
        path, commit = fetch(recipe.repo, file.path, revision, host=recipe.host)
        found.append((file, path, recipe.host, commit))
        revision = commit  # all files of one commit, though the branch may move while they are fetched
    if not recipe.pinned:
        log.warning(
            "%s is not pinned: %s is at %s today; to stay there, write %s@%s",
            name,
            recipe.repo,
            revision,
            name,
            revision,
        )
    return recipe, found


def _from_folder(name: str, recipe: Recipe, folder: Path) -> tuple[Recipe, list[Found]]:
    if not folder.is_dir():
        raise DataError(f"data_dir {folder} is no folder; check the path, or remove it to read from the hub")
    tried = []
    for candidate, files in _layouts(recipe):
        paths = [folder / path for path in files]
        if all(path.is_file() for path in paths):
            named = candidate.files
            return candidate, [(file, path, "data_dir", None) for file, path in zip(named, paths, strict=True)]
        tried.append(next(str(path) for path in paths if not path.is_file()))
    raise DataError(
        f"{name}: data_dir has no copy of it: there is no {' and no '.join(tried)}; put it there, or remove data_dir "
        "to read from the hub"
    )


def _layouts(recipe: Recipe) -> Iterator[tuple[Recipe, list[str]]]:
    """The recipe as its copies may be laid out, with their files below data_dir."""
    if (local := recipe.local) is not None:
        changes = {key: getattr(local, key) for key in ("columns", "shape", "values")}
        changes = {key: value for key, value in changes.items() if value is not None}
        # A cut holds fewer rows, and what was to be filtered is gone from it.
        yield (
            replace(recipe, files=local.files, rows=local.rows, keep=local.keep, **changes),
            [file.path for file in local.files],
        )
    if recipe.repo is not None:
        yield recipe, [f"{recipe.repo}/{file.path}" for file in recipe.files]


def _columns_read(recipe: Recipe) -> list[str]:
    return list(dict.fromkeys((*recipe.columns.values(), *(recipe.keep or {}))))


def _rows(recipe: Recipe, sources: Sequence[tuple[DataFile, Any]]) -> Iterator[AnyRow | Rejection]:
    """A row or a rejection per record that is kept; records that do not parse are among them."""
    for file, table in sources:
        for number, record in table.rows():
            if isinstance(record, Unreadable):
                yield Rejection(number, None, record.reason)
                continue
            if any(str(record[column]).lower() != value.lower() for column, value in (recipe.keep or {}).items()):
                continue
            try:
                row = as_row(recipe, file, number, record)
            except Unusable as error:
                yield Rejection(number, None, str(error))
                continue
            reason = fault(row)
            yield row if reason is None else Rejection(number, row.id, reason)


def _fingerprint(row: AnyRow) -> int:
    """8 bytes for a text, whatever its case and blanks; a set of them is all that is held of a corpus."""
    plain = " ".join(as_query(row).text.lower().split())
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=8).digest(), "big")


def _accepted(found: str, accept: Sequence[str]) -> bool:
    return any(len(entry) >= SHOWN and found.startswith(entry) for entry in accept)


def _at(recipe: Recipe) -> str:
    return f" ({recipe.repo} at {recipe.revision or 'its newest revision'})" if recipe.repo else ""


def _cure(*hashes: str) -> str:
    listed = ", ".join(found[:SHOWN] for found in hashes)
    return f"Fetch it again; or, if this is the copy you mean, write accept: [{listed}] beside its source"
