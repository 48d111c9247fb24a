"""Names for features: a chat model reads a feature's strongest spans and says what they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.ask import PAPER_RUN, Answer, Run, ask, questions
from fac_lab.annotation.styles import Style, answer_schema, style_of
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.features.spans import Span
from fac_lab.features.stats import FeatureStats
from fac_lab.prompts import load_prompt

MAX_TOKENS = 96
SCHEMA = answer_schema("summary")


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


def explain(
    features: Sequence[int], stats: FeatureStats, chat: ChatClient, prompts: str | Path, *, run: Run = PAPER_RUN
) -> list[Explanation]:
    """One explanation per feature, in order, from `stats.spans` and the prompt `explain` in a folder.

    A feature without spans is not asked about. An answer that cannot be read is asked for once more; failing
    that, the explanation carries the reason.
    """
    style = style_of(prompts)
    shown = {feature: spans_shown(stats, feature, style) for feature in features}
    asked = [feature for feature, spans in shown.items() if spans]
    answers = name([[style.show_span(span) for span in shown[feature]] for feature in asked], chat, prompts, run=run)
    found = dict(zip(asked, answers, strict=True))
    return [
        Explanation(feature, found[feature].value, shown[feature], found[feature].error)
        if feature in found
        else Explanation(feature, None, (), "it has no spans: nothing activates it, or collect.top_spans is 0")
        for feature in features
    ]


def spans_shown(stats: FeatureStats, feature: int, style: Style) -> tuple[Span, ...]:
    """The spans that name a feature: its strongest, blank ones left out."""
    return tuple(span for span in stats.spans(feature)[: style.spans] if span.text.strip())


def name(
    pieces: Sequence[Sequence[str]], chat: ChatClient, prompts: str | Path, *, run: Run = PAPER_RUN
) -> list[Answer[str | None]]:
    """What each list of pieces shares, by the prompt `explain`; None is "cannot tell".

    Pieces stand as a style shows them (`show_span`, `quote`).
    """
    style = style_of(prompts)
    return ask(chat, naming_requests(pieces, prompts, run=run), style.read_summary, style=style)


def naming_requests(pieces: Sequence[Sequence[str]], prompts: str | Path, *, run: Run = PAPER_RUN) -> list[ChatRequest]:
    """The requests by which `name` asks."""
    style, prompt = style_of(prompts), load_prompt(Path(prompts), "explain")
    conversations = [prompt.messages(spans=list(lines)) for lines in pieces]
    return questions(conversations, style=style, max_tokens=MAX_TOKENS, schema=SCHEMA, run=run)
