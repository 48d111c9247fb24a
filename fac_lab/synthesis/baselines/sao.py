"""SAO: the model plays people, answers twice, and chooses among its own answers."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from fac_lab.digests import digest
from fac_lab.synthesis.baselines.cot_self_instruct import CHECK_TOKENS, read_letter
from fac_lab.synthesis.baselines.skills import of_domain, topics, write_about
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, screen, seed_pool
from fac_lab.synthesis.complete import ANSWER_TOKENS
from fac_lab.synthesis.formats import PAIR, rest_fault
from fac_lab.synthesis.plain import draw_until
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.writer import Draft, Messages, Writer

SECOND = "the model's own second choice"


def sao(
    n: int, writer: Writer, seeds: Sequence[str] = (), *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples in the voice of personas, the model's own choice of two; all candidates, at most `n` kept.

    Source: Yin et al. 2025, "Aligning Large Language Models via Fully Self-Synthetic Data" (Self-Alignment
    Optimization, arXiv 2510.06652). Followed: role-play of a persona gives the prompt; the model answers it twice and
    ranks the two answers itself, in one order drawn at random. Not followed: personas are a short list of ours
    (personas.yaml) in place of a large hub of them; `seeds` are of no use to large models.

    Formats (the paper has preference pairs): a pair is made as there, chosen and rejected being two answers to the
    persona's prompt. For the other tasks there is nothing to answer twice, so the persona's sample itself is written
    twice, and the model keeps the better one: two draws for one sample.

    Mini models play no people. In the place of a persona is a domain, as they name it for a seed; in that of the
    ranking, whether their own reading of the query names that domain. The queries may be about anything: in the
    toxicity task `tools.judge` decides before they are ranked. One to two requests a draw beside the draft.
    """
    structured = writer.style.structured
    judge = None if structured else tools.judge_for(writer, "sao")
    personas = _personas() if structured else _domains(writer, seed_pool(seeds, seed=seed, method="sao"))
    personas = random.Random(seed).sample(personas, len(personas))
    together = 1 if structured and writer.form is PAIR else 2

    def draw(numbers: Sequence[int]) -> list[Draft]:
        draw_seeds = [writer.seed("sao", seed, number) for number in numbers]
        who = [personas[number // together % len(personas)] for number in numbers]
        drafts = screen(writer.write(_asked(writer, who), draw_seeds, [()] * len(who)), writer, judge)
        if together == 1:
            return _answered_twice(drafts, writer)
        return (_chosen if structured else _nearest)(drafts, writer, who)

    names = ("sao_write", "sao_rank") if structured else ("one_step",)
    version = digest([writer.version(writer.prompt(name)) for name in names], personas)
    return draw_until(n, draw, writer, method="sao", label=label, prompt_version=version, together=together)


@cache
def _personas() -> tuple[str, ...]:
    return tuple(yaml.safe_load((Path(__file__).parent / "personas.yaml").read_text(encoding="utf-8")))


def _domains(writer: Writer, seeds: Sequence[str]) -> list[str | None]:
    """The domains that the mini model finds in the seeds; one that is "cannot tell" (None) where it finds none."""
    found = [of_domain(topic) for topic in topics(writer, seeds)]
    return list(dict.fromkeys(name for name in found if name)) or [None]


def _asked(writer: Writer, who: Sequence[str | None]) -> list[Messages]:
    if not writer.style.structured:
        return [write_about(writer, domain) for domain in who]
    prompt = writer.prompt("sao_write")
    return [writer.messages(prompt, persona=persona) for persona in who]


def _chosen(drafts: Sequence[Draft], writer: Writer, who: Sequence[str | None]) -> list[Draft]:
    """The same drafts; of two sound ones in a group the model names the better."""
    groups = [i for i in range(0, len(drafts), 2) if not drafts[i].reason and not drafts[i + 1].reason]
    shown = [[_as_shown(drafts[i], writer), _as_shown(drafts[i + 1], writer)] for i in groups]
    decided = list(drafts)
    for i, second in zip(groups, _second_is_better(writer, shown, [drafts[i].seed for i in groups]), strict=True):
        loser = i if second else i + 1
        decided[loser] = drafts[loser]._replace(reason=SECOND)
    return decided


def _nearest(drafts: Sequence[Draft], writer: Writer, who: Sequence[str | None]) -> list[Draft]:
    """The same for mini models: the one that is read as what it was to be about, the first of two alike."""
    groups = [i for i in range(0, len(drafts), 2) if not drafts[i].reason and not drafts[i + 1].reason]
    read = topics(writer, [drafts[i + k].text(writer.form) for i in groups for k in (0, 1)])
    decided = list(drafts)
    for place, i in enumerate(groups):
        first, second = (of_domain(topic) == who[i] for topic in read[2 * place : 2 * place + 2])
        loser = i if second and not first else i + 1
        decided[loser] = drafts[loser]._replace(reason=SECOND)
    return decided


def _answered_twice(drafts: Sequence[Draft], writer: Writer) -> list[Draft]:
    """Pairs: the prompt as it came, with two answers of the model, the one it prefers as the chosen one."""
    places = [i for i, draft in enumerate(drafts) if not draft.reason]
    prompts = [drafts[i].text(writer.form) for i in places]
    asked = [({"role": "user", "content": prompt},) for prompt in prompts for _ in (0, 1)]
    seeds = [writer.seed("answer", drafts[i].seed, k) for i in places for k in (0, 1)]
    answers = writer.say(asked, seeds, max_tokens=ANSWER_TOKENS) if asked else []
    pairs = [answers[2 * place : 2 * place + 2] for place in range(len(places))]
    ranked = _second_is_better(writer, pairs, [drafts[i].seed for i in places], prompts)
    decided = list(drafts)
    for i, prompt, pair, second in zip(places, prompts, pairs, ranked, strict=True):
        chosen, rejected = reversed(pair) if second else pair
        parts = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        decided[i] = drafts[i]._replace(parts=parts, reason=rest_fault(parts, writer.form))
    return decided


def _second_is_better(
    writer: Writer, pairs: Sequence[Sequence[str]], seeds: Sequence[int], said: Sequence[str] | None = None
) -> list[bool]:
    """Whether the model prefers the second of each pair; an answer that cannot be read leaves the first one."""
    prompt, quote, asked, flips = writer.prompt("sao_rank"), writer.style.quote, [], []
    for place, (pair, seed) in enumerate(zip(pairs, seeds, strict=True)):
        flips.append(random.Random(seed).random() < 0.5)
        first, second = reversed(pair) if flips[-1] else pair
        about = quote(said[place]) if said is not None else ""
        asked.append(writer.messages(prompt, first=quote(first), second=quote(second), said=about))
    letters = [read_letter(answer) for answer in writer.say(asked, seeds, max_tokens=CHECK_TOKENS)] if asked else []
    return [letter == ("A" if flipped else "B") for letter, flipped in zip(letters, flips, strict=True)]


def _as_shown(draft: Draft, writer: Writer) -> str:
    return "\n".join(f"{part}: {text}" for part, text in draft.parts.items())
