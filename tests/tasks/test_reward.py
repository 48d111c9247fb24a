"""Reward models on tiny random backbones; sections and weights by hand."""

import json
import math
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from fac_lab.errors import DataError, SettingsError
from fac_lab.settings import TuningSettings
from fac_lab.tasks.backbone import Backbone
from fac_lab.tasks.comparisons import Comparison
from fac_lab.tasks.reward import RewardModel, train_reward_model
from fac_lab.tasks.reward_bench import SECTIONS, bench_score, length_balanced, own_sections
from tests.tasks.conftest import SAFE, TOXIC

HEAD = TuningSettings(mode="head", epochs=30, lr=0.03, batch=8, max_tokens=32, schedule="cosine", warm_up=0.1)
LORA = TuningSettings(mode="lora", epochs=3, lr=0.01, batch=8, max_tokens=32, weight_decay=0.01)
RELOAD = """
import json, sys, torch
torch.set_num_threads(1)
from fac_lab.tasks.comparisons import Comparison
from fac_lab.tasks.reward import RewardModel
pairs = [Comparison(*pair) for pair in json.load(open(sys.argv[1]))]
print(json.dumps([RewardModel.load(folder).score(pairs).tolist() for folder in sys.argv[2:]]))
"""


def pairs(n, seed):
    """The better reply has no bad word in it."""
    dice = random.Random(seed)

    def words(bad):
        return " ".join(dice.sample(SAFE, 5) + (dice.sample(TOXIC, 2) if bad else dice.sample(SAFE, 2)))

    return [Comparison(f"p{i}", words(False), words(False), words(True)) for i in range(n)]


@pytest.fixture(scope="module")
def llama(model_folder):
    return Backbone(model_folder("llama"))


@pytest.mark.parametrize(
    ("family", "settings", "least"),
    [
        ("llama", HEAD, 0.62),
        ("llama", LORA, 0.8),
        pytest.param("gpt2", LORA, 0.8, marks=pytest.mark.slow),
        pytest.param("bert", HEAD, 0.6, marks=pytest.mark.slow),
    ],
)
def test_learns_which_reply_is_better(model_folder, llama, family, settings, least):
    backbone = llama if family == "llama" else Backbone(model_folder(family))
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    run = train_reward_model(backbone, pairs(150, 1), pairs(80, 2), settings, seed=0, progress=False)
    assert run.accuracy > least and run.accuracy == (run.margins > 0).mean()
    again = train_reward_model(backbone, pairs(150, 1), pairs(80, 2), settings, seed=0, progress=False)
    np.testing.assert_array_equal(run.scores, again.scores)
    after = backbone.model.state_dict()
    body = [name for name in before if backbone.head_name not in name]
    assert all(torch.equal(before[name], after[name]) for name in body)


@pytest.mark.slow
def test_a_saved_reward_model_scores_alike_in_a_fresh_process(llama, tmp_path):
    test = pairs(20, 4)
    runs = [
        train_reward_model(llama, pairs(40, 3), test, settings, seed=3, folder=tmp_path / settings.mode, progress=False)
        for settings in (HEAD, LORA)
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(test))
    arguments = [tmp_path / "pairs.json", tmp_path / "head", tmp_path / "lora"]
    fresh = subprocess.run([sys.executable, "-c", RELOAD, *arguments], capture_output=True, text=True, check=True)
    for run, scores in zip(runs, json.loads(fresh.stdout), strict=True):
        np.testing.assert_allclose(run.scores, scores, atol=1e-6)


def test_long_talks_are_cut_on_the_left(llama):
    short = TuningSettings(mode="head", epochs=1, lr=0.01, batch=4, max_tokens=4)
    (ids,) = llama.tokenize_replies([("good1 good2 good3", "good4 bad1 bad2")], 1000)
    assert llama.tokenize_replies([("good1 good2 good3", "good4 bad1 bad2")], 4) == [ids[-4:]]
    model = RewardModel.new(llama, short)
    same_end = [Comparison("a", f"good{i}", "good5 good6 bad1 bad2", "good7 good8 bad3 bad4") for i in range(3)]
    np.testing.assert_allclose(model.score(same_end), model.score(same_end[:1]).repeat(3, axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"chosen": " "}, "pair p0 of the training data has an empty reply"), ({"chosen": "x", "rejected": "x"}, "same")],
)
def test_pairs_that_prefer_nothing_are_refused(llama, change, message):
    broken = [pairs(1, 0)[0]._replace(**change)]
    with pytest.raises(DataError, match=message):
        train_reward_model(llama, broken, pairs(2, 1), HEAD, seed=0)
    with pytest.raises(DataError, match="the test data has no pairs"):
        train_reward_model(llama, pairs(2, 1), [], HEAD, seed=0)


def test_the_benchmark_has_its_published_size():
    total = sum(sum(weights.values()) for weights in SECTIONS.values())
    assert total - SECTIONS["Reasoning"]["math-prm"] + 447 == 2985


def test_sections_weigh_subsets_and_count_ties_as_wrong():
    sections = {"A": {"a1": 1, "a2": 3}, "B": {"b": 10}}
    scores = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    result = bench_score(scores, ["a1", "a2", "a2", "b", "b"], sections)
    # a1 1.0, a2 0.5 (the tie is wrong), b 0.5.
    assert result.sections == {"A": pytest.approx((1 * 1.0 + 3 * 0.5) / 4), "B": 0.5}
    assert result.average == pytest.approx((0.625 + 0.5) / 2) and result.ties == 1
    difference = np.array([1.0, 0.0, 2.0, -3.0, 1.0])
    assert result.margin == pytest.approx(difference.mean() / difference.std())
    even = bench_score(np.zeros((3, 2)), ["a1", "a2", "b"], sections)
    assert even.average == 0 and even.ties == 3 and math.isnan(even.margin)


def test_sections_refuse_what_they_do_not_know():
    sections = {"A": {"a1": 1, "a2": 3}}
    with pytest.raises(DataError, match="'poems' is of no section"):
        bench_score(np.zeros((3, 2)), ["a1", "a2", "poems"], sections)
    with pytest.raises(DataError, match="no pair of subset 'a2'"):
        bench_score(np.zeros((1, 2)), ["a1"], sections)
    with pytest.raises(DataError, match="2 pairs are scored, but 1"):
        bench_score(np.zeros((2, 2)), ["a1"], sections)


def test_liking_length_gets_one_half():
    test = [Comparison(str(i), "p", "long reply" if i < 3 else "s", "s" if i < 3 else "long reply") for i in range(4)]
    test.append(Comparison("even", "p", "ab", "cd"))
    by_length = np.array([[len(pair.chosen), len(pair.rejected)] for pair in test], float)
    assert length_balanced(by_length, test) == 0.5 and length_balanced(-by_length, test) == 0.5
    right = np.array([[1.0, 0.0]] * 5)
    assert length_balanced(right, test) == 1.0
    assert math.isnan(length_balanced(right[:3], test[:3]))


def test_own_sections_weigh_pairs():
    test = [Comparison(str(i), "p", "a", "b", subset) for i, subset in enumerate(["x", "y", "y", "z"])]
    assert own_sections(test, {"x": "one", "y": "one", "z": "two"}) == {"one": {"x": 1, "y": 2}, "two": {"z": 1}}


def test_a_message_holds_prompt_and_reply_in_one_turn(llama):
    (talk,), (message,) = (
        llama.tokenize_replies([("good1 good2", "good4 bad1")], 100, reads=reads) for reads in ("talk", "message")
    )
    (plain,) = llama.tokenize(["good1 good2 good4 bad1"], 100)
    assert message == plain and message != talk
    assert llama.tokenize_replies([("good1 good2", "good4 bad1")], 3, reads="message") == [plain[-3:]]
    with pytest.raises(SettingsError, match="detector.reads"):
        replace(HEAD, reads="aloud")
