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

from fac_lab.annotation.ask import Answer, ask
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
    return ask(chat, conversations, read, style=style, max_tokens=MAX_TOKENS, schema=schema)


def _named(items: Sequence[Item], chat: ChatClient, prompts: Path, style: Style) -> list[Answer]:
    """What the model calls each item by itself; "" where it cannot tell, or has nothing to go by."""
    prompt = load_prompt(prompts, "explain")
    spans = [[span for span in _spans(item) if span.text.strip()][-style.spans :] for item in items]
    asked = [i for i, some in enumerate(spans) if some]
    answers = ask(
        chat,
        [prompt.messages(spans=[style.show_span(span) for span in spans[i]]) for i in asked],
        lambda text: style.read_summary(text) or "",
        style=style,
        max_tokens=MAX_TOKENS,
        schema=answer_schema("summary"),
    )
    names: list[Answer] = [Answer("", None)] * len(items)
    for i, answer in zip(asked, answers, strict=True):
        names[i] = answer
    return names


def _sound(items: Sequence[Item], question: Question, chat: ChatClient, prompts: Path, style: Style) -> list[Answer]:
    return [
        name if name.value is None else Answer(compare(name.value, item.summary, question.otherwise), None)
        for item, name in zip(items, _named(items, chat, prompts, style), strict=True)
    ]


def _relevant(items: Sequence[Item], question: Question, chat: ChatClient, prompts: Path, style: Style) -> list[Answer]:
    prompt = load_prompt(prompts, "judge")
    answers = _named(items, chat, prompts, style)
    asked = [i for i, name in enumerate(answers) if name.value]
    judged = ask(
        chat,
        [prompt.messages(rubric=question.rubric, summary=style.phrase(answers[i].value), spans=[]) for i in asked],
        lambda text: OF_VERDICT[style.read_verdict(text)[0]],
        style=style,
        max_tokens=MAX_TOKENS,
        schema=answer_schema("verdict"),
    )
    answers = [Answer(question.otherwise, None) if name.value == "" else name for name in answers]
    for i, answer in zip(asked, judged, strict=True):
        answers[i] = answer
    return answers


_MINI: dict[str, Callable[..., list[Answer]]] = {"sound": _sound, "relevant": _relevant}


def compare(own: str, shown: str, otherwise: str) -> str:
    """ "yes" for two equal names, `otherwise` where the words of one are all in the other or it is empty, else "no"."""
    a, b = (set(re.findall(r"\w+", name.casefold())) for name in (own, shown))
    if a == b:
        return "yes"
    return otherwise if a <= b or b <= a else "no"


def _spans(item: Item) -> list[Span]:
    return [Span(-1, 0.0, "", text, peak) for text, peak in item.excerpts]
