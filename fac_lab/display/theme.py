"""The visual language of the figures: one template and one colour per role.

The colours are close to Okabe and Ito's and told apart by colour-blind people. Backgrounds are transparent
and text is a grey of equal contrast on white and on black: a figure reads in light and dark notebooks alike.
"""

import textwrap
from html import escape

import plotly.graph_objects as go
import plotly.io as pio

BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#2b83ba", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
INK, GRID = "#7b7b7b", "rgba(128,128,128,0.25)"
ROLES = {
    "anchor": BLUE,
    "seed": ORANGE,
    "synthetic": GREEN,
    "missing": RED,
    "covered": BLUE,
    "none": INK,
    "plain": SKY,
    "random": PURPLE,
    "fac": GREEN,
    "oracle": ORANGE,
}
"""Data sets, kinds of features and arms keep their colour in every figure."""
HOVER_WIDTH = 60
HEIGHT = 400
BELOW = {"yref": "container", "y": 0.01, "yanchor": "bottom"}
"""A legend at the foot of a figure, under the axis' title; wants a bottom margin of some 90 pixels."""

_AXIS = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True}
pio.templates["fac_lab"] = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, Segoe UI, sans-serif", "size": 13, "color": INK},
        "title": {
            **{"x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "pad": {"l": 12, "t": 12}},
            **{"font": {"size": 16}, "subtitle": {"font": {"size": 13}}},
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": [BLUE, ORANGE, GREEN, PURPLE, SKY, RED],
        "margin": {"l": 64, "r": 24, "t": 88, "b": 48},
        "height": HEIGHT,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
    }
)


def styled(figure: go.Figure, title: str, *, subtitle: str | None = None, **layout) -> go.Figure:
    """The figure in the common template under a title; title and subtitle are plain text, not HTML.

    Both are kept in `layout.meta` as well, for pages that set their own headings (plotly's do not wrap).
    """
    heading = {
        "text": f"<b>{escape(title, quote=False)}</b>",
        "subtitle": {"text": escape(subtitle or "", quote=False)},
    }
    return figure.update_layout(
        template="fac_lab", title=heading, meta={"title": title, "subtitle": subtitle}, **layout
    )


def untitled(figure: go.Figure) -> go.Figure:
    """A copy without its title and the room for it."""
    copy = go.Figure(figure)
    legend = copy.layout.showlegend is not False and len(copy.data) > 1
    height = (copy.layout.height or HEIGHT) - 48
    return copy.update_layout(title=None, margin_t=40 if legend else 24, height=height)


def hover(text: object, *, width: int = HOVER_WIDTH, lines: int = 4) -> str:
    """Text from data for a hover label: escaped (plotly reads a dialect of HTML), wrapped, cut short."""
    wrapped = textwrap.wrap(str(text), width)
    cut = wrapped[:lines] + (["…"] if len(wrapped) > lines else [])
    return "<br>".join(escape(line, quote=False) for line in cut)


def colour(role: str) -> str:
    """The colour of a role; a grey for one that has none of its own."""
    return ROLES.get(role, INK)
