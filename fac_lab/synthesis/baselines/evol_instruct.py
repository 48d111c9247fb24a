"""Evol-Instruct: rewrite what is there, deeper or broader, and drop what did not evolve."""

import random
import re
from collections import deque
from collections.abc import Sequence

from fac_lab.digests import digest
from fac_lab.synthesis.baselines.skills import of_domain, topics, turn, write_about
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, rounds, screen, seed_pool
from fac_lab.synthesis.plain import draw_until
from fac_lab.synthesis.pre_query import ANOTHER_WAY
from fac_lab.synthesis.samples import NEAR, Sample, grams, overlap
from fac_lab.synthesis.writer import Draft, Messages, Writer

DEEPEN = (
    "Write it again with one more condition or demand, so that it is a little harder to deal with.",
    "Write it again so that it goes further into the matter: ask for more depth, or more breadth, of what it asks.",
    "Write it again with something specific in place of what is general in it.",
    "Write it again so that more steps of thought are needed to deal with it.",
    "Write it again with some material of its own, such as an account of what happened before.",
)
BROADEN = (
    "Write a wholly new one inspired by it: from the same field, about as long and as hard, but of a rarer kind.",
)
WAYS = DEEPEN + BROADEN
"""Five ways into depth and one into breadth, drawn with equal chances, as in the paper; the words are ours."""
ROUND = 8

_TALKS = re.compile(
    r"\b(given|rewritten|new|created|original|start(ing)?)[ -](prompt|message|sample|text|instruction)\b", re.I
)


def evol_instruct(
    n: int, writer: Writer, seeds: Sequence[str], *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples that evolve from seeds by rewriting; all candidates, at most `n` kept.

    Source: Xu et al. 2023, "WizardLM" (arXiv 2304.12244, ICLR 2024). Followed: five in-depth operations and one in
    breadth, one of the six drawn for each rewriting; what evolved is evolved further in the next generation; a
    failure leaves its parent for another try; elimination of texts that bring nothing new (here: whose word 3-grams
    overlap with the parent's by more than 0.7, in place of a question to the model), that refuse, that hardly say
    anything or that talk of the prompt. There are as many generations as the draws allow: one, where seeds are many.

    Formats (the paper has instructions only): what the user says is what evolves, and the other parts of a pair or
    an item are written anew for it in the same answer; an instruction's answer is asked for afterwards, as there.

    Mini models: depth is "say it another way", breadth a query about the parent's domain as they name it. Either may
    lose the harm, so in the toxicity task `tools.judge` decides. One or two requests a draw.
    """
    queue = deque(seed_pool(seeds, seed=seed, method="evol_instruct"))
    structured = writer.style.structured
    judge = None if structured else tools.judge_for(writer, "evol_instruct")

    def draw(numbers: Sequence[int]) -> list[Draft]:
        return [draft for part in rounds(numbers, ROUND) for draft in evolve(part)]

    def evolve(numbers: Sequence[int]) -> list[Draft]:
        draw_seeds = [writer.seed("evol_instruct", seed, number) for number in numbers]
        ways = [random.Random(draw_seed).choice(WAYS) for draw_seed in draw_seeds]
        parents = []
        for _ in numbers:
            parents.append(queue[0])
            queue.rotate(-1)
        broad = [way in BROADEN for way in ways]
        asked = _asked(writer, parents, ways, broad, draw_seeds)
        drafts = writer.write(asked, draw_seeds, [[parent] for parent in parents])
        drafts = [_eliminated(draft, parent, writer) for draft, parent in zip(drafts, parents, strict=True)]
        drafts = screen(drafts, writer, judge)
        for draft, parent in zip(drafts, parents, strict=True):
            if not draft.reason and parent in queue:
                queue.remove(parent)
                queue.append(draft.text(writer.form))
        return drafts

    version = digest(writer.version(writer.prompt("evol_write")), WAYS) if structured else digest(ANOTHER_WAY)
    return draw_until(n, draw, writer, method="evol_instruct", label=label, prompt_version=version)


def _asked(
    writer: Writer, parents: Sequence[str], ways: Sequence[str], broad: Sequence[bool], seeds: Sequence[int]
) -> list[Messages]:
    if writer.style.structured:
        prompt = writer.prompt("evol_write")
        return [
            writer.messages(prompt, parent=writer.style.quote(parent), way=way)
            for parent, way in zip(parents, ways, strict=True)
        ]
    places = [i for i, is_broad in enumerate(broad) if is_broad]
    found = topics(writer, [parents[i] for i in places], [seeds[i] for i in places])
    asked: list[Messages] = [turn(ANOTHER_WAY.format(text=writer.style.quote(parent))) for parent in parents]
    for i, topic in zip(places, found, strict=True):
        asked[i] = write_about(writer, of_domain(topic))
    return asked


def _eliminated(draft: Draft, parent: str, writer: Writer) -> Draft:
    text = draft.text(writer.form)
    if draft.reason:
        return draft
    if overlap(grams(text), grams(parent)) > NEAR:
        return draft._replace(reason="did not evolve: nearly the text it came from")
    return draft._replace(reason="speaks of the rewriting") if _TALKS.search(text) else draft
