"""The workbench: what a profile names, opened when first needed, with every finished result kept on disk.

    lab = Lab.open("mini")
    anchor, seed = lab.stats(lab.corpus("anchor")), lab.stats(lab.corpus("seed"))
    gap = cover(anchor, seed, lab.profile.rule)

A result is keyed by all that made it; asked for again, in this process or another, it is read instead of made.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fac_lab import annotation, synthesis
from fac_lab.annotation.cases import DRAW, Draw, Held, detection_cases, fuzzing_cases, neighbours
from fac_lab.annotation.cost import NO_RATES, Rates, StepCost, annotation_cost
from fac_lab.annotation.explain import Explanation, explain, spans_shown
from fac_lab.annotation.relevance import Verdict, judge
from fac_lab.annotation.rubric import rubric_of
from fac_lab.annotation.scores import ANSWER_COLUMNS, detect, fuzz
from fac_lab.annotation.styles import style_of
from fac_lab.annotation.verify import Check, verify
from fac_lab.chat.client import ChatClient, open_client
from fac_lab.corpora import Corpus, open_corpus
from fac_lab.errors import SettingsError
from fac_lab.features.collect import collect, measure
from fac_lab.features.embeddings import embed
from fac_lab.features.encoder import Encoder
from fac_lab.features.pretrained import tokenizer_digest
from fac_lab.features.saes import load_sae
from fac_lab.features.stats import FeatureStats
from fac_lab.features.subject import Subject
from fac_lab.features.trace import TokenTrace, trace_each
from fac_lab.features.training import train_sae
from fac_lab.plain import nearest
from fac_lab.profile import ChatSettings, Profile, SynthesisSettings, load_profile, project_root, resolve
from fac_lab.recipes.protocols import save_record
from fac_lab.scale import Reader, collect_shards
from fac_lab.shards import Shards
from fac_lab.store import Artifact, Store
from fac_lab.synthesis.baselines import BASELINES, Tools, text_judge
from fac_lab.synthesis.chosen import BY_VECTORS, as_samples, choose
from fac_lab.synthesis.plain import plain
from fac_lab.synthesis.samples import Sample, kept
from fac_lab.synthesis.two_step import Brief, synthesise
from fac_lab.synthesis.writer import Writer
from fac_lab.tasks.backbone import Backbone

log = logging.getLogger(__name__)

STATS_VERSION = 1
LABELS_VERSION = 2
SCORES_VERSION = 1
SAMPLES_VERSION = 2
SELECTION_VERSION = 1
STEERED_VERSION = 1
BASELINE_VERSION = 1
"""Code versions of the steps: raised when what they write changes."""
LABEL_COLUMNS = ("feature", "summary", "check", "confirmed", "check_reason", "verdict", "relevant", "reason")


class Lab:
    """A profile's subject, SAE and chat models beside the store of their results."""

    def __init__(self, profile: Profile, out: str | Path) -> None:
        self.profile = profile
        self.store = Store(out)

    @classmethod
    def open(cls, profile: str | Path | Profile | None = None, *, out: str | Path | None = None) -> "Lab":
        """The lab of a profile (by name, path, or $FAC_LAB_PROFILE); results go to `out`, else runs/<profile>."""
        loaded = profile if isinstance(profile, Profile) else load_profile(profile)
        return cls(loaded, out or project_root() / "runs" / loaded.name)

    @cached_property
    def subject(self) -> Subject:
        """The model whose features are read."""
        return Subject.load(self.profile.subject)

    @cached_property
    def sae(self) -> Any:
        """The subject's sparse autoencoder (a sae-lens SAE), checked against it."""
        return load_sae(self.profile.sae, self.subject)

    @cached_property
    def backbone(self) -> Backbone:
        """The subject's model as a base for detectors, lent to one fine-tuning run after another."""
        return Backbone(resolve(self.profile.subject.path))

    def train_sae(self, corpus: Corpus) -> Any:
        """Train the SAE that the profile's `sae` names and `sae_training` describes; a killed run resumes.

        Raises SettingsError where the profile does not say how, or reads an SAE from elsewhere than a folder.
        """
        profile = self.profile
        if profile.sae_training is None or profile.sae.source != "folder":
            raise SettingsError(
                f"profile {profile.name} trains no SAE: give it `sae_training:` and an `sae:` with source folder"
            )
        return train_sae(self.subject, corpus, profile.sae_training, Path(resolve(profile.sae.path)))

    @cached_property
    def encoder(self) -> Encoder:
        """The SAE as a pooling encoder."""
        return Encoder(self.sae)

    @cached_property
    def generator(self) -> ChatClient:
        """The chat model that writes samples."""
        return self._client("generator", self.profile.generator)

    @cached_property
    def annotator(self) -> ChatClient:
        """The chat model that names and judges features."""
        return self._client("annotator", self.profile.annotator)

    def corpus(self, role: str) -> Corpus:
        """A data set of the profile by role: anchor, seed, pool or test."""
        if role not in self.profile.corpora:
            raise SettingsError(
                f"profile {self.profile.name} names no {role} corpus, only {sorted(self.profile.corpora)}; "
                f"add corpora.{role} to it"
            )
        corpus = open_corpus(self.profile.corpora[role], role, data_dir=self.profile.data_dir)
        if corpus.record is not None:
            save_record(corpus.record, self.store.root / "corpora" / f"{role}.json")
        return corpus

    def stats(self, corpus: Corpus, *, keep_matrix: bool = False) -> FeatureStats:
        """What the corpus activates. A killed collection resumes where it stopped."""

        def build(artifact: Artifact) -> dict:
            stats = collect(
                self.subject, self.sae, corpus, self.profile.collect, artifact=artifact, keep_matrix=keep_matrix
            )
            counts = {"samples": stats.n_samples, "tokens": stats.n_tokens, "truncated": stats.n_truncated}
            return counts if corpus.record is None else {**counts, "data": corpus.record}

        return self._stats(corpus.digest, build, keep_matrix)

    def stats_of_shards(self, shards: Shards, **cluster: Any) -> FeatureStats:
        """What a corpus in shards activates, collected by the workers that `cluster` names (see
        `scale.collect_shards`); kept as the result of `stats(shards.corpus())`, which it equals."""

        def build(artifact: Artifact) -> dict:
            stats = collect_shards(shards, self.reader, self.store, **cluster)
            stats.save(artifact.path)
            return {"samples": stats.n_samples, "tokens": stats.n_tokens, "truncated": stats.n_truncated}

        return self._stats(shards.digest, build, keep_matrix=False)

    @property
    def reader(self) -> Reader:
        """What workers on other machines need to read features as this lab does."""
        profile = self.profile
        return Reader(
            profile.subject,
            profile.sae,
            profile.collect,
            subject_digest=self.subject.digest,
            sae_digest=self.encoder.digest,
            tokenizer_digest=tokenizer_digest(self.subject.tokenizer),
        )

    def measure(self, texts: Sequence[str], features: Sequence[int] | None = None) -> np.ndarray:
        """Pooled activations of texts, [n_texts, n_features] (all features if None)."""
        return measure(self.subject, self.sae, texts, features, self.profile.collect)

    def annotate(self, stats: FeatureStats, features: Sequence[int], *, task: str = "toxicity") -> pd.DataFrame:
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
            counts = {name: int(frame[name].sum()) for name in ("confirmed", "relevant")}
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

    def trace_each(self, texts: Sequence[str], features: Sequence[int]) -> list[TokenTrace]:
        """Activations of `features[i]` at every token of `texts[i]`."""
        return trace_each(self.subject, self.sae, texts, features, self.profile.collect)

    @property
    def prompts(self) -> Path:
        """The folder of the profile's annotation prompts."""
        return self._prompts(annotation)

    def rubric(self, task: str) -> str:
        """What matters to a task, in the words that the profile's prompts use. Raises SettingsError for an unknown
        task, and for one that the mini annotator never learned."""
        return rubric_of(task, self.prompts)

    def synthesise(
        self,
        labels: pd.DataFrame,
        stats: FeatureStats,
        delta: float | np.ndarray,
        *,
        task: str = "toxicity",
        settings: SynthesisSettings | None = None,
    ) -> pd.DataFrame:
        """Two-step synthesis for the labelled features: every candidate, kept ones flagged, with its provenance.

        `settings` take the place of the profile's; without draws for step 2 they mean one-step synthesis.
        """
        settings = settings or self.profile.synthesis
        # A frame that was stored has NaN where a feature could not be named.
        briefs = [
            Brief(
                int(row.feature),
                None if pd.isna(row.summary) else row.summary,
                tuple(span.text for span in stats.spans(row.feature)),
                row.relevant,
            )
            for row in labels.itertuples()
        ]

        def build(artifact: Artifact) -> dict:
            samples = synthesise(
                briefs,
                chat=self.generator,
                measure=self.measure,
                delta=delta,
                settings=settings,
                prompts=self._prompts(synthesis),
                task=task,
            )
            artifact.write_frame("samples.parquet", pd.DataFrame(samples, columns=Sample._fields))
            return {"candidates": len(samples), "kept": sum(sample.kept for sample in samples)}

        artifact = self.store.once(
            "samples",
            build,
            version=SAMPLES_VERSION,
            briefs=briefs,
            delta=delta,
            generator=self.generator.backend.name,
            settings=settings,
            prompts=self._prompts(synthesis),
            task=task,
            sae=self.encoder.digest,
            subject=self.subject.digest,
        )
        return artifact.read_frame("samples.parquet")

    def select(
        self,
        features: Sequence[int],
        delta: float | np.ndarray,
        n: int,
        *,
        way: str = "greedy",
        pool: Corpus | None = None,
        seed: int = 0,
        task: str = "toxicity",
    ) -> pd.DataFrame:
        """`n` rows of a pool (the profile's if None), chosen by one of `chosen.WAYS` for the `features` that are
        missing above `delta`, as samples (see `chosen.as_samples`).

        Fewer where the pool has fewer, or where no other row activates a feature; the log says so. `seed` is what is
        drawn by, greedy choice draws nothing.
        """
        corpus = self.corpus("pool") if pool is None else pool
        features = sorted({int(feature) for feature in features})
        stats = self.stats(corpus, keep_matrix=True)

        def build(artifact: Artifact) -> dict:
            rows = list(corpus)
            vectors = self.vectors([row.text for row in rows]) if way in BY_VECTORS else None
            wanted = {"matrix": stats.matrix, "features": features, "delta": delta}
            selection = choose(way, n, **wanted, vectors=vectors, seed=seed)
            made_by = {"task": task, "method": f"select_{way}", "seed": seed}
            artifact.write_frame("samples.parquet", as_samples(selection, rows, **wanted, made_by=made_by))
            return {"chosen": len(selection.rows), "short": selection.short}

        artifact = self.store.once(
            "selection",
            build,
            version=SELECTION_VERSION,
            pool=stats.made_by,
            features=features,
            delta=delta,
            n=n,
            way=way,
            seed=seed,
            task=task,
        )
        return artifact.read_frame("samples.parquet")

    def steer(self, labels: pd.DataFrame, stats: FeatureStats, delta: float | np.ndarray) -> pd.DataFrame:
        """Synthesis without prompts for the labelled features (`feature`, `relevant`): the subject writes while each
        is added to its residual stream. Every candidate as in `synthesise`, with its strength and perplexity."""
        # What lets the subject write takes seconds to import.
        from fac_lab.synthesis.steered import goals_for, steer

        goals = goals_for(labels.feature, labels.relevant, stats, delta)
        style = style_of(self.profile.synthesis.prompts)

        def build(artifact: Artifact) -> dict:
            settings, sampling = self.profile.steered, self.profile.synthesis
            samples = steer(
                goals,
                subject=self.subject,
                sae=self.sae,
                measure=self.measure,
                settings=settings,
                sampling=sampling,
                style=style,
            )
            artifact.write_frame("samples.parquet", pd.DataFrame(samples, columns=Sample._fields))
            return {"candidates": len(samples), "kept": sum(sample.kept for sample in samples)}

        artifact = self.store.once(
            "steered",
            build,
            version=STEERED_VERSION,
            goals=goals,
            settings=self.profile.steered,
            sampling=self.profile.synthesis,
            collect=self.profile.collect,
            sae=self.encoder.digest,
            subject=self.subject.digest,
        )
        return artifact.read_frame("samples.parquet")

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the subject's vectors over each text's tokens, at its layer, [n_texts, d_model]."""
        return embed(self.subject, texts, pool=self.profile.collect.pool)

    def plain(self, n: int, *, seed: int, task: str = "toxicity") -> list[str]:
        """`n` different texts written without any feature in mind: same generator, sampling and checks."""
        return [sample.text for sample in kept(self.plain_samples(n, seed=seed, task=task))]

    def plain_samples(self, n: int, *, seed: int, task: str = "toxicity") -> list[Sample]:
        """The same with every candidate that was drawn."""
        settings, prompts = self.profile.synthesis, self._prompts(synthesis)
        return plain(n, chat=self.generator, settings=settings, prompts=prompts, seed=seed, task=task)

    def baseline(self, name: str, n: int, seeds: Sequence[str], *, seed: int, task: str = "toxicity") -> pd.DataFrame:
        """What a baseline (by name, see `synthesis.baselines`) writes from seeds: every candidate, at most `n` kept.

        Likeness of texts, and gradients, are those in the subject; the annotator judges by the task's rubric. Raises
        SettingsError for an unknown name, and where the profile lacks what the baseline needs.
        """
        if name not in BASELINES:
            raise SettingsError(f"no baseline {name!r}{nearest(name, BASELINES)}; there are: {', '.join(BASELINES)}")
        settings, prompts = self.profile.synthesis, self._prompts(synthesis)

        def build(artifact: Artifact) -> dict:
            writer = Writer(self.generator, settings, prompts, task)
            samples = BASELINES[name](n, writer, seeds, seed=seed, tools=self._tools(task))
            artifact.write_frame("samples.parquet", pd.DataFrame(samples, columns=Sample._fields))
            return {"candidates": len(samples), "kept": len(kept(samples))}

        artifact = self.store.once(
            "baseline",
            build,
            version=BASELINE_VERSION,
            name=name,
            n=n,
            seeds=list(seeds),
            seed=seed,
            task=task,
            generator=self.generator.backend.name,
            annotator=self.annotator.backend.name if self.profile.annotator else None,
            settings=settings,
            prompts=prompts,
            subject=self.subject.digest,
        )
        return artifact.read_frame("samples.parquet")

    def _tools(self, task: str) -> Tools:
        """What baselines need beside the generator, as far as the profile has it."""

        def vectors(texts: Sequence[str]) -> np.ndarray:
            from fac_lab.features.embeddings import embed

            return embed(self.subject, texts)

        def gradients(texts: Sequence[str]) -> np.ndarray:
            from fac_lab.features.gradients import loss_gradients

            return loss_gradients(self.subject, texts)

        # The mini annotator judges by the one rubric that it learned.
        judges = self.profile.annotator and (style_of(self.prompts).structured or task == "toxicity")
        return Tools(
            judge=text_judge(self.annotator, self.prompts, self.rubric(task)) if judges else None,
            vectors=vectors,
            gradients=gradients if self.subject.has_head else None,
        )

    def _stats(self, corpus: str, build: Callable[[Artifact], dict], keep_matrix: bool) -> FeatureStats:
        artifact = self.store.once(
            "stats",
            build,
            version=STATS_VERSION,
            corpus=corpus,
            subject=self.subject.digest,
            sae=self.encoder.digest,
            collect=self.profile.collect,
            matrix=keep_matrix,
        )
        return FeatureStats.load(artifact.path)

    def _client(self, part: str, settings: ChatSettings | None) -> ChatClient:
        if settings is None:
            raise SettingsError(f"profile {self.profile.name} names no {part}; add `{part}:` with a chat model to it")
        return open_client(settings, self.store.root / "chat")

    def _prompts(self, package) -> Path:
        return Path(package.__file__).parent / "prompts" / self.profile.synthesis.prompts


def _summaries(labels: pd.DataFrame) -> dict[int, str]:
    return {int(row.feature): row.summary for row in labels.itertuples() if isinstance(row.summary, str)}


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
