"""Which features matter to a task: a chat model reads each summary against the task's rubric."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.ask import ask
from fac_lab.annotation.explain import Explanation
from fac_lab.annotation.styles import VERDICTS, object_schema, style_of
from fac_lab.chat.client import ChatClient
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


def judge(explanations: Sequence[Explanation], chat: ChatClient, prompts: str | Path, rubric: str) -> list[Verdict]:
    """One verdict per explanation, in order, by the prompt `judge` in a folder.

    A feature without a summary is not judged, hence not relevant. An answer that cannot be read is asked for
    once more; failing that, the verdict is None and carries the reason.
    """
    style = style_of(prompts)
    prompt = load_prompt(Path(prompts), "judge")
    named = [i for i, explanation in enumerate(explanations) if explanation.summary is not None]
    answers = ask(
        chat,
        [
            prompt.messages(
                rubric=rubric.strip(),
                summary=style.phrase(explanations[i].summary),
                spans=[style.show_span(span) for span in explanations[i].spans_used],
            )
            for i in named
        ],
        style.read_verdict,
        style=style,
        max_tokens=MAX_TOKENS,
        schema=SCHEMA,
    )
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
