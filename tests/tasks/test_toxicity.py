import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

from fac_lab.errors import ArtifactError, DataError, ModelError
from fac_lab.profile import DetectorSettings
from fac_lab.tasks.backbone import Backbone
from fac_lab.tasks.toxicity import Detector, train_detector

HEAD = DetectorSettings(mode="head", epochs=20, lr=0.03, batch=16, max_tokens=32)
LORA = DetectorSettings(mode="lora", epochs=4, lr=0.01, batch=16, max_tokens=32)
RELOAD = """
import json, sys, torch
torch.set_num_threads(1)
from fac_lab.tasks.toxicity import Detector
texts = json.load(open(sys.argv[1]))
print(json.dumps([Detector.load(folder).score(texts).tolist() for folder in sys.argv[2:]]))
"""


@pytest.fixture(scope="module")
def llama(model_folder):
    return Backbone(model_folder("llama"))


@pytest.fixture(scope="module")
def train(make_rows):
    return make_rows(120, seed=1)


@pytest.fixture(scope="module")
def test(make_rows):
    return make_rows(80, seed=2)


@pytest.mark.parametrize("settings", [HEAD, LORA], ids=["head", "lora"])
def test_learns_what_the_words_say(llama, train, test, settings):
    run = train_detector(llama, train, test, settings, seed=0, progress=False)
    assert run.auprc > 0.9  # a random ranking: 0.25
    assert (run.n_train, run.n_positive) == (120, 30)
    assert run.scores.shape == (80,) and run.seconds > 0


def test_runs_leave_nothing_behind_on_the_backbone(llama, train, test, model_folder):
    def run(backbone, settings, seed):
        return train_detector(backbone, train, test, settings, seed=seed, progress=False).scores

    before = {name: value.clone() for name, value in llama.model.model.state_dict().items()}
    first = run(llama, LORA, 0)
    other_seed = run(llama, LORA, 1)
    head = run(llama, HEAD, 0)
    np.testing.assert_array_equal(run(llama, LORA, 0), first)
    np.testing.assert_array_equal(run(Backbone(model_folder("llama")), LORA, 0), first)
    np.testing.assert_array_equal(run(llama, HEAD, 0), head)
    assert not np.allclose(first, other_seed)
    after = llama.model.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_saved_detector_scores_alike_in_a_fresh_process(llama, train, test, tmp_path):
    texts = [row.text for row in test]
    runs = []
    for settings in (HEAD, LORA):
        folder = tmp_path / settings.mode
        runs.append(train_detector(llama, train, test, settings, seed=3, folder=folder, progress=False))
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    arguments = [tmp_path / "texts.json", tmp_path / "head", tmp_path / "lora"]
    fresh = subprocess.run([sys.executable, "-c", RELOAD, *arguments], capture_output=True, text=True, check=True)
    for run, scores in zip(runs, json.loads(fresh.stdout), strict=True):
        np.testing.assert_allclose(scores, run.scores, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "bert"])
@pytest.mark.parametrize("settings", [HEAD, LORA], ids=["head", "lora"])
def test_other_families_train_and_reload(family, settings, model_folder, train, test, tmp_path):
    path = model_folder(family)
    run = train_detector(path, train, test, settings, seed=0, folder=tmp_path, progress=False)
    assert run.auprc > 0.5
    again = Detector.load(tmp_path, base=path).score([row.text for row in test])
    np.testing.assert_allclose(again, run.scores, atol=1e-4)


def test_pooled_vectors_are_what_the_models_own_head_sees(llama, test):
    texts = [row.text for row in test[:9]]
    head = llama.new_head()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(llama.path, num_labels=2)
    model.score = head
    with torch.no_grad():
        one_by_one = torch.cat([model(torch.tensor([ids])).logits for ids in llama.tokenize(texts, 32)])
        torch.testing.assert_close(head(llama.pooled(texts, 32)), one_by_one, atol=1e-5, rtol=1e-4)


def test_a_text_is_read_through_the_template_with_one_bos_and_cut_on_the_right(llama, model_folder):
    text = " ".join(["good1"] * 30)
    (ids,) = llama.tokenize([text], 100)
    assert (
        ids
        == llama.tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)[
            "input_ids"
        ]
    )
    assert ids.count(llama.tokenizer.bos_token_id) == 1
    assert llama.tokenize([text], 12) == [ids[:12]]
    bare = Backbone(model_folder("gpt2"))
    assert bare.tokenize([text], 100) == [bare.tokenizer(text)["input_ids"]]


def test_scores_do_not_depend_on_the_order_of_the_texts(llama, train, test, tmp_path):
    run = train_detector(llama, train, test, LORA, seed=0, folder=tmp_path, progress=False)
    backwards = Detector.load(tmp_path).score([row.text for row in reversed(test)])
    np.testing.assert_allclose(backwards[::-1], run.scores, atol=1e-4)


def test_one_class_or_no_label_is_refused(llama, train, test):
    safe = [row for row in train if row.label == 0]
    with pytest.raises(DataError, match=r"training data has 0 toxic and 90 safe.*add rows of the other class"):
        train_detector(llama, safe, test, HEAD, seed=0)
    with pytest.raises(DataError, match=r"test data has 20 toxic and 0 safe"):
        train_detector(llama, train, [row for row in test if row.label], HEAD, seed=0)
    with pytest.raises(DataError, match=r"row 1-0 of the training data has label None"):
        train_detector(llama, [train[0]._replace(label=None), *train[1:]], test, HEAD, seed=0)


def test_folders_that_hold_no_model_or_detector_are_named(tmp_path, train, test):
    with pytest.raises(ModelError, match=str(tmp_path)):
        train_detector(tmp_path, train, test, HEAD, seed=0)
    with pytest.raises(ArtifactError, match="train it again"):
        Detector.load(tmp_path)
