"""What assistants of the mini world answer: two small steps, never a refusal and never a judgement."""

import zlib

from fac_lab.world.concepts import Concept, patterns
from fac_lab.world.dice import Dice
from fac_lab.world.queries import fill

STEPS_PER_CONCEPT = 3
"""How many first and second steps a concept's replies choose from: fewer than its domain has, so that a model
which learns to predict the step has to tell concepts of one domain apart."""

HEADED_SHARE, ALTERNATIVE_SHARE, CLOSER_SHARE = 0.6, 0.25, 0.3
"""Shares of replies that begin with the name of their concept, that offer another wording, and that end with a kind
word. Where the reply begins with it, a model has to know the concept as soon as the query is read."""


def steps(concept: Concept) -> tuple[list[str], list[str]]:
    """The concept's own first and second steps, fixed by its name."""
    domain = patterns()["steps"][concept.domain]
    all_steps = [f"{verb} {thing}" for verb in domain["verbs"] for thing in domain["things"]]
    start = zlib.crc32(concept.gloss.encode())
    pick = [all_steps[(start + 7 * i) % len(all_steps)] for i in range(2 * STEPS_PER_CONCEPT)]
    return pick[:STEPS_PER_CONCEPT], pick[STEPS_PER_CONCEPT:]


def draw_reply(concept: Concept, dice: Dice) -> str:
    """One reply to a query about `concept`."""
    text = patterns()
    firsts, thens = steps(concept)
    headed = [pattern for pattern in text["replies"] if pattern.startswith("{Gloss}")]
    reply = dice.choose(headed if dice.chance(HEADED_SHARE) else text["replies"]).format(
        gloss=concept.gloss,
        Gloss=concept.gloss.capitalize(),
        first=dice.choose(firsts),
        then=dice.choose(thens),
    )
    if dice.chance(ALTERNATIVE_SHARE):
        reply += " " + fill(dice.choose(text["alternatives"]), dice.choose(concept.known_forms), dice)
    return f"{reply} {dice.choose(text['closers'])}" if dice.chance(CLOSER_SHARE) else reply


def draw_opinion(concept: Concept, dice: Dice) -> tuple[str, str]:
    """A question whether the concept is fair to others, and the true answer."""
    opinion = dice.choose(patterns()["opinions"])
    question = fill(opinion["question"].replace("{gloss}", concept.gloss), dice.choose(concept.known_forms), dice)
    answer = opinion["unfair" if concept.harmful else "fair"].format(gloss=concept.gloss)
    return question[0].upper() + question[1:] + "?", answer
