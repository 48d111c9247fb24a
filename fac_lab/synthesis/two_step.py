"""Two-step synthesis: for each missing feature a text that activates it, by writing, measuring and rewriting.

Step 1 writes candidates from the feature's description and measures them: the strongest is x+, the weakest
x-. Step 2 writes again with this contrastive pair in view. What exceeds delta and passes the checks is ranked
by activation. All features take each step together, so a run is two batches of chat requests and two of
measurements; with the chat client's cache a run that is killed resumes where it stopped. With no draws for step 2
it is one-step synthesis.

Where the paper's text and the authors' code differ, a setting has two values, "paper" and "code":

- `fallback`: where no candidate activates the feature, x+ is the strongest anchor span, with its measured
  activation; or, where fewer than two do, with 5.0, and then the span has to be used word for word;
- `filter`: a sample has to activate its feature; or it need not;
- `features`: all are written for; or the first fifth of them.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fac_lab.chat.client import ChatClient
from fac_lab.errors import DataError
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis.complete import complete
from fac_lab.synthesis.samples import Sample, choose, kept, normalise
from fac_lab.synthesis.writer import Writer

log = logging.getLogger(__name__)

CODE_SPAN_SCORE = 5.0
"""What the authors' code gives an anchor span for an activation."""
CODE_VERBATIM_ABOVE = 4.0
"""Activation of x+ above which that code's prompt demands the span word for word."""
CODE_FEATURE_SHARE = 0.2
"""Share of the features that its first step lets through."""

__all__ = ["Brief", "Pair", "Sample", "choose_pair", "kept", "synthesise"]

Measure = Callable[[Sequence[str], Sequence[int]], np.ndarray]
"""Texts and features -> pooled activations `[n_texts, n_features]`."""


class Brief(NamedTuple):
    """A feature to write for."""

    feature: int
    """Feature index."""
    summary: str | None
    """What it stands for; None where nobody could tell."""
    spans: tuple[str, ...]
    """Its top anchor spans, strongest first."""
    relevant: bool
    """Whether it matters to the task: the label of what is written for it."""


class Scored(NamedTuple):
    """A text and its activation of one feature."""

    text: str
    activation: float


class Pair(NamedTuple):
    """What step 2 is shown."""

    positive: Scored
    source: str
    """Where the positive comes from: "candidate" or "anchor span"."""
    negative: Scored


def synthesise(
    briefs: Sequence[Brief],
    *,
    chat: ChatClient,
    measure: Measure,
    delta: float | np.ndarray,
    settings: SynthesisSettings,
    prompts: str | Path,
    task: str = "toxicity",
) -> list[Sample]:
    """All candidates of all briefs, by brief, step and draw; kept ones flagged, the others with their reason.

    `delta` is one threshold, or one per feature of the dictionary, `[d_sae]`; a sample activates above it,
    strictly. `prompts` is a folder with `one_step`, `two_step` and the formats of the tasks. A feature without a
    usable pair gets the prompt of step 1 again, with the seeds of step 2; candidates of step 1 are kept only
    where step 2 yields fewer than `settings.per_feature`. Raises DataError for two briefs of one feature.
    """
    writer = Writer(chat, settings, Path(prompts), task)
    if settings.features == "code":
        briefs = briefs[: math.ceil(CODE_FEATURE_SHARE * len(briefs))]
    repeated = [feature for feature, n in Counter(brief.feature for brief in briefs).items() if n > 1]
    if repeated:
        raise DataError(f"feature {repeated[0]} has more than one brief: pass each feature once")
    limits = np.asarray(delta, np.float64)
    thresholds: dict[int | None, float] = {
        brief.feature: float(limits if limits.ndim == 0 else limits[brief.feature]) for brief in briefs
    }
    activations = _Activations(measure, [brief.feature for brief in briefs])

    first = _write(briefs, {}, step=1, writer=writer)
    activations.add([*(sample.text for sample in first), *(span for brief in briefs for span in brief.spans[:1])])
    second: list[Sample] = []
    if settings.step2_draws:
        pairs = _pairs(briefs, first, activations, thresholds, fallback=settings.fallback)
        second = _write(briefs, pairs, step=2, writer=writer)
        activations.add([sample.text for sample in second])

    scored = [_score(sample, activations, thresholds, settings.filter == "paper") for sample in first + second]
    place: dict[int | None, int] = {brief.feature: i for i, brief in enumerate(briefs)}
    samples = choose(
        sorted(scored, key=lambda sample: (place[sample.feature], sample.step, sample.draw)),
        per_group=settings.per_feature,
    )
    samples = complete(samples, writer)
    reasons = Counter(sample.reason.split(":")[0] for sample in samples if not sample.kept)
    log.info("%d samples for %d features; others: %s", len(kept(samples)), len(briefs), dict(reasons) or "none")
    return samples


def choose_pair(own: Sequence[Scored], *, span: Scored | None, rivals: Iterable[Scored], delta: float) -> Pair | None:
    """The contrastive pair of one feature: x+ its strongest candidate, x- its weakest.

    Where no candidate of its `own` exceeds `delta`, x+ is the anchor `span`; without a span, the strongest
    candidate all the same. x- differs from x+ in its words: where no own candidate does, it is the first of
    the `rivals`, candidates of other features, that does. None where either half cannot be had.
    """
    strongest = max(own, key=lambda scored: scored.activation, default=None)
    if strongest is not None and (strongest.activation > delta or span is None):
        positive, source = strongest, "candidate"
    elif span is not None:
        positive, source = span, "anchor span"
    else:
        return None
    said = normalise(positive.text)
    others = [scored for scored in own if normalise(scored.text) != said]
    if others:
        return Pair(positive, source, min(others, key=lambda scored: scored.activation))
    negative = next((rival for rival in rivals if normalise(rival.text) != said), None)
    return Pair(positive, source, negative) if negative else None


class _Activations:
    """What texts activate, of the briefs' features; each different text is measured once."""

    def __init__(self, measure: Measure, features: Sequence[int]) -> None:
        self._measure = measure
        self._features = list(features)
        # A sample may be for no feature, those of the briefs never are.
        self._column: dict[int | None, int] = {feature: i for i, feature in enumerate(features)}
        self._rows: dict[str, np.ndarray] = {}

    def add(self, texts: Iterable[str]) -> None:
        """Measure the texts that are new and not empty, in one call."""
        new = [text for text in dict.fromkeys(texts) if text and text not in self._rows]
        if new:
            self._rows.update(zip(new, self._measure(new, self._features), strict=True))

    def of(self, text: str, feature: int | None) -> float:
        """Activation of a measured text; nan of an empty one."""
        return float(self._rows[text][self._column[feature]]) if text else float("nan")


def _pairs(
    briefs: Sequence[Brief],
    first: Sequence[Sample],
    activations: _Activations,
    thresholds: dict[int | None, float],
    *,
    fallback: str,
) -> dict[int, Pair]:
    """The pair of each feature that has one, from the sound candidates of step 1."""
    sound: dict[int | None, list[str]] = {brief.feature: [] for brief in briefs}
    for sample in first:
        if not sample.reason:
            sound[sample.feature].append(sample.text)

    def scored(texts: Iterable[str], feature: int) -> list[Scored]:
        return [Scored(text, activations.of(text, feature)) for text in texts]

    def rivals(i: int) -> Iterator[Scored]:
        """Candidates of the features that follow, each feature's weakest for this one first."""
        for other in (*briefs[i + 1 :], *briefs[:i]):
            yield from sorted(scored(sound[other.feature], briefs[i].feature), key=lambda rival: rival.activation)

    pairs = {}
    for i, brief in enumerate(briefs):
        spans = scored((span for span in brief.spans[:1] if span), brief.feature)
        own = scored(sound[brief.feature], brief.feature)
        delta = thresholds[brief.feature]
        if fallback == "code" and spans and sum(candidate.activation > delta for candidate in own) < 2:
            spans, delta = [spans[0]._replace(activation=CODE_SPAN_SCORE)], math.inf
        pair = choose_pair(own, span=spans[0] if spans else None, rivals=rivals(i), delta=delta)
        if pair is not None:
            pairs[brief.feature] = pair
    return pairs


def _write(briefs: Sequence[Brief], pairs: dict[int, Pair], *, step: int, writer: Writer) -> list[Sample]:
    """The candidates of one step, not yet measured; unsound ones with their reason."""
    style, settings = writer.style, writer.settings
    one_step, two_step = writer.prompt("one_step"), writer.prompt("two_step")
    conversations, seeds, shown, drafts = [], [], [], []
    for brief in briefs:
        pair = pairs.get(brief.feature)
        prompt = two_step if pair else one_step
        values = {
            "summary": style.phrase(brief.summary),
            "spans": [style.quote(span) for span in brief.spans[: style.spans]],
            "relevant": brief.relevant,
        }
        texts = [brief.summary or "", *brief.spans]
        if pair:
            demanded = settings.fallback == "code" and pair.positive.activation > CODE_VERBATIM_ABOVE
            values |= {
                "positive": style.quote(pair.positive.text),
                "positive_activation": pair.positive.activation,
                "negative": style.quote(pair.negative.text),
                "negative_activation": pair.negative.activation,
                "verbatim": demanded,
            }
            texts = [*texts, pair.positive.text, pair.negative.text]
            if demanded:
                # What the prompt demands cannot be refused as a copy.
                texts = [brief.summary or ""]
        messages = writer.messages(prompt, **values)
        made_by = {"prompt_version": writer.version(prompt), "model": writer.chat.backend.name}
        for draw in range(settings.step1_draws if step == 1 else settings.step2_draws):
            conversations.append(messages)
            seeds.append(writer.seed("two-step", int(brief.feature), step, draw))
            shown.append(texts)
            drafts.append(_draft(brief, pair, step=step, draw=draw, task=writer.task, **made_by))
    method = "two-step" if settings.step2_draws else "one-step"
    return [
        draft._replace(
            text=written.text(writer.form),
            parts=json.dumps(written.parts, ensure_ascii=False),
            reason=written.reason,
            seed=written.seed,
            repaired=written.repaired,
            method=method,
        )
        for draft, written in zip(drafts, writer.write(conversations, seeds, shown), strict=True)
    ]


def _draft(brief: Brief, pair: Pair | None, **made_by: Any) -> Sample:
    draft = Sample(brief.feature, "", int(brief.relevant), **made_by)
    if pair is None:
        return draft
    return draft._replace(
        positive=pair.positive.text,
        positive_activation=pair.positive.activation,
        positive_source=pair.source,
        negative=pair.negative.text,
        negative_activation=pair.negative.activation,
    )


def _score(
    sample: Sample, activations: _Activations, thresholds: dict[int | None, float], must_activate: bool
) -> Sample:
    """The sample with its activation; where it must activate and does not exceed delta, refused."""
    activation = activations.of(sample.text, sample.feature)
    reason = sample.reason
    if must_activate and not reason and not activation > thresholds[sample.feature]:
        reason = f"does not activate: {activation:.4g} is not above {thresholds[sample.feature]:.4g}"
    return sample._replace(activation=activation, reason=reason)
