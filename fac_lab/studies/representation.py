"""Samples for what dense clusters miss, for random features, for missing features (the paper's table 12).

The table's row "dense clusters coverage" is not defined in the paper. Here it is FAC's own procedure with clusters in
the place of features: k-means over the anchor's mean vectors, read where the features are; a cluster of enough anchor
texts that no text of the seed is nearest to is missing; its texts nearest to the centre are what the annotator names
it by; and a sample has to fall into the cluster it is written for, as one has to activate its feature. The arms have as
many drafts and add as many samples.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab import synthesis
from fac_lab.corpora import Corpus
from fac_lab.digests import digest
from fac_lab.diversity.clusters import Clusters, assign, find_clusters
from fac_lab.features.embeddings import embed
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.store import Artifact
from fac_lab.studies.amounts import in_rounds
from fac_lab.studies.effort import DRAFTS, LEAST, PER_FEATURE, Entry, draws_each, nothing, trained, write_equally
from fac_lab.studies.filling import Filling, measured, open_filling, reached, variant
from fac_lab.studies.missing import world_corpus
from fac_lab.support import alpha_support
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.two_step import Brief, synthesise

ARMS = ("none", "plain", "dense clusters", "random features", "missing features")
CLUSTERS = 512
"""k of k-means: of 512 and 1024 the one that leaves no cluster missing under the null (held-out set 0)."""
VERSION = 1


class Dense:
    """An anchor's clusters in the place of a dictionary: each text activates the one that it is nearest to.

    The activation is the cosine with the centre, so that a threshold of 0 asks for the nearest cluster only.
    """

    def __init__(self, lab: Lab, *, k: int = CLUSTERS) -> None:
        self.corpus = lab.corpus("anchor")
        self.rows = list(self.corpus)
        self.subject = lab.subject
        vectors = embed(lab.subject, [row.text for row in self.rows])
        # What hidden states have in common makes all texts look alike: it is taken off.
        self.centre = vectors.mean(axis=0)
        vectors = vectors - self.centre
        self.clusters: Clusters = find_clusters(vectors, min(k, len(vectors)))
        self.member, self.nearness = self.nearest(vectors)
        self.made_by = {"clusters": digest(self.clusters.centres), "anchor": self.corpus.digest}

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Mean vectors of texts, from the anchor's mean, float32 `[n_texts, d_model]`."""
        return embed(self.subject, list(texts)) - self.centre

    def nearest(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each vector's cluster, int64 `[n]`, and its cosine with the centre, at least a little above 0, `[n]`."""
        found, centres = assign(self.clusters, vectors), self.clusters.centres
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(centres[found], axis=1)
        cosine = (vectors * centres[found]).sum(axis=1) / np.maximum(lengths, 1e-12)
        return found, np.maximum(cosine, 1e-6)

    def counts(self, corpus: Corpus) -> np.ndarray:
        """Texts of a corpus in each cluster, int64 `[k]`."""
        found = assign(self.clusters, self.vectors([row.text for row in corpus]))
        return np.bincount(found[found >= 0], minlength=len(self.clusters.counts))

    def missing(self, corpus_counts: np.ndarray, m: int) -> np.ndarray:
        """Clusters of `m` anchor texts or more that a corpus does not reach, largest first."""
        found = np.flatnonzero((self.clusters.counts >= m) & (corpus_counts == 0))
        return found[np.argsort(-self.clusters.counts[found], kind="stable")]

    def measure(self, texts: Sequence[str], clusters: Sequence[int]) -> np.ndarray:
        """Activations `[n_texts, n_clusters]`: the cosine with the nearest cluster, 0 with every other."""
        member, nearness = self.nearest(self.vectors(texts))
        return np.where(member[:, None] == np.asarray(clusters)[None, :], nearness[:, None], 0.0)

    def stats(self, top: int) -> FeatureStats:
        """The anchor's texts by cluster as statistics with spans, which is what an annotator reads."""
        stats = FeatureStats(len(self.clusters.counts), top, self.made_by)
        texts = np.array([row.text for row in self.rows], dtype=object)
        peak = np.array([[len(text), len(text)] for text in texts], np.int64).reshape(-1, 2)
        ids = np.array([row.id for row in self.rows], dtype=object)
        stats.top.offer(SpanTable(self.member, self.nearness.astype(np.float32), ids, texts, peak))
        stats.n_samples = len(self.rows)
        return stats


class DenseGap(NamedTuple):
    """The missing clusters of a seed, judged."""

    labels: pd.DataFrame
    """Of the missing and relevant ones, most frequent in the anchor first (see `Lab.annotate`)."""
    n_null: int
    """As many would be missing and relevant if the seed lacked nothing."""


def dense_gap(lab: Lab, dense: Dense, filling: Filling) -> DenseGap:
    """What the seed of a filling misses among clusters, at the support that its rule's alpha asks for."""
    null = world_corpus("null", filling.gap.coverage.n_seed, seed=4000 + filling.held_out_set)
    m = alpha_support(filling.gap.coverage.rule.alpha, len(dense.rows), filling.gap.coverage.n_seed)

    def build(artifact: Artifact) -> dict:
        counts = [dense.counts(corpus).tolist() for corpus in (filling.gap.seed, null)]
        return {"seed": counts[0], "null": counts[1]}

    made_by = dense.made_by | {"subject": lab.subject.digest, "seed": filling.gap.seed.digest, "null": null.digest}
    counts = lab.store.once("cluster_counts", build, version=VERSION, **made_by).facts
    lacking, by_luck = (dense.missing(np.asarray(counts[name]), m) for name in ("seed", "null"))
    labels = lab.annotate(dense.stats(lab.profile.collect.top_spans), np.union1d(lacking, by_luck))
    relevant = set(labels.feature[labels.relevant.astype(bool)].tolist())
    wanted = [cluster for cluster in lacking.tolist() if cluster in relevant]
    return DenseGap(labels.set_index("feature", drop=False).loc[wanted], sum(c in relevant for c in by_luck.tolist()))


def write_for_clusters(lab: Lab, dense: Dense, labels: pd.DataFrame, *, total: int = DRAFTS) -> pd.DataFrame:
    """All candidates for labelled clusters, as `effort.write_equally` writes for features."""
    stats = dense.stats(lab.profile.collect.top_spans)
    settings = replace(lab.profile.synthesis, **draws_each(len(labels), total), per_feature=PER_FEATURE)
    briefs = [
        Brief(int(row.feature), row.summary, tuple(span.text for span in stats.spans(row.feature)), True)
        for row in labels.itertuples()
    ]
    prompts = Path(synthesis.__file__).parent / "prompts" / lab.profile.synthesis.prompts

    def build(artifact: Artifact) -> dict:
        samples = synthesise(
            briefs, chat=lab.generator, measure=dense.measure, delta=0.0, settings=settings, prompts=prompts
        )
        artifact.write_frame("samples.parquet", pd.DataFrame(samples, columns=Sample._fields))
        return {"candidates": len(samples)}

    if not briefs:
        return pd.DataFrame(columns=Sample._fields)
    made_by: dict[str, Any] = {"briefs": briefs, "settings": settings, "prompts": prompts, **dense.made_by}
    made_by |= {"generator": lab.generator.backend.name, "subject": lab.subject.digest}
    return lab.store.once("cluster_samples", build, version=VERSION, **made_by).read_frame("samples.parquet")


def representation_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], drafts: int = DRAFTS, k: int = CLUSTERS, least: int = LEAST
) -> pd.DataFrame:
    """Table 12: one row per held-out set, arm of ARMS and training seed.

    "random features" are relevant ones of the anchor's support, covered or not, as many as are missing; "plain" is
    written with nothing in mind, and has a draw for each draft of the others. Columns: those of `Filling.facts`, of
    features; `wanted`, what the arm writes for, and `wanted_null`, as many under the null (NaN where it is not a gap);
    `drafts`, `kept`; `by_any`, the share of the missing *features* that what it kept reaches; `added`, as many in all
    arms; `auprc` and what they are about.
    """
    dense, rows = Dense(lab, k=k), []
    for held_out_set in tqdm(sets, desc="representations", unit="set"):
        filling = open_filling(lab, anchor, held_out_set=held_out_set)
        entries = [nothing(filling, filling.facts | {"arm": "none"})]
        for arm, made in _arms(lab, dense, filling, drafts).items():
            facts = filling.facts | {"arm": arm, **made.facts, "kept": len(made.texts)}
            values = measured(lab, made.texts, filling.missing)
            unowned = np.full(len(made.texts), -1)
            share = reached(values, unowned, filling.missing, filling.gap.coverage.delta)["by_any"]
            entries.append(Entry(facts | {"by_any": share}, made.texts))
        rows += trained(lab, filling, entries, least=least)
    return pd.DataFrame(rows)


def _arms(lab: Lab, dense: Dense, filling: Filling, drafts: int) -> dict[str, Entry]:
    """What each arm writes, with what it wanted and how many drafts it had."""
    coverage, n = filling.gap.coverage, len(filling.missing)
    gap = dense_gap(lab, dense, filling)
    clusters = write_for_clusters(lab, dense, gap.labels, total=drafts)
    support = np.flatnonzero(coverage.anchor_support)
    drawn = np.random.default_rng(filling.held_out_set).permutation(support)[:n]
    at_random = write_equally(lab, filling, features=drawn, total=drafts)
    missing = write_equally(lab, filling, total=drafts)
    once = replace(lab.profile.synthesis, step1_draws=1, step2_draws=0)
    plain = variant(lab, synthesis=once).plain(len(missing), seed=filling.held_out_set)
    none = float("nan")
    return {
        "plain": Entry({"wanted": 0, "wanted_null": none, "drafts": len(missing)}, plain),
        "dense clusters": Entry(
            {"wanted": len(gap.labels), "wanted_null": gap.n_null, "drafts": len(clusters)},
            in_rounds(clusters, gap.labels.feature.to_numpy(), len(clusters)).text.tolist(),
        ),
        "random features": Entry(
            {"wanted": len(drawn), "wanted_null": none, "drafts": len(at_random)},
            in_rounds(at_random, drawn, len(at_random)).text.tolist(),
        ),
        "missing features": Entry(
            {"wanted": n, "wanted_null": filling.facts["n_missing_null"], "drafts": len(missing)},
            in_rounds(missing, filling.missing, len(missing)).text.tolist(),
        ),
    }
