"""What the mini models can be asked beside the prompts of synthesis: they know no other words than these.

They were trained to say what a query is about, to say it another way, and to write one about a thing or about a
domain. Baselines that tell a large model what to do are put together from these for them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from fac_lab.synthesis.pre_query import ABOUT
from fac_lab.synthesis.writer import Messages, Writer

NAME_TOKENS = 24
"""Longest name of a topic."""


class Topic(NamedTuple):
    """What a query is about, in a mini model's words."""

    thing: str
    domain: str

    @property
    def summary(self) -> str:
        """As a feature would be described."""
        return f"requests about {self.thing} ({self.domain})"


def read_topic(answer: str) -> Topic | None:
    """`Thing (domain).` in an answer; None where it is anything else."""
    match = re.fullmatch(r"(\w.*?) \(([^()]+)\)\.?", " ".join(answer.split()))
    return Topic(match[1][0].lower() + match[1][1:], match[2].lower()) if match else None


def turn(text: str) -> Messages:
    """A conversation in which the user says one thing."""
    return ({"role": "user", "content": text},)


def topics(
    writer: Writer, texts: Sequence[str], seeds: Sequence[int] | None = None, *, temperature: float = 0.0
) -> list[Topic | None]:
    """What a mini generator takes each text to be about."""
    asked = [turn(ABOUT.format(text=" ".join(text.split()))) for text in texts]
    seeds = [0] * len(texts) if seeds is None else seeds
    answers = writer.say(asked, seeds, temperature=temperature, max_tokens=NAME_TOKENS) if asked else []
    return [read_topic(answer) for answer in answers]


def write_about(writer: Writer, summary: str | None) -> Messages:
    """The mini prompt for a query about a summary, such as a topic's or "requests about cooking"."""
    return writer.prompt("one_step").messages(summary=writer.style.phrase(summary))


def write_like(writer: Writer, good: str, bad: str, summary: str | None = None) -> Messages:
    """The mini prompt for a query like a good example and unlike a bad one."""
    quote = writer.style.quote
    return writer.prompt("two_step").messages(
        summary=writer.style.phrase(summary), positive=quote(good), negative=quote(bad)
    )


def of_domain(topic: Topic | None) -> str | None:
    """A topic's domain as a feature would be described; None where there is no topic."""
    return f"requests about {topic.domain}" if topic else None
