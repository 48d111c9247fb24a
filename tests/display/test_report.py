import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.display import theme
from fac_lab.display.report import (
    Cards,
    Facts,
    FeatureCard,
    Figure,
    Prose,
    Section,
    Table,
    cards_html,
    mark_peak,
    write_report,
)
from fac_lab.features.spans import Span

PAYLOAD = "</script></title></style>--><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def sections(text: str) -> list[Section]:
    """A report in which every place that takes text from outside holds `text`."""
    span = Span(3, 2.5, text, f"{text} tail", (2, 6))
    card = FeatureCard(3, text, {text: 4}, [span], verdict=text, written=[(text, 1.5)])
    figure = theme.styled(go.Figure(go.Scatter(x=[1], y=[1], hovertext=[theme.hover(text)])), text, subtitle=text)
    return [
        Section(text, [Prose(f"{text}\n\n{text}"), Cards([card]), Facts(text, {text: text, "a": {text: [text]}})]),
        Section("Figures", [Figure(figure, text), Figure(figure)]),
        Section("Tables", [Table(pd.DataFrame({text: [text]}), text)]),
    ]


class Elements(HTMLParser):
    """Names of the elements, the text between them, and addresses that an element refers to."""

    def __init__(self, page: str):
        super().__init__()
        self.names, self.text, self.addresses, self.handlers = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(path, PAYLOAD, sections(PAYLOAD), lead=PAYLOAD)


def test_text_from_data_is_shown_as_text_everywhere(hostile, tmp_path):
    page = Elements(hostile.read_text(encoding="utf-8"))
    harmless = write_report(tmp_path / "x.html", "word", sections("word"), lead="word")
    assert page.names == Elements(harmless.read_text(encoding="utf-8")).names
    assert not page.handlers and "img" not in page.names
    # title, h1, lead, nav, h2, 2 paragraphs, card (summary, count, verdict, written), facts (title, 2 keys,
    # 1 value and 1 list), figure (2 headings, 2 subtitles, caption), table (caption, header, cell)
    assert "".join(page.text).count("document.title='taken'") >= 22


def test_the_file_needs_nothing_else(hostile):
    page = hostile.read_text(encoding="utf-8")
    assert page.count("* plotly.js v") == 1
    assert hostile.stat().st_size < 6_000_000
    assert all(address.startswith("#") for address in Elements(page).addresses)
    assert "default-src 'none'" in page


def test_in_a_browser_nothing_runs_nothing_is_requested_and_figures_are_drawn(hostile, chromium):
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(hostile.as_uri(), timeout=60_000)
    page.locator("figure .main-svg").first.wait_for(timeout=30_000)
    assert page.title() == PAYLOAD
    assert requests == [hostile.as_uri()] and not complaints
    assert page.locator("figure .plot-container").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_peak_is_marked():
    assert mark_peak("pick a <lock>", (7, 12)) == "pick a <mark>&lt;lock</mark>&gt;"
    assert "end of prompt" in mark_peak("pick", (4, 4))


@pytest.mark.parametrize(
    ("text", "peak", "marked"),
    [
        ("go 👨\u200d👩\u200d👧 now", (3, 4), "👨\u200d👩\u200d👧"),  # a token may be a part of a joined emoji
        ("ok 👍\U0001f3fd", (4, 5), "👍\U0001f3fd"),  # skin tone
        ("cafe\u0301 noir", (0, 4), "cafe\u0301"),  # accent of its own
        ("أخبز الخبز", (0, 4), "أخبز"),
    ],
)
def test_marks_hold_whole_characters(text, peak, marked):
    assert f"<mark>{marked}</mark>" in mark_peak(text, peak)


@given(st.text(), st.data())
def test_marking_loses_no_text(text, data):
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    shown = mark_peak(text, (start, stop))
    if start < len(text):
        assert html.unescape(re.sub(r"</?mark>", "", shown)) == text
        assert shown.count("<mark>") == 1


def test_cards_stand_alone_in_a_notebook_and_say_when_there_are_none():
    card = FeatureCard(7, None, {"anchor": 1234, "seed": 0}, [Span(7, 1.0, "a", "some text", (0, 4))])
    shown = cards_html([card])
    assert "<style>" in shown and "<!DOCTYPE" not in shown
    assert "unnamed" in shown and "anchor 1,234" in shown and "<mark>some</mark> text" in shown
    assert "No features" in cards_html([])


def test_broken_characters_do_not_break_the_file(tmp_path):
    path = write_report(tmp_path / "r.html", "half \ud83d pair", [Section("s", [Prose("nul \x00")])])
    assert "half ? pair" in path.read_text(encoding="utf-8")
    assert "plotly" not in path.read_text(encoding="utf-8").split("</style>")[1]


def test_facts_are_flattened_with_dotted_keys():
    facts = Facts("origin", {"rule": {"kind": "absolute", "support": None}, "seeds": (1, 2), "empty": {}})
    assert facts.rows == [
        ("rule.kind", "absolute"),
        ("rule.support", "–"),
        ("seeds", "(1, 2)"),
        ("empty", "{}"),
    ]
