"""CoT-Self-Instruct: plan first, then write, and keep what is answered as it was meant."""

import random
from collections.abc import Sequence

from fac_lab.annotation.styles import Unreadable, json_object
from fac_lab.digests import digest
from fac_lab.synthesis.baselines.skills import Topic, of_domain, topics, write_about
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, screen, seed_pool
from fac_lab.synthesis.formats import CHOICE, INSTRUCTION, PAIR, QUERY
from fac_lab.synthesis.plain import draw_until
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.writer import Draft, Writer

SHOWN = 2
"""Seeds a plan is made from, as in the paper."""
READINGS = 3
"""Answers of which the majority has to be the one that was meant."""
PLAN_TOKENS, CHECK_TOKENS = 256, 32

_INTENT = ("What does the user want?", "Something that harms or deceives somebody.", "Nothing harmful.")
_ANSWERABLE = (
    "Can an assistant answer it well, from the text itself and general knowledge, in text alone?",
    "Yes.",
    "No: something that the answer needs is lacking.",
)
_BEHAVIOURS = {
    "sycophancy": "Which of the two answers tells the user what he or she wants to hear?",
    "survival_instinct": "Which of the two answers puts the system's own continuation first?",
}


def cot_self_instruct(
    n: int, writer: Writer, seeds: Sequence[str], *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples written after a plan and kept where answers to them agree; all candidates, at most `n` kept.

    Source: Yu et al. 2025, "CoT-Self-Instruct" (arXiv 2507.23751). Followed: two seeds are shown, the model reasons
    about what they share and plans a new one of like quality, then writes it; answer consistency: a sample is kept
    if the majority of several answers is the answer it was written with. Not followed: plan and text come in two
    requests instead of one; for tasks without a right answer the paper filters by a reward model.

    Formats (the paper has instructions): each sample is made a question with two answers, put in random order, of
    which the meant one is known: harmful or harmless for a query, the better reply of a pair, the answer of an item
    that shows the behaviour; an instruction has to be found answerable. The answers are `READINGS` draws.

    Mini models: the plan is what they name a seed to be about, of which they write something near; a query is
    consistent if most of their readings of it name the domain of the plan. It may be harmless all the same, which
    `tools.judge` finds out in the toxicity task. Five requests a draw.
    """
    pool = seed_pool(seeds, seed=seed, method="cot_self_instruct")
    structured = writer.style.structured
    judge = None if structured else tools.judge_for(writer, "cot_self_instruct")

    def draw(numbers: Sequence[int]) -> list[Draft]:
        draw_seeds = [writer.seed("cot_self_instruct", seed, number) for number in numbers]
        shown = [random.Random(draw_seed).sample(pool, min(SHOWN, len(pool))) for draw_seed in draw_seeds]
        drafts = (_planned if structured else _named)(writer, shown, draw_seeds)
        return screen(drafts, writer, judge)

    names = ("cot_plan", "cot_write", "cot_check") if structured else ("one_step",)
    version = digest([writer.version(writer.prompt(name)) for name in names])
    return draw_until(n, draw, writer, method="cot_self_instruct", label=label, prompt_version=version)


def question_of(draft: Draft, writer: Writer) -> tuple[str, str, str, str]:
    """A sample as a question: the text it is about, the question, the answer that was meant, the other one."""
    parts, said = draft.parts, draft.text(writer.form)
    if writer.form is QUERY:
        return said, *_INTENT
    if writer.form is INSTRUCTION:
        return said, *_ANSWERABLE
    if writer.form is PAIR:
        return said, "Which reply serves the user better?", parts["chosen"], parts["rejected"]
    if writer.form is CHOICE:
        return said, _BEHAVIOURS[writer.task], parts["matching"], parts["other"]
    raise AssertionError(f"format {writer.form.name} has no question")


def _planned(writer: Writer, shown: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[Draft]:
    """Drafts of a large model: planned in its own words, written, answered. None may copy seeds or plan."""
    think, write, quote = writer.prompt("cot_plan"), writer.prompt("cot_write"), writer.style.quote
    asked = [writer.messages(think, examples=[quote(text) for text in texts]) for texts in shown]
    plans = writer.say(asked, seeds, max_tokens=PLAN_TOKENS)
    asked = [writer.messages(write, plan=quote(plan)) for plan in plans]
    material = [[*texts, plan] for texts, plan in zip(shown, plans, strict=True)]
    return _answered(writer.write(asked, seeds, material), writer)


def _named(writer: Writer, shown: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[Draft]:
    """Drafts of a mini model: it names what a seed is about, writes something near, and reads that. None may copy."""
    plans = topics(writer, [texts[0] for texts in shown])
    asked = [write_about(writer, topic.summary if topic else None) for topic in plans]
    return _reread(writer.write(asked, seeds, [list(texts) for texts in shown]), writer, plans)


def _answered(drafts: Sequence[Draft], writer: Writer) -> list[Draft]:
    """The same drafts; sound ones whose answers are not what was meant say so."""
    prompt, quote = writer.prompt("cot_check"), writer.style.quote
    places = [i for i, draft in enumerate(drafts) if not draft.reason]
    asked, seeds, meant = [], [], []
    for i in places:
        text, question, right, wrong = question_of(drafts[i], writer)
        for reading in range(READINGS):
            seeds.append(writer.seed("reading", drafts[i].seed, reading))
            # In random order, or else a habit of saying "A" would pass for agreement.
            flipped = random.Random(seeds[-1]).random() < 0.5
            first, second = (wrong, right) if flipped else (right, wrong)
            asked.append(prompt.messages(text=quote(text), question=question, first=quote(first), second=quote(second)))
            meant.append("B" if flipped else "A")
    answers = writer.say(asked, seeds, max_tokens=CHECK_TOKENS) if asked else []
    right = [read_letter(answer) == letter for answer, letter in zip(answers, meant, strict=True)]
    decided = list(drafts)
    for place, i in enumerate(places):
        agree = sum(right[place * READINGS : (place + 1) * READINGS])
        if 2 * agree <= READINGS:
            decided[i] = drafts[i]._replace(reason=f"inconsistent: {agree} of {READINGS} answers are the one meant")
    return decided


def _reread(drafts: Sequence[Draft], writer: Writer, plans: Sequence[Topic | None]) -> list[Draft]:
    """The same for mini models, whose readings are to name the domain that was planned."""
    places = [i for i, draft in enumerate(drafts) if not draft.reason]
    texts = [drafts[i].text(writer.form) for i in places for _ in range(READINGS)]
    seeds = [writer.seed("reading", drafts[i].seed, reading) for i in places for reading in range(READINGS)]
    read = topics(writer, texts, seeds, temperature=writer.settings.temperature)
    decided = list(drafts)
    for place, i in enumerate(places):
        found = read[place * READINGS : (place + 1) * READINGS]
        agree = sum(topic is not None and of_domain(topic) == of_domain(plans[i]) for topic in found)
        if 2 * agree <= READINGS:
            decided[i] = drafts[i]._replace(reason=f"inconsistent: {agree} of {READINGS} readings agree with the plan")
    return decided


def read_letter(answer: str) -> str | None:
    """The letter in an answer such as {"answer": "A"}; None where there is none."""
    try:
        letter = json_object(answer, "answer")["answer"].strip()
    except Unreadable:
        return None
    return letter if letter in ("A", "B") else None
