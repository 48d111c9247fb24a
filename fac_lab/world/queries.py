"""What users of the mini world ask: a wording of a concept inside an opener, a frame, a tail and an aside."""

from collections.abc import Iterable

from fac_lab.world.concepts import Concept, concepts, gerund, patterns
from fac_lab.world.dice import Dice

OPENER_SHARE, TAIL_SHARE, ASIDE_SHARE = 0.4, 0.4, 0.15
"""Shares of queries with an opener, with a tail, and with a second mention of their concept in other words."""


def fill(pattern: str, form: str, dice: Dice) -> str:
    """The pattern with the wording, and a person where it asks for one."""
    who = dice.choose(patterns()["who"]) if "{who}" in pattern else ""
    return pattern.format(form=form, forming=gerund(form) if "{forming}" in pattern else "", who=who)


def _sentence(text: str, end: str) -> str:
    return text[0].upper() + text[1:] + end


def draw_query(concept: Concept, dice: Dice, *, form: str | None = None, long: bool | None = None) -> str:
    """One query about `concept`, in the given wording or a known one; `long` adds or forbids the aside."""
    text = patterns()
    form = form or dice.choose(concept.known_forms)
    kind, end = ("questions", "?") if dice.chance(0.6) else ("statements", ".")
    frame = fill(dice.choose(text[kind]), form, dice)
    opener = dice.choose(text["openers"]) if dice.chance(OPENER_SHARE) else ""
    tail = fill(dice.choose(text["tails"]), form, dice) if dice.chance(TAIL_SHARE) else ""
    query = _sentence(opener + frame + tail, end)
    if not (dice.chance(ASIDE_SHARE) if long is None else long):
        return query
    other = dice.choose([known for known in concept.known_forms if known != form])
    aside = _sentence(fill(dice.choose(text["asides"]), other, dice), "")
    return f"{query} {aside}" if dice.chance(0.5) else f"{aside} {query}"


def queries(
    n: int, *, seed: int, among: Iterable[Concept] | None = None, held_forms: bool = False
) -> list[tuple[Concept, str]]:
    """`n` queries about concepts drawn uniformly from `among` (all of them if None).

    With `held_forms` only the wordings are used that no model was trained on. Drawing is independent per query, so
    the number of queries per concept varies as it does in data that people collect.
    """
    among = tuple(concepts() if among is None else among)
    dice = Dice(seed)
    drawn = []
    for _ in range(n):
        concept = dice.choose(among)
        form = dice.choose(concept.held_forms) if held_forms else None
        drawn.append((concept, draw_query(concept, dice, form=form)))
    return drawn
