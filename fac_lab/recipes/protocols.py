"""Protocols compared, listed and saved: which anchor, seed and test set a run used, and in what two of them differ."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fac_lab.atomic import write_atomic
from fac_lab.errors import SettingsError
from fac_lab.parse import parse_json
from fac_lab.plain import nearest
from fac_lab.recipes.catalogue import Catalogue, Recipe, catalogue

log = logging.getLogger(__name__)


class Difference(NamedTuple):
    """One thing in which two protocols differ."""

    key: str
    """Path of keys, e.g. "roles.anchor.parts.helpsteer2"."""
    a: Any
    """Its value in the first; None where the first has none."""
    b: Any

    def __str__(self) -> str:
        return f"{self.key}: {_short(self.a)} | {_short(self.b)}"


def diff_protocols(a: str | Mapping[str, Any], b: str | Mapping[str, Any]) -> list[Difference]:
    """In what two protocols differ: names of the catalogue, or records that runs saved; [] where in nothing.

    A part that only one of them has is one difference, not one per setting of its recipe. Names, sources
    and notes are not compared. Raises SettingsError for an unknown name.
    """
    return list(_differences("", _comparable(a), _comparable(b)))


def save_record(record: Mapping[str, Any], path: Path) -> list[Difference]:
    """Save what a data set is made of; where another record was there, log in what they differ and return it.

    So a run says so when a branch has moved or a protocol was changed since the last one in the same folder.
    """
    differences = []
    if path.is_file():
        try:
            differences = diff_protocols(parse_json(path.read_text(encoding="utf-8")), record)
        except ValueError:
            log.warning("%s is no record and is written anew", path)
    for difference in differences:
        log.warning("%s data differ from the last run's: %s", record.get("role", path.stem), difference)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return differences


def _comparable(thing: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(thing, str):
        known = catalogue()
        if thing not in known:
            names = (*known.protocols, *known.mixes, *known.recipes)
            raise SettingsError(f"there is no protocol {thing!r}{nearest(thing, names)}; `fac-lab data` lists them")
        thing = known.describe(thing)
    return dict(thing)


def _differences(key: str, a: Any, b: Any) -> Iterator[Difference]:
    if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
        if a != b:
            yield Difference(key, a, b)
        return
    for name in dict.fromkeys((*a, *b)):
        if name not in ("protocol", "mix", "source", "note"):
            yield from _differences(f"{key}.{name}" if key else name, a.get(name), b.get(name))


def listing(known: Catalogue | None = None) -> str:
    """All names as text: rows, licence and what is pinned of each recipe; what mixes and protocols are made of."""
    known = known or catalogue()
    lines = ["recipes"]
    lines += [f"  {name:<30} {_recipe_line(recipe)}" for name, recipe in known.recipes.items()]
    lines.append("mixes")
    for name, mix in known.mixes.items():
        drawn = f"{mix.share:.0%} of " if mix.share else ""
        lines.append(f"  {name:<30} {drawn}{' + '.join(part.recipe for part in mix.parts)}")
    lines.append("protocols")
    for name, protocol in known.protocols.items():
        roles = [f"{role} {protocol.roles.get(role, 'open')}" for role in (*protocol.roles, *(protocol.open or {}))]
        lines.append(f"  {name:<30} {', '.join(roles)}")
        lines.append(f"  {'':<30} {protocol.source}")
    return "\n".join(lines)


def _recipe_line(recipe: Recipe) -> str:
    local = recipe.local
    copy = "" if local is None else f"copy of {local.rows:,} rows, hashed" if local.rows else "copy"
    if recipe.repo is None:
        return f"{recipe.kind:<13} {'':>8}  {recipe.licence:<13} {copy}; no public name"
    hashed = sum(file.sha256 is not None for file in recipe.files)
    rows = f"{recipe.rows:,}" if recipe.rows else "?"
    at = f"{recipe.repo}@{recipe.revision[:8] if recipe.revision else 'UNPINNED'}, {hashed}/{len(recipe.files)} hashed"
    return f"{recipe.kind:<13} {rows:>8}  {recipe.licence.split(' (')[0]:<13} {at}{'; ' if copy else ''}{copy}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        if name := value.get("mix") or value.get("repo"):
            return str(name)
        return "{" + ", ".join(map(str, value)) + "}"
    return "-" if value is None else str(value)
