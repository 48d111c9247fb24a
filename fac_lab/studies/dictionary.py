"""How well the features of an SAE name known concepts: the best single feature, and a sparse probe on five.

Features, thresholds and probes are chosen on one sample and scored on another, whose wordings were never trained on.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

THRESHOLD_GRID = np.linspace(0.0, 0.95, 20)
"""A feature's own threshold is one of these shares of its largest activation."""
PROBE_FEATURES = 5


def concept_f1(
    chosen_on: sparse.csr_matrix, chosen_truth: np.ndarray, scored_on: sparse.csr_matrix, scored_truth: np.ndarray
) -> pd.DataFrame:
    """F1 per concept of its best feature and of its sparse probe.

    `chosen_on` and `scored_on` are pooled activations [n_samples, d_sae], the truths [n_samples] name each sample's
    concept. Returns one row per concept: `concept`, `feature` and `threshold` (chosen), `feature_f1`, `probe_f1`
    (scored). A concept absent from the scored sample has NaN there.
    """
    names, chosen_index = np.unique(chosen_truth, return_inverse=True)
    feature, share = _best_features(chosen_on.tocsr(), chosen_index, len(names))
    top = chosen_on.max(axis=0).toarray().ravel()
    rows = []
    for index, name in enumerate(names):
        threshold = float(share[index] * top[feature[index]])
        truth = scored_truth == name
        active = scored_on[:, [feature[index]]].toarray().ravel() > threshold
        scored = truth.any()
        rows.append(
            {
                "concept": name,
                "feature": int(feature[index]),
                "threshold": threshold,
                "feature_f1": f1_score(truth, active, zero_division=0.0) if scored else np.nan,
                "probe_f1": _probe_f1(chosen_on, chosen_truth == name, scored_on, truth) if scored else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _best_features(matrix: sparse.csr_matrix, truth: np.ndarray, n_concepts: int) -> tuple[np.ndarray, np.ndarray]:
    """The feature and the share of its maximum with the best F1, for every concept at once."""
    top = matrix.max(axis=0).toarray().ravel()
    onehot = sparse.csr_matrix((np.ones(len(truth)), (truth, np.arange(len(truth)))), shape=(n_concepts, len(truth)))
    size = np.asarray(onehot.sum(axis=1))
    best = np.full(n_concepts, -1.0)
    feature, share = np.zeros(n_concepts, dtype=int), np.zeros(n_concepts)
    for step in THRESHOLD_GRID:
        active = matrix.copy()
        active.data = (matrix.data > step * top[matrix.indices]).astype(float)
        hits = (onehot @ active).toarray()
        f1 = 2 * hits / (size + np.asarray(active.sum(axis=0)) + 1e-12)
        winner = f1.argmax(axis=1)
        value = f1[np.arange(n_concepts), winner]
        better = value > best
        best[better], feature[better], share[better] = value[better], winner[better], step
    return feature, share


def _probe_f1(
    chosen_on: sparse.csr_matrix, truth: np.ndarray, scored_on: sparse.csr_matrix, scored_truth: np.ndarray
) -> float:
    """k-sparse probing after Gurnee et al. (2023): the features whose mean differs most, then logistic regression."""
    inside = np.asarray(chosen_on[truth].mean(axis=0)).ravel()
    outside = np.asarray(chosen_on[~truth].mean(axis=0)).ravel()
    columns = np.argsort(outside - inside, kind="stable")[:PROBE_FEATURES]
    scale = np.maximum(chosen_on[:, columns].max(axis=0).toarray(), 1e-12)
    probe = LogisticRegression(C=30.0, max_iter=500).fit(chosen_on[:, columns].toarray() / scale, truth)
    return f1_score(scored_truth, probe.predict(scored_on[:, columns].toarray() / scale), zero_division=0.0)
