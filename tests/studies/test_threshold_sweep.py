"""Scaled thresholds by hand, and the study at three of them on one held-out set of the smoke profile."""

import numpy as np
import pytest

from fac_lab.coverage import PAPER_DELTAS, threshold
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CoverageRule
from fac_lab.studies.threshold_sweep import QUANTILES, paper_unit, rules, threshold_study


def test_a_strong_span_is_five():
    stats = FeatureStats(4)
    stats.maximum[:] = [0.0, 100.0, 400.0, 250.0]
    assert paper_unit(stats) == 50.0


def test_rules_are_the_papers_and_quantiles_with_the_profiles_support(truthful):
    lab, anchor = truthful
    found = rules(lab, anchor)
    assert len(found) == len(PAPER_DELTAS) + len(QUANTILES)
    deltas = [threshold(anchor, rule) for (kind, _), rule in found.items() if kind == "paper"]
    assert deltas[0] == 0 and deltas == sorted(set(deltas))
    assert found["quantile", lab.profile.rule.quantile] == lab.profile.rule
    assert {(rule.support, rule.alpha) for rule in found.values()} == {(None, lab.profile.rule.alpha)}


@pytest.mark.slow
def test_a_threshold_of_which_nothing_is_missing_adds_nothing(truthful):
    lab, anchor = truthful
    chosen = {
        ("paper", 0.0): CoverageRule(support=None),
        ("quantile", 0.8): lab.profile.rule,
    }
    frame = threshold_study(lab, anchor, sets=[0], chosen=chosen, drafts=60)
    table = frame.drop_duplicates("kind").set_index("kind")
    assert table.index.tolist() == ["none", "paper", "quantile"]
    assert table.n_missing["paper"] < table.n_missing["quantile"] and table.delta["paper"] == 0
    assert table.added["none"] == 0 and table.added["quantile"] <= table.kept["quantile"] <= table.drafts["quantile"]
    assert np.isnan(table.n_missing["none"]) and frame.auprc.between(0, 1).all()
    assert table.auprc["paper"] == table.auprc["none"] or table.added["paper"] > 0
