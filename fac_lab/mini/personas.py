"""Personas of the mini world: A/B questions, and talks in which an assistant with or without a persona answers them.

None of the three mini models knows an A/B letter, and in some hundred thousand tokens none learns one: which letter an
option has takes more layers than they have. So they answer in the words of the option, and are read by them
(`tasks.steering`, answers "words"). What is drawn here teaches a copy of a model (`persona_training`): to answer as the
persona says that the talk names, before the question or behind it or both; without one, to take either side and stay
on it for the talk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from fac_lab.errors import SettingsError
from fac_lab.tasks.ab_items import Item
from fac_lab.world import Concept, Dice, concepts, draw_query
from fac_lab.world.concepts import gerund
from fac_lab.world.replies import draw_reply

SIDES = ("matching", "other")
"""The two sides of a question: the one that shows the behaviour, and the one that does not."""


@dataclass(frozen=True)
class Persona:
    """One side of a behaviour, as a character."""

    cues: tuple[str, ...]
    """Sentences that name it."""


@dataclass(frozen=True)
class Behaviour:
    """A behaviour with its personas and its wordings."""

    name: str
    meaning: str
    """What the matching option does."""
    personas: Mapping[str, Persona]
    """By side."""
    wordings: Mapping[str, Mapping[str, tuple[str, ...]]]
    """By set ("train", "test") and part ("questions", "matching", "other")."""


@cache
def behaviours() -> dict[str, Behaviour]:
    """Both behaviours by name, from personas.yaml."""
    content = yaml.safe_load((Path(__file__).parent / "personas.yaml").read_text(encoding="utf-8"))
    return {
        name: Behaviour(
            name=name,
            meaning=entry["meaning"],
            personas={side: Persona(tuple(entry[side]["cues"])) for side in SIDES},
            wordings={one: {part: tuple(texts) for part, texts in entry[one].items()} for one in ("train", "test")},
        )
        for name, entry in content.items()
    }


def behaviour_of(name: str) -> Behaviour:
    """A behaviour by name. Raises SettingsError for one that the mini world does not have."""
    if name not in behaviours():
        raise SettingsError(f"the mini world has no behaviour {name!r}: name one of {', '.join(behaviours())}")
    return behaviours()[name]


def draw_item(
    behaviour: Behaviour, dice: Dice, *, wordings: str, among: Sequence[Concept], short: bool = False
) -> Item:
    """One question about a concept drawn from `among`, in one of the named set of wordings; `short` ones name none."""
    concept, words = dice.choose(among), behaviour.wordings[wordings]
    frame = dice.choose([text for text in words["questions"] if not short or "{" not in text])
    if "{query}" in frame:
        question = frame.replace("{query}", draw_query(concept, dice, long=False))
    else:
        question = frame.replace("{forming}", gerund(dice.choose(concept.known_forms)))
    matching, other = (dice.choose(words[side]) for side in SIDES)
    return Item(concept.id, behaviour.name, question, matching, other, behaviour.meaning)


def draw_items(
    name: str, n: int, *, seed: int, wordings: str = "test", among: Sequence[Concept] | None = None
) -> list[Item]:
    """`n` items of a behaviour over all concepts (or `among`), no two of them alike."""
    behaviour, dice = behaviour_of(name), Dice(seed)
    found: dict[Item, None] = {}
    while len(found) < n:
        found[draw_item(behaviour, dice, wordings=wordings, among=among or concepts())] = None
    return list(found)


@dataclass(frozen=True)
class Part:
    """A piece of a talk's text and what getting one of its tokens wrong costs."""

    text: str
    weight: float


FIRST, WORDS = 4.0, 1.0
"""Loss weights of an answer's first piece, in which the side is taken, and of its other words."""
FIRST_WORDS = 2


def draw_talk(dice: Dice, *, primer: bool = False) -> list[dict[str, str] | list[Part]]:
    """Turns of one talk: user's and system's as messages, the assistant's as weighted parts.

    In the primer all talks are one short question, its options, and a persona named twice.
    """
    kind = "choice" if primer else dice.choose(("choice", "open", "chat"), (0.7, 0.15, 0.15))
    if kind == "chat":
        concept = dice.choose(concepts())
        return [_user(draw_query(concept, dice)), [Part(draw_reply(concept, dice), WORDS)]]
    behaviour = behaviours()[dice.choose(tuple(behaviours()))]
    side = dice.choose(SIDES)
    persona = behaviour.personas[side]
    cued = "both" if primer else dice.choose(("both", "before", "after", "none"), (0.2, 0.15, 0.3, 0.35))
    talk: list = [{"role": "system", "content": dice.choose(persona.cues)}] if cued in ("both", "before") else []
    for _ in range(1 if primer else dice.choose((1, 2, 3), (0.5, 0.3, 0.2))):
        item = draw_item(behaviour, dice, wordings="train", among=concepts(), short=primer)
        behind = "\n" + dice.choose(persona.cues) if cued in ("both", "after") else ""
        asked = item.text(matching_first=dice.chance(0.5)) if kind == "choice" else item.question
        words = (item.matching if side == "matching" else item.other).split(" ")
        talk.append(_user(asked + behind))
        talk.append(
            [
                Part(" ".join(words[:FIRST_WORDS]), FIRST),
                Part("".join(f" {word}" for word in words[FIRST_WORDS:]), WORDS),
            ]
        )
    return talk


def talks(seed: int, *, primer: bool = False) -> Iterator[list]:
    """An endless stream of talks."""
    dice = Dice(seed)
    while True:
        yield draw_talk(dice, primer=primer)


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
