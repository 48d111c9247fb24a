"""Figures that stay on the page and change in place: what they show is replaced, never the widget."""

from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from fac_lab.display.theme import untitled

_OF_TRACE = ("x", "y", "customdata", "hovertext", "hovertemplate", "name", "showlegend")
_OF_LAYOUT = ("shapes", "annotations")


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
            # A lasso is drawn to fill the list, not to be moved: its handles would take the clicks on points.
            self.figure._config = {"responsive": True, "displaylogo": False, "editSelection": False}
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


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is not None and b is not None and np.array_equal(np.asarray(a), np.asarray(b))
    return a == b
