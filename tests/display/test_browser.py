"""The browser's page without a browser: values set, buttons clicked, and what is on the screen then."""

import re
import time

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy import sparse

from fac_lab.browsing.parts import Part
from fac_lab.browsing.session import BrowserSession
from fac_lab.display.browser import browser, static_browser
from fac_lab.display.browser.desk import LOADING, Desk
from fac_lab.display.chips import Chips
from fac_lab.display.picker import Column, Picker, Row
from fac_lab.features.encoder import Pooled
from fac_lab.features.stats import FeatureStats
from fac_lab.features.tokens import TokenizedText
from fac_lab.settings import CoverageRule
from fac_lab.synthesis.samples import Sample

PAYLOAD = "</style><script>document.title='taken'</script><img src=x onerror=alert(1)>"
ANCHOR = [[1.0, 0.5, 0.0, 2.0, 0.0], [2.0, 0.5, 0.0, 0.0, 0.0], [4.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0, 0.0]]
SEED = [[3.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 4.0, 0.0, 1.0]]
LABELS = pd.DataFrame(
    {
        "feature": [0, 1, 2, 3],
        "summary": ["Cheating in an exam", f"baking {PAYLOAD}", None, "asking for a refund"],
        "verdict": ["Yes", "No", None, "Maybe"],
        "relevant": [True, False, False, True],
        "reason": ["harm", PAYLOAD, "cannot tell", "perhaps"],
        "label_score": [0.9, 0.6, np.nan, 0.75],
    }
)
SAMPLES = pd.DataFrame(
    [
        Sample(1, "bake it", 1, 1, 0, 0.4, kept=False, reason="does not activate"),
        Sample(1, f"bake {PAYLOAD}", 1, 2, 0, 2.0, "p", 2.0, "candidate", "n", 0.1, kept=True),
    ],
    columns=Sample._fields,
)
# At the rule's own threshold 0 the anchor's support is 0, 1, 2 and 3; the seed lacks 1 and 3.
# By chance 1/15 + 4 * 6/15 would be: those of n samples in all whose samples all fell into the anchor.


def stats_of(values, texts, name: str, *, matrix: bool = True) -> FeatureStats:
    values = np.asarray(values, np.float32)
    ids = [f"{name}-{i}{PAYLOAD}" for i in range(len(values))]
    stats = FeatureStats.empty(values.shape[1], 3, {"sae": "sae-1", "subject": "model-1", "corpora": {name: name}})
    tokens = [TokenizedText(np.arange(1), 0, 1, [(0, len(text))], False) for text in texts]
    sample, feature = values.nonzero()
    pooled = Pooled(sample, feature, values[sample, feature], np.zeros(len(sample), np.int64))
    stats.update(pooled, ids, texts, tokens, span_tokens=8)
    if matrix:
        stats.matrix, stats.sample_ids = sparse.csr_matrix(values), ids
    return stats


@pytest.fixture
def session(tmp_path) -> BrowserSession:
    anchor = stats_of(ANCHOR, ["exam", "oven", f"مرحبا {PAYLOAD}", f"refund {PAYLOAD}"], "anchor")
    seed = stats_of(SEED, ["mine", f"yours {PAYLOAD}"], "seed")
    null = (anchor, stats_of(ANCHOR, ["a", "b", "c", "d"], "null"))
    known = {"labels": LABELS, "synthetic": SAMPLES, "null": null, "out": tmp_path / "edits"}
    session = BrowserSession(anchor, seed, CoverageRule(), name=f"small {PAYLOAD}", **known)
    session.set_scope("all")
    return session


@pytest.fixture
def page(session):
    return browser(session)


def listed(page) -> list[int]:
    return [int(row["key"]) for row in page.listing.table.rows]


def numbers(page) -> dict[str, str]:
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?) ?<small>", page.dial.numbers.value)
    return dict(found)


def everything(widget: ipywidgets.Widget) -> list[str]:
    """The HTML of every widget below one, those of tabs that are not shown left out."""
    own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
    return own + [text for child in getattr(widget, "children", ()) for text in everything(child)]


def test_it_opens_with_the_missing_features_and_loads_no_model(page):
    assert listed(page) == [1, 3] and page.filters.status.chosen == ["missing"]
    assert numbers(page) == {"FAC": "0.500", "missing": "2", "by chance": "1.7", "null": "0"}
    assert page.filters.status.counts() == {"covered": 2, "missing": 2, "outside": 1}
    assert page.session.selected == 1 and page.listing.table.chosen == "1"
    assert "#1" in page.about.head.value and "no model" not in page.desk.said and page.desk.said == ""
    assert page.about.load.layout.display is None and page.about.nearest.layout.display == "none"


def test_without_a_model_every_part_says_why_it_is_empty(page):
    page.listing.table.pick(3)
    assert "#3" in page.about.head.value and "<mark>" in page.about.spans.value
    assert "no model is open" in page.about.spans.value and "no model is open" in page.about.nearest.nothing
    assert "no model is open" in page.about.lens.value and "no model is open" in page.about.link.value
    page.acting.tried.value = "a text"
    page.acting.try_it.click()
    assert "no model is open" in page.acting.trial.value
    page.acting.write.click()
    assert "no model is open" in page.acting.written.value
    page.views.tabs.value = "Map"
    assert "no map: no model is open" in page.views.map.head.value and page.desk.said == ""


def test_the_threshold_moves_numbers_counts_list_and_figures_in_place(page):
    figure = page.views.scatter.live.figure
    assert isinstance(figure, go.FigureWidget)
    page.dial.threshold.value = page.session.live.deltas()[-1]
    after = page.session.numbers()
    assert numbers(page)["missing"] == str(after.n_missing) and after.delta > 0
    assert page.filters.status.counts()["missing"] == after.n_missing == len(listed(page))
    assert page.views.scatter.live.figure is figure
    drawn = {trace.meta: list(trace.customdata[:, 0]) for trace in figure.data if trace.meta in ("missing", "covered")}
    assert sorted(drawn["missing"]) == sorted(page.session.cut.missing)
    assert f"{after.n_missing:,}" in next(trace.name for trace in figure.data if trace.meta == "missing")
    page.dial.threshold.value = 0.0
    assert page.session.delta is None and listed(page) == [1, 3]


def test_the_support_is_set_beside_the_threshold_and_given_back_to_the_rule(page):
    """Two anchor samples activate features 0, 1 and 3; the seed has 0."""
    dial, session = page.dial, page.session
    assert (dial.support.value, dial.by_rule.value, dial.support.max) == (1, True, 4)
    dial.support.value = 2
    assert (session.m, session.cut.m, dial.by_rule.value) == (2, 2, False)
    assert numbers(page) == {"FAC": "0.333", "missing": "2", "by chance": "1.7", "null": "0"}
    assert page.filters.status.counts() == {"covered": 1, "missing": 2, "outside": 2} and listed(page) == [1, 3]
    dial.support.value = 3
    assert numbers(page)["FAC"] == "1.000" and listed(page) == []
    page.dial.threshold.value = session.live.deltas()[1]
    assert session.m == 3 and dial.support.value == 3  # a step of the threshold leaves it
    dial.by_rule.value = True
    assert session.m is None and dial.support.value == session.cut.m == 1
    dial.by_rule.value = False
    assert session.m == 1
    page.views.tabs.value = "Compare"
    dial.support.value = 2
    assert page.sides.comparison.numbers["m"] == (2, 2)


def test_label_quality_stands_in_the_head_with_what_luck_gives(page):
    assert "label quality: <b>0.60</b>" in page.about.head.value and "by chance 0.50" in page.about.head.value
    page.acting.name.value, page.acting.summary.value = "Ann", "kneading"
    page.acting.save_summary.click()
    assert "label quality of the annotator&#39;s summary" in page.about.head.value
    page.desk.select(2)
    assert "label quality" not in page.about.head.value  # there is no label
    session = page.session
    session.table.label_score[3] = np.nan
    page.desk.select(3)
    assert "label quality: not scored" in page.about.head.value
    assert "not scored" in static_browser(session) and "0.60" in static_browser(session)


def test_a_step_of_the_slider_is_answered_at_once(session):
    """All that a step does on this side, with 65,536 features, stays below the 200 ms that feel immediate."""
    dice = np.random.default_rng(0)
    values = sparse.random(400, 65_536, 0.01, "csr", np.float32, random_state=dice, data_rvs=dice.standard_exponential)
    anchor, seed = (_large(values[:250]), _large(values[250:]))
    page = browser(BrowserSession(anchor, seed, CoverageRule(), null=(anchor, seed)))
    page.views.tabs.value = "Compare"
    seconds = []
    for step in range(1, len(page.dial.threshold.options)):
        began = time.process_time()
        page.desk.session.set_threshold(page.dial.threshold.options[step][1])
        page.dial.show()
        seconds.append(time.process_time() - began)
    assert np.median(seconds) < 0.2
    seconds = []
    for m in range(2, 10):
        began = time.process_time()
        page.desk.session.set_support(m)
        page.dial.show()
        seconds.append(time.process_time() - began)
    assert np.median(seconds) < 0.2


def _large(values) -> FeatureStats:
    stats = FeatureStats.empty(values.shape[1], 1, {"sae": "sae-1", "subject": "model-1", "corpora": {"x": "x"}})
    found = values.tocoo()
    order = np.lexsort((found.col, found.row))
    sample, feature, value = found.row[order].astype(np.int64), found.col[order].astype(np.int64), found.data[order]
    texts = ["t"] * values.shape[0]
    tokens = [TokenizedText(np.arange(1), 0, 1, [(0, 1)], False)] * len(texts)
    pooled = Pooled(sample, feature, value, np.zeros(len(sample), np.int64))
    stats.update(pooled, [str(i) for i in range(len(texts))], texts, tokens, span_tokens=2)
    return stats


def test_filters_search_and_order(page):
    page.filters.clear.click()
    assert listed(page) == [0, 1, 3, 2, 4] and page.filters.status.chosen == []
    page.filters.verdicts.chosen = ["Yes", "Maybe"]
    assert listed(page) == [0, 3] and page.filters.status.counts() == {"covered": 1, "missing": 1, "outside": 0}
    page.filters.status.chosen = ["missing"]
    assert listed(page) == [3] and page.filters.verdicts.counts()["No"] == 1
    page.filters.clear.click()
    page.filters.search.value = "REFUND"
    assert listed(page) == [3]
    page.filters.search.value = "no such words"
    assert listed(page) == [] and page.listing.table.nothing == "no feature passes these filters"
    page.filters.search.value = ""
    page.filters.relevant.chosen = ["yes"]
    assert listed(page) == [0, 3]
    page.filters.relevant.chosen = ["yes", "no"]
    assert len(listed(page)) == 5
    page.filters.score.value = (0.7, 1.0)
    assert listed(page) == [0, 3] and page.filters.scored.counts() == {"no": 0, "yes": 2}
    page.filters.clear.click()
    page.filters.scored.chosen = ["no"]
    assert listed(page) == [2, 4] and page.filters.scored.counts() == {"no": 2, "yes": 3}
    page.filters.clear.click()
    page.listing.order.value = "label_score"
    assert listed(page) == [0, 3, 1, 2, 4]
    assert [row["cells"][-1] for row in page.listing.table.rows] == ["0.90", "0.75", "0.60", "–", "–"]
    assert page.listing.table.columns[-1]["name"] == "quality"
    page.listing.order.value = "anchor_count"
    assert page.listing.table.columns[-1]["name"] == "seed"
    page.filters.frequency.value = (0.5, 1.0)
    assert listed(page) == [0, 1, 3]
    page.filters.clear.click()
    page.listing.order.value = "feature"
    page.listing.descending.value = False
    assert listed(page) == [0, 1, 2, 3, 4] and page.listing.descending.description == "↑"
    page.dial.scope.value = "relevant"
    assert numbers(page)["missing"] == "1" and numbers(page)["FAC"] == "0.500"


def test_keys_walk_the_list(page):
    press = lambda key: setattr(page.hotkeys, "pressed", {"key": key, "at": time.monotonic_ns()})  # noqa: E731
    press("j")
    assert page.session.selected == 3 and page.listing.table.chosen == "3" and "#3" in page.about.head.value
    press("j")
    assert page.session.selected == 3
    press("k")
    assert page.session.selected == 1
    page.listing.table.beyond = {"by": "next", "at": 1}
    assert page.session.selected == 3
    assert page.hotkeys.root == "fl-browser"


def test_long_lists_come_in_pages_and_follow_the_selection(tmp_path):
    values = np.ones((2, 120), np.float32)
    session = BrowserSession(
        stats_of(values, ["a", "b"], "anchor"), stats_of(values, ["c", "d"], "seed"), CoverageRule()
    )
    page = browser(session)
    assert len(listed(page)) == 50 and page.listing.before.disabled and "1–50 of 120" in page.listing.place.value
    page.listing.behind.click()
    page.listing.behind.click()
    assert listed(page)[0] == 100 and page.listing.behind.disabled
    page.desk.select(3)
    assert listed(page)[0] == 0 and page.listing.table.chosen == "3"
    page.listing.table.beyond = {"by": "next page", "at": 1}
    assert listed(page)[0] == 50
    page.filters.search.value = "#7"
    assert listed(page) == [7]


def test_a_click_shows_a_feature_and_a_lasso_fills_the_list(page):
    page.filters.clear.click()
    points = {trace.meta: trace for trace in page.views.scatter.live.figure.data}
    view = page.views.scatter
    view._clicked(points["missing"], _Points([1]), None)
    assert page.session.selected == 3
    ring = page.views.scatter.live.figure.data[-1]
    at = list(points["missing"].customdata[:, 0]).index(3)
    assert ring.meta == "chosen" and ring.x[0] == points["missing"].x[at]
    for name in ("outside", "covered"):
        view._selection(points[name], _Points([]), None)
    view._selection(points["missing"], _Points([0, 1]), None)
    assert listed(page) == [1, 3] and "only 2 chosen" in page.filters.among.value
    points["missing"].selectedpoints = (0, 1)
    page.filters.clear.click()
    assert points["missing"].selectedpoints is None
    assert len(listed(page)) == 5 and page.filters.among.layout.display == "none"


class _Points:
    def __init__(self, point_inds):
        self.point_inds = point_inds


def test_changes_are_kept_with_a_name_beside_the_machines_word_and_taken_back(page):
    acting = page.acting
    page.panel.value = "Act"
    acting.summary.value = f"kneading {PAYLOAD}"
    acting.save_summary.click()
    assert "say your name first" in page.desk.said and page.session.journal.edits == []
    assert 'role="alert"' in page.desk.status.value
    acting.name.value = "<b>Ann</b>"
    acting.save_summary.click()
    assert "saved" in page.desk.said and "kneading" in page.about.head.value
    assert "(person)" in page.about.head.value and "the annotator says" in page.about.head.value
    assert page.session.table.machine_summary[1] == LABELS.summary[1]
    assert any("kneading" in cell for row in page.listing.table.rows for cell in row["cells"])
    acting.verdict.value = "Yes"
    acting.save_verdict.click()
    assert page.session.table.relevant[1] and page.filters.relevant.counts()["yes"] == 2
    assert any("Yes*" in row["cells"] for row in page.listing.table.rows)
    acting.undo.click()
    assert not page.session.table.relevant[1] and "Taken back" in page.desk.said
    acting.redo.click()
    assert page.session.table.relevant[1] and "Brought back" in page.desk.said
    for _ in range(2):
        acting.undo.click()
    assert page.session.table.summary[1] == LABELS.summary[1]
    acting.undo.click()
    assert "nothing of yours to undo" in page.desk.said
    assert "took back" in acting.history.value and "<b>Ann" not in acting.history.value.replace("<b>&lt;", "")


def test_a_sample_is_rejected_accepted_and_what_others_did_is_taken_in(page, session, tmp_path):
    acting = page.acting
    assert [row["cells"][2] for row in acting.samples.rows] == ["no: does not activate", "yes"]
    acting.name.value = "Ann"
    acting.samples.pick("1")
    acting.reject.click()
    assert acting.samples.rows[1]["cells"][3] == "rejected by Ann" and acting.samples.chosen == "1"
    assert session.accepted() == []
    acting.samples.pick("0")
    acting.accept.click()
    assert session.accepted() == ["bake it"]
    acting.undo.click()
    acting.undo.click()
    assert session.accepted() == [SAMPLES.text[1]] and acting.samples.rows[1]["cells"][3] == ""
    other = BrowserSession(session.anchor, session.seed, CoverageRule(), labels=LABELS, out=tmp_path / "edits")
    other.edit_summary(1, "what Bob says", by="Bob")
    acting.refresh.click()
    assert "what Bob says" in page.about.head.value and "What others changed" in page.desk.said
    page.listing.table.pick(3)
    assert acting.samples.rows == []
    acting.reject.click()
    assert "no sample is chosen" in page.desk.said


def test_export_and_import(page, tmp_path):
    page.files.export.click()
    folder = tmp_path / "edits" / "export"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("selection.csv", "selection.jsonl", "selection.manifest.json")
    ]
    assert page.files.files.value.count('class="fl-download"') == 3 and "2 features exported" in page.desk.said
    page.files.path.value = str(tmp_path / "none.jsonl")
    page.files.load.click()
    assert 'role="alert"' in page.desk.status.value and "none.jsonl" in page.desk.said
    path = tmp_path / "labels.jsonl"
    path.write_text('{"modelId": "m", "layer": "s", "index": "4", "description": "imported words"}\n')
    page.files.path.value = str(path)
    page.files.load.click()
    assert "1 labels of m/s imported" in page.desk.said
    page.desk.select(4)
    assert "imported words" in page.about.head.value and "(imported)" in page.about.head.value


def test_my_rows(page):
    page.views.tabs.value = "My rows"
    rows = page.rows.rows.rows
    assert [row["cells"][1:4] for row in rows] == [["1", "1", ""], ["1", "1", ""]]
    assert "2 rows: 2 cover a feature that no other does; 0 could all go" in page.rows.about.value
    page.rows.rows.pick(0)
    assert [row["cells"][1] for row in page.rows.features.rows] == ["0"]
    page.rows.features.pick(0)
    assert page.session.selected == 0
    page.rows.which.value = "redundant"
    assert page.rows.rows.rows == []
    page.dial.threshold.value = page.session.live.deltas()[-1]
    assert "could all go" in page.rows.about.value and page.rows.features.rows == []


def test_rows_that_were_not_kept_are_asked_for_and_missing_ones_explained(session):
    session.seed.matrix = None
    page = browser(session)
    page.views.tabs.value = "My rows"
    assert page.rows.read.layout.display is None and "not kept" in page.rows.about.value
    page.rows.read.click()
    assert "is not at hand" in page.rows.about.value and page.desk.said == ""


def test_two_sides(page, session, tmp_path):
    other = BrowserSession(session.seed, session.anchor, CoverageRule(), name=f"swapped {PAYLOAD}")
    page = browser(session, others={"swapped": other, "itself": session.seed})
    page.views.tabs.value = "Compare"
    sides = page.sides
    sides.threshold.value = session.live.deltas()[-1]
    sides.compare.click()
    assert "threshold δ" in sides.found.value and "Jaccard" in sides.found.value
    only = sides.comparison.sets["missing"].only_a
    sides.only_a.click()
    assert session.filters.among.tolist() == only.tolist()
    sides.what.value = "swapped"
    assert sides.found.value == "" and sides.threshold.layout.display == "none"
    sides.compare.click()
    assert "swapped" in sides.found.value and "<script" not in sides.found.value
    sides.what.value = "itself"
    sides.compare.click()
    assert sides.comparison.sets["missing"].jaccard == 1
    sides.what.value = "data in a file …"
    sides.compare.click()
    assert "no file is named" in page.desk.said and sides.found.value == ""


def test_figures_stay_on_the_page_while_others_are_shown(page):
    """Taken away and put up again, plotly's widget would not follow the selection any more."""
    place = page.views.place
    page.views.tabs.value = "Curve"
    page.views.tabs.value = "Compare"
    page.views.tabs.value = "Anchor and seed"
    displays = [child.layout.display for child in place.children]
    assert displays == [None, "none", "none"] and place.children[0] is page.views.scatter.widget
    page.desk.select(3)
    ring = page.views.scatter.live.figure.data[-1]
    assert ring.customdata.tolist() == [3]


def test_a_trial_stays_until_another_feature_is_shown(page):
    page.acting.trial.value, page.acting.name.value = "what was tried", "Ann"
    page.acting.summary.value = "kneading"
    page.acting.save_summary.click()
    assert page.acting.trial.value == "what was tried" and "kneading" in page.acting.about.value
    page.desk.select(3)
    assert page.acting.trial.value == ""


def test_the_curve_has_the_null_beside(page):
    page.views.tabs.value = "Curve"
    names = [trace.name for trace in page.views.curve.figure.data]
    assert names == ["FAC", "missing", "FAC, null", "missing, null"]
    figure = page.views.curve.figure
    page.dial.threshold.index = 3
    assert page.views.curve.figure is figure
    assert figure.layout.annotations[-1].text == f"delta = {page.session.cut.delta:.4g}"


def test_no_foreign_markup_is_on_the_page(page):
    page.acting.name.value = PAYLOAD
    for feature in range(5):
        page.desk.select(feature)
        page.acting.summary.value = PAYLOAD
        page.acting.save_summary.click()
        for panel in page.panel.options:
            page.panel.value = panel
            for tab in page.views.tabs.options:
                page.views.tabs.value = tab
                for text in everything(page):
                    inner = text if not text.startswith("<style>") else ""
                    assert "<script" not in inner and "<img" not in inner
    assert any("&lt;script" in text for text in everything(page))
    assert "<script" not in static_browser(page.session) and "<img" not in static_browser(page.session)


def test_without_widgets_a_small_table_takes_its_place(page):
    bundle = page._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    static = bundle["text/html"]
    assert static == static_browser(page.session) and len(static) < 100_000
    assert "Missing features" in static and "FAC" in static and "<mark>" in static


def test_an_empty_dictionary_and_a_threshold_above_everything_are_said(stats=stats_of):
    silent = np.zeros((2, 3), np.float32)
    session = BrowserSession(
        stats_of(silent, ["a", "b"], "anchor"), stats_of(silent, ["c", "d"], "seed"), CoverageRule()
    )
    page = browser(session)
    assert numbers(page)["FAC"] == "–" and page.session.selected == 0
    assert "no anchor sample activates it" in page.about.spans.value
    page.views.tabs.value = "Curve"
    page.views.tabs.value = "My rows"
    page.acting.name.value = "Ann"
    page.acting.save_summary.click()
    assert "without a folder" in page.desk.said or "cannot be kept" in page.desk.said


def test_the_desk_says_what_is_under_way_and_what_failed(session):
    desk = Desk(session)
    seen = []
    desk.act(lambda: seen.append(desk.said), busy=desk.loading())
    assert seen == [LOADING] and desk.said == ""
    desk.act(lambda: 1 / 0)
    assert "fault of the program" in desk.said and "ZeroDivisionError" in desk.said
    desk.act(lambda: None, background=True)
    assert "fault of the program" in desk.said
    desk.act(lambda: Part(1, None), done=lambda part: f"found {part.value}")
    assert desk.said == "found 1"


def test_pickers_and_chips_tell_the_kernel_only_what_people_did():
    picker, heard = Picker([Column("a")], label="Things"), []
    picker.on_pick(heard.append)
    picker.show([Row("x", ("1",)), Row("y", ("2",))], "y")
    assert heard == [] and picker.chosen == "y"
    picker.pick("x")
    picker.pick("x")
    assert heard == ["x", "x"]
    chips = Chips(legend="l")
    chips.count({"a": np.int64(3)})
    assert chips.counts() == {"a": 3} and chips.get_state()["options"] == [{"key": "a", "count": 3}]
