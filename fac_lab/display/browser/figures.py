"""Figures that stay on the page and change in place: what they show is replaced, never the widget."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from fac_lab.browsing.histograms import Histogram
from fac_lab.display.theme import INK, colour, styled, untitled

ROLES = ("anchor", "seed", "synthetic")
_OF_TRACE = ("x", "y", "customdata", "hovertext", "hovertemplate", "name", "showlegend")
_OF_LAYOUT = ("shapes", "annotations")
MAX_TICKS = 8


class LiveFigure:
    """A FigureWidget made from the first figure it is given; later ones, with the same traces, change it in place."""

    def __init__(self, name: str, *, height: int) -> None:
        self.name, self.height = name, height
        self.figure: go.FigureWidget | None = None
        self.heading = Markup("")
        self._hooks: list[Callable[[go.FigureWidget], None]] = []

    def on_made(self, hook: Callable[[go.FigureWidget], None]) -> None:
        """`hook(widget)` when the widget is made: for what listens to clicks and selections."""
        self._hooks.append(hook)

    def show(self, figure: go.Figure) -> None:
        """Put up a figure; its title becomes `heading`, because plotly's own does not wrap."""
        meta = figure.layout.meta or {}
        self.heading = Markup('<h4>{}</h4><p class="fl-soft">{}</p>').format(
            meta.get("title", ""), meta.get("subtitle") or ""
        )
        figure = untitled(figure).update_layout(height=self.height, autosize=True)
        if self.figure is None or len(self.figure.data) != len(figure.data):
            self.figure = go.FigureWidget(figure)
            self.figure.add_class(self.name)
            for hook in self._hooks:
                hook(self.figure)
            return
        with self.figure.batch_update():
            for trace, new in zip(self.figure.data, figure.data, strict=True):
                for name in _OF_TRACE:
                    if name in new and not _same(trace[name], new[name]):
                        trace[name] = new[name]
                if "selectedpoints" in trace and trace.selectedpoints is not None:
                    trace.selectedpoints = None  # they name points by their place, which has changed
            for name in _OF_LAYOUT:
                if not _same(self.figure.layout[name], figure.layout[name]):
                    self.figure.layout[name] = figure.layout[name]
            for axis in ("xaxis", "xaxis2"):
                if axis in figure.layout and figure.layout[axis].tickvals is not None:
                    self.figure.layout[axis].update(
                        tickvals=figure.layout[axis].tickvals, ticktext=figure.layout[axis].ticktext
                    )

    def show_trace(self, number: int, trace: Any) -> None:
        """Change one trace only."""
        if self.figure is not None:
            with self.figure.batch_update():
                for name in _OF_TRACE:
                    if name in trace:
                        self.figure.data[number][name] = trace[name]


def histogram_figure(found: Histogram, *, delta: float) -> go.Figure:
    """One feature's activations in anchor, seed and synthetic samples on one axis; always three traces.

    Shares of all samples, so that sets of different sizes compare; samples it is silent in are left out.
    """
    figure = go.Figure()
    upper = np.where(np.isinf(found.upper), found.lower * 2, found.upper)
    lower = np.where(found.lower > 0, found.lower, upper / 2)
    middle = (np.log2(lower) + np.log2(upper)) / 2 if len(lower) else np.zeros(0)
    for role in ROLES:
        there = role in found.counts
        counts = found.counts[role] if there else np.zeros(len(middle), np.int64)
        n = found.n_samples.get(role, 0)
        figure.add_bar(
            name=f"{role}: {n - found.silent(role):,} of {n:,}" if there else role,
            x=middle,
            y=found.share(role) if there else counts,
            marker_color=colour(role),
            customdata=np.stack([counts, found.lower, found.upper], axis=1) if len(middle) else np.zeros((0, 3)),
            hovertemplate=f"{role}: %{{customdata[0]:,}} samples<br>activation %{{customdata[1]:.3g}} to "
            "%{customdata[2]:.3g}<extra></extra>",
            showlegend=there,
        )
    if delta > 0 and len(middle):
        line = {"dash": "dot", "color": INK}
        figure.add_vline(math.log2(delta), line=line, annotation_text=f"δ {delta:.4g}")
    figure.update_xaxes(title="activation of a sample (log scale)", **_ticks(middle))
    figure.update_yaxes(title="share of samples", tickformat=".2~%", rangemode="tozero")
    return styled(
        figure, "How strongly it fires", barmode="group", bargap=0.1, margin={"t": 30, "l": 50, "r": 8, "b": 44}
    )


def _ticks(middle: np.ndarray) -> dict[str, list]:
    if not len(middle):
        return {"tickvals": [], "ticktext": []}
    low, high = math.floor(middle.min()), math.ceil(middle.max())
    powers = list(range(low, high + 1, max(1, math.ceil((high - low + 1) / MAX_TICKS))))
    return {"tickvals": powers, "ticktext": [f"{2.0**power:.4g}" for power in powers]}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is not None and b is not None and np.array_equal(np.asarray(a), np.asarray(b))
    return a == b
