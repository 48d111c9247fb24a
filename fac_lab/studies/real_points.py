"""A point of the study on real data: what detectors trained on one data set reach, and how diverse it is; both kept.

The detector is a logistic regression on the vectors that the head of `tasks.toxicity` sees of each text: the optimum
of what a head-only run approaches in 15 epochs, found in 0.1 s instead of some seconds (`real_correlation.head_check`
compares them).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from fac_lab.digests import digest
from fac_lab.diversity import diversity, find_clusters
from fac_lab.lab import Lab
from fac_lab.store import Artifact
from fac_lab.studies.real_material import Material

HEAD_STRENGTH = 1.0
"""Inverse strength of the logistic head's L2 penalty."""
POINT_VERSION = 1


def draw_safe(safe: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The safe rows that a training seed stands for, the same for every data set."""
    return np.random.default_rng(seed).choice(safe, n, replace=False)


def trained(
    lab: Lab, material: Material, safe: np.ndarray, n_safe: int, vectors: Mapping[str, np.ndarray]
) -> Callable[[np.ndarray], list[dict[str, float]]]:
    """A function from the rows of a data set to the runs of its detectors, one per seed; what was run is kept."""
    truth = np.array([row.label for row in material.test])
    made_by = {
        "rest": digest(safe, n_safe, truth, vectors["head"], vectors["test"]),
        "strength": HEAD_STRENGTH,
        "seeds": lab.profile.seeds,
    }

    def build(artifact: Artifact, rows: np.ndarray) -> None:
        runs = []
        for seed in lab.profile.seeds:
            scores = head_scores(vectors, rows, draw_safe(safe, n_safe, seed))
            parts = {"auprc": np.arange(len(truth)), **_halves(len(truth))}
            areas = {name: average_precision_score(truth[part], scores[part]) for name, part in parts.items()}
            runs.append({"seed": seed, **{name: float(area) for name, area in areas.items()}})
        artifact.write_json("runs.json", runs)

    def point(rows: np.ndarray) -> list[dict[str, float]]:
        making = partial(build, rows=rows)
        return lab.store.once("real_runs", making, version=POINT_VERSION, rows=rows, **made_by).read_json("runs.json")

    return point


def measured(
    lab: Lab, material: Material, vectors: Mapping[str, np.ndarray]
) -> Callable[[np.ndarray], dict[str, float]]:
    """A function from the rows of a data set to its metrics of diversity, which are kept."""
    pool = [row.text for row in material.pool]
    toxic = vectors["sentence"][material.places("toxic")]
    # Clusters of the anchor for the metrics that look at one; none of those that data sets are drawn from.
    clusters = find_clusters(toxic, seed=99)
    made_by = {"pool": digest(pool), "toxic": len(material.toxic)}
    made_by |= {name: digest(vectors[name]) for name in ("sentence", "gradients") if name in vectors}

    def build(artifact: Artifact, rows: np.ndarray) -> None:
        texts, of_set = [pool[row] for row in rows], vectors["sentence"][rows]
        gradients = vectors["gradients"][rows] if "gradients" in vectors else None
        found = diversity(texts, vectors=of_set, gradients=gradients, clusters=clusters)
        found["nearness"] = (toxic @ of_set.T).max(axis=1).mean()
        found["different_texts"] = len(set(texts))
        facts = {name: None if np.isnan(value) else float(value) for name, value in found.items()}
        artifact.write_json("metrics.json", facts)

    def point(rows: np.ndarray) -> dict[str, float]:
        making = partial(build, rows=rows)
        artifact = lab.store.once("real_metrics", making, version=POINT_VERSION, rows=rows, **made_by)
        return {name: np.nan if value is None else value for name, value in artifact.read_json("metrics.json").items()}

    return point


def outcome(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """AUPRC of the runs of one data set: its mean, standard deviation (NaN for one run) and how many there are."""
    of_seeds = [run["auprc"] for run in runs]
    spread = float(np.std(of_seeds, ddof=1)) if len(runs) > 1 else float("nan")
    return {"auprc": float(np.mean(of_seeds)), "auprc_sd": spread, "auprc_seeds": len(runs)}


def head_scores(vectors: Mapping[str, np.ndarray], toxic: np.ndarray, safe: np.ndarray) -> np.ndarray:
    """Log-odds of toxic, `[n_test]`, of a logistic head trained on these rows of the pool."""
    rows, labels = np.concatenate([toxic, safe]), np.repeat([1, 0], [len(toxic), len(safe)])
    head = LogisticRegression(C=HEAD_STRENGTH, max_iter=1000).fit(vectors["head"][rows], labels)
    return head.decision_function(vectors["test"])


def _halves(n: int) -> dict[str, np.ndarray]:
    """The rows of a test set in two halves, drawn at random, always the same."""
    shuffled = np.random.default_rng(0).permutation(n)
    return {"auprc_a": np.sort(shuffled[: n // 2]), "auprc_b": np.sort(shuffled[n // 2 :])}
