"""Tuning with TRL on a mini model, asked afterwards like any other; judges by hand."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.chat.local import LocalBackend
from fac_lab.errors import DataError
from fac_lab.settings import TuningSettings
from fac_lab.tasks.instruction import Exchange, answers, compare, compare_by_chat, train_assistant
from fac_lab.tasks.win_rates import raw_win_rate
from fac_lab.template import encode

LORA = TuningSettings(mode="lora", epochs=6, lr=0.01, batch=8, r=8, alpha=16, dropout=0.0, max_tokens=64)
ASKED = [f"What do you say to number {i}?" for i in range(16)]


def test_a_tuned_model_answers_as_it_was_taught_and_needs_no_adapters(tmp_path, model_folder):
    exchanges = [Exchange(str(i), text, "Ahoy, my friend.") for i, text in enumerate(ASKED)]
    train_assistant("data/mini/qwen", exchanges, LORA, tmp_path / "tuned", seed=0)
    chat = ChatClient(LocalBackend(tmp_path / "tuned"), cache=None, progress=False)
    assert answers(chat, [*ASKED[:2], "What do you say to number 99?"]) == ["Ahoy, my friend."] * 3
    assert not list((tmp_path / "tuned").glob("adapter*"))
    # A base model without a chat template gets one that it can be asked in.
    few = TuningSettings(mode="lora", epochs=1, lr=0.01, batch=8, max_tokens=64)
    train_assistant(model_folder("gpt2"), [Exchange("a", "good1 good2", "good3")], few, tmp_path / "base", seed=0)
    assert "### Response:" in json.dumps((tmp_path / "base" / "chat_template.jinja").read_text())


@pytest.fixture
def prepared(monkeypatch):
    """Rows as a trainer has them when it would begin, by the name of an exchange's answer."""
    found: list[dict] = []

    class Begins(trl.SFTTrainer):
        def train(self):
            found.extend(self.train_dataset)

    def prepare(folder, exchanges, out):
        found.clear()
        with monkeypatch.context() as patched:
            patched.setattr(trl, "SFTTrainer", Begins)
            train_assistant(folder, exchanges, LORA, out, seed=0)
        return [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in found]

    return prepare


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen"])
def test_plain_exchanges_are_read_as_trl_reads_them(family, prepared, tmp_path):
    folder = f"data/mini/{family}"
    exchanges = [Exchange(str(i), text, f"Ahoy {i}, my friend.") for i, text in enumerate([*ASKED, "a long one " * 40])]
    turns = ("user", "assistant")
    said = [[{"role": r, "content": t} for r, t in zip(turns, exchange[1:], strict=True)] for exchange in exchanges]
    trainer = trl.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(folder),
        args=trl.SFTConfig(
            output_dir=str(tmp_path / "trl"),
            max_length=LORA.max_tokens,
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
        ),
        train_dataset=Dataset.from_list([{"prompt": talk[:1], "completion": talk[1:]} for talk in said]),
    )
    rows = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]
    assert prepared(folder, exchanges, tmp_path / "ours") == rows and len(rows) == len(ASKED)


def test_an_answer_that_spells_the_template_ends_no_turn_and_no_date_is_todays(prepared, tmp_path):
    folder = tmp_path / "dated"
    shutil.copytree("data/mini/qwen", folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    day = "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }}"
    tokenizer.chat_template = day + tokenizer.chat_template
    tokenizer.save_pretrained(folder)
    said = "Ahoy.<|im_end|>"
    rows = prepared(folder, [Exchange("a", f"Say {said}", said), Exchange("b", "Say it", "Ahoy")], tmp_path / "out")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    learned = [[token for token in row["labels"] if token >= 0] for row in rows]
    assert sorted(tokenizer.decode(tokens) for tokens in learned) == [f"{said}<|im_end|>\n", "Ahoy<|im_end|>\n"]
    assert [row["input_ids"].count(end) for row in rows] == [rows[0]["input_ids"].count(end)] * 2
    asked = encode(tokenizer, [[{"role": "user", "content": "Say it"}]])[0]
    assert any(row["input_ids"][: len(asked)] == asked for row in rows)


def test_every_prompt_has_a_response(tmp_path):
    with pytest.raises(DataError, match="exchange b lacks its instruction or its answer"):
        train_assistant("data/mini/qwen", [Exchange("b", "Hello", " ")], LORA, tmp_path, seed=0)
    with pytest.raises(DataError, match="no exchanges"):
        train_assistant("data/mini/qwen", [], LORA, tmp_path, seed=0)
    head = TuningSettings(mode="head", epochs=1, lr=0.01, batch=8)
    with pytest.raises(DataError, match='mode "lora"'):
        train_assistant("data/mini/qwen", [Exchange("b", "Hello", "Hi")], head, tmp_path, seed=0)


def test_both_orders_cancel_a_taste_for_places():
    ours, theirs = ["a", "long answer", "c"], ["b", "x", "c"]
    always_first = compare(["q"] * 3, ours, theirs, lambda q, first, second: 1.0)
    assert always_first.preferences.tolist() == [0.5] * 3 and always_first.by_place == 1.0
    longer = compare(["q"] * 3, ours, theirs, lambda q, a, b: 0.5 if len(a) == len(b) else float(len(a) > len(b)))
    assert longer.preferences.tolist() == [0.5, 1.0, 0.5] and longer.by_place == 0.5
    mute = compare(["q"] * 3, ours, theirs, lambda q, a, b: None if a == "a" or b == "a" else 1.0)
    assert math.isnan(mute.preferences[0]) and mute.unread == 2


def test_no_answer_loses_and_the_same_answer_ties_without_a_judge():
    def nobody(*asked):
        raise AssertionError("there is nothing to judge")

    found = compare(["q"] * 4, ["", "a", " ", "a "], ["b", "  ", "", "a"], nobody)
    assert found.preferences.tolist() == [0.0, 1.0, 0.5, 0.5] and found.unread == 0
    assert math.isnan(found.by_place), "places were never chosen between"
    chat = ChatClient(Referee(), cache=None, progress=False)
    assert compare_by_chat(["q", "x"], ["", "a"], ["b", "a"], chat).preferences.tolist() == [0.0, 0.5]
    one_asked = compare(["q", "q"], ["", "a"], ["b", "b"], lambda q, first, second: 1.0)
    assert one_asked.preferences.tolist() == [0.0, 0.5] and one_asked.by_place == 1.0


def test_incomplete_comparisons_are_refused():
    with pytest.raises(DataError, match="2 instructions, 1 answers and 2 to compare with"):
        compare(["q", "r"], ["a"], ["b", "c"], lambda *asked: 1.0)
    with pytest.raises(DataError, match="instruction 1 is empty"):
        compare(["q", " "], ["a", "b"], ["b", "c"], lambda *asked: 1.0)


class Says:
    """Answers the same to everything."""

    name = "says"

    def __init__(self, text):
        self.text, self.asked = text, 0

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked += 1
            done(i, ChatReply(request, self.text, "stop"))


@pytest.mark.parametrize("said", ["tie", "neither", "Both", "equal "])
def test_a_judge_that_says_tie(said):
    chat = ChatClient(Says(json.dumps({"better": said})), cache=None, progress=False)
    found = compare_by_chat(["q"], ["a"], ["b"], chat)
    assert found.preferences.tolist() == [0.5] and found.unread == 0


@pytest.mark.parametrize("said", ["", "I cannot choose.", '{"better": null}', '{"better": "third"}', '{"better": 1}'])
def test_a_judge_that_says_nothing_of_use_is_asked_once_more_and_leaves_no_verdict(said):
    judge = Says(said)
    found = compare_by_chat(["q"], ["a"], ["b"], ChatClient(judge, cache=None, progress=False))
    assert math.isnan(found.preferences[0]) and found.unread == 2 and math.isnan(found.by_place)
    assert 2 <= judge.asked <= 4
    with pytest.raises(DataError, match="no verdict at all"):
        raw_win_rate(found.preferences)


class Referee:
    """Prefers the answer with more letters e; says nonsense about questions with an x."""

    name = "referee"

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            asked, *both = (json.loads(line) for line in request.messages[0]["content"].splitlines() if line[:1] == '"')
            e = [text.count("e") for text in both]
            better = "neither" if e[0] == e[1] else ("first" if e[0] > e[1] else "second")
            text = "I like both!" if "x" in asked else json.dumps({"better": better})
            done(i, ChatReply(request, text, "stop"))


def test_a_chat_model_as_judge():
    chat = ChatClient(Referee(), cache=None, progress=False)
    verdicts = compare_by_chat(["q", "q", "q", "x"], ["eee", "a", "e", "e"], ["e", "ee", "e", "a"], chat)
    np.testing.assert_array_equal(verdicts.preferences, [1.0, 0.0, 0.5, np.nan])
    assert verdicts.unread == 2
