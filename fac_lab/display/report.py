"""The report: one HTML file that needs nothing but a browser, not even a network.

plotly.js (4.5 MB) is embedded once, whatever the number of figures, and a content security policy forbids
every request. All text is escaped by the template; figures and tables escape their own and come as HTML.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from markupsafe import Markup

from fac_lab import __version__
from fac_lab.atomic import write_atomic
from fac_lab.display.tables import to_html
from fac_lab.display.theme import untitled

if TYPE_CHECKING:
    from fac_lab.features.spans import Span

TEMPLATE = "report.html.jinja"
JOINERS = {"\u200d", "\ufe0e", "\ufe0f"}
_FLAG_LETTERS = {chr(code) for code in range(0x1F1E6, 0x1F200)}


@dataclass(frozen=True)
class Prose:
    """Paragraphs, separated by blank lines; plain text."""

    text: str
    kind = "prose"

    @property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


@dataclass(frozen=True)
class Table:
    """A frame, without its index; `formats` as in `tables.to_html`."""

    frame: pd.DataFrame
    caption: str | None = None
    formats: Mapping[str, Any] | None = None
    kind = "table"

    @property
    def html(self) -> Markup:
        return Markup(to_html(self.frame, caption=self.caption, formats=self.formats))


@dataclass(frozen=True)
class Figure:
    """A plotly figure with a caption under it."""

    figure: go.Figure
    caption: str | None = None
    kind = "figure"

    @property
    def heading(self) -> dict[str, str | None]:
        """Title and subtitle of the figure, set as text of the page."""
        return self.figure.layout.meta or {}


@dataclass(frozen=True)
class FeatureCard:
    """What a person needs to judge a feature: its name, how often it fires where, and what makes it fire."""

    feature: int
    summary: str | None
    """None where there is no annotator, or it could not tell."""
    counts: Mapping[str, int]
    """Activating samples by data set, e.g. {"anchor": 31, "seed": 0}."""
    spans: Sequence["Span"]
    """Strongest first; the peak token is marked."""
    verdict: str | None = None
    """Relevance to the task."""
    written: Sequence[tuple[str, float]] = ()
    """Samples written for the feature, with the activation measured in them."""

    @property
    def marked(self) -> list[tuple[Markup, float, str]]:
        """Span with its peak marked, activation and sample id."""
        return [(mark_peak(span.text, span.peak), span.value, span.sample_id) for span in self.spans]


@dataclass(frozen=True)
class Cards:
    """Cards of features, in the order given."""

    cards: Sequence[FeatureCard]
    kind = "cards"


@dataclass(frozen=True)
class Facts:
    """A folded block of facts, such as where a number comes from; nested mappings get dotted keys."""

    title: str
    values: Mapping[str, Any]
    kind = "facts"

    @property
    def rows(self) -> list[tuple[str, str]]:
        return list(_flatten(self.values))


@dataclass(frozen=True)
class Section:
    """A heading with its parts in order."""

    title: str
    parts: Sequence[Prose | Table | Figure | Cards | Facts]


def write_report(path: Path, title: str, sections: Sequence[Section], *, lead: str = "") -> Path:
    """Write the report to `path` and return it; `lead` stands under the title, the main finding in words.

    Characters that UTF-8 cannot hold (half surrogate pairs from broken JSON) become question marks.
    """
    numbers = count()

    def plot(figure: go.Figure) -> Markup:
        number = next(numbers)
        settings = {"full_html": False, "include_plotlyjs": number == 0, "div_id": f"figure-{number}"}
        return Markup(pio.to_html(untitled(figure), config={"displaylogo": False, "responsive": True}, **settings))

    template = _environment().get_template(TEMPLATE)
    page = template.render(title=title, lead=lead, sections=sections, plot=plot, version=__version__)
    write_atomic(path, lambda temporary: temporary.write_bytes(page.encode("utf-8", "replace")))
    return path


def cards_html(cards: Sequence[FeatureCard]) -> str:
    """The same cards for a notebook cell: `display(HTML(cards_html(cards)))`."""
    macros = _environment().get_template(TEMPLATE).module
    return f"<style>{macros.card_style()}</style>{macros.show_cards(cards)}"


def card_style() -> Markup:
    """The style sheet of cards, for pages that write such cards themselves."""
    return _environment().get_template(TEMPLATE).module.card_style()


def mark_peak(text: str, peak: tuple[int, int]) -> Markup:
    """`text` escaped, with characters `[start, stop)` of it in <mark>.

    A peak at the end of the text lies in the chat template behind it: that is said in words. The mark is
    widened to whole characters as people see them, since a token may end inside an emoji or before an accent.
    """
    start, stop = peak
    if start >= len(text):
        return Markup('{} <mark class="behind">end of prompt</mark>').format(text)
    start, stop = _widen(text, start, stop)
    return Markup("{}<mark>{}</mark>{}").format(text[:start], text[start:stop], text[stop:])


def _widen(text: str, start: int, stop: int) -> tuple[int, int]:
    while start > 0 and continues(text, start):
        start -= 1
    while stop < len(text) and continues(text, stop):
        stop += 1
    return start, stop


def continues(text: str, place: int) -> bool:
    """Whether the character at `place` belongs to the one before: accent, vowel sign, skin tone, joined emoji, flag."""
    char, before = text[place], text[place - 1]
    joined = char in JOINERS or before == "\u200d" or "\U0001f3fb" <= char <= "\U0001f3ff"
    if char in _FLAG_LETTERS:  # two of these letters make a flag
        letters = 0
        while letters < place and text[place - 1 - letters] in _FLAG_LETTERS:
            letters += 1
        return letters % 2 == 1
    return joined or unicodedata.category(char) in ("Mn", "Me", "Mc")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "–" if value is None else str(value)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("fac_lab.display", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
