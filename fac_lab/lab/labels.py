"""What features stand for, by the profile's annotator, kept on disk."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fac_lab.annotation.cases import DRAW, Draw, Held, detection_cases, fuzzing_cases, neighbours
from fac_lab.annotation.cost import NO_RATES, Rates, StepCost, annotation_cost
from fac_lab.annotation.explain import Explanation, explain, spans_shown
from fac_lab.annotation.relevance import Verdict, judge
from fac_lab.annotation.scores import ANSWER_COLUMNS, detect, fuzz
from fac_lab.annotation.styles import style_of
from fac_lab.annotation.verify import Check, verify
from fac_lab.chat.client import ChatClient
from fac_lab.corpora import Corpus
from fac_lab.features.stats import FeatureStats
from fac_lab.lab.readings import Readings
from fac_lab.store import Artifact

LABELS_VERSION = 2
SCORES_VERSION = 1
"""Code versions of the steps: raised when what they write changes."""
LABEL_COLUMNS = ("feature", "summary", "check", "confirmed", "check_reason", "verdict", "relevant", "reason")


class Labels(Readings):
    """A lab that names features and judges them."""

    def annotate(
        self, stats: FeatureStats, features: Sequence[int] | np.ndarray, *, task: str = "toxicity"
    ) -> pd.DataFrame:
        """Name features from their top spans, check the names, and judge whether they matter to a task.

        One row per feature: `feature`, `summary` (None: cannot tell), `check` (the second look's verdict, None where
        there is none), `confirmed`, `check_reason`, `verdict`, `relevant`, `reason`. A summary that is not confirmed
        is judged all the same: whether to use it is the reader's choice. Each answer is kept as it arrives, so that
        a killed annotation goes on where it stopped.
        """
        features, prompts, rubric = [int(feature) for feature in features], self.prompts, self.rubric(task)

        def build(artifact: Artifact) -> dict:
            explanations = explain(features, stats, self.annotator, prompts)
            checks = verify(explanations, stats, self.annotator, prompts)
            frame = _labels(explanations, checks, judge(explanations, self.annotator, prompts, rubric))
            artifact.write_frame("labels.parquet", frame)
            counts = {name: int(np.count_nonzero(frame[name])) for name in ("confirmed", "relevant")}
            return {"features": len(frame), "named": int(frame.summary.notna().sum()), **counts}

        artifact = self.store.once(
            "labels",
            build,
            version=LABELS_VERSION,
            stats=stats.made_by,
            features=features,
            annotator=self.annotator.backend.name,
            prompts=prompts,
            task=task,
            rubric=rubric,
        )
        return artifact.read_frame("labels.parquet")

    def annotation_cost(
        self,
        stats: FeatureStats,
        features: Sequence[int],
        *,
        task: str = "toxicity",
        seconds_per_call: float | None = None,
    ) -> list[StepCost]:
        """What `annotate` would ask, and at the profile's prices cost, given what is answered already."""
        settings = self.profile.annotator
        rates = Rates(settings.price_prompt, settings.price_completion, seconds_per_call) if settings else NO_RATES
        return annotation_cost(features, stats, self.annotator, self.prompts, self.rubric(task), rates=rates)

    def score_labels(
        self,
        labels: pd.DataFrame,
        stats: FeatureStats,
        corpus: Corpus,
        delta: float | np.ndarray,
        *,
        draw: Draw = DRAW,
        judge: ChatClient | None = None,
    ) -> pd.DataFrame:
        """Put the summaries of `labels` (`feature`, `summary`) to the test on texts that their namer did not see.

        `stats` were collected from `corpus` with `keep_matrix`, and are those that were annotated. A text activates a
        feature above `delta`. `judge` is the annotator if None. Returns one row per case of detection and of fuzzing,
        see `annotation.scores.detect`; `feature_scores` and `over_features` make scores of them.
        """
        judge = judge or self.annotator
        summaries = _summaries(labels)
        shown = style_of(self.prompts)
        named = [Explanation(f, text, spans_shown(stats, f, shown), None) for f, text in summaries.items()]

        def build(artifact: Artifact) -> dict:
            held = Held(stats, {row.id: row.text for row in corpus}, delta)
            near = neighbours(self.sae.W_dec.detach().float().cpu().numpy(), list(summaries))
            parts = [
                detect(detection_cases(named, held, near, self.trace_each, draw), summaries, judge, self.prompts),
                fuzz(fuzzing_cases(named, held, self.trace_each, draw), summaries, judge, self.prompts),
            ]
            frame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
            frame[["mark_start", "mark_stop"]] = np.array(frame.pop("mark").tolist(), np.int64).reshape(-1, 2)
            artifact.write_frame("answers.parquet", frame)
            return {"cases": len(frame), "failed": int(frame.answer.isna().sum())}

        made_by = self._scores_made_by(summaries, stats, corpus, delta, draw, judge)
        return self.store.once("label_scores", build, **made_by).read_frame("answers.parquet")

    def known_scores(
        self,
        labels: pd.DataFrame,
        stats: FeatureStats,
        corpus: Corpus,
        delta: float | np.ndarray,
        *,
        draw: Draw = DRAW,
        judge: ChatClient | None = None,
    ) -> pd.DataFrame:
        """What `score_labels` found before, on any choice of features, for the summaries of `labels`; asks nobody.

        One row per case as there, each feature from the oldest result that has it: its cases do not depend on which
        other features were scored with it. Features that were never scored under their summary have no rows.
        """
        summaries = _summaries(labels)
        made_by = self._scores_made_by(summaries, stats, corpus, delta, draw, judge or self.annotator)
        alike = _but_summaries(self.store.artifact("label_scores", **made_by))
        parts, left = [], dict(summaries)
        for artifact in self.store.finished("label_scores"):
            if _but_summaries(artifact) != alike:
                continue
            found = {feature for feature, text in artifact.made_by["summaries"] if left.get(feature) == text}
            if found and artifact.complete:
                answers = artifact.read_frame("answers.parquet")
                parts.append(answers[answers.feature.isin(found)])
                left = {feature: text for feature, text in left.items() if feature not in found}
        empty = pd.DataFrame(columns=[*ANSWER_COLUMNS, "mark_start", "mark_stop"]).drop(columns="mark")
        return pd.concat(parts, ignore_index=True) if parts else empty

    def _scores_made_by(
        self,
        summaries: dict[int, str],
        stats: FeatureStats,
        corpus: Corpus,
        delta: float | np.ndarray,
        draw: Draw,
        judge: ChatClient,
    ) -> dict[str, Any]:
        return {
            "version": SCORES_VERSION,
            "stats": stats.made_by,
            "corpus": corpus.digest,
            "summaries": sorted(summaries.items()),
            "delta": delta,
            "draw": draw,
            "judge": judge.backend.name,
            "prompts": self.prompts,
        }


def _summaries(labels: pd.DataFrame) -> dict[int, str]:
    pairs = zip(labels["feature"], labels["summary"], strict=True)
    return {int(feature): summary for feature, summary in pairs if isinstance(summary, str)}


def _but_summaries(artifact: Artifact) -> dict[str, Any]:
    """What made label scores, whichever labels they were."""
    return {name: value for name, value in artifact.made_by.items() if name != "summaries"}


def _labels(explanations: Sequence[Explanation], checks: Sequence[Check], verdicts: Sequence[Verdict]) -> pd.DataFrame:
    rows = [
        {
            "feature": explanation.feature,
            "summary": explanation.summary,
            "check": check.verdict,
            "confirmed": check.confirmed,
            "check_reason": check.reason,
            "verdict": verdict.verdict,
            "relevant": verdict.relevant,
            "reason": explanation.error or verdict.reason,
        }
        for explanation, check, verdict in zip(explanations, checks, verdicts, strict=True)
    ]
    return pd.DataFrame(rows, columns=LABEL_COLUMNS)
