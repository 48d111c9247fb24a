"""Heat is a view of data: whatever a text holds is shown as text, nothing is lost, and colours can be read."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fac_lab.display import heat
from fac_lab.display.heat import cells, heat_html, heat_style, spans_html, tinted_inline
from fac_lab.features.spans import Span
from fac_lab.features.trace import SpanTrace, TokenTrace

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<b onmouseover=alert(1)>x</b>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "</span></div><h1>out</h1>",
    "</style><script>alert(1)</script>",
    "</title></textarea></script><svg onload=alert(1)>",
    "<!-- comment",
    "--> <![CDATA[ x ]]>",
    "&lt;b&gt; &amp;amp; &#60;script&#62;",
    "&notit; &copy",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7}",
    "{{constructor.constructor('alert(1)')()}}",
    "javascript:alert(1)",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<style>*{display:none}</style>",
    "<u class='peak'>forged</u>",
    "$\\require{html}\\href{javascript:alert(1)}{x}$ `x` <%= 7*7 %>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<base href=//evil.example><meta http-equiv=refresh content=0>",
    "\u202ereversed\u202c \u2066isolate\u2069",
]


def traced(pieces, values, *, template=(), unread="", pooled=None) -> TokenTrace:
    """A trace with one feature; `template` are numbers of template tokens."""
    foreign = np.isin(np.arange(len(pieces)), list(template))
    text = "".join(piece for piece, other in zip(pieces, foreign, strict=True) if not other) + unread
    return TokenTrace(
        text,
        np.array([7]),
        np.array(values, np.float32).reshape(-1, 1),
        list(pieces),
        np.zeros((len(pieces), 2), np.int64),
        np.ones(len(pieces), bool) if pooled is None else np.array(pooled, bool),
        foreign,
        unread,
    )


class Reader(HTMLParser):
    """What a browser would make of it: tags in order, attributes, and the text outside the legend and style."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self._skip = [], [], "", False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.tags.append("!--")

    def unknown_decl(self, data):
        self.tags.append("![")


def plain(trace, **options):
    return Reader(heat_html(trace, style=False, legend=False, **options))


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_payloads_are_text(payload, size):
    pieces = [payload[i : i + size] for i in range(0, len(payload), size)]
    read = plain(traced(pieces, np.linspace(0, 3, len(pieces)), unread=payload))
    assert read.text == payload * 2
    assert set(read.tags) <= {"div", "span", "u"}
    allowed = {"class", "title", "dir"}
    assert all(set(attributes) <= allowed for attributes in read.attributes)
    assert not any("alert" in str(value) for attributes in read.attributes for value in attributes.values())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_template_tokens_and_sample_ids_are_text_too(payload):
    found = traced(["hi", payload], [1, 2], template=[1])
    assert plain(found).text == "hi" + payload
    span = Span(7, 2.0, payload, "hi", (2, 2))
    read = Reader(spans_html([SpanTrace(span, found, True)], style=False))
    assert payload in read.text and set(read.tags) <= {"div", "span", "u", "p", "ol", "li", "bdi"}


def test_hover_says_value_and_token_and_the_peak_is_underlined():
    read = plain(traced(["How", " do", " I"], [0, 2.5, 1.25]))
    titles = [a["title"] for a in read.attributes if "title" in a]
    assert titles == ["token 0, activation 0", "token 1, activation 2.5, the maximum", "token 2, activation 1.25"]
    assert read.tags == ["div", "span", "u", "span"]
    classes = [a["class"].split() for a in read.attributes[1:]]
    assert classes == [["t", "h0"], ["t", "h10", "peak"], ["t", "h5"]]
    assert "dir" in read.attributes[0] and read.attributes[0]["dir"] == "auto"


def test_the_scale_can_be_shared_and_is_never_left():
    found = traced(["a", "b"], [1, 4])
    assert [a["class"] for a in plain(found, scale=8).attributes[1:]] == ["t h2", "t h5 peak"]
    assert [a["class"] for a in plain(found, scale=2).attributes[1:]] == ["t h5", "t h10 peak"]
    silent = plain(traced(["a", "b"], [0, 0]))
    assert "u" not in silent.tags and [a["class"] for a in silent.attributes[1:]] == ["t h0", "t h0"]


def test_template_tokens_are_shown_where_they_count():
    found = traced(["<s>", "user", "hi", "<end>"], [9, 8, 1, 2], template=[0, 1, 3], pooled=[0, 0, 1, 1])
    read = plain(found)
    assert read.text == "hi<end>" and read.tags == ["div", "span", "u"]
    assert "of the template" in read.attributes[-1]["title"] and "x" in read.attributes[-1]["class"].split()
    assert read.attributes[-1]["dir"] == "ltr"
    # The strongest tint is that of what is shown, not of a hidden token.
    assert "h10" in read.attributes[-1]["class"]
    uncounted = plain(traced(["a", "b"], [3, 1], pooled=[0, 1]))
    assert "not counted" in uncounted.attributes[1]["title"] and uncounted.tags == ["div", "span", "u"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a", " 🦉", "", "", " b"], ["a", " 🦉", " b"]),  # bytes of one character
        (["👩", "\u200d", "🚀", "!"], ["👩\u200d🚀", "!"]),
        (["👍", "🏽", "👍"], ["👍🏽", "👍"]),
        (["🇩", "🇪", "🇫", "🇷"], ["🇩🇪", "🇫🇷"]),
        (["e", "\u0301", "e"], ["e\u0301", "e"]),
        (["न", "म", "स", "्त", "े"], ["न", "म", "स्ते"]),
        (["", "a", "b"], ["a", "b"]),
    ],
)
def test_no_character_is_split(pieces, expected):
    shown = cells(traced(pieces, range(len(pieces))))
    assert [cell.text for cell in shown] == expected
    assert [cell.value for cell in shown] == [float(cell.last) for cell in shown]
    assert [cell.first for cell in shown[1:]] == [cell.last + 1 for cell in shown[:-1]]


def test_tokens_of_one_character_say_so():
    read = plain(traced([" 🦉", "", "", " b"], [1, 5, 2, 0]))
    assert "tokens 0 to 2" in read.attributes[1]["title"] and "activation 5" in read.attributes[1]["title"]
    assert read.tags[1] == "u"


def test_odd_texts():
    assert "No text" in heat_html(traced([], []), style=False, legend=False)
    long = plain(traced(["y" * 10_000], [1]))
    assert long.text == "y" * 10_000 and len(long.attributes) == 2
    lines = plain(traced(["a", "\n", "b"], [0, 1, 0]))
    assert lines.text == "a\nb" and "nl" in lines.attributes[2]["class"].split()
    strange = heat_html(traced(["\x00\x07\x1b[31m", "\ud83d", "\r\n"], [1, 1, 1]))
    assert "\x00" not in strange and "\u2400\u2407\u241b" in strange
    strange.encode("utf-8")
    cut = plain(traced(["kept"], [1], unread=" lost"))
    assert cut.text == "kept lost" and "not read" in cut.attributes[-1]["title"]
    assert len(plain(traced(["kept"], [1], unread="z" * 9000)).text) < 400
    both = plain(traced(["kept", "<end>"], [1, 2], template=[1], unread=" lost"))
    assert both.text == "kept lost<end>"
    assert "dir" in plain(traced(["שלום", " עולם"], [1, 2])).attributes[0]


def test_spans_share_one_scale_and_one_style():
    found = [
        SpanTrace(Span(7, value, f"row-{value}", "a b", (2, 3)), traced(["a", " b"], [0, value]), value > 1)
        for value in (4.0, 1.0)
    ]
    html = spans_html(found)
    read = Reader(html)
    assert html.count("<style>") == 1
    peaks = [a["class"] for tag, a in zip(read.tags, read.attributes, strict=True) if tag == "u" and "title" in a]
    assert peaks == ["t h10 peak", "t h3 peak"]
    assert html.count("read without what stood before") == 1
    assert "No span" in spans_html([])


def contrast(one, other):
    def light(colour):
        parts = [c / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("ink", "paper"),
    [((0, 0, 0), (255, 255, 255)), ((31, 35, 40), (253, 253, 252)), ((228, 230, 232), (22, 24, 27))]
    # JupyterLab's light and dark themes.
    + [((33, 33, 33), (255, 255, 255)), ((255, 255, 255), (17, 17, 17))],
)
def test_text_on_the_strongest_tint_can_be_read(ink, paper):
    tint = [heat.STRONGEST * h + (1 - heat.STRONGEST) * p for h, p in zip(heat.HUE, paper, strict=True)]
    assert contrast(ink, tint) >= 4.5
    weakest = heat.STRONGEST / heat.LEVELS
    faint = [weakest * h + (1 - weakest) * p for h, p in zip(heat.HUE, paper, strict=True)]
    assert contrast(faint, paper) > 1.01  # the weakest one can be seen at all
    opacities = [float(found) for found in re.findall(r"\),([\d.]+)\)", heat_style())]
    assert opacities == sorted(opacities) and len(set(opacities)) == heat.LEVELS


def test_tints_stand_at_their_tokens_for_pages_without_style_sheets():
    forged = '<span class="t h9">'
    html = heat_html(traced(["a", forged, "c"], [0.0, 1.0, 2.0]), style=False, legend=False)
    inline = tinted_inline(html)
    assert re.findall(r'background-color: rgba\(224, 96, 0, ([\d.]+)\)" class="t h(\d+)', inline) == [
        ("0.30", "5"),
        ("0.60", "10"),
    ]
    assert re.sub(r'style="background-color[^"]*" ', "", inline) == html
