"""What an annotation will cost, stated before it begins: calls, tokens, price and time, step by step.

Prompts are built as they will be sent. What is not known yet is put in at its longest: a summary that nobody has
written, a text that is not drawn. Answers that are stored are read, not asked for: they cost nothing and make the
next step's prompts exact, so that the statement for a run that was killed is about what is left of it.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation import relevance, scores, verify
from fac_lab.annotation.cases import DRAW, NEIGHBOUR, OTHER, POSITIVE, RIGHT, WRONG, Case, Draw
from fac_lab.annotation.explain import Explanation, naming_requests, spans_shown
from fac_lab.annotation.styles import Unreadable, style_of
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.features.stats import FeatureStats

LONGEST_SUMMARY = "words " * 20
"""Stands for a summary that is not written yet: the prompt asks for 20 words at most."""
CHARS_PER_TOKEN = 4
"""English text in large vocabularies, as `fac_lab.planning` assumes; give a tokenizer's own count for more."""
EXPECTED = {"explain": 25, "verify": 40, "judge": 40, "detect": 15, "fuzz": 15}
"""Completion tokens of an answer in the asked form: ours, those of `fac_lab.planning` for its steps."""


class StepCost(NamedTuple):
    """One step of an annotation. All but `calls` and `answered` count only what is still to be asked."""

    step: str
    """"explain", "verify", "judge", "detect" or "fuzz"."""
    calls: int
    """Questions at most: a feature that cannot be named is not asked about further. Repairs are not counted."""
    answered: int
    """Of these, those whose answer is stored."""
    prompt_tokens: int
    completion_tokens: int
    """Expected."""
    most_tokens: int
    """Completion tokens at which answers are cut, taken together."""
    price: float | None
    """In the currency of the prices given; None where they are not."""
    seconds: float | None
    """None where no rate is given."""


class Rates(NamedTuple):
    """What turns tokens into money and calls into time."""

    price_prompt: float | None = None
    """Price of a million prompt tokens."""
    price_completion: float | None = None
    """The same for completion tokens."""
    seconds_per_call: float | None = None
    """Given, or measured by `measured_rate`; with several requests in flight, time of all over number of all."""


NO_RATES = Rates()


def annotation_cost(
    features: Sequence[int],
    stats: FeatureStats,
    chat: ChatClient,
    prompts: str | Path,
    rubric: str,
    *,
    rates: Rates = NO_RATES,
    count: Callable[[str], float] = lambda text: len(text) / CHARS_PER_TOKEN,
) -> list[StepCost]:
    """Cost of explaining, checking and judging features; `count` gives the tokens of a text. Nothing is asked."""
    style = style_of(prompts)
    shown = {int(feature): spans_shown(stats, int(feature), style) for feature in features}
    # A name of its own for each: two that nobody has written yet may differ, and are two questions.
    named = [
        Explanation(feature, f"{LONGEST_SUMMARY}{feature}", spans, None) for feature, spans in shown.items() if spans
    ]
    naming = naming_requests([[style.show_span(span) for span in e.spans_used] for e in named], prompts)
    summaries = [_stored_summary(reply, style.read_summary) for reply in chat.stored(naming)]
    left = [
        explanation if known is None else explanation._replace(summary=known[0])
        for explanation, known in zip(named, summaries, strict=True)
        if known is None or known[0] is not None
    ]
    if style.names_only:
        pieces = [verify.spans_left(stats, explanation, prompts) for explanation in left]
        checking = naming_requests([lines for lines in pieces if lines], prompts)
    else:
        checking = verify.verify_requests(left, prompts)
    judging = relevance.judging_requests(left, prompts, rubric)
    steps = {"explain": naming, "verify": checking, "judge": judging}
    return [_step(step, requests, chat, rates, count) for step, requests in steps.items()]


def scoring_cost(
    n_features: int,
    chat: ChatClient,
    prompts: str | Path,
    *,
    draw: Draw = DRAW,
    rates: Rates = NO_RATES,
    count: Callable[[str], float] = lambda text: len(text) / CHARS_PER_TOKEN,
) -> list[StepCost]:
    """Cost of detection and fuzzing at most: every kind of text for every feature, all pieces of full length."""
    text = "x" * (draw.span_tokens * CHARS_PER_TOKEN)
    steps = []
    for step, test, kinds in (
        ("detect", "detection", (POSITIVE, OTHER, NEIGHBOUR)),
        ("fuzz", "fuzzing", (RIGHT, WRONG)),
    ):
        # One feature's questions stand for all: their texts are not drawn yet.
        one = [Case(0, kind, True, f"{kind}-{i}", 1.0, text, (0, 4)) for kind in kinds for i in range(draw.n)]
        if style_of(prompts).names_only:
            requests = naming_requests([[text] * scores.SAME_LINE for _ in one], prompts)
        else:
            requests = scores.scoring_requests(test, one, {0: LONGEST_SUMMARY}, prompts)
        cost = _step(step, requests, None, rates, count)
        steps.append(StepCost(step, *(None if value is None else value * n_features for value in cost[1:])))
    return steps


def measured_rate(chat: ChatClient, requests: Sequence[ChatRequest]) -> float | None:
    """Seconds per call, by asking some of a run's own requests, which the run then finds answered.

    None where all of them were answered before, or none was answered at all.
    """
    unpaid = [request for request, reply in zip(requests, chat.stored(requests), strict=True) if reply is None]
    began = time.monotonic()
    replies = chat.complete(unpaid) if unpaid else []
    seconds, paid = time.monotonic() - began, sum(reply.ok and not reply.cached for reply in replies)
    return seconds / paid if paid else None


def _step(
    step: str, requests: Sequence[ChatRequest], chat: ChatClient | None, rates: Rates, count: Callable[[str], float]
) -> StepCost:
    # Equal questions are asked once.
    different = list({repr(request): request for request in requests}.values()) if chat is not None else list(requests)
    stored = chat.stored(different) if chat is not None else [None] * len(different)
    unpaid = [request for request, reply in zip(different, stored, strict=True) if reply is None]
    prompt = round(sum(count(turn["content"]) for request in unpaid for turn in request.messages))
    most = sum(request.max_tokens for request in unpaid)
    expected = min(EXPECTED[step] * len(unpaid), most)
    price = None
    if rates.price_prompt is not None and rates.price_completion is not None:
        price = (prompt * rates.price_prompt + expected * rates.price_completion) / 1e6
    seconds = None if rates.seconds_per_call is None else rates.seconds_per_call * len(unpaid)
    return StepCost(step, len(different), len(different) - len(unpaid), prompt, expected, most, price, seconds)


def _stored_summary(reply, read: Callable[[str], str | None]) -> tuple[str | None] | None:
    """The summary in a stored reply, in a tuple because it may be None; None where there is none to be read."""
    try:
        return (read(reply.text),) if reply is not None else None
    except Unreadable:
        return None
