"""Names for features: a chat model reads a feature's strongest spans and says what they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.ask import ask
from fac_lab.annotation.styles import answer_schema, style_of
from fac_lab.chat.client import ChatClient
from fac_lab.features.spans import Span
from fac_lab.features.stats import FeatureStats
from fac_lab.prompts import load_prompt

MAX_TOKENS = 96


class Explanation(NamedTuple):
    """What a feature stands for, as far as an annotator can tell."""

    feature: int
    """Feature index."""
    summary: str | None
    """None where the annotator cannot tell, or where `error` says that it was not understood."""
    spans_used: tuple[Span, ...]
    """The spans it read, strongest first."""
    error: str | None
    """Why there is no answer; None for a summary and for an honest "cannot tell"."""


def explain(features: Sequence[int], stats: FeatureStats, chat: ChatClient, prompts: str | Path) -> list[Explanation]:
    """One explanation per feature, in order, from `stats.spans` and the prompt `explain` in a folder.

    A feature without spans is not asked about. An answer that cannot be read is asked for once more; failing
    that, the explanation carries the reason.
    """
    style = style_of(prompts)
    prompt = load_prompt(Path(prompts), "explain")
    shown = {
        feature: tuple(span for span in stats.spans(feature)[: style.spans] if span.text.strip())
        for feature in features
    }
    asked = [feature for feature, spans in shown.items() if spans]
    answers = ask(
        chat,
        [prompt.messages(spans=[style.show_span(span) for span in shown[feature]]) for feature in asked],
        style.read_summary,
        style=style,
        max_tokens=MAX_TOKENS,
        schema=answer_schema("summary"),
    )
    found = dict(zip(asked, answers, strict=True))
    return [
        Explanation(feature, found[feature].value, shown[feature], found[feature].error)
        if feature in found
        else Explanation(feature, None, (), "it has no spans: nothing activates it, or collect.top_spans is 0")
        for feature in features
    ]
