"""Figures of the whole dictionary: anchor against seed, the map, coverage over thresholds.

A figure is drawn when it comes to the screen and redrawn only while it is there. It stays on the page when another
takes its place, hidden: plotly's widget goes on listening when it is taken away, fails at the next change, and keeps
that from the figure which was put up in its stead. A click shows a feature, a lasso puts its features into the list.
"""

from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go

from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.figures import LiveFigure
from fac_lab.display.browser.fit import Fit
from fac_lab.display.browser.style import box, html, shown, soft
from fac_lab.display.maps import dictionary_figure, frequency_scatter, threshold_curve
from fac_lab.errors import FacLabError, ModelError

HEIGHT = 500
METHOD = "places by nearest neighbours of decoder directions; distances far apart mean little"


class DictionaryView:
    """A figure with a point per feature: clicks, a lasso, a ring around the selected one."""

    def __init__(self, desk: Desk, name: str, make: Callable[..., go.Figure], choose: Callable[[Any], None]) -> None:
        self.desk, self._make, self._choose = desk, make, choose
        self.live = LiveFigure(name, height=HEIGHT)
        self.live.on_made(self._listen)
        self.head = html()
        self.widget = box(self.head)
        self._lasso: dict[str, np.ndarray] = {}
        self._drawn: tuple[Any, list[int]] | None = None

    def show(self) -> None:
        """Draw it as things are; where it cannot be, the reason stands there."""
        session = self.desk.session
        names = {i: name for i, name in enumerate(session.table.summary) if name}
        try:
            self.live.show(self._make(names=names, selected=self._selected()))
        except FacLabError as error:
            self.head.value, self.widget.children = soft(error), (self.head,)
            return
        self._drawn = (session.cut, self._selected())
        self.head.value = self.live.heading
        if self.live.figure not in self.widget.children:
            self.widget.children = (self.head, self.live.figure)

    def ring(self) -> None:
        """Move the ring to the selected feature."""
        if self.live.figure is not None and self._drawn != (self.desk.session.cut, self._selected()):
            self._drawn = (self.desk.session.cut, self._selected())
            self.live.show_trace(-1, self._make(names=None, selected=self._selected()).data[-1])

    def unselect(self) -> None:
        """Take away the mark of a lasso whose features are no longer alone in the list."""
        if self.live.figure is not None and self._lasso:
            self._lasso = {}
            # plotly's page does not tell of its outline, so that for its Python side there is none to be taken away.
            self.live.figure._send_relayout_msg({"selections": []})
            with self.live.figure.batch_update():
                for trace in self.live.figure.data:
                    if trace.type == "scattergl":
                        trace.selectedpoints = None

    def _selected(self) -> list[int]:
        return [] if self.desk.session.selected is None else [self.desk.session.selected]

    def _listen(self, figure: go.FigureWidget) -> None:
        for trace in figure.data:
            if trace.meta in ("outside", "covered", "missing"):
                trace.on_click(self._clicked)
                trace.on_selection(self._selection)
                trace.on_deselect(lambda *_: self._choose(None))

    def _clicked(self, trace: Any, points: Any, _: Any) -> None:
        if points.point_inds:
            self.desk.select(_features(trace)[points.point_inds[0]])

    def _selection(self, trace: Any, points: Any, _: Any) -> None:
        # Told class by class; they are put together when the last was told.
        self._lasso[trace.meta] = _features(trace)[np.asarray(points.point_inds, int)]
        self.desk.later("lasso", 0.05, self._chosen)

    def _chosen(self) -> None:
        features = np.sort(np.concatenate([*self._lasso.values(), np.zeros(0, np.int64)])).astype(np.int64)
        if len(features):
            self._choose(features)


class ViewsPart:
    """The middle of the page: `tabs` chooses among the figures and other parts, which are built when first shown."""

    def __init__(self, desk: Desk, choose: Callable[[Any], None], others: dict[str, Any]) -> None:
        self.desk = desk
        session = desk.session
        self.scatter = DictionaryView(
            desk, "fl-scatter", lambda **more: frequency_scatter(session.coverage(), **more), choose
        )
        self.map = DictionaryView(desk, "fl-map", self._map, choose)
        self.curve = LiveFigure("fl-curve", height=HEIGHT)
        self._curve_head = html()
        self._curve_box = box(self._curve_head)
        self._parts: dict[str, tuple[Any, Callable[[], None]]] = {
            "Anchor and seed": (self.scatter.widget, self.scatter.show),
            "Map": (self.map.widget, self.map.show),
            "Curve": (self._curve_box, self._show_curve),
            **{name: (part.widget, part.show) for name, part in others.items()},
        }
        self.tabs = ipywidgets.ToggleButtons(
            options=list(self._parts),
            tooltips=[
                "how often each feature fires in anchor and seed",
                "the dictionary in two dimensions: near each other, features that point alike",
                "coverage over thresholds, with the null",
                "what each of my rows covers alone, and which are redundant",
                "two thresholds, data sets or models side by side",
            ],
        )
        self.tabs.add_class("fl-views")
        self.place = box(name="fl-view")
        self._fit, self._on_screen = Fit(), None
        self.widget = box(self.tabs, self.place, self._fit)
        self.tabs.observe(lambda change: self.show(), "value")
        desk.on("cut", self.show)
        desk.on("list", self._unselect)
        desk.on("feature", self._follow)

    def show(self) -> None:
        """Draw what the tab names, and nothing else."""
        widget, draw = self._parts[self.tabs.value]
        if widget not in self.place.children:
            self.place.children += (widget,)
        if self._on_screen is not widget:
            for other in self.place.children:
                shown(other, other is widget)
            self._on_screen = widget
            self._fit.shown += 1
        busy = ""
        if self.tabs.value == "Map" and self.map.live.figure is None:
            busy = self.desk.loading("Laying out the map (computed once, then kept) …")
        self.desk.act(draw, busy=busy, background=True)

    def _map(self, **more: Any) -> go.Figure:
        places = self.desk.session.map()
        if places.value is None:
            raise ModelError(f"no map: {places.reason}")
        return dictionary_figure(places.value, self.desk.session.coverage(), method=METHOD, **more)

    def _show_curve(self) -> None:
        session = self.desk.session
        null = None
        if session.null is not None:
            null = session.null.curve(session.live.deltas(), relevant=session.counting, m=session.m)
        self.curve.show(threshold_curve(session.curve(), null, chosen=session.cut.delta))
        self._curve_head.value = self.curve.heading
        if self.curve.figure not in self._curve_box.children:
            self._curve_box.children = (self._curve_head, self.curve.figure)

    def _unselect(self) -> None:
        if self.desk.session.filters.among is None:
            for view in (self.scatter, self.map):
                view.unselect()

    def _follow(self) -> None:
        view = {"Anchor and seed": self.scatter, "Map": self.map}.get(self.tabs.value)
        if view is not None:
            view.ring()


def _features(trace: Any) -> np.ndarray:
    """The feature of each point."""
    custom = np.asarray(trace.customdata)
    return custom if custom.ndim == 1 else custom[:, 0]
