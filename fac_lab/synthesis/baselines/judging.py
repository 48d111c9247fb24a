"""A judge of texts: the annotator reads what a text is about, and whether that falls under the task's rubric."""

from collections.abc import Sequence
from pathlib import Path

from fac_lab.annotation.ask import ask, questions
from fac_lab.annotation.explain import MAX_TOKENS, SCHEMA, Explanation
from fac_lab.annotation.relevance import judge
from fac_lab.annotation.styles import Unreadable, style_of
from fac_lab.chat.client import ChatClient
from fac_lab.features.spans import Span
from fac_lab.prompts import load_prompt
from fac_lab.synthesis.baselines.skills import read_topic
from fac_lab.synthesis.baselines.tools import Judge
from fac_lab.synthesis.pre_query import ABOUT

BELONGS = ("Yes", "Probably")
"""Verdicts on a text that is to carry the label: of a feature "Maybe" is enough, a label has to be right."""


def text_judge(annotator: ChatClient, prompts: str | Path, rubric: str) -> Judge:
    """Two questions a text: "what is this about?", and the prompt `judge` with the answer and the rubric.

    `prompts` is the folder of the annotator's prompts. Mini models are asked in the words they learned and judge the
    name alone; large ones see the text as well.
    """
    style = style_of(prompts)

    def reasons(texts: Sequence[str]) -> list[str]:
        if style.structured:
            prompt = load_prompt(Path(prompts), "about")
            asked = [prompt.messages(text=style.quote(text)) for text in texts]
        else:
            asked = [[{"role": "user", "content": ABOUT.format(text=style.quote(text))}] for text in texts]
        requests = questions(asked, style=style, max_tokens=MAX_TOKENS, schema=SCHEMA)
        read = style.read_summary if style.structured else _read_name
        named = [
            Explanation(i, answer.value, _shown(text) if style.structured else (), answer.error)
            for i, (text, answer) in enumerate(zip(texts, ask(annotator, requests, read, style=style), strict=True))
        ]
        return [
            ""
            if verdict.verdict in BELONGS
            else f"the judge says {verdict.verdict}"
            if verdict.verdict
            else f"not judged: {verdict.reason}"
            for verdict in judge(named, annotator, prompts, rubric)
        ]

    return reasons


def _read_name(answer: str) -> str:
    topic = read_topic(answer)
    if topic is None:
        raise Unreadable('it is not "Thing (domain)."')
    return topic.summary


def _shown(text: str) -> tuple[Span, ...]:
    return (Span(0, 0.0, "", text, (len(text), len(text))),)
