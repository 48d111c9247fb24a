"""Token heat: a text whose tokens are tinted by a feature's activation, as HTML for notebooks and pages.

One hue at ten strengths over whatever background there is, and text in the surrounding colour, so that it reads
in light and dark themes alike. The maximum is underlined as well, because colour alone would not reach everyone.
All of the text is data: every character is escaped, and a token is never split inside a character as people see
it (several tokens can make up one emoji; they share one place then).
"""

import math
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from fac_lab.display.report import continues

if TYPE_CHECKING:
    from fac_lab.features.trace import SpanTrace, TokenTrace

LEVELS = 10
STRONGEST = 0.6
"""Opacity of the strongest tint: text on it keeps a contrast of 4.5 on white and on black (tested)."""
HUE = (224, 96, 0)
UNREAD_SHOWN = 300
"""Characters of the unread end of a text that are shown."""
# Jupyter sets mathematics in any HTML; these classes keep MathJax away from dollars in the data.
_NO_MATHS = "tex2jax_ignore mathjax_ignore"
# Characters that browsers drop or that end the encoding, shown as pictures of themselves.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


class Cell(NamedTuple):
    """Tokens that are shown as one, mostly a single one."""

    first: int
    """Number of the first token in the trace."""
    last: int
    """Number of the last one."""
    text: str
    """What they show."""
    value: float
    """The largest activation among them."""
    template: bool
    """Whether they are the template's."""
    pooled: bool
    """Whether one of them counts for the pooled activation."""


def heat_html(
    trace: "TokenTrace", column: int = 0, *, scale: float | None = None, style: bool = True, legend: bool = True
) -> str:
    """One text with the heat of one feature (a column of the trace).

    `scale` is the activation of the strongest tint (None: the largest that is shown). Template tokens appear where they
    are pooled, boxed. With `style`, the rules come along; several texts on one page need them once only.
    """
    scale = _largest([trace], column) if scale is None else scale
    parts = [f"<style>{heat_style()}</style>"] if style else []
    parts.append(legend_html(scale) if legend else "")
    parts.append(_text_html(trace, column, scale))
    return "".join(parts)


def spans_html(spans: Sequence["SpanTrace"], *, scale: float | None = None, style: bool = True) -> str:
    """The heat of a feature's top spans (from `trace_spans`) below each other on one scale."""
    if not spans:
        return '<p class="fac-heat-note">No span: no text activates this feature.</p>'
    scale = _largest([found.trace for found in spans], 0) if scale is None else scale
    rows = []
    for found in spans:
        note = "" if found.in_context else " · read without what stood before it"
        rows.append(
            f'<li><p class="fac-heat-note"><span>{_number(found.span.value)}</span> · sample '
            f"<bdi>{_safe(found.span.sample_id)}</bdi>{note}</p>{_text_html(found.trace, 0, scale)}</li>"
        )
    head = f"<style>{heat_style()}</style>" if style else ""
    return f'{head}{legend_html(scale)}<ol class="fac-heat-list">{"".join(rows)}</ol>'


def legend_html(scale: float) -> str:
    """What the tints mean, from 0 to `scale`."""
    chips = "".join(f'<span class="t h{level}" aria-hidden="true">&#8199;</span>' for level in range(2, LEVELS + 1, 2))
    return (
        f'<p class="fac-heat fac-heat-legend">activation 0 {chips} {_number(scale)} · '
        '<u class="t peak">underlined</u>: the maximum · <span class="t x">boxed</span>: chat template, counted too</p>'
    )


def tinted_inline(html: str) -> str:
    """The heat with each tint at its token as well, for pages that drop style sheets, as notebooks do that nobody
    trusts yet. There the hue cannot be changed."""
    hue = ", ".join(map(str, HUE))

    def tint(match: re.Match) -> str:
        return f'style="background-color: rgba({hue}, {int(match[1]) / LEVELS * STRONGEST:.2f})" {match[0]}'

    return re.sub(r'class="t h([1-9]\d*)', tint, html)


def heat_style() -> str:
    """CSS of all of it; the hue is the variable `--fac-heat`, as "red, green, blue"."""
    hue = ",".join(map(str, HUE))
    tints = "".join(
        f".fac-heat .h{level}{{background:rgba(var(--fac-heat,{hue}),{level / LEVELS * STRONGEST:.2f})}}"
        for level in range(1, LEVELS + 1)
    )
    return (
        ".fac-heat{color:inherit;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;"
        "margin:.2rem 0;tab-size:4}"
        # A tint ends at a line's end like a marker's; vertical padding keeps lines apart but moves nothing.
        ".fac-heat .t{border-radius:.2em;padding-block:.15em;text-decoration:none;-webkit-box-decoration-break:clone;"
        "box-decoration-break:clone}"
        ".fac-heat .t:hover{outline:1px solid currentColor}"
        ".fac-heat .peak{text-decoration:underline;text-decoration-thickness:2px;text-underline-offset:.2em;"
        "font-weight:600}"
        ".fac-heat .x{border:1px dashed rgba(128,128,128,.8);padding:0 .2em;margin:0 .1em;font-size:.8em}"
        ".fac-heat .nl::before{content:'\\21b5';opacity:.5}"
        ".fac-heat .unread{opacity:.55;font-style:italic}"
        ".fac-heat-legend,.fac-heat-note{font-size:.85em;margin:.3rem 0;opacity:.85;font-variant-numeric:tabular-nums}"
        ".fac-heat-list{list-style:none;margin:0;padding:0}"
        ".fac-heat-list li{border-top:1px solid rgba(128,128,128,.25);padding:.3rem 0}" + tints
    )


def cells(trace: "TokenTrace", column: int = 0) -> list[Cell]:
    """The tokens to be shown: the text's, and the template's where they are pooled.

    Neighbours are put together where one shows nothing or would begin inside a character.
    """
    found: list[Cell] = []
    for token, piece in enumerate(trace.pieces):
        template, pooled = bool(trace.template[token]), bool(trace.pooled[token])
        if template and not pooled:
            continue
        cell = Cell(token, token, piece, float(trace.values[token, column]), template, pooled)
        if found and not template and not found[-1].template and _belongs(found[-1].text, piece):
            before = found.pop()
            cell = cell._replace(
                first=before.first,
                text=before.text + piece,
                value=max(before.value, cell.value),
                pooled=before.pooled or pooled,
            )
        found.append(cell)
    return found


def _belongs(before: str, piece: str) -> bool:
    if not before or not piece:
        return True
    near = before[-64:]  # as far back as a flag's letters have to be counted
    return continues(near + piece[0], len(near))


def _text_html(trace: "TokenTrace", column: int, scale: float) -> str:
    shown = cells(trace, column)
    peak = trace.peak(column)
    parts = [_cell_html(cell, scale, is_peak=peak is not None and cell.first <= peak <= cell.last) for cell in shown]
    if trace.unread:
        own = [number for number, cell in enumerate(shown) if not cell.template]
        parts.insert(own[-1] + 1 if own else 0, _unread_html(trace.unread))
    tokens = "".join(parts)
    if not tokens:
        return '<p class="fac-heat-note">No text and no token.</p>'
    return f'<div class="fac-heat {_NO_MATHS}" dir="auto">{tokens}</div>'


def _unread_html(text: str) -> str:
    rest = len(text) - UNREAD_SHOWN
    more = f" … and {rest:,} characters more" if rest > 0 else ""
    title = "not read: beyond the length limit, or white space only"
    return f'<span class="unread" title="{title}">{_safe(text[:UNREAD_SHOWN])}{more}</span>'


def _cell_html(cell: Cell, scale: float, *, is_peak: bool) -> str:
    level = 0
    if cell.value > 0 and scale > 0:
        level = min(LEVELS, math.ceil(LEVELS * cell.value / scale))
    number = f"token {cell.first}" if cell.first == cell.last else f"tokens {cell.first} to {cell.last}, one character"
    notes = [number, f"activation {_number(cell.value)}"]
    notes += ["the maximum"] * is_peak + ["of the template"] * cell.template + ["not counted"] * (not cell.pooled)
    classes = ["t", f"h{level}", *["peak"] * is_peak, *["x"] * cell.template]
    if "\n" in cell.text:
        classes.append("nl")
    tag = "u" if is_peak else "span"
    # A box inside its line: a template's line breaks are shown by a sign, not made.
    text = cell.text.strip("\n") if cell.template else cell.text
    # Isolated: the signs of a template token would change sides beside a text that runs from right to left.
    ltr = ' dir="ltr"' if cell.template else ""
    return f'<{tag} class="{" ".join(classes)}"{ltr} title="{", ".join(notes)}">{_safe(text)}</{tag}>'


def _largest(found: Sequence["TokenTrace"], column: int) -> float:
    values = [float(cell.value) for trace in found for cell in cells(trace, column)]
    return max([0.0, *values])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _safe(text: object) -> str:
    """Text as HTML: escaped, control characters as pictures, halves of surrogate pairs as question marks."""
    shown = str(text).replace("\r\n", "\n").translate(_CONTROLS)
    shown = shown.encode("utf-8", "replace").decode("utf-8") if not shown.isascii() else shown
    # Braces and dollars too, for pages that are put through a template engine afterwards.
    escaped = escape(shown, quote=True)
    return escaped.translate({ord(char): f"&#{ord(char)};" for char in "{}`$"})
