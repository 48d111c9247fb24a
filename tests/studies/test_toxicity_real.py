"""Draws, intervals and bad labels; the study on a small world with the roles of the real one."""

import os
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.profile import load_profile
from fac_lab.studies import toxicity_real
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.real_material import Material, open_material
from fac_lab.studies.toxicity_real import ALL, Draw, bootstrap_auprc, draw_rows, real_detection_study
from fac_lab.tasks import toxicity as task
from fac_lab.world import concepts

MODES = {
    "head": {"epochs": 1.0, "batch": 16, "max_tokens": 48},
    "lora": {"epochs": 1.0, "lr": 1e-2, "batch": 16, "max_tokens": 48},
}
DRAWS = (Draw(6, 20, {"head": 2, "lora": 1}), Draw(ALL, ALL, {"head": 1, "lora": 0}))


@pytest.fixture(scope="module")
def material():
    harmless = [concept for concept in concepts() if not concept.harmful]
    harmful = [concept for concept in concepts() if concept.harmful]
    toxic, safe = (
        tuple(world_corpus(name, n, seed=seed, without=without))
        for name, n, seed, without in (("toxic", 12, 1, harmless), ("safe", 30, 2, harmful))
    )
    return Material(toxic, safe, (), tuple(world_corpus("test", 60, seed=4)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(replace(load_profile("smoke"), seeds=(1, 2)), tmp_path_factory.mktemp("real"))


def test_a_draw_has_both_classes_and_begins_a_larger_one(material):
    small, large = (draw_rows(material, Draw(n, 2 * n, {}), 1) for n in (3, 6))
    assert [row.label for row in small] == [1] * 3 + [0] * 6
    assert small[:3] == large[:3] and small[3:] == large[6:12]
    assert draw_rows(material, Draw(3, 6, {}), 2) != small
    everything = draw_rows(material, Draw(ALL, ALL, {}), 1)
    assert sorted(everything) == sorted(material.toxic + material.safe)
    with pytest.raises(DataError, match="13 toxic rows are to be drawn, the train split has 12: ask for fewer"):
        draw_rows(material, Draw(13, 5, {}), 1)


def test_an_interval_holds_the_value_and_narrows_with_more_rows():
    dice = np.random.default_rng(3)
    labels = (dice.random(400) < 0.2).astype(int)
    scores = labels + dice.normal(size=400)
    low, high = bootstrap_auprc(labels, scores, draws=200)
    assert low < average_precision_score(labels, scores) < high
    narrow = bootstrap_auprc(np.tile(labels, 4), np.tile(scores, 4), draws=200)
    assert narrow[1] - narrow[0] < 0.75 * (high - low)


def test_equal_scores_stay_at_the_base_rate():
    labels = np.repeat([1, 0], [20, 140])
    low, high = bootstrap_auprc(labels, np.zeros(160), draws=400)
    assert low < 20 / 160 < high
    # AUPRC is then the share of toxic rows of each resample: a binomial of 160.
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.125 * 0.875 / 160), rel=0.15)


def test_labels_of_one_class_or_of_another_kind_are_refused():
    for labels in (np.ones(5, int), np.array([0, 1, 2]), np.array([0.0, 1.0, np.nan])):
        with pytest.raises(DataError, match="AUPRC needs rows of both classes, 0 and 1"):
            bootstrap_auprc(labels, np.zeros(len(labels)))


def test_a_resample_of_one_class_is_drawn_again():
    low, high = bootstrap_auprc(np.array([1, 0, 0]), np.array([1.0, 0.0, 0.0]), draws=50)
    assert (low, high) == (1.0, 1.0)


def test_the_study_runs_and_goes_on_where_it_stopped(lab, material, monkeypatch):
    monkeypatch.setattr(toxicity_real, "BOOTSTRAP", 20)
    frame = real_detection_study(lab, material, draws=DRAWS, modes=MODES)
    counts = frame.groupby(["mode", "n_toxic", "n_safe"]).size().to_dict()
    assert counts == {("head", 6, 20): 2, ("head", 12, 30): 1, ("lora", 6, 20): 1}
    assert (frame.low <= frame.auprc).all() and (frame.auprc <= frame.high).all()
    assert frame.base_rate.unique() == pytest.approx([np.mean([row.label for row in material.test])])
    assert frame[frame["mode"] == "lora"].n_trainable.item() > frame[frame["mode"] == "head"].n_trainable.max()
    assert "text" not in frame and frame.lr[frame["mode"] == "lora"].item() == 1e-2
    assert set(frame.lr[frame["mode"] == "head"]) < set(toxicity_real.RATES)

    def never(*_, **__):
        raise AssertionError("a detector was trained again")

    monkeypatch.setattr(task, "train_detector", never)
    assert real_detection_study(lab, material, draws=DRAWS, modes=MODES).equals(frame)


@pytest.mark.skipif("FAC_LAB_DATA" not in os.environ, reason="FAC_LAB_DATA names no folder of data sets")
def test_the_real_test_rows_are_the_papers():
    material = open_material(None)
    assert len(material.test) == 2853 and sum(row.label for row in material.test) == 362
