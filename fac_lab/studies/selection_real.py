"""The arms of `selection` on real data: ToxicChat through a real encoder, a seed that knows one kind of harm."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import normalize
from tqdm import tqdm

from fac_lab.annotation.probe import information_gain
from fac_lab.corpora import Corpus, open_corpus
from fac_lab.coverage import threshold
from fac_lab.errors import DataError
from fac_lab.features.embeddings import embed
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab
from fac_lab.settings import CorpusSettings
from fac_lab.studies.selection import CHOICES, POOLS, Pool, choose_rows, covered_share

CLUSTERS, CLUSTER_ROWS, ADDED, SAFE_ROWS = 8, 20, 60, 500
"""Clusters of the toxic rows, toxic seed rows from one of them, rows added, safe rows to start from."""
REPEATS = 20
STRENGTH = 10.0
"""Inverse L2 penalty of the logistic head on unit vectors; fixed before any arm was seen."""
REPEAT_VERSION = VECTORS_VERSION = 1


class Real(NamedTuple):
    """ToxicChat as read by a lab: its train rows as a pool with sentence vectors, and its test rows' vectors."""

    pool: Pool
    labels: np.ndarray
    """1 where toxic, int64 `[n_rows]`."""
    relevant: np.ndarray
    """Features whose activity goes with toxic, bool `[d_sae]`."""
    delta: float | np.ndarray
    test_vectors: np.ndarray
    test_labels: np.ndarray


def real_selection_study(
    lab: Lab, data_dir: str | Path | None = None, *, sets: Sequence[int] = range(REPEATS)
) -> pd.DataFrame:
    """The arms on ToxicChat, read from `data_dir` (else the profile's, $FAC_LAB_DATA or the hub), by repeat and seed.

    Each repeat takes 20 toxic train rows of one cluster as the seed and chooses 60 rows from the rest of the train
    split, whose rows that are also in the test split are dropped by the recipe. Each seed draws 500 safe rows to
    start from, and what random choice and k-means draw. The detector is a logistic regression on unit sentence
    vectors (mean of the last layer's tokens), the head alone; AUPRC is over the whole test split.

    Features come from the profile's layer and SAE; relevant are those whose activity raises the chance of label 1 in
    the train split (information gain, false discoveries at most 5 %): labels that stand for an annotator, and that
    only "relevant" and "greedy" go by. Missing are the relevant ones that no toxic seed row activates. Columns:
    `held_out_set` (the repeat), `pool`, `arm`, `seed`, `auprc`, `added`, `toxic`, `n_missing`, `gap_coverage`. A
    repeat that is finished is kept; a killed study goes on from there.
    """
    real = read_toxicchat(lab, data_dir)
    made_by = {
        "matrix": real.pool.matrix.data,
        "vectors": real.pool.vectors,
        "test": [real.test_vectors, real.test_labels],
        "relevant": real.relevant,
        "delta": real.delta,
        "seeds": lab.profile.seeds,
        "arms": list(CHOICES),
        "sizes": [CLUSTERS, CLUSTER_ROWS, ADDED, SAFE_ROWS, STRENGTH],
    }
    frames = []
    for repeat in tqdm(sets, desc="selection on real data", unit="repeat"):

        def build(artifact, repeat=repeat) -> None:
            artifact.write_frame("runs.parquet", real_repeat(real, repeat, lab.profile.seeds))

        artifact = lab.store.once("selection_real", build, version=REPEAT_VERSION, repeat=repeat, **made_by)
        frames.append(artifact.read_frame("runs.parquet"))
    return pd.concat(frames, ignore_index=True)


def read_toxicchat(lab: Lab, data_dir: str | Path | None = None) -> Real:
    """ToxicChat's train and test split through the lab's subject and SAE; sentence vectors are its last layer's."""
    train, test = (
        open_corpus(CorpusSettings(source=f"toxicchat_{part}"), part, data_dir=data_dir or lab.profile.data_dir)
        for part in ("train", "test")
    )
    stats = lab.stats(train, keep_matrix=True)
    vectors = {corpus.name: sentence_vectors(lab, corpus) for corpus in (train, test)}
    rows = list(train)
    labels, test_labels = (np.array([row.label for row in corpus]) for corpus in (rows, test))
    delta = threshold(stats, lab.profile.rule)
    found = information_gain(stats.matrix, labels, delta)
    pool = Pool(rows, stats.matrix, vectors["train"])
    return Real(pool, labels, found.relevant.to_numpy(), delta, vectors["test"], test_labels)


def sentence_vectors(lab: Lab, corpus: Corpus) -> np.ndarray:
    """Unit mean vectors of a corpus at the last layer of the lab's subject, `[n_rows, d_model]`; kept on disk."""
    last = replace(lab.profile.subject, layer=lab.subject.n_layers - 1)

    def build(artifact) -> None:
        subject = Subject.load(last)
        vectors = embed(subject, [row.text for row in corpus], pool=lab.profile.collect.pool, progress=True)
        artifact.write_frame("vectors.parquet", pd.DataFrame(normalize(vectors)).rename(columns=str))

    settings = {"layer": last.layer, "collect_pool": lab.profile.collect.pool}
    artifact = lab.store.once(
        "vectors", build, version=VECTORS_VERSION, corpus=corpus.digest, subject=lab.subject.digest, **settings
    )
    return artifact.read_frame("vectors.parquet").to_numpy(np.float32)


def real_repeat(real: Real, repeat: int, seeds: Sequence[int]) -> pd.DataFrame:
    """One repeat of `real_selection_study`: every pool, arm and seed."""
    toxic = np.flatnonzero(real.labels == 1)
    inside = seed_rows(real.pool.vectors[toxic], repeat)
    begun = toxic[inside]
    lacking = np.setdiff1d(np.arange(real.pool.matrix.shape[1]), active(real.pool.matrix[begun], real.delta))
    relevant = lacking[real.relevant[lacking]]
    wanted = {"greedy_any": lacking, "relevant": relevant, "greedy": relevant}
    records = []
    for seed in seeds:
        dice = np.random.default_rng([repeat, seed])
        safe = dice.permutation(np.flatnonzero(real.labels == 0))[:SAFE_ROWS]
        start = np.concatenate([begun, safe])
        for name in POOLS:
            taken = np.ones(len(real.labels), bool)
            taken[start] = False
            if name == "toxic":
                taken &= real.labels == 1
            numbers = np.flatnonzero(taken)
            pool = real.pool.part(numbers)
            beside = real.pool.vectors[begun if name == "toxic" else start]
            for arm in ("none", *CHOICES):
                settings = {"wanted": wanted, "delta": real.delta, "start": beside, "seed": int(dice.integers(2**31))}
                rows = [] if arm == "none" else choose_rows(arm, pool, ADDED, **settings)
                added = numbers[np.asarray(rows, np.int64)]
                records.append(
                    {
                        "held_out_set": repeat,
                        "pool": name,
                        "arm": arm,
                        "seed": seed,
                        "auprc": head_auprc(real, np.concatenate([start, added])),
                        "added": len(added),
                        "toxic": int(real.labels[added].sum()),
                        "n_missing": len(relevant),
                        "gap_coverage": covered_share(real.pool.matrix, added, relevant, real.delta),
                    }
                )
    return pd.DataFrame(records)


def seed_rows(vectors: np.ndarray, repeat: int) -> np.ndarray:
    """CLUSTER_ROWS rows of one cluster of `vectors [n, d]`, drawn by `repeat`: a seed that knows one kind of harm."""
    dice = np.random.default_rng(repeat)
    member = KMeans(CLUSTERS, n_init=1, random_state=repeat).fit_predict(vectors)
    large = np.flatnonzero(np.bincount(member, minlength=CLUSTERS) >= CLUSTER_ROWS)
    if not len(large):
        raise DataError(f"none of {CLUSTERS} clusters of {len(vectors)} toxic rows has {CLUSTER_ROWS}: give more rows")
    return np.sort(dice.permutation(np.flatnonzero(member == dice.choice(large)))[:CLUSTER_ROWS])


def active(matrix: sparse.csr_matrix, delta: float | np.ndarray) -> np.ndarray:
    """Features that some row of `matrix [n_rows, d_sae]` activates above `delta`, ascending."""
    limit = np.broadcast_to(np.asarray(delta, float), matrix.shape[1])[matrix.indices]
    return np.unique(matrix.indices[matrix.data > limit])


def head_auprc(real: Real, train: np.ndarray) -> float:
    """AUPRC on the test rows of a logistic head trained on these rows of the pool."""
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(real.pool.vectors[train], real.labels[train])
    return float(average_precision_score(real.test_labels, model.decision_function(real.test_vectors)))
