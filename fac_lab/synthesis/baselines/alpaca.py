"""Alpaca, that is Self-Instruct: show some of a pool, ask for another, and let the pool grow by what is new."""

import random
from collections.abc import Sequence

from fac_lab.synthesis.baselines.skills import write_like
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, rounds, screen, seed_pool
from fac_lab.synthesis.plain import draw_until
from fac_lab.synthesis.samples import Sample, normalise
from fac_lab.synthesis.writer import Draft, Messages, Writer

FROM_SEEDS, FROM_WRITTEN = 6, 2
"""Examples shown, as in Self-Instruct: six of the seeds and two of what was written."""
MOST_ROUGE = 0.7
"""A text with a larger ROUGE-L with any of the pool is not new."""
ROUND = 8
"""Draws after which the pool has grown."""


def alpaca(
    n: int, writer: Writer, seeds: Sequence[str], *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples written with a growing pool in view; all candidates, at most `n` kept.

    Sources: Wang et al. 2023, "Self-Instruct" (arXiv 2212.10560, ACL 2023), and Taori et al. 2023, Stanford Alpaca,
    which simplified it. Followed: six seeds and two samples of its own are shown, a sample is new if its ROUGE-L
    (F measure on words) with every text of the pool is at most 0.7, and new ones join the pool. Not followed: one
    sample an answer instead of a list of them, so that a draw is a draw; no rule for classification tasks.

    Formats (the paper has instructions): the pool holds what the user says, and the other parts are written in the
    same answer; an instruction's answer is asked for afterwards, as there.

    Mini models take one example and one counter-example, another text of the pool: "a query like this, not like
    that" is all they learned of examples. As they may lose the harm on the way, `tools.judge` decides on it in the
    toxicity task. One request a draw.
    """
    given = seed_pool(seeds, seed=seed, method="alpaca")
    pool = [normalise(text).split() for text in given]
    written: list[str] = []
    structured = writer.style.structured
    judge = None if structured else tools.judge_for(writer, "alpaca")
    prompt = writer.prompt("alpaca_write" if structured else "two_step")

    def draw(numbers: Sequence[int]) -> list[Draft]:
        return [draft for part in rounds(numbers, ROUND) for draft in grow(part)]

    def grow(numbers: Sequence[int]) -> list[Draft]:
        draw_seeds = [writer.seed("alpaca", seed, number) for number in numbers]
        shown = [_some(given, written, random.Random(draw_seed)) for draw_seed in draw_seeds]
        drafts = screen(writer.write([ask(texts) for texts in shown], draw_seeds, shown), writer, judge)
        for i, draft in enumerate(drafts):
            text = draft.text(writer.form)
            if not draft.reason and (nearest := closest(normalise(text).split(), pool)) > MOST_ROUGE:
                drafts[i] = draft._replace(reason=f"not new: ROUGE-L {nearest:.2f} with one of the pool")
            elif not draft.reason:
                pool.append(normalise(text).split())
                written.append(text)
        return drafts

    def ask(texts: Sequence[str]) -> Messages:
        if structured:
            return writer.messages(prompt, examples=[writer.style.quote(text) for text in texts])
        return write_like(writer, texts[0], texts[-1])

    version = writer.version(prompt)
    return draw_until(n, draw, writer, method="alpaca", label=label, prompt_version=version)


def _some(given: Sequence[str], written: Sequence[str], dice: random.Random) -> list[str]:
    own = dice.sample(written, min(FROM_WRITTEN, len(written)))
    shown = [*dice.sample(given, min(FROM_SEEDS, len(given))), *own]
    dice.shuffle(shown)
    return shown


def closest(words: Sequence[str], pool: Sequence[Sequence[str]]) -> float:
    """Largest ROUGE-L of a text with any of a pool, as lists of words; 0 for an empty pool."""
    return max((rouge_l(words, other) for other in pool), default=0.0)


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """F measure of the longest common subsequence of two lists of words (Lin 2004): `2 L / (len(a) + len(b))`.

    L by bit vectors (Hyyrö 2004), one addition a word, since each draft is compared with the whole pool. 0 for two
    empty lists.
    """
    where: dict[str, int] = {}
    for i, word in enumerate(a):
        where[word] = where.get(word, 0) | 1 << i
    everything = (1 << len(a)) - 1
    row = everything
    for word in b:
        match = row & where.get(word, 0)
        row = (row + match | row - match) & everything
    common = len(a) - row.bit_count()
    return 2 * common / (len(a) + len(b)) if a or b else 0.0
