"""A second look at each summary before it is used: does it fit the feature?

Large models read the summary beside the spans once more and answer Yes, Probably, Maybe or No. The mini models
know no such question. What they can do is name a feature again from its spans that were *not* shown: the two names
are compared, and the verdict says how far they agree (`styles.match_names`). That asks whether the name is stable,
not whether it is true; a namer that errs in the same way twice passes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.ask import PAPER_RUN, Answer, Run, ask, questions
from fac_lab.annotation.explain import Explanation, name
from fac_lab.annotation.relevance import SCHEMA
from fac_lab.annotation.styles import match_names, style_of
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.features.stats import FeatureStats
from fac_lab.prompts import load_prompt

MAX_TOKENS = 128
CONFIRMING = ("Yes", "Probably")
"""Verdicts that confirm a summary: ours. The paper names the four answers and not what follows from each."""


class Check(NamedTuple):
    """Whether a summary holds on a second look."""

    feature: int
    """Feature index."""
    verdict: str | None
    """"Yes", "Probably", "Maybe" or "No"; None where there is no answer."""
    reason: str
    """The annotator's words, or why there is no verdict."""

    @property
    def confirmed(self) -> bool:
        """Whether the verdict is "Yes" or "Probably"."""
        return self.verdict in CONFIRMING


def verify(
    explanations: Sequence[Explanation],
    stats: FeatureStats,
    chat: ChatClient,
    prompts: str | Path,
    *,
    run: Run = PAPER_RUN,
) -> list[Check]:
    """One check per explanation, in order, by the prompt `verify` in a folder, or for mini models by naming again.

    A feature without a summary is not checked. An answer that cannot be read is asked for once more; failing that,
    the verdict is None and carries the reason.
    """
    checks = [
        Check(explanation.feature, None, explanation.error or "not named, so there is nothing to check")
        for explanation in explanations
    ]
    named = [i for i, explanation in enumerate(explanations) if explanation.summary is not None]
    again = _name_again if style_of(prompts).names_only else _read_again
    for i, check in zip(named, again([explanations[i] for i in named], stats, chat, prompts, run), strict=True):
        checks[i] = check
    return checks


def verify_requests(
    explanations: Sequence[Explanation], prompts: str | Path, *, run: Run = PAPER_RUN
) -> list[ChatRequest]:
    """The requests by which `verify` asks a large model about explanations that have a summary."""
    style, prompt = style_of(prompts), load_prompt(Path(prompts), "verify")
    conversations = [
        prompt.messages(summary=style.phrase(e.summary), spans=[style.show_span(span) for span in e.spans_used])
        for e in explanations
    ]
    return questions(conversations, style=style, max_tokens=MAX_TOKENS, schema=SCHEMA, run=run)


def spans_left(stats: FeatureStats, explanation: Explanation, prompts: str | Path) -> list[str]:
    """A feature's spans that its namer did not see, as the style shows them."""
    style = style_of(prompts)
    seen = {(span.sample_id, span.text) for span in explanation.spans_used}
    left = (span for span in stats.spans(explanation.feature) if (span.sample_id, span.text) not in seen)
    return [style.show_span(span) for span in left if span.text.strip()][: style.spans]


def _read_again(
    explanations: Sequence[Explanation], stats: FeatureStats, chat: ChatClient, prompts: str | Path, run: Run
) -> list[Check]:
    style = style_of(prompts)
    requests = verify_requests(explanations, prompts, run=run)
    answers: list[Answer[tuple[str, str]]] = ask(chat, requests, style.read_verdict, style=style)
    return [
        Check(explanation.feature, *(answer.value or (None, answer.error or "")))
        for explanation, answer in zip(explanations, answers, strict=True)
    ]


def _name_again(
    explanations: Sequence[Explanation], stats: FeatureStats, chat: ChatClient, prompts: str | Path, run: Run
) -> list[Check]:
    left = [spans_left(stats, explanation, prompts) for explanation in explanations]
    asked = [i for i, pieces in enumerate(left) if pieces]
    answers = dict(zip(asked, name([left[i] for i in asked], chat, prompts, run=run), strict=True))
    return [_compared(explanation, answers.get(i)) for i, explanation in enumerate(explanations)]


def _compared(explanation: Explanation, second: Answer[str | None] | None) -> Check:
    if second is None:
        return Check(explanation.feature, None, "all its spans were shown: none is left to name it from again")
    if second.error is not None:
        return Check(explanation.feature, None, second.error)
    said = "cannot tell" if second.value is None else f'"{second.value}"'
    return Check(explanation.feature, match_names(explanation.summary, second.value), f"named again: {said}")
