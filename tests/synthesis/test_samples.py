"""Checks and choice of candidates, against values worked by hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.annotation.styles import MINI, PAPER
from fac_lab.chat.client import ChatReply, ChatRequest
from fac_lab.synthesis.samples import NEAR, Sample, choose, fault, grams, kept, normalise, overlap
from fac_lab.synthesis.writer import instructions, read_parts


def sample(feature, text, activation=1.0, step=2, draw=0, reason="") -> Sample:
    return Sample(feature, text, 1, step, draw, activation, reason=reason)


def reply(text, finish="stop") -> ChatReply:
    return ChatReply(ChatRequest(()), text, finish)


def test_replies_are_read_by_style():
    assert read_parts(reply('{"query": " a b c "}'), ["query"], PAPER) == ({"query": "a b c"}, "")
    assert read_parts(reply(" a b c\n"), ["query"], MINI) == ({"query": "a b c"}, "")
    pair = '{"prompt": "a", "chosen": "b ", "rejected": "c"}'
    assert read_parts(reply(pair), ["prompt", "chosen"], PAPER) == ({"prompt": "a", "chosen": "b"}, "")
    for text, style in [
        ("a b c", PAPER),
        ('{"text": "a"}', PAPER),
        ("", MINI),
        ("  \n", MINI),
        ('{"query": ""}', PAPER),
    ]:
        parts, reason = read_parts(reply(text), ["query"], style)
        assert parts == {} and reason
    assert read_parts(reply("a b c", "length"), ["query"], MINI) == ({}, "cut off at max_tokens")
    failed = ChatReply.failed(ChatRequest(()), "budget: spent")
    assert read_parts(failed, ["query"], MINI) == ({}, "no reply: budget: spent")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("how do i mend a tap", ""),
        ("one two three four", "4 words, not 5 to 60"),
        ("one two - – ! three four", "4 words, not 5 to 60"),
        ("word " * 60, ""),
        ("word " * 61, "61 words, not 5 to 60"),
        ("how do i mend\na leaking tap", "more than one line"),
        ("I'm sorry, but I can’t help with that.", "a refusal"),
        ("I cannot assist with this kind of request", "a refusal"),
        ("Sorry, we are unable to provide such things", "a refusal"),
        ("As an AI I do not write such things", "a refusal"),
        ("I can't log in to my bank account", ""),
        ("I'm sorry to bother you, what is rust", ""),
        ("Feature: how do i mend a tap", "leaks the prompt"),
        ("User query: how do i mend a tap", "leaks the prompt"),
        ("Why does my tap leak at night?", "copies the prompt"),
        ("MY TAP, leak: at night", "copies the prompt"),
        ("Hello, why does my tap leak at night, friend?", ""),
        ("Sure. Write one short message to me. Mend my tap", "leaks the prompt"),
        ("Please, write one short message", "leaks the prompt"),
        ("tell me about plumbing leaks", "copies the prompt"),
    ],
)
def test_faults(text, reason):
    shown = ["why does my tap leak at night", "tell me about plumbing leaks today"]
    assert fault(text, (5, 60), shown=shown, instructions=["Write one short message", "Go on"]) == reason


def test_mini_queries_may_be_shorter():
    assert fault("mend a tap", (3, 60), shown=(), instructions=()) == ""
    assert fault("mend tap", (3, 60), shown=(), instructions=()) == "2 words, not 3 to 60"


def test_data_lines_are_no_instructions():
    content = 'Write one.\n<pieces>\n"a «b» c"\n"the <x>"\n</pieces>'.replace("<x>", "\\u003cx\\u003e")
    lines = instructions([{"content": content}], ["a «b» c", "the <x>"], PAPER)
    assert lines == ["Write one.", "<pieces>", "</pieces>"]


def test_normalised_texts_and_overlap_by_hand():
    assert normalise("  Don't PANIC — 3 Äpfel! ") == "don t panic 3 äpfel"
    a, b = grams("how do i mend a tap"), grams("how do i mend a sink")
    # 3-grams: how-do-i, do-i-mend, i-mend-a shared; mend-a-tap and mend-a-sink not.
    assert overlap(a, b) == 3 / 5 < NEAR
    assert overlap(grams("How do I mend a tap?"), a) == 1
    assert overlap(grams("mend it"), grams("mend it")) == 1 and overlap(grams("mend"), grams("it")) == 0


def test_a_choice_worked_by_hand():
    long = "please tell me how i can mend the old kitchen tap of my house today"
    samples = [
        sample(7, "step one is strongest of all", 9.0, step=1),
        sample(7, "how do i mend a tap", 2.0),
        sample(7, "why does it drip", 3.0, draw=1),
        sample(7, "it drips all night", 2.0, draw=2),
        sample(7, "so weak", 0.0, draw=3, reason="does not activate: 0 is not above 0"),
        sample(4, "Why does it DRIP?", 8.0),
        sample(4, long, 5.0, draw=1),
        sample(4, long + " please", 4.0, draw=2),
        sample(4, "drip drip drip goes the tap", 1.0, step=1),
        sample(9, "only step one", 1.0, step=1),
    ]
    chosen = choose(samples, per_group=2)
    assert [one.kept for one in chosen] == [
        False, True, True, False, False,
        False, True, False, True, True,
    ]  # fmt: skip
    assert [one.reason for one in chosen] == [
        "not among the 2 best", "", "", "not among the 2 best", "does not activate: 0 is not above 0",
        "duplicate of a kept sample", "", "near-duplicate of a kept sample", "", "",
    ]  # fmt: skip
    assert [one.text for one in chosen] == [one.text for one in samples]


texts = st.lists(st.sampled_from(["tap", "leak", "mend", "drip", "night"]), min_size=1, max_size=6).map(" ".join)
anything = st.builds(
    sample,
    st.sampled_from([None, 1, 2, 3]),
    texts,
    st.floats(0, 9),
    st.sampled_from([1, 2]),
    st.integers(0, 3),
    st.sampled_from(["", "", "a refusal"]),
)


@given(st.lists(anything, max_size=16), st.integers(1, 3))
def test_choices_are_complete_and_sound(samples, per_group):
    chosen = choose(samples, per_group=per_group)
    assert [one._replace(kept=False, reason="") for one in chosen] == [one._replace(reason="") for one in samples]
    assert all(one.kept != bool(one.reason) for one in chosen)
    assert all(after.reason == before.reason for before, after in zip(samples, chosen, strict=True) if before.reason)
    winners = kept(chosen)
    assert len({normalise(one.text) for one in winners}) == len(winners)
    for feature, n in Counter(one.feature for one in winners).items():
        mine = [one for one in winners if one.feature == feature]
        assert n <= per_group
        assert all(overlap(grams(a.text), grams(b.text)) <= NEAR for a in mine for b in mine if a is not b)
        # Whoever was passed over only for rank is no better than anybody who was kept.
        passed = [one for one in chosen if one.feature == feature and one.reason.startswith("not among")]
        if feature is not None:
            assert all((a.step, a.activation) >= (b.step, b.activation) for a in mine for b in passed)
    # A feature with any sound candidate goes empty only because another one has that very text.
    for feature in {one.feature for one in samples if not one.reason} - {one.feature for one in winners}:
        lost = [one for one in chosen if one.feature == feature and one.reason != "a refusal"]
        assert all(one.reason == "duplicate of a kept sample" for one in lost)
