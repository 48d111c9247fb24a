"""The rating sheet on the screen: driven as a notebook drives it, and its keys in a browser."""

import json

import pytest

from fac_lab.display.keys import KEYS
from fac_lab.display.rating import RatingSheet, static_html, step_html
from fac_lab.features.spans import Span
from fac_lab.rating.answers import MODEL, Ratings
from fac_lab.rating.sheet import Item, feature_sheet, load_questions

PAYLOAD = "</style><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def spans(feature: int) -> list[Span]:
    return [Span(feature, 1.0, "SECRETID", f"{PAYLOAD} of {feature}", (0, 8)), Span(feature, 0.5, "i", "مرحبا", (0, 2))]


@pytest.fixture
def sheet(tmp_path) -> RatingSheet:
    labels = [{"feature": i, "summary": f"topic {i} {PAYLOAD}", "verdict": "SECRETVERDICT"} for i in range(3)]
    questions = load_questions(["sound", "relevant"], rubric=PAYLOAD)
    return RatingSheet(Ratings(tmp_path, feature_sheet("tests", labels, spans, questions, decoys=1)[0]))


def begin(sheet: RatingSheet, name: str = "Ann") -> None:
    sheet.name.value = name
    sheet.start.click()


def shown(sheet: RatingSheet) -> set[str]:
    parts = ("_ask", "_answering", "_moving", "trouble")
    return {name for name in parts if getattr(sheet, name).layout.display != "none"}


def press(sheet: RatingSheet, key: str, *, on: str | None = None) -> None:
    sheet.keys.pressed = {
        "key": key,
        "screen": sheet.keys.screen if on is None else on,
        "at": object.__hash__(object()),
    }


def test_the_name_comes_first(sheet):
    assert shown(sheet) == {"_ask"} and sheet.keys.taken == []
    begin(sheet, "  ")
    assert shown(sheet) == {"_ask", "trouble"} and "needs a name" in sheet.trouble.value
    begin(sheet)
    assert shown(sheet) == {"_answering", "_moving"}
    assert "<b>1 of 3</b>" in sheet.head.value and "0 of 6 answers saved" in sheet.head.value


def test_a_click_saves_and_goes_on(sheet):
    begin(sheet)
    first = sheet.session.step
    assert [button.description for button in sheet.answers] == ["1 · yes", "2 · no", "3 · unclear"]
    sheet.answers[1].click()
    assert sheet.ratings.given("Ann") == {(first.item.id, "sound"): "no"}
    assert "1 of 6 answers saved" in sheet.head.value and first.question.text not in sheet.body.value
    sheet.back.click()
    assert sheet.answers[1].description == "✓ 2 · no" and sheet.answers[1].button_style
    sheet.undo.click()
    assert sheet.ratings.given("Ann") == {} and sheet.undo.disabled


def test_the_browser_is_told_of_every_part(sheet):
    assert {"_model_module", "taken", "screen", "pressed"} <= set(sheet.keys.get_state())


def test_keys_do_what_buttons_do(sheet):
    begin(sheet)
    press(sheet, "1")
    press(sheet, "3")
    assert list(sheet.ratings.given("Ann").values()) == ["yes", "unclear"]
    press(sheet, "ArrowLeft")
    press(sheet, "ArrowLeft")
    assert sheet.session.position == 0
    press(sheet, "ArrowRight")
    press(sheet, "z")
    assert list(sheet.ratings.given("Ann").values()) == ["yes"]
    press(sheet, "9")
    press(sheet, "0")
    press(sheet, "x")
    assert len(sheet.ratings.lines()) == 3


def test_a_key_pressed_too_soon_does_not_answer_the_next_item(sheet):
    begin(sheet)
    old = sheet.keys.screen
    press(sheet, "1")
    press(sheet, "1", on=old)
    assert len(sheet.ratings.lines()) == 1
    assert sheet.keys.screen != old


def test_the_end_thanks_and_hands_over(sheet):
    begin(sheet)
    for _ in range(6):
        press(sheet, "2")
    assert "All answered" in sheet.body.value and sheet.ratings.path("Ann").name in sheet.body.value
    assert shown(sheet) == {"_moving"} and sheet.forward.disabled
    sheet.change_rater.click()
    assert shown(sheet) == {"_ask"} and sheet.name.value == ""
    begin(sheet, "Bob")
    press(sheet, "1")
    assert sheet.ratings.raters() == ["Ann", "Bob"]
    again = RatingSheet(sheet.ratings)
    begin(again, "bob")
    assert again.session.position == 1


def test_what_goes_wrong_is_said_on_the_screen_and_nothing_moves(sheet):
    sheet.ratings.record("Judge", sheet.ratings.sheet.items[0].id, "sound", "yes", by=MODEL)
    begin(sheet, "Judge")
    before = sheet.session.position
    sheet.answers[0].click()
    assert "trouble" in shown(sheet) and "names a person and a model" in sheet.trouble.value
    assert sheet.session.position == before and len(sheet.ratings.lines()) == 1


def test_nothing_that_unblinds_and_no_foreign_markup_is_on_the_screen(sheet):
    begin(sheet, "<b>Ann</b>")
    for _ in range(6):
        seen = sheet.head.value + sheet.body.value
        assert "SECRET" not in seen and "<script" not in seen and "<img" not in seen and "<b>Ann" not in seen
        assert "&lt;script" in seen and "<mark>" in seen
        sheet.answers[0].click()


def test_items_of_every_kind_can_be_shown():
    assert "no spans" in step_html(Item("1", "feature", "topic"))
    sample = step_html(Item("1", "sample", "", text="a text"))
    assert 'description:</span> <bdi dir="auto">none' in sample and "a text" in sample


def test_without_widgets_there_is_a_static_form(sheet):
    bundle = sheet._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    page = bundle["text/html"]
    assert page == static_html(sheet.ratings.sheet)
    assert "first 3 of 3 items" in page and "SECRET" not in page and "<script" not in page
    for question in sheet.ratings.sheet.questions:
        assert question.text in page


PAGE = """<!doctype html><div class="fac-rating"><input id="text"><button id="one">1</button><div id="keys"></div></div>
<button id="outside">o</button><script type="module">
const module = await import(URL.createObjectURL(new Blob([ESM], { type: "text/javascript" })));
const state = { root: "fac-rating", label: "Rating sheet", taken: ["1", "ArrowLeft"], screen: "Ann 0", pressed: null };
window.sent = []; window.bubbled = []; window.handlers = {};
document.addEventListener("keydown", (event) => window.bubbled.push(event.key));
const model = { get: (name) => state[name], set: (name, value) => { state[name] = value; },
  save_changes: () => window.sent.push([state.pressed.key, state.pressed.screen]),
  on: (name, f) => { window.handlers[name] = f; }, off: () => {} };
window.stop = module.default.render({ model, el: document.getElementById("keys") });
document.body.dataset.ready = "1";
</script>"""


def test_keys_in_a_browser(tmp_path, chromium):
    path = tmp_path / "page.html"
    path.write_text(PAGE.replace("ESM", json.dumps(KEYS)), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.locator("body[data-ready]").wait_for(timeout=30_000)
    page.locator(".fac-rating[data-lm-suppress-shortcuts]").wait_for(timeout=10_000)
    page.focus("#one")
    for key in ("1", "x", "Control+1", "ArrowLeft"):
        page.keyboard.press(key)
    page.focus("#text")
    page.keyboard.press("1")
    page.focus("#outside")
    page.keyboard.press("1")
    assert page.evaluate("sent") == [["1", "Ann 0"], ["ArrowLeft", "Ann 0"]]
    assert page.input_value("#text") == "1"
    assert page.evaluate("bubbled").count("1") == 3, "taken keys must not reach the page: Control+1, text, outside"
    page.focus("#one")
    page.evaluate("document.getElementById('one').disabled = true; handlers['change:screen']()")
    page.wait_for_function("document.activeElement.className === 'fac-rating'", timeout=5_000)
    page.evaluate("stop()")
    page.keyboard.press("1")
    assert len(page.evaluate("sent")) == 2
    page.close()
