"""Chat templates that frame a message, and those that cannot."""

import pytest
from transformers import AutoTokenizer

from fac_lab.errors import ModelError
from fac_lab.features.frame import chat_frame


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2"])
def test_prefix_message_and_suffix_are_what_the_template_writes(make_subject, architecture):
    tokenizer = make_subject(architecture).tokenizer
    frame = chat_frame(tokenizer, architecture)
    for text in ("How do I bake bread?", " blanks around "):
        written = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        assert frame.prefix + (text.strip() if frame.strips else text) + frame.suffix == written
    assert frame.strips == (architecture == "llama")


def test_no_template_names_the_cure(make_subject):
    with pytest.raises(ModelError, match='gpt2 has no chat template.*subject.template to "none"'):
        chat_frame(make_subject("gpt2", template="none").tokenizer, "gpt2")


def test_a_template_that_repeats_the_message_is_refused(model_folder):
    tokenizer = AutoTokenizer.from_pretrained(model_folder("llama"))
    tokenizer.chat_template = "{{ messages[0].content }} {{ messages[0].content }}"
    with pytest.raises(ModelError, match="2 times instead of once"):
        chat_frame(tokenizer, "twice")
