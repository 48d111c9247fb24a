import math

import numpy as np
import pytest
from scipy import sparse

from fac_lab.coverage import cover, threshold, weighted_fac
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CoverageRule
from fac_lab.studies.coverage_grid import coverage_grid, log_odds, relevance_by_labels, subset

N, D = 60, 40
DICE = np.random.default_rng(0)
DENSE = np.where(DICE.random((N, D)) < DICE.uniform(0.02, 0.4, D), DICE.lognormal(0.5, 0.8, (N, D)), 0.0)
LABELS = (np.arange(N) < 20).astype(int)
# Some features go with the label, so that there are relevant ones.
DENSE[:20, :10] = np.maximum(DENSE[:20, :10], DICE.lognormal(0.5, 0.8, (20, 10)) * (DICE.random((20, 10)) < 0.7))
DENSE = DENSE.astype(np.float32)
RULES = {
    "paper": CoverageRule(),
    "delta 1.5, m 3": CoverageRule(delta=1.5, support=3),
    "quantile": CoverageRule(kind="anchor_quantile", quantile=0.7),
    "own quantile": CoverageRule(kind="feature_quantile", quantile=0.5, support=2),
    "alpha": CoverageRule(kind="anchor_quantile", quantile=0.5, support=None),
}
ANCHORS = {"toxic": np.arange(20), "all": np.arange(N)}
SETS = [DICE.choice(20, size, replace=True) for size in (4, 9, 9, 30)] + [np.array([25, 40, 40])]


@pytest.fixture(scope="module")
def pool():
    stats = FeatureStats.empty(D, 0, {"sae": "x"})
    stats.matrix, stats.sample_ids, stats.n_samples = sparse.csr_matrix(DENSE), [f"row {i}" for i in range(N)], N
    return stats


def test_a_subset_counts_its_rows(pool):
    rows = np.array([3, 3, 17, 50])
    part = subset(pool, rows)
    for delta in (0.0, 1.0, 2.0):
        assert (part.counts(delta) == (DENSE[rows] > delta).sum(axis=0)).all()
    assert (part.maximum == DENSE[rows].max(axis=0)).all()
    assert (part.n_samples, part.sample_ids) == (4, ["row 3", "row 3", "row 17", "row 50"])


def test_a_subset_wants_a_matrix():
    with pytest.raises(SettingsError, match="keep_matrix"):
        subset(FeatureStats.empty(3), [0])


def test_the_grid_holds_the_numbers_of_cover(pool):
    relevance = relevance_by_labels(pool.matrix, LABELS)
    grid = coverage_grid(SETS, pool, ANCHORS, RULES, relevance)
    assert len(grid) == len(SETS)
    compared = 0
    of_sets = [subset(pool, rows) for rows in SETS]
    of_anchors = {name: subset(pool, rows) for name, rows in ANCHORS.items()}
    masks = {(a, r): relevance(threshold(of_anchors[a], rule)) for a in ANCHORS for r, rule in RULES.items()}
    for anchor, rule, relevant, weight in grid.columns:
        for number, of_set in enumerate(of_sets):
            found = cover(of_anchors[anchor], of_set, RULES[rule], masks[anchor, rule][relevant])
            if weight == "three samples":
                support = found.anchor_support
                expected = np.minimum(found.seed_count[support], 3).mean() / 3 if support.any() else math.nan
            else:
                expected = found.fac if weight == "feature" else weighted_fac(found, "frequency")
            assert grid.loc[number, (anchor, rule, relevant, weight)] == pytest.approx(expected, nan_ok=True)
            compared += not math.isnan(expected)
    assert compared > 0.7 * grid.size


def test_a_support_by_fdr_is_refused(pool):
    rules = {"fdr": CoverageRule(support=None, fdr=0.1)}
    with pytest.raises(SettingsError, match="fdr"):
        coverage_grid(SETS, pool, ANCHORS, rules, relevance_by_labels(pool.matrix, LABELS))


def test_relevance_finds_planted_features():
    dense = (DICE.random((400, 50)) < 0.1).astype(np.float32)
    labels = (np.arange(400) < 100).astype(int)
    dense[:100, :5] = DICE.random((100, 5)) < 0.6
    masks = relevance_by_labels(sparse.csr_matrix(dense), labels)(0.0)
    assert masks["all"].all()
    assert masks["probe"][:5].all() and masks["probe"].sum() <= 7
    assert masks["log odds"][:5].all()
    assert all(masks[f"random {i}"].sum() == masks["log odds"].sum() for i in range(1, 6))
    assert len({masks[f"random {i}"].tobytes() for i in range(1, 6)}) > 1


def test_log_odds_by_hand():
    # 3 of 10 against 1 of 20, half a sample more in each cell.
    assert log_odds(np.array([3]), np.array([1]), 10, 20)[0] == pytest.approx(math.log((3.5 / 7.5) / (1.5 / 19.5)))
    assert np.isfinite(log_odds(np.array([0, 10]), np.array([20, 0]), 10, 20)).all()
