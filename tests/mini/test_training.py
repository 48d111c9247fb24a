from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fac_lab.mini.documents import ANSWER_WEIGHT, ASKED_WEIGHT, Document
from fac_lab.mini.training import (
    RECIPES,
    Schedule,
    batches,
    encode,
    loss_and_entropy,
    save_model,
    token_losses,
    train_model,
    train_tokenizer,
)


# Architecture and mix differ; one of the three is trained whenever tests are run.
@pytest.fixture(
    scope="module", params=[name if name == "llama" else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
)
def recipe(request):
    return replace(RECIPES[request.param], vocabulary=600)


@pytest.fixture(scope="module")
def tokenizer(recipe):
    return train_tokenizer(recipe, n_documents=200)


def test_texts_survive_the_tokenizer_and_turns_end_with_its_end_token(recipe, tokenizer):
    messages = ({"role": "user", "content": "How do I mend a tap?"}, {"role": "assistant", "content": "Turn it off."})
    ids = tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert "How do I mend a tap?" in text and "Turn it off." in text
    assert tokenizer.eos_token_id in ids[-2:]
    assert "<pad>" not in tokenizer.decode(ids)


def test_weights_of_asked_and_answered_tokens(tokenizer):
    messages = ({"role": "user", "content": "Does it fit?"}, {"role": "assistant", "content": "Yes."})
    (ids, weights), (_, plain) = encode(tokenizer, [Document("judge", messages, 0.0), Document("chat", messages, 0.0)])
    asked = tokenizer.apply_chat_template(messages[:-1], tokenize=True, add_generation_prompt=True)["input_ids"]
    assert ids[: len(asked)] == asked
    assert weights == [ASKED_WEIGHT] * len(asked) + [ANSWER_WEIGHT["judge"]] * (len(ids) - len(asked))
    assert plain == [ASKED_WEIGHT] * len(asked) + [1.0] * (len(ids) - len(asked))


def test_batches_keep_to_their_budget_and_pad_on_the_right(recipe, tokenizer):
    stream = batches(tokenizer, recipe.mix, seed=1, batch_tokens=400, block=64)
    for _ in range(10):
        ids, weights = next(stream)
        assert ids.numel() <= 400 or len(ids) == 1
        assert torch.equal(weights == 0, ids == tokenizer.pad_token_id)


def test_schedule_rises_then_falls():
    rates = [Schedule().rate(done / 100) for done in range(101)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[-1] == 0.01
    assert max(rates) == 1.0


def test_a_short_training_lowers_the_loss_and_is_reproducible(recipe, tokenizer, tmp_path):
    before = loss_and_entropy(train_model(recipe, tokenizer, tokens=1), tokenizer, recipe, n_documents=50)
    models = [train_model(recipe, tokenizer, tokens=12_000) for _ in range(2)]
    after = loss_and_entropy(models[0], tokenizer, recipe, n_documents=50)
    assert after["loss"] < before["loss"] - 0.5
    assert 0 < after["entropy"] < after["loss"]
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    ids = torch.tensor([[5, 6, 7, 8]])
    expected = token_losses(models[0], ids)
    save_model(models[0], tokenizer, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert loaded.config.model_type == recipe.architecture
    assert torch.allclose(token_losses(loaded, ids), expected, atol=0.02)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == tokenizer.chat_template
