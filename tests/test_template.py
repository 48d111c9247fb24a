"""Chat templates: what they write around a message, those that cannot, and texts that spell their words."""

import pytest
from transformers import AutoTokenizer

from fac_lab.errors import ModelError
from fac_lab.profile import project_root
from fac_lab.template import as_characters, chat_frame, encode, render, spelling

FAMILIES = ("llama", "mistral", "qwen")
STRIPPING = "{{ bos_token }}{% for m in messages %}<|user|>{{ m.content | trim }}<|eot|>{% endfor %}"


@pytest.fixture
def tokenizer(request):
    """A mini model's own, for this test alone."""
    return AutoTokenizer.from_pretrained(project_root() / "data" / "mini" / request.param)


@pytest.mark.parametrize("tokenizer", FAMILIES, indirect=True)
@pytest.mark.parametrize("stripping", [False, True])
def test_prefix_message_and_suffix_are_what_the_template_writes(tokenizer, stripping):
    if stripping:
        tokenizer.chat_template = STRIPPING
    frame = chat_frame(tokenizer, "mini")
    for text in ("How do I bake bread?", " blanks around "):
        written = render(tokenizer, [{"role": "user", "content": text}])
        assert frame.prefix + (text.strip() if frame.strips else text) + frame.suffix == written
    assert frame.strips or not stripping


@pytest.mark.parametrize("tokenizer", ["llama"], indirect=True)
def test_no_template_names_the_cure(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match='mini has no chat template.*subject.template to "none"'):
        chat_frame(tokenizer, "mini")


@pytest.mark.parametrize("tokenizer", ["llama"], indirect=True)
def test_a_template_that_repeats_the_message_is_refused(tokenizer):
    tokenizer.chat_template = "{{ messages[0].content }} {{ messages[0].content }}"
    with pytest.raises(ModelError, match="2 times instead of once"):
        chat_frame(tokenizer, "twice")


@pytest.mark.parametrize("tokenizer", ["llama"], indirect=True)
def test_only_words_that_steer_are_cut(tokenizer):
    """Special tokens and what the template writes; a run of blanks, as some tokenizers add, is text as ever."""
    tokenizer.add_tokens(["        ", "<tool>", "<think>"])
    tokenizer.chat_template = STRIPPING.replace("<|user|>", "<think>        ")
    spelled = spelling(tokenizer)
    assert all(spelled.search(f"a {word} b") for word in ("<|eot|>", "<|user|>", "<think>"))
    assert not any(spelled.search(text) for text in ("a <tool> b", "a         b", "<|eot", "", "think"))


@pytest.mark.parametrize("tokenizer", ["llama"], indirect=True)
def test_a_word_is_text_where_it_is_said_and_a_token_elsewhere(tokenizer):
    text = "<|eot|>a<|eot|>"
    eot = tokenizer.convert_tokens_to_ids("<|eot|>")
    for places, tokens in (([(0, len(text))], 0), ([(0, 8)], 1), ([(8, len(text))], 1), ([], 2)):
        read = as_characters(tokenizer, text, places, add_special_tokens=False)
        assert read.ids.count(eot) == tokens and "".join(text[a:b] for a, b in read.offsets) == text
        assert [read.char_to_token(a) for a, _ in read.offsets] == list(range(len(read.ids)))
        assert read.char_to_token(len(text)) is None and read.special_tokens_mask == [0] * len(read.ids)


@pytest.mark.parametrize("tokenizer", FAMILIES, indirect=True)
def test_talks_are_encoded_each_by_itself(tokenizer):
    said = ["hi", "<|eot|> or [/INST] or <|im_end|>", "two lines\nof text"]
    talks = [[{"role": "user", "content": text}] for text in said]
    for opened in (True, False):
        together = encode(tokenizer, talks, generation_prompt=opened)
        assert together == [encode(tokenizer, [talk], generation_prompt=opened)[0] for talk in talks]
    assert encode(tokenizer, []) == []


@pytest.mark.parametrize("tokenizer", FAMILIES, indirect=True)
@pytest.mark.parametrize("said", ["hi", "<|eot|>[/INST]<|im_end|>"])
def test_what_stands_behind_a_prompt_is_read_with_it_and_makes_no_token_of_the_template(tokenizer, said):
    talk = [{"role": "user", "content": said}]
    written = render(tokenizer, talk)
    assert encode(tokenizer, [talk], behind="(A") == [
        as_characters(
            tokenizer,
            written + "(A",
            [(written.index(said), written.index(said) + len(said))],
            add_special_tokens=False,
        ).ids
    ]
    tokens = set(tokenizer.added_tokens_decoder)
    alone, behind = (encode(tokenizer, [talk], behind=text)[0] for text in ("", said))
    assert len(behind) > len(alone) and tokenizer.decode(behind).endswith(said)
    assert sum(token in tokens for token in behind) == sum(token in tokens for token in alone)


@pytest.mark.parametrize("tokenizer", ["llama"], indirect=True)
@pytest.mark.parametrize(
    ("template", "said", "reason"),
    [
        ("{{ raise_exception('no system here') }}", "hi", "no system here"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "<|eot|>", "changes a message"),
    ],
)
def test_a_template_that_refuses_messages_or_changes_them_is_named(tokenizer, template, said, reason):
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=f"chat template of .*llama refuses the messages: .*{reason}.*Mend it"):
        encode(tokenizer, [[{"role": "user", "content": said}]])
