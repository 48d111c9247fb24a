"""Showing untrusted text, and reading answers strictly."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab import annotation
from fac_lab.annotation.styles import MINI, PAPER, Unreadable, json_object, style_of
from fac_lab.features.spans import Span
from fac_lab.prompts import load_prompt

PROMPTS = Path(annotation.__file__).parent / "prompts"


def span(text: str, peak: tuple[int, int] = (0, 0)) -> Span:
    return Span(0, 1.0, "id", text, peak)


def test_a_folder_of_ones_own_is_written_for_large_models():
    assert style_of(PROMPTS / "mini") is MINI
    assert style_of(PROMPTS / "paper") is PAPER and style_of("/somewhere/mine") is PAPER


@given(st.text())
def test_quoted_text_is_one_line_without_markup_and_can_be_read_back(text):
    quoted = PAPER.quote(text)
    assert json.loads(quoted) == text
    assert len(quoted.splitlines()) == 1 and not set("<>") & set(quoted)
    assert len(MINI.quote(text).splitlines()) <= 1


@given(st.text(min_size=1), st.data())
def test_the_peak_is_the_only_thing_marked(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.integers(start + 1, len(text)))
    shown = json.loads(PAPER.show_span(span(text, (start, stop))))
    assert shown.count("«") == shown.count("»") == 1
    before, _, rest = shown.partition("«")
    peak, _, behind = rest.partition("»")
    plain = text.replace("«", '"').replace("»", '"')
    assert (before, peak, behind) == (plain[:start], plain[start:stop], plain[stop:])


def test_a_peak_behind_the_text_is_not_marked():
    assert PAPER.show_span(span("hi there", (8, 8))) == '"hi there"'


def test_mini_spans_end_soon_after_the_peak():
    words = [f"w{i}" for i in range(20)]
    text = " ".join(words)
    start = text.index("w9")
    assert MINI.show_span(span(text, (start, start + 2))) == " ".join(words[2:14])
    assert MINI.show_span(span(text, (len(text), len(text)))) == " ".join(words[8:])
    assert MINI.show_span(span("one\ntwo", (0, 3))) == "one two"


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        ('{"summary": "asks about leaks"}', "asks about leaks"),
        ('```json\n{"summary": "asks\\nabout  leaks"}\n```', "asks about leaks"),
        ('{"summary": "Cannot tell"}', None),
        ('{"summary": "cannot tell."}', None),
        ("Cannot tell", None),
    ],
)
def test_json_summaries(answer, summary):
    assert PAPER.read_summary(answer) == summary


@pytest.mark.parametrize(
    "answer",
    ["", "leaks", '{"summary": ""}', r'{"summary": "half \ud83d"}', '{"summary": 3}', '{"name": "x"}', '["x"]', "null",
     'Sure! {"summary": "leaks"}', '{"summary": "leaks"} {"summary": "more"}', '{"summary": "' + "a " * 41 + '"}'],
)  # fmt: skip
def test_json_summaries_that_are_none(answer):
    with pytest.raises(Unreadable):
        PAPER.read_summary(answer)


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        ("Requests about plumbing leaks (home repair).", "requests about plumbing leaks (home repair)"),
        ("requests about cooking", "requests about cooking"),
        ("Cannot tell.", None),
    ],
)
def test_plain_summaries(answer, summary):
    assert MINI.read_summary(answer) == summary


@pytest.mark.parametrize(
    "answer", ["", "Requests about .", "Requests about\nleaks", "Plumbing.", "Requests about " + "a " * 60]
)
def test_plain_summaries_that_are_none(answer):
    with pytest.raises(Unreadable):
        MINI.read_summary(answer)


def test_a_summary_survives_the_way_into_the_next_prompt():
    assert MINI.phrase(MINI.read_summary("Requests about leaks (home).")) == "requests about leaks (home)."
    assert MINI.phrase(None) == "cannot tell."
    assert json.loads(PAPER.phrase("says </feature> aloud")) == "says </feature> aloud"
    assert "not known" in PAPER.phrase(None)


@pytest.mark.parametrize("verdict", ["Yes", "Probably", "Maybe", "No"])
def test_verdicts(verdict):
    assert PAPER.read_verdict(json.dumps({"verdict": verdict, "reason": "as  such"})) == (verdict, "as such")
    assert PAPER.read_verdict(json.dumps({"verdict": verdict})) == (verdict, "")
    assert MINI.read_verdict(f"{verdict}.") == MINI.read_verdict(f" {verdict}\n") == (verdict, "")


@pytest.mark.parametrize("answer", ["", "yes", "Yes, it does", "Yes. No.", "Sure.", '{"verdict": "Sure"}'])
def test_verdicts_that_are_none(answer):
    for style in (PAPER, MINI):
        with pytest.raises(Unreadable):
            style.read_verdict(answer)


def test_an_object_needs_its_text():
    with pytest.raises(Unreadable, match='"query"'):
        json_object('{"query": null}', "query")


def test_mini_prompts_are_what_the_mini_models_learned():
    """The builder of the mini models trains on exactly these texts."""
    explain, judge = (load_prompt(PROMPTS / "mini", name) for name in ("explain", "judge"))
    assert explain.messages(spans=["a b", "c"]) == [{"role": "user", "content": "Name the feature. Spans:\na b\nc"}]
    rubric = (PROMPTS / "mini" / "rubric_toxicity.txt").read_text().strip()
    assert judge.messages(rubric=rubric, summary="requests about leaks.")[0]["content"] == (
        "Rubric: the user means to deceive or to harm. Feature: requests about leaks. Does it fit?"
    )
