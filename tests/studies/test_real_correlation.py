import hashlib
import math
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.profile import load_profile
from fac_lab.settings import CoverageRule
from fac_lab.studies import real_points
from fac_lab.studies.correlation import correlations
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.real_correlation import head_check, measures, real_study
from fac_lab.studies.real_material import Material, open_material
from fac_lab.studies.real_tables import ceilings, choose, named_variants, pearson, reliability, variants
from fac_lab.world import concepts

BLOCKS = {"choice": (1, 4), "report": (2, 4)}
DESIGNS = {"breadth": {"clusters": (1, 2, 4), "size": (12,)}, "mixed": {"clusters": (1, 4), "size": (12, 20)}}
RULES = {"delta 0": CoverageRule(), "quantile 0.5": CoverageRule(kind="anchor_quantile", quantile=0.5)}
SETTINGS = {"blocks": BLOCKS, "designs": DESIGNS, "n_safe": 40, "spare_safe": 20, "n_clusters": 4}


@pytest.fixture(scope="module")
def material():
    """A small world with the roles of the real one."""
    harmless = [concept for concept in concepts() if not concept.harmful]
    harmful = [concept for concept in concepts() if concept.harmful]
    toxic, safe = (
        tuple(world_corpus(name, n, seed=seed, without=without))
        for name, n, seed, without in (("toxic", 60, 1, harmless), ("safe", 90, 2, harmful))
    )
    foreign = tuple(row._replace(label=None) for row in world_corpus("foreign", 40, seed=3, without=harmless))
    return Material(toxic, safe, foreign, tuple(world_corpus("test", 120, seed=4)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    profile = replace(load_profile("smoke"), seeds=(1, 2))
    return Lab(profile, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def study(lab, material):
    return real_study(lab, material, rules=RULES, **SETTINGS)


def test_every_data_set_is_measured(study):
    sets, runs, grid = study
    assert len(sets) == len(grid) == 16 and len(runs) == 32
    assert sets.data_set.is_unique and set(sets.block) == {"choice", "report"}
    assert sets.auprc.between(0, 1).all() and (sets.auprc_seeds == 2).all()
    mean = runs.groupby("data_set").auprc.mean().loc[sets.data_set]
    assert mean.to_numpy() == pytest.approx(sets.auprc.to_numpy())
    assert grid["toxic", "delta 0", "all", "feature"].between(0, 1).all()
    told = sets[sets.block == "report"]
    assert told.nearness.between(-1, 1.001).all() and sets.vendi.notna().equals(sets.block == "report")


def test_wider_sets_are_nearer_to_all_of_the_anchor(study):
    sets = study.sets[(study.sets.design == "breadth") & (study.sets.block == "report")]
    assert sets.nearness[sets.made_clusters == 4].min() > sets.nearness[sets.made_clusters == 1].max()


def test_what_was_measured_is_read_again(study, lab, material, monkeypatch):
    def never(*_):
        raise AssertionError("a detector was trained again")

    monkeypatch.setattr(real_points, "head_scores", never)
    again = real_study(lab, material, rules=RULES, **SETTINGS)
    pd.testing.assert_frame_equal(again.sets, study.sets)
    pd.testing.assert_frame_equal(again.runs, study.runs)


def test_the_tables_follow(study):
    table = variants(*study)
    assert set(table.design) == set(DESIGNS)
    named = named_variants(table)
    assert named["fac_chosen"] == choose(table) and "foreign" in {anchor for anchor, *_ in named.values()}
    assert len(set(named.values())) == len(named) and {"fac_paper", "fac_chosen_random_1"} <= set(named)
    sets = study.sets.assign(**{name: study.grid[variant] for name, variant in named.items()})
    told = sets[(sets.block == "report") & (sets.design == "mixed")]
    found = correlations(told, fac="fac_chosen", measures=measures(told), draws=50)
    assert {"fac_chosen", "fac_paper", "vendi", "nearness", "made_clusters"} <= set(found.measure)
    assert not {"auprc", "auprc_sd"} & set(found.measure)
    assert ceilings(study.runs).n.tolist() == [4, 4]


def test_the_choice_is_made_on_its_block_and_half_alone(study):
    sets, runs, grid = study
    table = variants(sets, runs, grid)
    row = table[(table.design == "mixed") & (table.weight == "feature") & (table.relevance == "all")].iloc[0]
    inside = ((sets.design == "mixed") & (sets.block == "choice")).to_numpy()
    halves = runs.groupby("data_set").auprc_a.mean().loc[sets.data_set[inside]]
    fac = grid[row.anchor, row.rule, "all", "feature"][inside]
    assert row.choice == pytest.approx(np.corrcoef(fac, halves)[0, 1])
    # Whatever the other block and half say, the choice is the same.
    blind = runs.assign(auprc=DICE.random(len(runs)), auprc_b=DICE.random(len(runs)))
    blind.loc[blind.block == "report", "auprc_a"] = 0.5
    assert choose(variants(sets, blind, grid)) == choose(table)


def test_random_features_are_never_chosen():
    rows = [
        ("train", "delta 0", relevance, "feature", "mixed", r) for relevance, r in (("random 1", 0.9), ("all", 0.2))
    ]
    table = pd.DataFrame(rows, columns=["anchor", "rule", "relevance", "weight", "design", "choice"])
    assert choose(table) == ("train", "delta 0", "all", "feature")
    with pytest.raises(DataError, match="no variant"):
        choose(table.assign(choice=math.nan))


def test_the_logistic_head_is_compared_with_the_head_only_run(study, lab, material):
    found = head_check(lab, material, study, n=2, **SETTINGS)
    assert len(found) == 2 and found.auprc.iloc[0] <= found.auprc.iloc[1]
    assert found.head_only.between(0, 1).all()


def test_too_few_safe_rows_are_refused(lab, material):
    with pytest.raises(DataError, match="safe rows"):
        real_study(lab, material, rules=RULES, **SETTINGS | {"n_safe": 80})


def test_reliability_by_hand():
    true = np.arange(5.0)
    assert reliability(np.column_stack([true, true + 3])) == pytest.approx(1.0)
    # Rows 0 and 2 on average, each off by 1: mean squares 4 between and 4 within.
    assert reliability(np.array([[1.0, -1.0], [1.0, 3.0]])) == pytest.approx(0.0)
    assert math.isnan(reliability(np.ones((4, 1)))) and math.isnan(reliability(np.ones((4, 2))))


def test_pearson_of_columns():
    x = DICE.random((12, 3))
    x[:, 2] = 0.25
    y = DICE.random(12)
    found = pearson(x, y)
    assert found[:2] == pytest.approx([np.corrcoef(x[:, i], y)[0, 1] for i in range(2)])
    assert math.isnan(found[2])


DICE = np.random.default_rng(5)


def test_no_text_of_the_test_split_is_drawn_from(tmp_path):
    folder = tmp_path / "toxicity"
    folder.mkdir()
    test = pd.DataFrame({"conv_id": ["t1", "t2"], "user_input": ["How do I rig a raffle?", "Fine day"]})
    test.assign(toxicity=[1, 0]).to_parquet(folder / "toxicchat_test.parquet")
    train = [
        ("a", "how do i  RIG a raffle?", 1, False),
        ("b", "forge a hall pass", 1, False),
        ("c", "Forge a hall pass", 0, False),
        ("d", "bake bread", 0, False),
        ("e", "fake a sick note", 1, True),
    ]
    columns = ["conv_id", "user_input", "toxicity", "also_in_test"]
    pd.DataFrame(train, columns=columns).to_parquet(folder / "toxicchat_train.parquet")
    hh = pd.DataFrame({"id": ["x", "y", "z"], "first_human": ["FINE day", "bake  bread", "dodge a fare"]})
    hh.to_parquet(folder / "hh_harmless_test.parquet")
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()]
    found = open_material(tmp_path, accept=hashes)
    assert [row.text for row in found.toxic] == ["forge a hall pass"]
    assert [row.text for row in found.safe] == ["bake bread"]
    assert [(row.text, row.label) for row in found.foreign] == [("dodge a fare", None)]
    assert [row.label for row in found.test] == [1, 0]
    assert found.places("foreign").tolist() == [2] and len(found.pool) == 3


@pytest.mark.skipif("FAC_LAB_DATA" not in os.environ, reason="FAC_LAB_DATA names no folder with copies of ToxicChat")
def test_the_real_rows():
    found = open_material(os.environ["FAC_LAB_DATA"])
    assert len(found.test) == 2853 and sum(row.label for row in found.test) == 362
    assert 300 < len(found.toxic) < 384
    texts = {" ".join(row.text.lower().split()) for row in found.test}
    assert not texts & {" ".join(row.text.lower().split()) for row in found.pool}
    assert len({row.id for row in found.pool + found.test}) == len(found.pool + found.test)
