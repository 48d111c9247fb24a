import numpy as np
import pytest
from scipy import sparse

from fac_lab.studies.dictionary import concept_f1


def world(rng, n=400, n_concepts=5, d_sae=12):
    """Feature c fires strongly for concept c, feature 6 weakly for everything, the rest at random."""
    truth = rng.integers(n_concepts, size=n)
    acts = np.where(rng.random((n, d_sae)) < 0.1, rng.random((n, d_sae)), 0.0)
    acts[:, 6] = 0.3
    acts[np.arange(n), truth] = 2 + rng.random(n)
    return sparse.csr_matrix(acts), np.array([f"concept {t}" for t in truth])


def test_finds_the_feature_of_each_concept_with_its_own_threshold():
    rng = np.random.default_rng(0)
    scores = concept_f1(*world(rng), *world(rng))
    assert scores.feature.tolist() == [0, 1, 2, 3, 4]
    assert scores.feature_f1.tolist() == pytest.approx([1.0] * 5)
    assert scores.probe_f1.min() > 0.99
    assert (scores.threshold >= 0).all()


def test_a_concept_split_over_two_features_needs_the_probe():
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(2):
        matrix, truth = world(rng)
        dense = matrix.toarray()
        half = (truth == "concept 0") & (rng.random(len(truth)) < 0.5)
        dense[half, 9], dense[half, 0] = dense[half, 0], 0.0
        samples += [sparse.csr_matrix(dense), truth]
    first = concept_f1(*samples).iloc[0]
    assert first.feature_f1 < 0.8 < 0.95 < first.probe_f1


def test_scores_come_from_the_second_sample():
    rng = np.random.default_rng(2)
    chosen, truth = world(rng)
    shuffled = rng.permutation(truth)
    assert concept_f1(chosen, truth, chosen, shuffled).feature_f1.max() < 0.5


def test_a_concept_missing_from_the_scored_sample_has_no_score():
    rng = np.random.default_rng(3)
    chosen, truth = world(rng)
    kept = truth != "concept 2"
    scores = concept_f1(chosen, truth, chosen[kept], truth[kept]).set_index("concept")
    assert np.isnan(scores.feature_f1["concept 2"]) and not np.isnan(scores.feature_f1["concept 1"])
