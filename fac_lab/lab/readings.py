"""What texts activate in the subject, kept on disk. What reads them imports PyTorch, and is imported when it does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_lab.corpora import Corpus
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab.parts import Parts
from fac_lab.profile import resolve
from fac_lab.scale import collect_shards
from fac_lab.shards import Shards
from fac_lab.store import Artifact
from fac_lab.workers import Reader

if TYPE_CHECKING:
    from fac_lab.features.trace import TokenTrace

STATS_VERSION = 1
"""Code version of the step: raised when what it writes changes."""


class Readings(Parts):
    """A lab that reads texts through the subject and its SAE."""

    def train_sae(self, corpus: Corpus) -> Any:
        """Train the SAE that the profile's `sae` names and `sae_training` describes; a killed run resumes.

        Raises SettingsError where the profile does not say how, or reads an SAE from elsewhere than a folder.
        """
        from fac_lab.features.training import train_sae

        profile = self.profile
        if profile.sae_training is None or profile.sae.source != "folder":
            raise SettingsError(
                f"profile {profile.name} trains no SAE: give it `sae_training:` and an `sae:` with source folder"
            )
        return train_sae(self.subject, corpus, profile.sae_training, Path(resolve(profile.sae.path)))

    def stats(self, corpus: Corpus, *, keep_matrix: bool = False) -> FeatureStats:
        """What the corpus activates. A killed collection resumes where it stopped."""

        def build(artifact: Artifact) -> dict:
            from fac_lab.features.collect import collect

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
        from fac_lab.features.pretrained import tokenizer_digest

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
        from fac_lab.features.collect import measure

        return measure(self.subject, self.sae, texts, features, self.profile.collect)

    def trace_each(self, texts: Sequence[str], features: Sequence[int]) -> "list[TokenTrace]":
        """Activations of `features[i]` at every token of `texts[i]`."""
        from fac_lab.features.trace import trace_each

        return trace_each(self.subject, self.sae, texts, features, self.profile.collect)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the subject's vectors over each text's tokens, at its layer, [n_texts, d_model]."""
        from fac_lab.features.embeddings import embed

        return embed(self.subject, texts, pool=self.profile.collect.pool)

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
