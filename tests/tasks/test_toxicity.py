import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from sklearn.metrics import average_precision_score

from fac_lab.errors import ArtifactError, DataError, ModelError, SettingsError
from fac_lab.settings import TuningSettings
from fac_lab.tasks import train as training
from fac_lab.tasks.backbone import Backbone, own_device
from fac_lab.tasks.toxicity import Detector, train_detector

HEAD = TuningSettings(mode="head", epochs=20, lr=0.03, batch=16, max_tokens=32)
LORA = TuningSettings(mode="lora", epochs=4, lr=0.01, batch=16, max_tokens=32)
FULL = TuningSettings(mode="full", epochs=4, lr=0.003, batch=16, max_tokens=32)
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


@pytest.mark.parametrize("settings", [HEAD, LORA, FULL], ids=["head", "lora", "full"])
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
    full = run(llama, FULL, 0)
    np.testing.assert_array_equal(run(llama, FULL, 0), full)
    np.testing.assert_array_equal(run(llama, LORA, 0), first)
    np.testing.assert_array_equal(run(Backbone(model_folder("llama")), LORA, 0), first)
    np.testing.assert_array_equal(run(llama, HEAD, 0), head)
    assert not np.allclose(first, other_seed)
    after = llama.model.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_a_saved_detector_scores_alike_in_a_fresh_process(llama, train, test, tmp_path):
    texts = [row.text for row in test]
    runs = []
    for settings in (HEAD, LORA, FULL):
        folder = tmp_path / settings.mode
        runs.append(train_detector(llama, train, test, settings, seed=3, folder=folder, progress=False))
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    arguments = [tmp_path / name for name in ("texts.json", "head", "lora", "full")]
    fresh = subprocess.run([sys.executable, "-c", RELOAD, *arguments], capture_output=True, text=True, check=True)
    for run, scores in zip(runs, json.loads(fresh.stdout), strict=True):
        np.testing.assert_allclose(scores, run.scores, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "bert"])
@pytest.mark.parametrize("settings", [HEAD, LORA, FULL], ids=["head", "lora", "full"])
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
        torch.testing.assert_close(head(llama.pooled(llama.tokenize(texts, 32))), one_by_one, atol=1e-5, rtol=1e-4)


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


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_text_that_spells_a_special_token_is_read_as_characters(model_folder, family):
    backbone = Backbone(model_folder(family))
    special = set(backbone.tokenizer.added_tokens_decoder) - {backbone.tokenizer.unk_token_id}
    for spelled in [added.content for added in backbone.tokenizer.added_tokens_decoder.values()]:
        text = f"good1 {spelled} bad1"
        ids, plain = backbone.tokenize([text, "good1 bad1"], 100)
        assert [i for i in ids if i in special] == [i for i in plain if i in special]
        reply, plain = backbone.tokenize_replies([("good1", text), ("good1", "good2")], 100)
        assert [i for i in reply if i in special] == [i for i in plain if i in special]


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


def test_what_is_trained_is_counted(llama, train, test):
    """By hand: hidden 32, feed-forward 48, two layers, keys and values half as wide, no biases, a head of two."""
    counted = [train_detector(llama, train, test, s, seed=0, progress=False).n_trainable for s in (HEAD, LORA, FULL)]
    head = 2 * 32
    rank = 8 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48))
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    words = llama.model.config.vocab_size * 32
    assert counted == [head, head + 2 * rank, head + 2 * layer + words + 32]


def test_equal_scores_are_the_base_rate_and_no_numbers_an_error(llama, train, test, monkeypatch):
    monkeypatch.setattr(Detector, "score", lambda self, texts: np.zeros(len(texts), np.float32))
    assert train_detector(llama, train, test, HEAD, seed=0, progress=False).auprc == 20 / 80
    monkeypatch.setattr(Detector, "score", lambda self, texts: np.full(len(texts), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"80 of 80 test rows.*lower detector.lr, which is 0.03"):
        train_detector(llama, train, test, HEAD, seed=0, progress=False)


@pytest.mark.parametrize("label", [2, -1, 0.5, "toxic", float("nan")])
def test_labels_that_are_neither_0_nor_1_are_refused(llama, train, test, label):
    with pytest.raises(DataError, match=r"row 2-3 of the test data has label .*0 \(safe\) or 1 \(toxic\)"):
        train_detector(llama, train, [*test[:3], test[3]._replace(label=label), *test[4:]], HEAD, seed=0)


def test_folders_that_hold_no_model_or_detector_are_named(tmp_path, train, test):
    with pytest.raises(ModelError, match=str(tmp_path)):
        train_detector(tmp_path, train, test, HEAD, seed=0)
    with pytest.raises(ArtifactError, match="train it again"):
        Detector.load(tmp_path)


@pytest.fixture
def files(model_folder, train, test, tmp_path):
    """Rows and a profile as files: a LoRA detector on the tiny Llama."""
    for name, rows in (("train", train), ("test", test)):
        lines = [json.dumps({"text": row.text, "label": row.label}) for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    values = {
        "extends": "smoke",
        "subject": {"path": str(model_folder("llama"))},
        "detector": {"mode": "lora", "epochs": 4, "lr": 0.01, "batch": 16, "max_tokens": 32},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    return [str(tmp_path / name) for name in ("train.jsonl", "test.jsonl")] + ["--profile", str(tmp_path / "tiny.yaml")]


@pytest.mark.slow
def test_two_processes_train_together(files, tmp_path):
    """Under accelerate, two processes share the steps: one result, saved once, as good as that of one process."""
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    ports = ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports += ["--main_process_port", str(free.getsockname()[1])]
    command = [*launch, *ports, "-m", "fac_lab.tasks.train", *files, "--seed", "0", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("AUPRC")]
    assert float(said.split()[1]) > 0.9 and "120 rows (30 toxic)" in said
    rows = [json.loads(line) for line in Path(files[1]).read_text().splitlines()]
    scores = Detector.load(tmp_path / "out").score([row["text"] for row in rows])
    assert average_precision_score([row["label"] for row in rows], scores) == pytest.approx(
        float(said.split()[1]), abs=1e-3
    )


def test_one_process_trains_from_files(files, capsys):
    assert training.main([*files, "--seed", "0"]) == 0
    assert float(capsys.readouterr().out.split()[1]) > 0.9
    assert training.main([*files, "--label-column", "toxic"]) == 2
    assert "no column 'toxic'" in capsys.readouterr().err


def test_the_rows_of_a_step_are_shared(llama, train, test, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SettingsError, match="16, which 3 processes cannot share evenly.*18"):
        train_detector(llama, train, test, LORA, seed=0, progress=False)


def test_each_process_has_its_own_device(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert own_device() == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device() == torch.device("cuda", 3)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert own_device() == torch.device("cpu")
