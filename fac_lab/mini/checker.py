"""The mini world's own judge of answers: what a reply to a query has to hold can be read off the world.

A good reply is about the query's concept, gives one of its first steps and one of its second steps, and is a finished
sentence. Nobody is asked, so that what tuning on instructions is worth can be measured without a judge's taste.
"""

from typing import NamedTuple

from fac_lab.world import Concept, recognise
from fac_lab.world.replies import steps


class Checks(NamedTuple):
    """What a reply has of what it should have."""

    topic: bool
    """Names the query's concept."""
    first: bool
    """Gives one of the concept's first steps."""
    then: bool
    """Gives one of its second steps."""
    finished: bool
    """Ends a sentence."""

    @property
    def score(self) -> int:
        """How many of the four hold."""
        return sum(self)


def check(query: str, reply: str, concept: Concept | None = None) -> Checks:
    """The checks of a reply; `concept` where it is known, else what the query mentions. A query about nothing that
    the world knows can only be answered by a finished sentence."""
    concept = concept or recognise(query)
    finished = reply.strip().endswith((".", "!", "?"))
    if concept is None:
        return Checks(False, False, False, finished)
    said = reply.casefold()
    firsts, thens = steps(concept)
    return Checks(
        concept.gloss.casefold() in said,
        any(step.casefold() in said for step in firsts),
        any(step.casefold() in said for step in thens),
        finished,
    )


def prefer(query: str, first: str, second: str) -> float:
    """1 where the first reply passes more checks, 0 where the second does, 0.5 where both pass as many."""
    a, b = check(query, first).score, check(query, second).score
    return 0.5 if a == b else float(a > b)
