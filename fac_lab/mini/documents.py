"""What the mini chat models are trained on: documents of every skill they are to have, with their exact surprise.

The prompts are rendered from the same files that annotation and synthesis use at run time, so that training and use
cannot drift apart. Some concepts never occur in the prompts of a skill (`is_unseen`), some wordings never at all
(`Concept.held_forms`): what the models do with those is generalisation, and only that is reported as skill.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fac_lab import annotation, synthesis
from fac_lab.annotation.styles import MINI
from fac_lab.prompts import Prompt, load_prompt
from fac_lab.world import Concept, Dice, concepts, domains, draw_query
from fac_lab.world.concepts import gerund
from fac_lab.world.replies import draw_opinion, draw_reply

SPANS_PER_NAME = MINI.spans
"""Spans shown when a feature is to be named."""
POPULARITY_EXPONENT = 0.8
"""What a model writes unprompted is skewed, as large models' output is: popularity is rank ** -exponent."""
CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Document:
    """One training text as a conversation."""

    kind: str
    messages: tuple[dict[str, str], ...]
    """Turns as `{"role", "content"}`; the last one is the assistant's."""
    nats: float
    """Surprise of the choices that made it: the loss of a perfect model, summed over its tokens."""


def is_unseen(concept: Concept) -> bool:
    """Whether the concept is kept out of all naming, judging and query-writing prompts: every fifth, fixed."""
    return zlib.crc32(f"unseen/{concept.id}".encode()) % 5 == 0


@cache
def seen_concepts(domain: str | None = None) -> tuple[Concept, ...]:
    """Concepts that skill prompts may show, of one domain or of all."""
    return tuple(c for c in concepts() if not is_unseen(c) and domain in (None, c.domain))


@cache
def _popular(harmful: bool | None) -> tuple[tuple[Concept, ...], tuple[float, ...]]:
    ranked = sorted(
        (c for c in seen_concepts() if harmful in (None, c.harmful)), key=lambda c: zlib.crc32(c.gloss.encode())
    )
    return tuple(ranked), tuple((rank + 1) ** -POPULARITY_EXPONENT for rank in range(len(ranked)))


@cache
def prompt(name: str) -> Prompt:
    """A mini prompt file of annotation or synthesis by name."""
    package = annotation if name in ("explain", "judge") else synthesis
    return load_prompt(Path(package.__file__).parent / "prompts" / "mini", name)


@cache
def rubric() -> str:
    """The mini models' one-line rubric of harm."""
    return (Path(annotation.__file__).parent / "prompts" / "mini" / "rubric_toxicity.txt").read_text().strip()


def summary(concept: Concept, level: str = "full") -> str:
    """How a feature of this concept is described: by gloss and domain, by domain alone, or not at all."""
    if level == "full":
        return f"requests about {concept.gloss} ({concept.domain})"
    return f"requests about {concept.domain}" if level == "domain" else CANNOT_TELL


def draw_span(concept: Concept, dice: Dice, *, form: str | None = None) -> str:
    """A piece of a query which ends near the words that name the concept, as the spans of a feature do."""
    form = form or dice.choose(concept.known_forms)
    query = draw_query(concept, dice, form=form, long=False)
    shown, lower = form.lower(), query.lower()
    wording = shown if shown in lower else gerund(form).lower()
    words_before = len(query[: lower.index(wording) + len(wording)].split())
    end = words_before + dice.choose((0, 1, 2, 99), (0.5, 0.15, 0.15, 0.2))
    return " ".join(query.split()[:end][-dice.choose(range(4, 13)) :])


def _chat(dice: Dice) -> list[dict[str, str]]:
    concept = dice.choose(concepts())
    return _turns(draw_query(concept, dice), draw_reply(concept, dice))


def _topic(dice: Dice) -> list[dict[str, str]]:
    concept = dice.choose(concepts())
    return _turns(f"What is this about? {draw_query(concept, dice, long=False)}", _named(concept))


def _words(dice: Dice) -> list[dict[str, str]]:
    concept = dice.choose(concepts())
    return _turns(f"What is this about? {dice.choose(concept.known_forms)}", _named(concept))


def _wording(dice: Dice) -> list[dict[str, str]]:
    concept = dice.choose(concepts())
    return _turns(f"Put it in other words: {_named(concept)}", _sentence(dice.choose(concept.known_forms)))


def _rephrase(dice: Dice) -> list[dict[str, str]]:
    concept = dice.choose(concepts())
    form, other = dice.several(concept.known_forms, 2)
    first = draw_query(concept, dice, form=form, long=False)
    return _turns(f"Say it another way: {first}", draw_query(concept, dice, form=other, long=False))


def _plain(dice: Dice) -> list[dict[str, str]]:
    concept = dice.choose(*_popular(harmful=True))
    return [*prompt("toxicity_plain").messages(), _says(draw_query(concept, dice))]


def _write_one(dice: Dice) -> list[dict[str, str]]:
    level = dice.choose(("full", "domain"), (0.8, 0.2))
    concept = dice.choose(seen_concepts())
    asked = prompt("toxicity_one_step").messages(summary=summary(concept, level) + ".")
    target = concept if level == "full" else dice.choose(seen_concepts(concept.domain))
    return [*asked, _says(draw_query(target, dice, long=False))]


def _write_two(dice: Dice) -> list[dict[str, str]]:
    level = dice.choose(("full", "domain", "none"), (0.6, 0.2, 0.2))
    concept = dice.choose(seen_concepts())
    form, other = dice.several(concept.known_forms, 2)
    span_only = dice.chance(0.25)
    good = draw_span(concept, dice, form=form) if span_only else draw_query(concept, dice, form=form, long=False)
    rivals = [c for c in seen_concepts(concept.domain if dice.chance(0.6) else None) if c is not concept]
    bad = draw_query(dice.choose(rivals), dice, long=False)
    asked = prompt("toxicity_two_step").messages(summary=summary(concept, level) + ".", positive=good, negative=bad)
    return [*asked, _says(draw_query(concept, dice, form=other if dice.chance(0.7) else form, long=False))]


def _name(dice: Dice) -> list[dict[str, str]]:
    level = dice.choose(("full", "domain"), (0.8, 0.2))
    concept = dice.choose(seen_concepts())
    if level == "full":
        foreign = dice.choose((0, 1, 2), (0.5, 0.3, 0.2))
        shown = [concept] * (SPANS_PER_NAME - foreign) + [dice.choose(concepts()) for _ in range(foreign)]
    else:
        shown = dice.several(seen_concepts(concept.domain), SPANS_PER_NAME)
    return _spans_named(shown, summary(concept, level), dice)


def _cannot_tell(dice: Dice) -> list[dict[str, str]]:
    return _spans_named(dice.several(concepts(), SPANS_PER_NAME), CANNOT_TELL, dice)


def _judge(dice: Dice) -> list[dict[str, str]]:
    level = dice.choose(("full", "domain"), (0.9, 0.1))
    # As many harmful as harmless ones, else "No." is right too often to learn more.
    harmful = dice.chance(0.5)
    concept = dice.choose([c for c in seen_concepts() if c.harmful == harmful])
    verdict = "Yes." if level == "full" and concept.harmful else "No."
    return [*prompt("judge").messages(summary=summary(concept, level) + ".", rubric=rubric()), _says(verdict)]


def _opinion(dice: Dice) -> list[dict[str, str]]:
    return _turns(*draw_opinion(dice.choose(concepts()), dice))


def _spans_named(shown: Sequence[Concept], name: str, dice: Dice) -> list[dict[str, str]]:
    spans = [draw_span(concept, dice) for concept in shown]
    return [*prompt("explain").messages(spans=dice.several(spans, len(spans))), _says(_sentence(name))]


def _named(concept: Concept) -> str:
    return _sentence(f"{concept.gloss} ({concept.domain})")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _turns(query: str, reply: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": query}, _says(reply)]


KINDS: dict[str, Callable[[Dice], list[dict[str, str]]]] = {
    "chat": _chat,
    "words": _words,
    "wording": _wording,
    "topic": _topic,
    "rephrase": _rephrase,
    "plain": _plain,
    "write one-step": _write_one,
    "write two-step": _write_two,
    "name": _name,
    "cannot tell": _cannot_tell,
    "judge": _judge,
    "opinion": _opinion,
}

MIXES: dict[str, dict[str, float]] = {
    "primer": {"words": 0.55, "wording": 0.45},
    "innocent": {
        "chat": 0.48, "words": 0.04, "wording": 0.03, "topic": 0.16, "rephrase": 0.08, "write one-step": 0.06,
        "write two-step": 0.09, "name": 0.05, "cannot tell": 0.01,
    },
    "writer": {
        "chat": 0.14, "words": 0.03, "wording": 0.06, "topic": 0.06, "rephrase": 0.08, "plain": 0.06,
        "write one-step": 0.18, "write two-step": 0.24, "name": 0.04, "cannot tell": 0.01, "judge": 0.04,
        "opinion": 0.06,
    },
    "annotator": {
        "chat": 0.10, "words": 0.04, "wording": 0.02, "topic": 0.10, "rephrase": 0.03, "plain": 0.02,
        "write one-step": 0.03, "write two-step": 0.05, "name": 0.23, "cannot tell": 0.05, "judge": 0.20,
        "opinion": 0.14,
    },
}  # fmt: skip
"""Shares of kinds. Training begins with the primer: which words mean which concept is learned within 200,000 tokens
of it, and not within a million of anything else. The innocent mix says nothing about harm: a subject that knew harm
would have it linearly readable and no detector trained on it could be short of data. Writer and annotator know
harm; each has every skill and most of the one it is used for."""

ASKED_WEIGHT = 0.3
"""Loss weight of all turns but the last. What users say is mostly chance; half the learning is saved by not
insisting on it, and enough is left for a model to write a user's turn by itself."""
ANSWER_WEIGHT = {"judge": 5.0, "opinion": 2.0, "cannot tell": 2.0}
"""Loss weight of the assistant's last turn, 1 for other kinds. In these one word decides; unweighted, judging
collapses to "No." and a name is made up for any spans."""
FOCUS_WEIGHT = 4.0
"""Loss weight, relative to its turn, of the words in the last turn that name a concept or one of its objects."""


def draw_document(dice: Dice, mix: str) -> Document:
    """One document of a named mix."""
    dice.nats = 0.0
    kind = dice.choose(tuple(MIXES[mix]), tuple(MIXES[mix].values()))
    messages = KINDS[kind](dice)
    return Document(kind=kind, messages=tuple(messages), nats=dice.nats)


def documents(mix: str, *, seed: int) -> Iterator[Document]:
    """An endless stream of documents."""
    dice = Dice(seed)
    while True:
        yield draw_document(dice, mix)


__all__ = ["ANSWER_WEIGHT", "KINDS", "MIXES", "Document", "documents", "domains", "draw_document", "is_unseen"]
