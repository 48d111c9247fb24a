"""The live threshold against `coverage.cover`, rule by rule and edge by edge."""

from dataclasses import replace

import numpy as np
import pytest

from fac_lab.browsing.threshold import COVERED, MISSING, OUTSIDE, STATUSES, LiveThreshold
from fac_lab.coverage import cover, sweep
from fac_lab.errors import SettingsError
from fac_lab.features.stats import EDGES, FeatureStats
from fac_lab.settings import CoverageRule

RULES = {
    "absolute": CoverageRule(delta=0.5, support=2),
    "alpha": CoverageRule(kind="anchor_quantile", quantile=0.5, support=None, alpha=0.05),
    "fdr": CoverageRule(kind="anchor_quantile", quantile=0.3, support=None, alpha=0.01, fdr=0.3),
    "per feature": CoverageRule(kind="feature_quantile", quantile=0.5, support=None, alpha=0.2),
}


def assert_same(cut, coverage):
    assert np.array_equal(cut.delta, coverage.delta)
    assert (cut.m, cut.n_anchor, cut.n_seed) == (coverage.m, coverage.n_anchor, coverage.n_seed)
    assert np.array_equal(cut.anchor_count, coverage.anchor_count)
    assert np.array_equal(cut.seed_count, coverage.seed_count)
    assert np.array_equal(cut.missing, coverage.missing)
    assert np.array_equal(cut.status == COVERED, coverage.covered)
    assert np.array_equal(cut.status == MISSING, coverage.anchor_support & ~coverage.seed_support)
    assert cut.n_seed_support == coverage.seed_support.sum()
    assert cut.fac == coverage.fac or (np.isnan(cut.fac) and np.isnan(coverage.fac))
    assert cut.expected_missing == pytest.approx(coverage.expected_missing, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("some", [False, True], ids=["all", "relevant"])
def test_every_threshold_is_what_cover_finds(pair, rule, some):
    anchor, seed = pair
    live = LiveThreshold(anchor, seed, rule)
    relevant = np.arange(60) % 3 > 0 if some else None
    assert_same(live.at(relevant=relevant), cover(anchor, seed, rule, relevant))
    supports = set()
    for delta in [*EDGES[::7].astype(float), 0.3, 1.51, 3000.0, 1e6]:
        cut = live.at(delta, relevant=relevant)
        assert_same(cut, cover(anchor, seed, replace(rule, kind="absolute", delta=delta), relevant))
        # The rule in the cut alone leads there again.
        assert_same(cut, cover(anchor, seed, cut.rule, relevant))
        supports.add(cut.m)
    assert len(supports) > 1 or rule.fdr is None


def test_worked_by_hand(small):
    cut = small.live.at(0.0)
    assert [STATUSES[status] for status in cut.status] == ["covered", "missing", "covered", "missing", "outside"]
    assert cut.missing.tolist() == [1, 3]
    assert (cut.n_support, cut.n_covered, cut.n_missing, cut.fac) == (4, 2, 2, 0.5)
    assert small.live.at(0.5).missing.tolist() == [3]
    assert small.live.at(0.0, m=2).missing.tolist() == [1, 3]
    assert small.live.at(2.0, m=2).n_support == 0 and np.isnan(small.live.at(2.0, m=2).fac)


def test_a_feature_that_does_not_count_is_outside(small):
    cut = small.live.at(0.0, relevant=np.array([True, False, True, False, True]))
    assert cut.status.tolist() == [COVERED, OUTSIDE, COVERED, OUTSIDE, OUTSIDE]
    assert cut.fac == 1.0


def test_the_curve_is_the_sweep(pair):
    anchor, seed = pair
    live = LiveThreshold(anchor, seed, CoverageRule(support=3))
    deltas = [0.0, 0.5, 1.0, 4.0, 1000.0]
    curve, plain = live.curve(deltas), sweep(anchor, seed, deltas, 3)
    for column in plain:
        assert np.array_equal(curve[column], plain[column], equal_nan=True), column
    assert curve.expected_missing.iloc[0] == cover(anchor, seed, CoverageRule(support=3)).expected_missing


def test_a_cut_becomes_a_coverage_that_states_its_threshold(pair):
    anchor, seed = pair
    live = LiveThreshold(anchor, seed, RULES["alpha"])
    moved = live.coverage(live.at(1.0, m=4))
    assert (moved.rule.kind, moved.rule.delta, moved.rule.support, moved.m) == ("absolute", 1.0, 4, 4)
    assert live.coverage(live.at()).rule == RULES["alpha"]
    assert moved.fac == cover(anchor, seed, moved.rule).fac


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_slider_positions_are_edges_that_change_something(pair, rule):
    live = LiveThreshold(*pair, rule)
    deltas = live.deltas(20)
    assert deltas == sorted(set(deltas)) and 2 < len(deltas) <= 20 and deltas[0] == 0.0
    assert set(deltas) <= set(EDGES.astype(float))
    if np.ndim(live.own_delta) == 0:
        assert live.own_delta in deltas
    active = [int(live.at(delta).anchor_count.sum()) for delta in deltas]
    assert min(active) > 0 and active[-1] < active[0] / 10
    assert live.at(EDGES[list(EDGES).index(deltas[-1]) + 1]).anchor_count.sum() == 0


def test_nothing_active_and_no_samples(stats_of):
    silent, nobody = stats_of(np.zeros((3, 4)), name="a"), stats_of(np.zeros((0, 4)), name="b")
    live = LiveThreshold(silent, nobody, CoverageRule())
    assert np.isnan(live.at().fac) and live.at().n_missing == 0 and len(live.deltas()) >= 1
    with pytest.raises(SettingsError, match="without samples"):
        LiveThreshold(silent, nobody, CoverageRule(support=None)).at()


def test_bad_thresholds_and_other_saes_are_refused(pair, stats_of, random_values):
    live = LiveThreshold(*pair, CoverageRule())
    for delta in (-1.0, float("nan")):
        with pytest.raises(SettingsError, match="delta"):
            live.at(delta)
    with pytest.raises(SettingsError, match="support"):
        live.at(1.0, m=0)
    with pytest.raises(SettingsError, match="sae"):
        LiveThreshold(pair[0], stats_of(random_values(5, 60, 3), sae="sae-2"), CoverageRule())


def test_totals_beyond_the_table_are_computed(pair, monkeypatch):
    monkeypatch.setattr("fac_lab.browsing.threshold.CHANCE_TABLE", 3)
    live = LiveThreshold(*pair, RULES["fdr"])
    assert_same(live.at(), cover(*pair, RULES["fdr"]))


@pytest.mark.parametrize("most", [255, 256, 65_535, 65_536, 200_000])
def test_counts_are_whole_whatever_type_holds_them(most):
    """At the ends of the types that numbers are kept in, and where the two data sets need different ones."""
    anchor, seed = (FeatureStats.empty(3, 0) for _ in range(2))
    anchor.histogram[0, [1, 5, -1]] = most - 2, 1, 1
    anchor.histogram[1, 3] = most
    seed.histogram[0, 2] = 250
    anchor.n_samples, seed.n_samples = most, 250
    live = LiveThreshold(anchor, seed, CoverageRule(support=1))
    for edge in (0, 2, 4, 6):
        cut = live.at(float(EDGES[edge]))
        assert cut.anchor_count.tolist() == anchor.histogram[:, edge:].sum(axis=1).tolist()
        assert cut.seed_count.tolist() == seed.histogram[:, edge:].sum(axis=1).tolist()
        total = cut.anchor_count + cut.seed_count
        assert total.max(initial=0) == (anchor.histogram + seed.histogram)[:, edge:].sum(axis=1).max()
