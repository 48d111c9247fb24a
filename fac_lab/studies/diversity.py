"""Measures of diversity of a data set, as columns of a study: with the subject's own vectors, kept once measured."""

from collections.abc import Sequence

import numpy as np

from fac_lab.corpora import Corpus
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab

DENSE_CLUSTERS = 256
"""Clusters of the anchor's vectors, for dense coverage and semantic entropy: about as many as there are concepts."""
HELD = ("mean_length",)
"""What `diversity` measures beside diversity, and is held constant."""
DIVERSITY_VERSION = 1


class Embedding:
    """Vectors of texts by the subject, where its features are read, from the anchor's mean; the anchor's clusters.

    Hidden states have a large part in common, beside which all texts look alike: it is taken off.
    """

    def __init__(self, subject: Subject, anchor: Corpus) -> None:
        from fac_lab.diversity import find_clusters
        from fac_lab.features.embeddings import embed

        self.subject = subject
        vectors = embed(subject, [row.text for row in anchor])
        self.centre = vectors.mean(axis=0)
        self.clusters = find_clusters(vectors - self.centre, min(DENSE_CLUSTERS, len(vectors)))
        self.origin = {"subject": subject.digest, "anchor": anchor.digest, "clusters": DENSE_CLUSTERS}

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `[n_texts, d_model]`."""
        from fac_lab.features.embeddings import embed

        return embed(self.subject, texts) - self.centre


def diversity_columns(lab: Lab, texts: Sequence[str], embedding: Embedding) -> dict[str, float]:
    """Every measure of diversity of some texts, by name; kept, since some of them take a while."""
    artifact = lab.store.once(
        "diversity",
        lambda _: {name: None if np.isnan(value) else value for name, value in measured(texts, embedding).items()},
        version=DIVERSITY_VERSION,
        texts=list(texts),
        embedding=embedding.origin,
    )
    return {name: float("nan") if value is None else value for name, value in artifact.facts.items()}


def measured(texts: Sequence[str], embedding: Embedding) -> dict[str, float]:
    """The same, measured: the one place where this study meets the measures."""
    from fac_lab.diversity import diversity
    from fac_lab.features.gradients import loss_gradients

    found = diversity(
        list(texts),
        vectors=embedding.of(texts),
        gradients=loss_gradients(embedding.subject, texts),
        clusters=embedding.clusters,
    )
    return {name: float(value) for name, value in found.items() if name not in HELD}
