"""Data sets by name: where each one is, at which revision, how its records become rows, what has to come out.

`catalogue.yaml` holds three kinds of names. A *recipe* is one public data set, or a local cut of it. A *mix* joins
recipes, labels them and may draw a share. A *protocol* names the mix of each role (anchor, seed, test): what the
paper says in one place, what it says in another, and what its authors answered are three protocols, to be compared
with `diff_protocols`. The facts are in the YAML file, with their sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fac_lab.errors import DataError, SettingsError
from fac_lab.parse import parse_yaml
from fac_lab.plain import build, nearest
from fac_lab.profile import as_dict
from fac_lab.rows import KINDS

CATALOGUE = Path(__file__).parent / "catalogue.yaml"
SHAPES = ("columns", "first_turn", "transcripts", "strength")
STRENGTH_FIELDS = ("first", "second", "strength")
"""Of shape "strength", which has no fields chosen and rejected of its own."""
ROLES = ("anchor", "seed", "pool", "test")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


@dataclass(frozen=True)
class DataFile:
    """One file of a recipe."""

    path: str
    """Path in the repository, or below data_dir."""
    sha256: str | None = None
    """Hash of its bytes; None where nobody has published it: then only the rows are checked."""
    id: str | None = None
    """Beginning of the ids of its rows where the records have none."""
    set: Mapping[str, str] | None = None
    """Fields all its rows have, e.g. the behaviour."""


@dataclass(frozen=True)
class Local:
    """A copy below data_dir that is laid out in its own way; what is None is as in the recipe."""

    files: tuple[DataFile, ...]
    columns: Mapping[str, str] | None = None
    shape: str | None = None
    keep: Mapping[str, str] | None = None
    values: Mapping[str, str] | None = None
    rows: int | None = None
    """Rows that have to come out; None is not checked."""


@dataclass(frozen=True)
class Recipe:
    """A data set and how its records become rows of one kind."""

    kind: str
    """"queries", "pairs", "items" or "instructions"."""
    columns: Mapping[str, str]
    """Column by field of the kind."""
    repo: str | None = None
    """Name on the hub; None for a set that exists only as a local cut."""
    host: str = "huggingface"
    """"huggingface" or "github"."""
    revision: str | None = None
    """Commit; None is unpinned: the newest is taken, a warning says so and its commit is recorded."""
    files: tuple[DataFile, ...] = ()
    licence: str = "unknown"
    """As the repository states it."""
    shape: str = "columns"
    """"columns": a column per field. "first_turn": the user's first turn of the dialogue in the text column.
    "transcripts": chosen and rejected are whole dialogues that differ in the last answer. "strength": two answers
    and a number, above 0 where the second is better, 0 for a tie (rejected)."""
    keep: Mapping[str, str] | None = None
    """Only records with these values, compared as text whatever the case."""
    values: Mapping[str, str] | None = None
    """Section by the value of its column; a value that is not listed is rejected."""
    without: str | None = None
    """A recipe whose texts must not be in this one (compared in lower case, runs of blanks as one)."""
    rows: int | None = None
    """Records that are kept; None is not checked."""
    local: Local | None = None
    """The copy below data_dir, where it is laid out otherwise than the repository."""
    source: str = ""
    """Where these facts are from."""

    def __post_init__(self):
        _require(self.kind in KINDS, f"kind is {self.kind!r}; choose one of {', '.join(KINDS)}")
        for field in (*self.columns, *(name for file in self.files for name in file.set or {})):
            known = (*KINDS[self.kind]._fields, *STRENGTH_FIELDS)
            _require(field in known, f"{field!r} is no field of {self.kind}; there are: {', '.join(known)}")
        _require(self.shape in SHAPES, f"shape is {self.shape!r}; choose one of {', '.join(SHAPES)}")
        _require(self.host in ("huggingface", "github"), f"host is {self.host!r}; huggingface or github")
        _require(self.repo is None or bool(self.files), f"repo {self.repo} is named, but none of its files")
        _require(self.repo is not None or self.local is not None, "neither a repo nor a local copy is named")

    @property
    def pinned(self) -> bool:
        """Whether a commit is named (a local cut without a repository is pinned by its hashes)."""
        return self.revision is not None or self.repo is None


@dataclass(frozen=True)
class Part:
    """A recipe in a mix."""

    recipe: str
    label: int | None = None
    """Label of all its rows; None keeps theirs."""


@dataclass(frozen=True)
class Mix:
    """Recipes joined in their order."""

    parts: tuple[Part, ...]
    unique: bool = False
    """Whether a text that was there before (whatever its case and blanks) is dropped; costs some 70 bytes per text."""
    share: float | None = None
    """Share of the rows to draw, rounded down; None is all."""
    seed: int = 0
    """Seed of that draw."""
    note: str = ""

    def __post_init__(self):
        _require(bool(self.parts), "a mix needs parts")
        _require(self.share is None or 0 < self.share <= 1, f"share is {self.share}; it has to be in (0, 1]")


@dataclass(frozen=True)
class Protocol:
    """Which data set is which, said by one source."""

    task: str
    roles: Mapping[str, str]
    """Mix or recipe by role."""
    source: str
    """Who says so, and where."""
    open: Mapping[str, str] | None = None
    """Roles that the source describes but that cannot be built, and why."""
    note: str = ""

    def __post_init__(self):
        for role in (*self.roles, *(self.open or {})):
            _require(role in ROLES, f"{role!r} is no role; there are: {', '.join(ROLES)}")


@dataclass(frozen=True)
class Catalogue:
    """All names of a YAML file."""

    recipes: Mapping[str, Recipe]
    mixes: Mapping[str, Mix]
    protocols: Mapping[str, Protocol]

    def __post_init__(self):
        names = [*self.recipes, *self.mixes, *self.protocols]
        _require(len(set(names)) == len(names), "a name is used twice among recipes, mixes and protocols")
        for name, mix in self.mixes.items():
            for part in mix.parts:
                _require(part.recipe in self.recipes, f"mix {name} names no recipe: {part.recipe}")
        for name, recipe in self.recipes.items():
            _require(recipe.without in (None, *self.recipes), f"recipe {name}: no recipe {recipe.without}")
        for name, protocol in self.protocols.items():
            for mix in protocol.roles.values():
                known = mix in self.mixes or mix in self.recipes
                _require(known, f"protocol {name} names neither a mix nor a recipe: {mix}")

    def __contains__(self, source: str) -> bool:
        name = source.partition("@")[0]
        return name in self.recipes or name in self.mixes or name in self.protocols

    def recipe(self, name: str) -> Recipe:
        """A recipe by name; "name@commit" is the same one at another revision, whose hashes are not known.

        Raises SettingsError for an unknown name, with the nearest.
        """
        name, _, commit = name.partition("@")
        if name not in self.recipes:
            raise SettingsError(f"there is no recipe {name!r}{nearest(name, self.recipes)}; `fac-lab data` lists them")
        recipe = self.recipes[name]
        if not commit:
            return recipe
        return replace(recipe, revision=commit, files=tuple(replace(file, sha256=None) for file in recipe.files))

    def mix(self, source: str, role: str) -> Mix:
        """What a source (recipe, mix or protocol) is in a role.

        Raises SettingsError for an unknown name and DataError where a protocol leaves the role open.
        """
        if source in self.protocols:
            protocol = self.protocols[source]
            if role not in protocol.roles:
                why = (protocol.open or {}).get(role, f"only {', '.join(protocol.roles)}")
                raise DataError(f"protocol {source} gives no {role}: {why}; name another source for {role}")
            source = protocol.roles[role]
        if source in self.mixes:
            return self.mixes[source]
        self.recipe(source)
        return Mix((Part(source),))

    def parts(self, source: str) -> list[str]:
        """The recipes a source is made of, over all roles. Raises SettingsError for an unknown name."""
        roles = self.protocols[source].roles if source in self.protocols else {"pool": source}
        return list(dict.fromkeys(part.recipe for role in roles for part in self.mix(source, role).parts))

    def describe(self, source: str, role: str | None = None) -> dict[str, Any]:
        """A source written out in plain values, down to repositories, revisions and pins: what a run saves."""
        if source in self.protocols:
            protocol = self.protocols[source]
            roles = {name: self.describe(mix) for name, mix in protocol.roles.items() if role is None or name == role}
            return {"protocol": source, **_stated(protocol), "roles": roles}
        name = {"mix": source} if source in self.mixes else {}
        mix = self.mix(source, role or "pool")
        parts = {
            part.recipe: {**({} if part.label is None else {"label": part.label}), **_stated(self.recipe(part.recipe))}
            for part in mix.parts
        }
        return {**name, **_stated(mix), "parts": parts}


@lru_cache
def catalogue(path: Path = CATALOGUE) -> Catalogue:
    """The names of a YAML file, checked. Raises SettingsError, with the key, where it does not hold together."""
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"recipes {path} cannot be read: {error}") from error
    try:
        return build(Catalogue, values)
    except SettingsError as error:
        raise SettingsError(f"recipes {path}: {error}") from None


def _stated(settings: Any) -> dict[str, Any]:
    """What a dataclass states beyond its structure: no empty values, lists of files by path."""
    plain = {
        name: value
        for name, value in as_dict(settings).items()
        if value not in (None, "", [], False) and name not in ("parts", "roles", "local")
    }
    if "files" in plain:
        plain["files"] = {file["path"]: file["sha256"] for file in plain["files"]}
    return plain
