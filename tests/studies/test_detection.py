"""What the arms of the detection study add, its cells, and the settings of each mode."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fac_lab.corpora import Row
from fac_lab.lab import Lab
from fac_lab.profile import load_profile
from fac_lab.studies import detection
from fac_lab.studies import toxicity as arms
from fac_lab.studies.detection import (
    OTHER_MODE,
    TABLE_ARMS,
    TRIAL_SETS,
    TRIALS,
    best_trial,
    detection_study,
    settings_for,
    toxicity_cell,
    training_rows,
)
from fac_lab.studies.methods import METHODS, Written
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.results import RESULTS
from fac_lab.studies.stored import read_result
from fac_lab.tasks import toxicity as task
from fac_lab.world import hold_out


class Short(Lab):
    """A lab whose synthesis keeps three texts, written before; everything else is that of the smoke profile."""

    def synthesise(self, labels, stats, delta, *, task="toxicity", settings=None):
        texts = [f"how do i cheat in exam number {i}" for i in range(4)]
        kept = [True, True, False, True]
        return pd.DataFrame({"text": texts, "kept": kept, "reason": "of its own", "parts": "{}"})


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Short.open("smoke", out=tmp_path_factory.mktemp("detection"))


@pytest.fixture(scope="module")
def gap():
    held_out = hold_out(6, seed=0, harmful=True)
    coverage = SimpleNamespace(missing=np.arange(5), delta=1.0)
    return SimpleNamespace(
        held_out=held_out,
        seed=world_corpus("seed", 300, seed=1000, without=held_out),
        coverage=coverage,
        missing_labels=pd.DataFrame({"feature": np.arange(5)}),
    )


def test_every_arm_starts_alike_and_full_adds_the_other_toxic_rows(lab, gap):
    study = lab.profile.study
    rows = training_rows(lab, gap, Written(["a", "b"]), arm="plain")
    start = rows[: study.safe_samples + study.seed_samples]
    assert [row.label for row in start] == [0] * study.safe_samples + [1] * study.seed_samples
    assert rows[len(start) :] == [Row("plain-0", "a", 1), Row("plain-1", "b", 1)]
    full = training_rows(lab, gap, Written([]), arm="full")
    assert full[: len(start)] == start
    toxic = [row.text for row in gap.seed if row.label]
    assert [row.text for row in full if row.label] == toxic and len(toxic) > study.seed_samples


@pytest.mark.parametrize("mode", ["head", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_cell_is_the_auprc_of_its_rows_in_percent_and_is_kept(lab, gap, mode, monkeypatch):
    texts = [row.text for row in world_corpus("more", 3, seed=9)]
    few = arms.test_rows(n=60)
    monkeypatch.setattr(detection, "_test", lambda: few)
    cell = {"arm": "plain", "held_out_set": 0, "seed": 42, "mode": mode}
    found = toxicity_cell(lab, None, gap, Written(texts), **cell)
    train = training_rows(lab, gap, Written(texts), arm="plain")
    run = task.train_detector(lab.backbone, train, few, settings_for(lab, mode), seed=42, progress=False)
    assert found == {"tox_auprc": pytest.approx(100 * run.auprc), "tox_added": 3}

    def never(*_, **__):
        raise AssertionError("a detector was trained again")

    monkeypatch.setattr(task, "train_detector", never)
    assert toxicity_cell(lab, None, gap, Written(texts), **cell) == found
    assert arms.detector_auprc(lab, train, few, 42, settings_for(lab, mode)) == found["tox_auprc"] / 100


def test_the_study_has_a_row_per_run_and_no_arm_more_texts_than_ours(lab, gap, monkeypatch):
    few = arms.test_rows(n=40)
    monkeypatch.setattr(detection, "_test", lambda: few)
    monkeypatch.setattr(detection, "harmful_gap", lambda lab, anchor, *, held_out_set: gap)
    monkeypatch.setattr(detection, "reached", lambda lab, texts, missing, delta: len(texts) / 5)
    frame = detection_study(lab, None, sets=[3], mode="head", arms=["none", "full", "oracle"])
    assert not frame.duplicated(["held_out_set", "arm", "seed"]).any() and len(frame) == 3
    added = frame.groupby("arm").added.unique().map(list).to_dict()
    assert added["none"] == [0] and added["oracle"] == [3] and added["full"][0] > 3
    assert frame.auprc.between(0, 1).all()
    reached = frame.groupby("arm").about_held_out.first()
    assert reached["oracle"] == 1.0 and reached["full"] == 0.0, "the seed is without the held-out concepts"


def test_the_table_has_every_method_once_and_controls():
    assert TABLE_ARMS[: len(METHODS)] == tuple(METHODS.values()) and len(set(TABLE_ARMS)) == len(TABLE_ARMS)
    assert {"plain", "random_features", "oracle"} <= set(TABLE_ARMS)
    assert {"toxicity_trial", "toxicity_lora", "toxicity_head", "training_scale", "toxicity_real"} <= set(RESULTS)


def test_a_profile_keeps_its_own_settings_in_its_own_mode():
    mini, llama = (SimpleNamespace(profile=load_profile(name)) for name in ("mini", "llama"))
    assert settings_for(mini, "head") == mini.profile.detector
    assert settings_for(llama, "lora") == llama.profile.detector
    other = settings_for(mini, "lora")
    assert other == replace(mini.profile.detector, mode="lora", **OTHER_MODE["lora"])
    assert settings_for(llama, "head").lr == 8e-5


def test_settings_are_those_that_the_stored_trial_chose():
    trials, manifest = read_result("toxicity_trial")
    assert set(trials.held_out_set) == set(TRIAL_SETS) and min(TRIAL_SETS) >= 100, "no set of a reported result"
    assert set(trials.arm) == {"none", "oracle"}
    for mode in TRIALS:
        assert best_trial(trials, mode) == OTHER_MODE[mode]


def test_of_equal_trials_the_smallest_is_best():
    trials = pd.DataFrame(
        [("lora", lr, epochs, 16, 0.5) for lr in (1e-3, 1e-2) for epochs in (3.0, 6.0)],
        columns=["mode", "lr", "epochs", "batch", "auprc"],
    )
    assert best_trial(trials, "lora") == {"lr": 1e-3, "epochs": 3.0, "batch": 16}
    assert best_trial(trials.assign(auprc=[0.1, 0.3, 0.2, 0.3]), "lora")["epochs"] == 6.0


@pytest.mark.parametrize("mode", ["head", "lora"])
def test_stored_runs_pair_arms_and_agree_with_those_of_the_baselines(mode):
    frame, manifest = read_result(f"toxicity_{mode}")
    assert manifest["profile"]["name"] == "mini" and set(frame["mode"]) == {mode}
    assert set(frame.arm) == set(TABLE_ARMS)
    assert frame.groupby("arm").apply(lambda g: tuple(zip(g.held_out_set, g.seed, strict=True))).nunique() == 1
    texts = frame[frame.arm != "full"].groupby("held_out_set").added.max()
    assert (texts == frame[frame.arm == "fac_two_step"].groupby("held_out_set").added.max()).all()
    before = read_result("baselines")[0].query("matched == 'samples'")
    both = frame.merge(before, on=["held_out_set", "arm", "seed"], suffixes=("", "_before"))
    assert len(both) == (frame.arm != "full").sum()
    assert (both.added == both.added_before).all()
    np.testing.assert_allclose(both.gap_coverage, both.gap_coverage_before)
    if mode == "head":
        np.testing.assert_allclose(both.auprc, both.auprc_before, atol=1e-6)
