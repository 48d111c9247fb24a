"""The table of correlations on made-up results, and the whole study on a few data sets of the smoke profile."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fac_lab.coverage import cover
from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.studies import correlation, diversity
from fac_lab.studies.correlation import MAIN, correlation_study, correlations, family_of, measures_of, next_best
from fac_lab.studies.results import RESULTS
from fac_lab.studies.scrutiny import scrutiny_study

SETS = {"equal size": 3, "free size": 3}


def made_up(n=60, *, seed=0):
    """FAC goes with AUPRC, `good` a little less, `size` with both, `flat` with nothing."""
    dice = np.random.default_rng(seed)
    truth, size = dice.normal(size=(2, n))
    return pd.DataFrame(
        {
            "data_set": [f"set {i}" for i in range(n)],
            "design": "free size",
            "made_concepts": range(n),
            "true_coverage": truth,
            "size": size,
            "mean_length": dice.normal(size=n),
            MAIN: truth + 0.3 * dice.normal(size=n),
            "fac_paper_judge": truth + 0.5 * dice.normal(size=n),
            "good": -truth + 0.8 * dice.normal(size=n),
            "poor": dice.normal(size=n),
            "flat": 1.0,
            "absent": np.nan,
            "auprc": truth + 0.5 * size + 0.2 * dice.normal(size=n),
            "auprc_sd": 0.01,
            "auprc_seeds": 3,
        }
    )


def test_measures_are_what_is_neither_design_nor_outcome():
    names = measures_of(made_up())
    assert names == ["true_coverage", "size", "mean_length", MAIN, "fac_paper_judge", "good", "poor", "flat", "absent"]
    assert [family_of(name) for name in names[:4]] == ["truth", "covariate", "covariate", "FAC"]


def test_the_table_says_how_closely_everything_goes_with_the_outcome():
    frame = made_up()
    table = correlations(frame, draws=300)
    rows = table.set_index("measure")
    for name in ("good", MAIN):
        assert rows.pearson[name] == pytest.approx(stats.pearsonr(frame[name], frame.auprc).statistic)
        assert rows.kendall[name] == pytest.approx(stats.kendalltau(frame[name], frame.auprc).statistic)
        assert rows.pearson_low[name] < rows.pearson[name] < rows.pearson_high[name]
    assert table.measure[0] == "true_coverage" and (rows.n.drop("absent") == 60).all()
    assert (rows.partial[MAIN] - rows.pearson[MAIN]) > 0.05, "size took part of the outcome"
    assert rows.fac_minus[MAIN] == 0 and rows.fac_minus_low["poor"] > 0
    assert rows.reason["flat"] == "the first is constant (1)" and rows.n["absent"] == 0
    assert rows.loc[["flat", "absent"], "pearson"].isna().all() and list(table.measure[-2:]) == ["flat", "absent"]
    shares = rows["first"].dropna()
    assert set(shares.index) == {MAIN, "good", "poor", "flat", "absent"} and shares.sum() == pytest.approx(1)


def test_the_rival_is_the_best_measure_of_diversity():
    table = correlations(made_up(), draws=50)
    assert next_best(table).measure == "good"
    with pytest.raises(DataError, match="no rival"):
        next_best(table[table.family == "FAC"])


def test_another_outcome_and_a_column_that_is_not_there():
    table = correlations(made_up(), outcome="true_coverage", measures=[MAIN, "good"], draws=50)
    assert table.measure.tolist() == [MAIN, "good"] and table.pearson[0] > 0.9
    with pytest.raises(DataError, match="no column fac_other"):
        correlations(made_up(), fac="fac_other")


def test_results_are_registered():
    assert {"correlation", "scrutiny"} <= set(RESULTS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab.open("smoke", out=tmp_path_factory.mktemp("correlation"))


@pytest.fixture(scope="module")
def results(lab):
    return correlation_study(lab, sets=SETS, judged=16)


@pytest.mark.slow
def test_the_study_has_a_row_per_data_set(lab, results):
    assert results.design.tolist() == ["equal size"] * 3 + ["free size"] * 3 and results.data_set.is_unique
    shares = results[[name for name in results if name.startswith("fac_") or name == "true_coverage"]]
    assert ((shares >= 0) & (shares <= 1) | shares.isna()).all(axis=None)
    assert results.fac_paper_all.notna().all() and results.auprc.between(0, 1).all()
    assert results[results.design == "equal size"]["size"].eq(80).all()
    assert {"distinct_1", "vendi", "self_bleu"} <= set(results.columns)


@pytest.mark.slow
def test_fac_of_a_data_set_is_that_of_its_coverage(lab, results):
    rules = correlation.rules_of(lab)
    name, _, rows = correlation.data_sets(SETS)[4]
    stats_of = lab.stats(correlation.corpus_of(name, rows))
    anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
    row = results.set_index("data_set").loc[name]
    for rule in rules:
        assert row[f"fac_{rule}_all"] == cover(anchor, stats_of, rules[rule]).fac


@pytest.mark.slow
def test_run_again_it_is_read_not_made(lab, results, monkeypatch):
    monkeypatch.setattr(diversity, "measured", None)
    monkeypatch.setattr(lab.backbone.model, "forward", None)
    pd.testing.assert_frame_equal(correlation_study(lab, sets=SETS, judged=16), results)


@pytest.mark.slow
def test_scrutiny_counts_the_same_data_sets_in_other_ways(lab, results):
    table = scrutiny_study(lab, results, sets=SETS, saes=((64, 2),), judged=16)
    assert set(table.what) == {"threshold", "sae", "clusters"}
    defined = table[table.reason.isna() & (table.n > 0)]
    assert (defined.n == 6).all() and defined.pearson.between(-1, 1).all()
    own = table[(table.what == "sae") & (table.name == "the profile's") & (table.relevant == "all")]
    np.testing.assert_allclose(own.mean_fac, [results.fac_paper_all.mean(), results.fac_relative_m_all.mean()])
    other = table[table.name == "64 features, K 2"]
    assert (other.d_sae == 64).all() and (other.n_relevant <= 64).all()
    with pytest.raises(DataError, match="lack equal size 00"):
        scrutiny_study(lab, results[3:], sets=SETS)
    assert math.isnan(table[table.what == "clusters"].delta.iloc[0])
