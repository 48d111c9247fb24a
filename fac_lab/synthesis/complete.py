"""The rest of a sample's format, made for the samples that are kept.

Large models are asked for an answer to the instruction they wrote. Models of the mini world, which can write a query
and answer one, get there by three ways: a reply to the query; for a pair, a reply to something fair of the same domain
as the better one, and help with what was asked as the worse one (`alternatives`); for A/B items a fixed frame around
the query, from frames.yaml.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from fac_lab.chat.client import ChatRequest
from fac_lab.prompts import load_prompt
from fac_lab.synthesis.alternatives import fair_alternatives
from fac_lab.synthesis.formats import CHOICE, INSTRUCTION, PAIR, QUERY, rest_fault
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.writer import Messages, Writer

REPLY_TOKENS = 96
"""Longest reply of a mini model; theirs have 20 to 60."""
ANSWER_TOKENS = 1200
"""Longest answer of a large one: the paper's limit is 600 words."""
PAIR_VERSION = 2
"""Code version of how mini models come to a pair; the key of samples has it, for tasks whose format is a pair."""


def complete(samples: Sequence[Sample], writer: Writer) -> list[Sample]:
    """The same samples; kept ones have every part of the format, or are kept no longer and say why."""
    places = [i for i, sample in enumerate(samples) if sample.kept]
    if writer.form is QUERY or not places:
        return list(samples)
    chosen = [samples[i] for i in places]
    if not writer.style.structured and writer.form is CHOICE:
        rest = [framed(sample.text, writer.task) for sample in chosen]
        failed = [""] * len(chosen)
    else:
        rest, failed = _asked(chosen, writer)
    completed = list(samples)
    for i, more, reason in zip(places, rest, failed, strict=True):
        parts = json.loads(samples[i].parts) | more
        reason = reason or rest_fault(parts, writer.form)
        completed[i] = samples[i]._replace(
            parts=json.dumps({name: parts[name] for name in writer.form.parts if name in parts}, ensure_ascii=False),
            kept=not reason,
            reason=reason,
        )
    return completed


def _asked(chosen: Sequence[Sample], writer: Writer) -> tuple[list[dict[str, str]], list[str]]:
    """The parts that a request each brings, by sample, and why one is lacking."""
    asked: list[tuple[int, str, Messages]] = []
    if not writer.style.structured:
        if writer.form is PAIR:
            queries, seeds = [sample.text for sample in chosen], [sample.seed for sample in chosen]
            offers = fair_alternatives(queries, writer, seeds)
            asked += [(i, "chosen", _turn(offer)) for i, offer in enumerate(offers) if offer]
            asked += [(i, "rejected", _turn(sample.text)) for i, sample in enumerate(chosen) if offers[i]]
        elif writer.form is INSTRUCTION:
            asked += [(i, "answer", _turn(sample.text)) for i, sample in enumerate(chosen)]
    elif writer.form.later:
        prompt = load_prompt(writer.prompts, f"{writer.task}_answer")
        asked += [(i, writer.form.later[0], prompt.messages(said=sample.text)) for i, sample in enumerate(chosen)]
    limit = ANSWER_TOKENS if writer.style.structured else REPLY_TOKENS
    requests = [ChatRequest(tuple(messages), max_tokens=limit, seed=chosen[i].seed) for i, _, messages in asked]
    rest: list[dict[str, str]] = [{} for _ in chosen]
    failed = [""] * len(chosen)
    for (i, part, _), reply in zip(asked, writer.chat.complete(requests) if requests else (), strict=True):
        if not reply.ok or reply.finish == "length":
            failed[i] = f"{part}: {'cut off at max_tokens' if reply.ok else f'no reply: {reply.error}'}"
        rest[i][part] = (reply.text or "").strip()
    if not writer.style.structured and writer.form is PAIR:
        failed = [
            reason or ("" if "chosen" in more else "chosen: nothing fair to offer instead")
            for reason, more in zip(failed, rest, strict=True)
        ]
    return rest, failed


def _turn(text: str) -> Messages:
    return ({"role": "user", "content": text},)


def framed(query: str, task: str) -> dict[str, str]:
    """A query as the parts of an A/B item, in the one frame that the mini world has for the task."""
    return {part: frame.replace("{query}", query) for part, frame in _frames()[task].items()}


@cache
def _frames() -> Mapping[str, Mapping[str, str]]:
    return yaml.safe_load((Path(__file__).parent / "frames.yaml").read_text(encoding="utf-8"))
