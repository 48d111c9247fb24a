"""A cell of the reward columns, on tiny random models; the study's frame in the smoke profile is slow."""

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fac_lab.corpora import Row
from fac_lab.errors import DataError, SettingsError
from fac_lab.lab import Lab
from fac_lab.studies.methods import METHODS, Written
from fac_lab.studies.preferences import ABOUT_HARM, bench_pairs, concerns
from fac_lab.studies.reward import (
    SECTIONS,
    added_pairs,
    measures,
    reward_cell,
    settings_for,
    starting_pairs,
    truth_of_pairs,
)
from fac_lab.tasks.reward import RewardModel, train_reward_model
from fac_lab.world import concepts, hold_out, queries

RELOAD = """
import json, sys, torch
torch.set_num_threads(1)
from fac_lab.studies.preferences import bench_pairs
from fac_lab.tasks.reward import RewardModel
print(json.dumps([RewardModel.load(folder).score(bench_pairs()[:12]).tolist() for folder in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab.open("smoke", out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def gap():
    out = hold_out(36, seed=0, harmful=True)
    asked = queries(300, seed=1, among=[c for c in concepts() if c not in out])
    return SimpleNamespace(
        held_out=out, seed=[Row(f"s{i}", text, int(c.harmful), c.id) for i, (c, text) in enumerate(asked)]
    )


WRITTEN = Written(
    ["How do I pocket the tips of the waiters?"],
    draws=4,
    parts=(
        {
            "prompt": "How do I pocket the tips of the waiters?",
            "chosen": "Soup making: first check the sauce, then taste it.",
            "rejected": "Tip pocketing: first check the sauce, then taste it.",
        },
    ),
)


def test_a_cell_is_of_its_seed_mode_and_samples_and_is_made_once(lab, gap):
    where = {"arm": "fac_two_step", "held_out_set": 0, "mode": "head"}
    cell = reward_cell(lab, None, gap, WRITTEN, seed=1, **where)
    sections = [cell[name] for name in SECTIONS.values()]
    assert cell["rm_acc"] == pytest.approx(np.mean(sections)) and cell["added"] == 1
    n_out = sum(concerns([p for p in bench_pairs() if p.subset == ABOUT_HARM], gap.held_out))
    n = sum(p.subset == ABOUT_HARM for p in bench_pairs())
    assert cell["safety"] == pytest.approx((n_out * cell["safety_held_out"] + (n - n_out) * cell["safety_kept"]) / n)
    made = sorted(lab.store.root.glob("reward/*"))
    assert reward_cell(lab, None, gap, WRITTEN, seed=1, **where) == cell
    assert sorted(lab.store.root.glob("reward/*")) == made and made
    without = reward_cell(lab, None, gap, Written([]), seed=1, **where)
    other = reward_cell(lab, None, gap, WRITTEN, seed=2, **where)
    assert without["added"] == 0 and without["margin"] != cell["margin"] != other["margin"]


def test_the_full_data_set_is_more_of_the_same_seed(lab, gap):
    start, more = (starting_pairs(lab, gap, seed=0, times=times) for times in (1, 2))
    assert len(more) == pytest.approx(2 * len(start), abs=4)
    assert {pair.subset for pair in start} == {pair.subset for pair in more}
    assert METHODS["Full Dataset"] == "full"
    harmless = SimpleNamespace(held_out=gap.held_out, seed=[row for row in gap.seed if not row.label])
    with pytest.raises(DataError, match="harmful queries; the data have 0"):
        reward_cell(lab, None, harmless, WRITTEN, arm="none", held_out_set=0, seed=1, mode="head")


def test_ties_are_wrong_and_equal_scores_have_no_margin():
    pairs = list(bench_pairs())
    even = measures(np.zeros((len(pairs), 2)), pairs, concerns(pairs, hold_out(36, seed=0, harmful=True)))
    assert even["rm_acc"] == even["safety_kept"] == even["length_balanced"] == 0
    assert even["ties"] == len(pairs) and math.isnan(even["margin"])
    right = np.tile([1.0, 0.0], (len(pairs), 1))
    none_out = measures(right, pairs, [False] * len(pairs))
    assert none_out["rm_acc"] == none_out["safety_kept"] == 100 and math.isnan(none_out["safety_held_out"])


@pytest.mark.parametrize(
    ("change", "message"), [({"chosen": " "}, "empty reply"), ({"chosen": "a", "rejected": "a"}, "same reply twice")]
)
def test_pairs_that_prefer_nothing_are_refused_by_name(lab, gap, change, message):
    broken = WRITTEN._replace(parts=({**WRITTEN.parts[0], **change},))
    with pytest.raises(DataError, match=f"pair added-0 of the training data has .*{message}"):
        reward_cell(lab, None, gap, broken, arm="plain", held_out_set=0, seed=1, mode="head")


def test_texts_alone_get_the_worlds_replies_and_repeats_none():
    asked = [text for _, text in queries(5, seed=2, among=[c for c in concepts() if c.harmful])]
    pairs = added_pairs(Written([*asked, asked[0].upper(), "nothing that the world knows"]), seed=0)
    assert len(pairs) == 5 and {pair.subset for pair in pairs} == {ABOUT_HARM}
    truth = truth_of_pairs(pairs, SimpleNamespace(held_out=[c for c in concepts() if c.harmful]))
    assert truth["truly_harmful"] == truth["about_held_out"] == truth["truly_better"] == 1
    told = truth_of_pairs(added_pairs(WRITTEN, seed=0), SimpleNamespace(held_out=()))
    assert told == {"truly_harmful": 1, "about_held_out": 0, "truly_better": 1}
    assert all(math.isnan(share) for share in truth_of_pairs([], SimpleNamespace(held_out=())).values())


def test_a_mode_that_is_none_is_refused(lab):
    with pytest.raises(SettingsError, match="head or lora, not 'full'"):
        settings_for(lab, "full")
    assert settings_for(lab, "lora").r == 16 and settings_for(lab, "head").reads == "message"


@pytest.mark.slow
def test_a_saved_reward_model_reloaded_in_a_fresh_process_scores_the_same(lab, gap, tmp_path):
    train, test = starting_pairs(lab, gap, seed=0), bench_pairs()[:12]
    scores = []
    for mode in ("head", "lora"):
        settings, folder = settings_for(lab, mode), tmp_path / mode
        run = train_reward_model(lab.backbone, train, test, settings, seed=0, folder=folder, progress=False)
        scores.append(run.scores)
        assert json.loads((folder / f"{RewardModel.what}.json").read_text())["settings"]["reads"] == "message"
    fresh = [sys.executable, "-c", RELOAD, str(tmp_path / "head"), str(tmp_path / "lora")]
    done = subprocess.run(fresh, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(scores, json.loads(done.stdout), atol=1e-6)
