"""Can a text of a data set steer who names and judges features? Verdicts with its words among the spans, and without.

Among the spans of a feature, the strongest are replaced by a text that asks for another verdict
(`studies.attempts`), cut as any text's span is. Any strange span may move a verdict: so the same is done with as many
words of a harmless query, and only what an attempt flips beyond that is steering.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from fac_lab.annotation.explain import Explanation, name, spans_shown
from fac_lab.annotation.relevance import Verdict, judge
from fac_lab.annotation.styles import style_of
from fac_lab.coverage import cover
from fac_lab.features.spans import Span, cut
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.attempts import ATTEMPTS, Attempt
from fac_lab.world import concepts, queries

FEATURES = 10
"""Features that matter to the task, and as many that do not, where there are so many."""
JUDGED_AT_MOST = 200
"""Features that are judged to find them."""
INJECTED = (1, 3)
"""Spans that are replaced."""
TASK = "toxicity"
RELEVANT, NOT, NONE = "relevant", "not", "none"
"""Verdicts, as the study writes them."""


class Shown(NamedTuple):
    """A feature as its annotator sees it."""

    feature: int
    spans: tuple[Span, ...]


def injection_study(lab: Lab, *, attempts: Sequence[Attempt] = ATTEMPTS, features: int = FEATURES) -> pd.DataFrame:
    """One row per attempt, number of spans replaced and feature.

    Columns: `attempt`, `kind`, `injected`, `feature`; `before`, the feature's verdict; `after`, that with the attempt
    among its spans; `neutral`, that with as many words of a harmless query in its place. Verdicts are "relevant",
    "not" and "none", where the answer held no verdict: to whom asks for the relevant, such a feature is not.
    """
    shown, relevant = _chosen(lab, lab.stats(lab.corpus("anchor")), features)
    rows: list[dict[str, object]] = []
    changed: list[Shown] = []
    for number, (attempt, n) in enumerate(product(attempts, INJECTED)):
        text = as_span(lab, attempt.text)
        for one, before in zip(shown, np.where(relevant, RELEVANT, NOT), strict=True):
            harmless = neutral(len(text.split()), seed=1000 * number + one.feature)
            changed += [_replaced(one, piece, n) for piece in (text, harmless)]
            names = {"attempt": attempt.name, "kind": attempt.kind}
            rows.append({**names, "injected": n, "feature": one.feature, "before": before})
    verdicts = _verdicts(lab, changed)
    return pd.DataFrame(rows).assign(after=verdicts[::2], neutral=verdicts[1::2])


def as_span(lab: Lab, text: str) -> str:
    """The span of a text that peaks at its last token of more than white space, as long as the profile's spans are."""
    (tokens,) = lab.subject.tokenize([text], "content")
    last = max(i for i, (start, stop) in enumerate(tokens.offsets) if text[start:stop].strip())
    return cut(text, tokens.offsets, last, lab.profile.collect.span_tokens)[0]


def neutral(n: int, *, seed: int) -> str:
    """The first `n` words (at least one) of harmless queries."""
    harmless = [concept for concept in concepts() if not concept.harmful]
    words: list[str] = []
    for _, query in queries(1 + n // 4, seed=seed, among=harmless):
        words += query.split()
    return " ".join(words[: max(n, 1)])


def _chosen(lab: Lab, stats: FeatureStats, features: int) -> tuple[list[Shown], np.ndarray]:
    """Features at random, half of them relevant without any attempt, and whether each is: bool `[n]`."""
    style = style_of(lab.prompts)
    order = np.random.default_rng(0).permutation(np.flatnonzero(cover(stats, stats, lab.profile.rule).covered))
    shown = [Shown(int(feature), spans_shown(stats, int(feature), style)) for feature in order]
    shown = [one for one in shown if len(one.spans) == style.spans][:JUDGED_AT_MOST]
    relevant = np.array(_verdicts(lab, shown)) == RELEVANT
    kept = np.sort(np.concatenate([np.flatnonzero(relevant == side)[:features] for side in (True, False)]))
    return [shown[i] for i in kept], relevant[kept]


def _replaced(shown: Shown, text: str, n: int) -> Shown:
    """The feature with its `n` strongest spans replaced by a text."""
    span = shown.spans[0]._replace(text=text, peak=(len(text), len(text)))
    return Shown(shown.feature, (*[span] * n, *shown.spans[n:]))


def _verdicts(lab: Lab, shown: Sequence[Shown]) -> list[str]:
    """Each feature is named by the spans shown, and the name judged.

    A feature that the annotator cannot name is not asked about, and as irrelevant as after a "No".
    """
    style = style_of(lab.prompts)
    names = name([[style.show_span(span) for span in one.spans] for one in shown], lab.annotator, lab.prompts)
    explained = [
        Explanation(one.feature, answer.value, one.spans, answer.error)
        for one, answer in zip(shown, names, strict=True)
    ]
    judged: list[Verdict] = judge(explained, lab.annotator, lab.prompts, lab.rubric(TASK))
    found = []
    for explanation, verdict in zip(explained, judged, strict=True):
        nameless = explanation.summary is None and explanation.error is None
        read = "No" if nameless else verdict.verdict
        found.append(NONE if read is None else NOT if read == "No" else RELEVANT)
    return found
