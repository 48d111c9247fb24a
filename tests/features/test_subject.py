"""The subject: what is read, which tokens count, and what it says when it cannot be read."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.errors import ModelError
from fac_lab.features.subject import Subject
from fac_lab.settings import ModelSettings

TEXTS = ["How do I bake bread?", "hi", "Zwölf Bäume — 🌳 and a naïve café", "two lines\nof text"]


def hidden_states(subject, ids, mask):
    with torch.inference_mode():
        return subject.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states


def test_activations_are_the_hidden_states_after_the_layer(any_subject):
    ids, mask = any_subject.batch(any_subject.tokenize(TEXTS))
    expected = hidden_states(any_subject, ids, mask)[any_subject.layer + 1]
    found = any_subject.activations(ids, mask)
    assert found.shape == (len(TEXTS), ids.shape[1], any_subject.d_model)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)


def test_the_last_layer_is_read_before_the_final_norm(make_subject):
    subject = make_subject("llama", layer=2)
    ids, mask = subject.batch(subject.tokenize(TEXTS))
    found = subject.activations(ids, mask)
    after = hidden_states(subject, ids, mask)[3]
    assert not torch.allclose(found, after, atol=1e-2)
    torch.testing.assert_close(subject.model.model.norm(found)[mask.bool()], after[mask.bool()])


def test_later_layers_are_not_computed(make_subject):
    subject = make_subject("llama", layer=0)
    ran = []
    watcher = subject._layers[1].register_forward_hook(lambda *_: ran.append(1))
    try:
        subject.activations(*subject.batch(subject.tokenize(["hi"])))
    finally:
        watcher.remove()
    assert not ran


def test_the_hook_is_removed_when_the_forward_pass_fails(make_subject):
    subject = make_subject("gpt2")
    before = list(subject.hook_module._forward_hooks)
    ids = torch.full((1, 3), 10_000)
    with pytest.raises(IndexError):
        subject.activations(ids, torch.ones_like(ids))
    assert list(subject.hook_module._forward_hooks) == before


def test_padding_does_not_change_activations(any_subject):
    texts = any_subject.tokenize(TEXTS)
    together = any_subject.activations(*any_subject.batch(texts))
    for row, text in enumerate(texts):
        alone = any_subject.activations(*any_subject.batch([text]))[0]
        torch.testing.assert_close(together[row, : len(text.ids)], alone, atol=1e-5, rtol=1e-5)


def test_texts_padded_on_the_left_are_refused(any_subject):
    ids, mask = any_subject.batch(any_subject.tokenize(TEXTS))
    with pytest.raises(ModelError, match="padded on the left"):
        any_subject.activations(ids.flip(1), mask.flip(1))


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2"])
def test_prompts_are_what_the_chat_template_gives(make_subject, architecture):
    subject = make_subject(architecture)
    for text, tokenized in zip(TEXTS, subject.tokenize(TEXTS), strict=True):
        expected = subject.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True
        )["input_ids"]
        assert tokenized.ids.tolist() == expected


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2"])
def test_there_is_no_second_bos(make_subject, architecture):
    subject = make_subject(architecture)
    bos = subject.tokenizer.bos_token_id
    expected = 0 if architecture == "qwen2" else 1
    for tokenized in subject.tokenize(TEXTS):
        assert (tokenized.ids == bos).sum() == expected


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2"])
def test_pooling_starts_behind_the_prefix_and_takes_the_suffix_in(make_subject, architecture):
    subject = make_subject(architecture)
    for text, paper, content in zip(
        TEXTS, subject.tokenize(TEXTS), subject.tokenize(TEXTS, pool="content"), strict=True
    ):
        decode = subject.tokenizer.decode
        assert paper.start == content.start
        assert paper.stop == len(paper.ids)
        assert decode(content.ids[content.start : content.stop]).strip() == text
        assert text not in decode(paper.ids[: paper.start])
        suffix = decode(paper.ids[content.stop :])
        assert suffix and text not in suffix


@pytest.mark.parametrize("pool", ["paper", "content"])
def test_offsets_point_into_the_original_text(any_subject, pool):
    texts = [*TEXTS, "  blanks around  "]
    for text, tokenized in zip(texts, any_subject.tokenize(texts, pool=pool), strict=True):
        assert len(tokenized.offsets) == tokenized.stop - tokenized.start
        assert all(0 <= a <= b <= len(text) for a, b in tokenized.offsets)
        own = [span for span in tokenized.offsets if span != (len(text), len(text))]
        covered = {i for a, b in own for i in range(a, b)}
        assert covered >= {i for i, character in enumerate(text) if not character.isspace()}
        for token, (a, b) in zip(tokenized.ids[tokenized.start :], own, strict=False):
            piece = any_subject.tokenizer.decode([token]).strip()
            if piece.isascii():
                assert piece.lower() in text[a:b].lower()


SPELLED = ["a<|eot|>b", "<s>", "<|<|eot|>eot|>", "it ends </s> here, [SEP] too", "Zwölf <|start|>user\nnaïve [CLS]"]


@pytest.mark.parametrize("pool", ["paper", "content"])
def test_a_text_that_spells_special_tokens_is_read_as_characters(any_subject, pool):
    special = set(any_subject.tokenizer.added_tokens_decoder)
    decode = partial(any_subject.tokenizer.decode, clean_up_tokenization_spaces=False)
    (plain,) = any_subject.tokenize(["x"], pool="content")
    for text, tokenized in zip(SPELLED, any_subject.tokenize(SPELLED, pool=pool), strict=True):
        (alone,) = any_subject.tokenize([text], pool="content")
        own = tokenized.ids[alone.start : alone.stop]
        assert not special & set(own.tolist())
        # Around the text nothing has moved (a blank may be one token with the text), and in it nothing is lost.
        assert decode(tokenized.ids[: alone.start]).rstrip() == decode(plain.ids[: plain.start]).rstrip()
        assert decode(tokenized.ids[alone.stop :]).lstrip() == decode(plain.ids[plain.stop :]).lstrip()
        normalizer = any_subject.tokenizer.backend_tokenizer.normalizer
        assert decode(own).strip() == (normalizer.normalize_str(text) if normalizer else text)
        assert {i for a, b in tokenized.offsets for i in range(a, b)} >= {i for i, c in enumerate(text) if c.strip()}
        assert max(b for _, b in tokenized.offsets) <= len(text)


@given(st.lists(st.sampled_from(["<|eot|>", "<s>", "<|", "eot|>", " ", "é", "[SEP]", "word "]), max_size=8))
def test_offsets_are_those_of_the_characters_whatever_a_text_spells(make_subject, pieces):
    text = "x" + "".join(pieces) + "x"
    for architecture in ("llama", "mistral", "bert"):
        subject = make_subject(architecture) if architecture != "bert" else make_subject("bert", template="none")
        (tokenized,) = subject.tokenize([text], pool="content")
        for token, (a, b) in zip(tokenized.ids[tokenized.start :], tokenized.offsets, strict=False):
            piece = subject.tokenizer.decode([token]).strip()
            if piece.isascii():
                assert piece.lower() in text[a:b].lower()


def test_special_tokens_are_not_pooled_without_a_template(make_subject):
    llama = make_subject("llama", template="none")
    (tokenized,) = llama.tokenize(["hi"])
    assert tokenized.ids[0] == llama.tokenizer.bos_token_id
    assert (tokenized.start, tokenized.stop) == (1, len(tokenized.ids))
    bert = make_subject("bert")
    (tokenized,) = bert.tokenize(["hi"])
    assert bert.tokenizer.decode(tokenized.ids[[0, -1]]) == "[CLS][SEP]"
    assert (tokenized.start, tokenized.stop) == (1, len(tokenized.ids) - 1)


@pytest.mark.parametrize("template", ["chat", "none"])
@pytest.mark.parametrize("pool", ["paper", "content"])
def test_too_long_texts_lose_their_right_end_and_keep_the_template(make_subject, template, pool):
    long = "word " * 200
    whole = make_subject("llama", template=template)
    short = make_subject("llama", template=template, max_tokens=40)
    (reference,) = Subject(
        whole.model, whole.tokenizer, name="long", layer=1, max_tokens=128, template=template
    ).tokenize(["word " * 3], pool=pool)
    (cut,) = short.tokenize([long], pool=pool)
    assert cut.truncated and len(cut.ids) == 40
    assert not reference.truncated
    assert cut.start == reference.start
    n_suffix = len(reference.ids) - whole.tokenize(["word " * 3], pool="content")[0].stop
    suffix = reference.ids[len(reference.ids) - n_suffix :]
    assert cut.ids[len(cut.ids) - n_suffix :].tolist() == suffix.tolist()
    assert len(cut.offsets) == cut.stop - cut.start
    words = [span for span in cut.offsets if span != (len(long), len(long))]
    assert len(words) == 40 - cut.start - n_suffix
    assert words[-1][1] < len(long) - 10


def test_the_models_context_bounds_the_limit(make_subject):
    assert make_subject("llama", max_tokens=100_000).max_tokens == 128


def test_a_template_that_fills_the_limit_is_an_error(make_subject):
    subject = make_subject("qwen2", max_tokens=20)
    with pytest.raises(ModelError, match=r"max_tokens=20 leaves no room.*Raise subject.max_tokens"):
        subject.tokenize(["some long text " * 10])


def test_texts_without_tokens_pool_the_suffix_or_nothing(make_subject):
    chat, plain = make_subject("llama"), make_subject("llama", template="none")
    (paper,) = chat.tokenize([" "])
    assert paper.start < paper.stop == len(paper.ids)
    assert paper.offsets == [(1, 1)] * (paper.stop - paper.start)
    for tokenized in (chat.tokenize([" "], pool="content")[0], plain.tokenize([""])[0]):
        assert tokenized.start == tokenized.stop
        assert tokenized.offsets == []
    assert chat.tokenize([]) == []


def test_batches_are_right_padded_and_masked(make_subject):
    subject = make_subject("llama")
    texts = subject.tokenize(TEXTS)
    ids, mask = subject.batch(texts)
    for row, text in enumerate(texts):
        n = len(text.ids)
        np.testing.assert_array_equal(ids[row, :n], text.ids)
        assert mask[row].tolist() == [1] * n + [0] * (ids.shape[1] - n)


def test_digests_tell_models_layers_and_templates_apart(make_subject, model_folder):
    subjects = [
        make_subject("llama"),
        make_subject("llama", seed=1),
        make_subject("llama", layer=0),
        make_subject("llama", template="none"),
        make_subject("llama", max_tokens=40),
        make_subject("qwen2"),
    ]
    assert len({subject.digest for subject in subjects}) == len(subjects)
    again = Subject.load(ModelSettings(str(model_folder("llama")), layer=1, max_tokens=128), device="cpu")
    again.tokenizer(["a", "long text"], padding=True, truncation=True, max_length=5)
    assert again.digest == make_subject("llama").digest


def test_digests_see_settings_that_no_weight_shows(make_subject, model_folder, tmp_path):
    shutil.copytree(model_folder("llama"), tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    settings = ModelSettings(str(path.parent), layer=1, max_tokens=128)
    assert Subject.load(settings, device="cpu").digest == make_subject("llama").digest
    config = json.loads(path.read_text())
    config["rope_parameters"]["rope_theta"] = 50.0
    path.write_text(json.dumps(config))
    assert Subject.load(settings, device="cpu").digest != make_subject("llama").digest


def test_layer_out_of_range_names_both_ways_of_counting(model_folder):
    with pytest.raises(ModelError, match=r"layers 0 to 2\. .*in the paper: its 3 is 2 here"):
        Subject.load(ModelSettings(str(model_folder("llama")), layer=3), device="cpu")


def test_unknown_choices_are_named(make_subject):
    subject = make_subject("llama")
    with pytest.raises(ModelError, match="template must be"):
        Subject(subject.model, subject.tokenizer, name="x", layer=1, template="chatml")
    with pytest.raises(ModelError, match="pool must be"):
        subject.tokenize(["hi"], pool="all")


def test_half_precision_is_kept(model_folder):
    subject = Subject.load(ModelSettings(str(model_folder("llama")), layer=1, dtype="bfloat16"), device="cpu")
    assert subject.activations(*subject.batch(subject.tokenize(["hi"]))).dtype == torch.bfloat16


def test_only_causal_models_have_a_head(make_subject):
    assert make_subject("gpt2").has_head and not make_subject("bert").has_head
