"""Samples for features a data set misses: written, steered to or chosen, by the method and its rivals; kept on disk."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fac_lab import synthesis
from fac_lab.annotation.styles import style_of
from fac_lab.corpora import Corpus
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab.labels import Labels
from fac_lab.plain import nearest
from fac_lab.settings import SynthesisSettings
from fac_lab.store import Artifact
from fac_lab.synthesis.baselines import BASELINES, Tools, text_judge
from fac_lab.synthesis.chosen import BY_VECTORS, as_samples, choose
from fac_lab.synthesis.complete import PAIR_VERSION
from fac_lab.synthesis.formats import PAIR, format_of
from fac_lab.synthesis.plain import plain
from fac_lab.synthesis.samples import Sample, kept
from fac_lab.synthesis.two_step import Brief, synthesise
from fac_lab.synthesis.writer import Writer

SAMPLES_VERSION = 2
SELECTION_VERSION = 1
STEERED_VERSION = 1
BASELINE_VERSION = 1
"""Code versions of the steps: raised when what they write changes."""


class Writing(Labels):
    """A lab that writes samples."""

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
                int(feature),
                summary if isinstance(summary, str) else None,
                tuple(span.text for span in stats.spans(int(feature))),
                relevant,
            )
            for feature, summary, relevant in zip(labels["feature"], labels["summary"], labels["relevant"], strict=True)
        ]

        def write() -> list[Sample]:
            return synthesise(
                briefs,
                chat=self.generator,
                measure=self.measure,
                delta=delta,
                settings=settings,
                prompts=self._prompts(synthesis),
                task=task,
            )

        return self._written(
            "samples",
            write,
            version=SAMPLES_VERSION,
            briefs=briefs,
            delta=delta,
            generator=self.generator.backend.name,
            settings=settings,
            prompts=self._prompts(synthesis),
            task=task,
            sae=self.encoder.digest,
            subject=self.subject.digest,
            **_completion(task),
        )

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

        def write() -> list[Sample]:
            return steer(
                goals,
                subject=self.subject,
                sae=self.sae,
                measure=self.measure,
                settings=self.profile.steered,
                sampling=self.profile.synthesis,
                style=style,
            )

        return self._written(
            "steered",
            write,
            version=STEERED_VERSION,
            goals=goals,
            settings=self.profile.steered,
            sampling=self.profile.synthesis,
            collect=self.profile.collect,
            sae=self.encoder.digest,
            subject=self.subject.digest,
        )

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

        def write() -> list[Sample]:
            writer = Writer(self.generator, settings, prompts, task)
            return BASELINES[name](n, writer, seeds, seed=seed, tools=self._tools(task))

        return self._written(
            "baseline",
            write,
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
            **_completion(task),
        )

    def _written(self, step: str, write: Callable[[], list[Sample]], **made_by: Any) -> pd.DataFrame:
        """What `write` returns, as a frame of every candidate; kept, and read where it was written before."""

        def build(artifact: Artifact) -> dict:
            samples = write()
            artifact.write_frame("samples.parquet", pd.DataFrame(samples, columns=Sample._fields))
            return {"candidates": len(samples), "kept": len(kept(samples))}

        return self.store.once(step, build, **made_by).read_frame("samples.parquet")

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


def _completion(task: str) -> dict[str, int]:
    """What the key of a task's samples says of how they were completed."""
    return {"pair": PAIR_VERSION} if format_of(task) is PAIR else {}
