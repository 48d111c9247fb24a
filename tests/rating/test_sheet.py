"""Sheets are blind, stable, and refuse what cannot be rated."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.features.spans import Span
from fac_lab.rating.sheet import Question, Sheet, feature_sheet, load_questions, rater_id, sample_sheet

SOUND = load_questions(["sound"])


def labels(n):
    return [
        {"feature": i, "summary": f"topic {i}", "verdict": "Probably", "arm": "SECRETARM", "reason": "SECRETREASON"}
        for i in range(n)
    ]


def spans(feature):
    return [Span(feature, 9.125 - i, f"SECRETID{i}", f"piece {i} of {feature}", (0, 5)) for i in range(12)]


def test_a_saved_sheet_holds_nothing_that_unblinds(tmp_path):
    sheet, key = feature_sheet("blind", labels(8), spans, SOUND, decoys=3)
    text = sheet.save(tmp_path / "sheet.json").read_text()
    for secret in ("SECRET", "Probably", "verdict", "arm", "decoy", "9.125", "activation"):
        assert secret not in text
    assert {facts["arm"] for facts in key.values()} == {"SECRETARM"}
    assert all(item.id not in (str(i) for i in range(8)) for item in sheet.items)


def test_samples_are_blind_too(tmp_path):
    rows = [{"text": f"a text {i}", "summary": "topic", "arm": "SECRETARM", "model": "SECRETMODEL"} for i in range(3)]
    sheet, key = sample_sheet("blind", rows, load_questions(["fits", "natural"]))
    assert "SECRET" not in sheet.save(tmp_path / "sheet.json").read_text()
    assert [key[item.id]["model"] for item in sheet.items] == ["SECRETMODEL"] * 3
    assert sorted(item.text for item in sheet.items) == [row["text"] for row in rows]


def test_a_feature_is_shown_by_its_ten_strongest_spans_and_unnamed_ones_are_left_out():
    sheet, key = feature_sheet("x", [*labels(2), {"feature": 7, "summary": None}], spans, SOUND)
    assert [len(item.excerpts) for item in sheet.items] == [10, 10]
    assert {item.excerpts[0] for item in sheet.items} == {("piece 0 of 0", (0, 5)), ("piece 0 of 1", (0, 5))}
    assert 7 not in {facts["feature"] for facts in key.values()}


def test_the_order_on_file_does_not_follow_the_order_of_making():
    sheet, key = feature_sheet("x", labels(40), spans, SOUND)
    features = [key[item.id]["feature"] for item in sheet.items]
    assert features != sorted(features) and abs(sum(features[:20]) / 20 - 19.5) < 6


def test_a_feature_without_spans_stays_on_the_sheet():
    sheet, _ = feature_sheet("x", labels(1), lambda _: [], SOUND)
    assert sheet.items[0].excerpts == ()


@given(n=st.integers(2, 12), decoys=st.integers(0, 12), seed=st.integers(0, 5))
def test_decoys_get_the_summary_of_another_feature_and_all_others_their_own(n, decoys, seed):
    decoys = min(n, decoys)
    sheet, key = feature_sheet("x", labels(n), spans, SOUND, seed=seed, decoys=decoys)
    wrong = 0
    for item in sheet.items:
        facts = key[item.id]
        own = f"topic {facts['feature']}"
        assert facts["decoy"] == (item.summary != own)
        assert facts["summary"] == item.summary
        assert facts.get("own_summary", own) == own
        wrong += facts["decoy"]
    assert wrong == decoys
    again, _ = feature_sheet("x", labels(n), spans, SOUND, seed=seed, decoys=decoys)
    assert again.digest == sheet.digest


@pytest.mark.parametrize(
    ("rows", "decoys", "said"),
    [
        ([*labels(2), *labels(1)], 0, "a feature comes twice"),
        (labels(2), 3, "3 decoys among 2 named features"),
        ([{"feature": 1, "summary": "a"}, {"feature": 2, "summary": "a"}], 1, "the same summary"),
    ],
)
def test_sheets_that_cannot_be_made_are_refused(rows, decoys, said):
    with pytest.raises(DataError, match=said):
        feature_sheet("x", rows, spans, SOUND, decoys=decoys)


def test_every_rater_gets_all_items_in_an_order_of_their_own():
    sheet, _ = feature_sheet("x", labels(30), spans, SOUND, seed=1)
    ann, bob = ([item.id for item in sheet.order(name)] for name in ("Ann", "Bob"))
    assert sorted(ann) == sorted(bob) == sorted(item.id for item in sheet.items)
    assert ann != bob and ann != [item.id for item in sheet.items]
    assert ann == [item.id for item in sheet.order("  ANN ")]
    other, _ = feature_sheet("x", labels(30), spans, SOUND, seed=2)
    feature_of = {item.id: item.summary for item in (*sheet.items, *other.items)}
    assert [feature_of[i] for i in ann] != [item.summary for item in other.order("Ann")]


def test_a_saved_sheet_is_the_same_sheet(tmp_path):
    text = "half a pair \ud83d, العربية, <b>bold</b>\u2028"
    sheet, _ = feature_sheet("x", labels(2), lambda f: [Span(f, 1.0, "i", text, (0, 4))], SOUND, seed=4)
    loaded = Sheet.load(sheet.save(tmp_path / "sheet.json"))
    assert loaded == sheet and loaded.digest == sheet.digest


def test_an_edited_or_foreign_sheet_is_refused(tmp_path):
    path = feature_sheet("x", labels(2), spans, SOUND)[0].save(tmp_path / "sheet.json")
    values = json.loads(path.read_text())
    values["items"][0]["summary"] = "something else"
    path.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match="was changed after it was saved"):
        Sheet.load(path)
    path.write_text("[]")
    with pytest.raises(ArtifactError, match="is not a rating sheet"):
        Sheet.load(path)


def test_the_papers_answers_are_the_options():
    (sound,) = SOUND
    assert sound.options == ("yes", "no", "unclear") and sound.otherwise == "unclear"


def test_questions_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match="did you mean 'sound'"):
        load_questions(["sounds"])
    with pytest.raises(SettingsError, match="give its rubric"):
        load_questions(["relevant"])
    with pytest.raises(SettingsError, match="is about a sample, the sheet of features"):
        feature_sheet("x", labels(1), spans, load_questions(["natural"]))
    with pytest.raises(DataError, match="some samples have none"):
        sample_sheet("x", [{"text": "a text"}], load_questions(["fits"]))
    with pytest.raises(SettingsError, match="asks nothing"):
        feature_sheet("x", labels(1), spans, [])
    for options, otherwise, said in (
        (("yes",), "yes", "2 to 9 options"),
        (("yes", "yes"), "yes", "options that differ"),
        (("yes", "no"), "unclear", "not an option"),
    ):
        with pytest.raises(SettingsError, match=said):
            feature_sheet("x", labels(1), spans, [Question("q", "feature", "?", options, otherwise)])


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "tab\x00null", None])
def test_a_rater_needs_a_name(name):
    with pytest.raises(DataError, match="a rater needs a name"):
        rater_id(name)


def test_names_are_the_same_whatever_their_case_and_spaces():
    assert rater_id(" Ann  Lee ") == rater_id("ann lee") != rater_id("annlee")
