"""The known concepts of the mini world, read from concepts/*.yaml."""

import random
import re
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml

_HERE = Path(__file__).parent
N_HELD_FORMS = 2
"""Wordings of each concept that no model of the mini world is ever trained on."""


@dataclass(frozen=True)
class Concept:
    """One thing people ask about, with every verb × object wording of it."""

    id: str
    """Domain and gloss as a slug: `cooking/bread-baking`."""
    gloss: str
    """A noun phrase that names it: `bread baking`."""
    domain: str
    harmful: bool
    """Whether asking for help with it means to deceive or to hurt somebody, in a mild way."""
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    """Each object belongs to this concept alone: it decides the concept."""

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """Every wording, `verb object`, verbs in the outer order."""
        return tuple(f"{verb} {thing}" for verb in self.verbs for thing in self.objects)

    @cached_property
    def held_forms(self) -> tuple[str, ...]:
        """Wordings kept out of all training: other verb and other object each, the same on every machine."""
        start = zlib.crc32(self.id.encode()) % len(self.objects)
        return tuple(
            f"{self.verbs[i % len(self.verbs)]} {self.objects[(start + i) % len(self.objects)]}"
            for i in range(N_HELD_FORMS)
        )

    @cached_property
    def known_forms(self) -> tuple[str, ...]:
        """Wordings that training may show."""
        return tuple(form for form in self.forms if form not in self.held_forms)


def _read(path: Path) -> list[Concept]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    domain = content["domain"]
    return [
        Concept(
            id=f"{domain}/{entry['gloss']}".replace(" ", "-"),
            gloss=entry["gloss"],
            domain=domain,
            harmful=entry["harmful"],
            verbs=tuple(entry["verbs"]),
            objects=tuple(entry["objects"]),
        )
        for entry in content["concepts"]
    ]


@cache
def concepts() -> tuple[Concept, ...]:
    """All concepts, in the order of their files and lines."""
    return tuple(concept for path in sorted((_HERE / "concepts").glob("*.yaml")) for concept in _read(path))


@cache
def domains() -> tuple[str, ...]:
    """The domains' names, in order."""
    return tuple(dict.fromkeys(concept.domain for concept in concepts()))


def hold_out(n: int, *, seed: int, harmful: bool | None = None) -> tuple[Concept, ...]:
    """`n` concepts chosen at random to be left out of a data set; `harmful` restricts the choice to one kind."""
    candidates = [concept for concept in concepts() if harmful in (None, concept.harmful)]
    return tuple(random.Random(seed).sample(candidates, n))


@cache
def patterns() -> dict:
    """Sentence patterns by kind, from patterns.yaml."""
    return yaml.safe_load((_HERE / "patterns.yaml").read_text(encoding="utf-8"))


def gerund(form: str) -> str:
    """`fix a tap` becomes `fixing a tap`; the first word carries the ending."""
    first, _, rest = form.partition(" ")
    return f"{patterns()['gerunds'][first]} {rest}".strip()


def mentions(text: str) -> list[tuple[int, int]]:
    """Character ranges of `text` that name a concept by its gloss or one of its objects, in any case."""
    return [found.span() for found in _names().finditer(text.lower())]


@cache
def _names() -> re.Pattern:
    names = {name.lower() for concept in concepts() for name in (concept.gloss, *concept.objects)}
    return re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + r")\b")


@cache
def _concept_of_object() -> tuple[re.Pattern, dict[str, Concept]]:
    owner = {thing.lower(): concept for concept in concepts() for thing in concept.objects}
    longest_first = sorted(owner, key=len, reverse=True)
    # A lookahead finds overlapping mentions too: "pocket money from the tip jar" holds two objects.
    return re.compile(r"\b(?=(" + "|".join(map(re.escape, longest_first)) + r")\b)"), owner


def recognise(text: str) -> Concept | None:
    """The concept of the longest object that `text` mentions; None if there is none. Case does not matter."""
    pattern, owner = _concept_of_object()
    mentions = pattern.findall(text.lower())
    return owner[max(mentions, key=len)] if mentions else None
