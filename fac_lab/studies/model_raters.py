"""Chat models fill in a rating sheet of features: a stand-in where nobody has rated yet, and marked so in every line.

A chat model that follows instructions is asked the sheet's own question, about the very items that people see. The
mini models know two skills only, so there the questions are turned into these. First the model names the feature by
itself. It reads the weakest of the shown spans, where the annotator read the strongest: else the annotator, asked as
a rater, would only repeat itself. *sound*: "yes" if it comes to the name on the sheet, "unclear" if one of the two
says the same more generally, or if it cannot tell. *relevant*: it judges its own name by the rubric; "Yes" and
"Probably" are "yes", "Maybe" is "unclear".
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.ask import Answer, ask, questions
from fac_lab.annotation.explain import Explanation, explain
from fac_lab.annotation.relevance import judge
from fac_lab.annotation.styles import Style, Unreadable, answer_schema, json_object, style_of
from fac_lab.chat.client import ChatClient
from fac_lab.errors import SettingsError
from fac_lab.features.spans import Span
from fac_lab.prompts import load_prompt
from fac_lab.rating.answers import MODEL, Ratings
from fac_lab.rating.sheet import Item, Question

MAX_TOKENS = 96
OF_VERDICT = {"Yes": "yes", "Probably": "yes", "Maybe": "unclear", "No": "no"}


def rate_by_model(ratings: Ratings, chat: ChatClient, prompts: str | Path, *, rater: str) -> dict[str, int]:
    """Answer what `rater` has not answered yet; returns how many items each question got an answer for, in this call.

    An answer that cannot be read twice is left out, and asked for again by the next call.
    """
    style = style_of(prompts)
    given = ratings.given(rater)
    counts = {}
    for question in ratings.sheet.questions:
        items = [item for item in ratings.sheet.items if (item.id, question.name) not in given]
        how = _asked if style.structured else _MINI.get(question.name)
        if how is None:
            raise SettingsError(
                f"the mini models cannot answer {question.name!r}, only {', '.join(_MINI)}: ask another chat model"
            )
        answers = how(items, question, chat, Path(prompts), style)
        found = [(item, answer.value) for item, answer in zip(items, answers, strict=True) if answer.value is not None]
        ratings.record_all(rater, [(item.id, question.name, answer) for item, answer in found], by=MODEL)
        counts[question.name] = len(found)
    return counts


def _asked(items: Sequence[Item], question: Question, chat: ChatClient, prompts: Path, style: Style) -> list[Answer]:
    prompt = load_prompt(prompts, "rate")

    def read(text: str) -> str:
        answer = json_object(text, "answer")["answer"]
        if answer not in question.options:
            raise Unreadable(f'its "answer" is none of {", ".join(question.options)}')
        return answer

    conversations = [
        prompt.messages(
            summary=style.quote(item.summary),
            spans=[style.show_span(span) for span in _spans(item)] or [style.quote(item.text)],
            rubric=question.rubric,
            question=question.text,
            options=question.options,
            otherwise=question.otherwise,
        )
        for item in items
    ]
    schema = answer_schema("answer", enum=list(question.options))
    asked = questions(conversations, style=style, max_tokens=MAX_TOKENS, schema=schema)
    return ask(chat, asked, read, style=style)


class _Weakest(NamedTuple):
    """Items in the place of statistics: the spans by which an item is named are the weakest of those it shows."""

    items: Sequence[Item]
    n: int

    def spans(self, place: int) -> list[Span]:
        return [span for span in _spans(self.items[place]) if span.text.strip()][-self.n :]


def _named(items: Sequence[Item], chat: ChatClient, prompts: Path, style: Style) -> list[Explanation]:
    """What the model calls each item by itself, `feature` being its place in `items`."""
    shown = _Weakest(items, style.spans)
    named = explain([place for place in range(len(items)) if shown.spans(place)], shown, chat, prompts)
    found = {name.feature: name for name in named}
    return [found.get(place, Explanation(place, None, (), None)) for place in range(len(items))]


def _sound(items: Sequence[Item], question: Question, chat: ChatClient, prompts: Path, style: Style) -> list[Answer]:
    return [
        Answer(None, name.error)
        if name.error
        else Answer(compare(name.summary, item.summary, question.otherwise), None)
        for item, name in zip(items, _named(items, chat, prompts, style), strict=True)
    ]


def _relevant(items: Sequence[Item], question: Question, chat: ChatClient, prompts: Path, style: Style) -> list[Answer]:
    names = _named(items, chat, prompts, style)
    verdicts = judge(names, chat, prompts, question.rubric)
    return [
        Answer(OF_VERDICT.get(verdict.verdict), verdict.reason)
        if name.summary
        else Answer(None if name.error else question.otherwise, name.error)
        for name, verdict in zip(names, verdicts, strict=True)
    ]


_MINI: dict[str, Callable[..., list[Answer]]] = {"sound": _sound, "relevant": _relevant}


def compare(own: str | None, shown: str, otherwise: str) -> str:
    """Whether two names are the same: "yes" or "no"; `otherwise` where one only says less, or there is none."""
    a, b = (set(re.findall(r"\w+", (name or "").casefold())) for name in (own, shown))
    if a == b:
        return "yes"
    return otherwise if a <= b or b <= a else "no"


def _spans(item: Item) -> list[Span]:
    return [Span(-1, 0.0, "", text, peak) for text, peak in item.excerpts]
