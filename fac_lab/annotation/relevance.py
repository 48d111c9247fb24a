"""Which features matter to a task: a chat model reads each summary against the task's rubric."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.ask import PAPER_RUN, Run, ask, questions
from fac_lab.annotation.explain import Explanation
from fac_lab.annotation.styles import VERDICTS, object_schema, style_of
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.prompts import load_prompt

MAX_TOKENS = 128
SCHEMA = object_schema({"verdict": {"type": "string", "enum": list(VERDICTS)}, "reason": {"type": "string"}})


class Verdict(NamedTuple):
    """Whether a feature matters to the task."""

    feature: int
    """Feature index."""
    verdict: str | None
    """"Yes", "Probably", "Maybe" or "No"; None where there is no answer."""
    relevant: bool
    """Whether the verdict is one of the first three, which is the paper's rule."""
    reason: str
    """The annotator's words, or why there is no verdict."""


def judge(
    explanations: Sequence[Explanation],
    chat: ChatClient,
    prompts: str | Path,
    rubric: str,
    *,
    run: Run = PAPER_RUN,
) -> list[Verdict]:
    """One verdict per explanation, in order, by the prompt `judge` in a folder.

    A feature without a summary is not judged, hence not relevant. An answer that cannot be read is asked for
    once more; failing that, the verdict is None and carries the reason.
    """
    style = style_of(prompts)
    named = [i for i, explanation in enumerate(explanations) if explanation.summary is not None]
    requests = judging_requests([explanations[i] for i in named], prompts, rubric, run=run)
    answers = ask(chat, requests, style.read_verdict, style=style)
    verdicts = [
        Verdict(explanation.feature, None, False, explanation.error or "not named, so it cannot be judged")
        for explanation in explanations
    ]
    for i, answer in zip(named, answers, strict=True):
        feature = explanations[i].feature
        if answer.value is None:
            verdicts[i] = Verdict(feature, None, False, answer.error or "")
        else:
            verdict, reason = answer.value
            verdicts[i] = Verdict(feature, verdict, verdict != "No", reason)
    return verdicts


def judging_requests(
    explanations: Sequence[Explanation], prompts: str | Path, rubric: str, *, run: Run = PAPER_RUN
) -> list[ChatRequest]:
    """The requests by which `judge` asks about explanations that have a summary."""
    style, prompt = style_of(prompts), load_prompt(Path(prompts), "judge")
    conversations = [
        prompt.messages(
            rubric=rubric.strip(),
            summary=style.phrase(explanation.summary),
            spans=[style.show_span(span) for span in explanation.spans_used],
        )
        for explanation in explanations
    ]
    return questions(conversations, style=style, max_tokens=MAX_TOKENS, schema=SCHEMA, run=run)
