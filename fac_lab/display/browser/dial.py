"""The live threshold: slider, minimum support, which features count, and what follows from them at once."""

import math
from collections.abc import Callable

import ipywidgets
import numpy as np
from markupsafe import Markup

from fac_lab.browsing.dial import Numbers
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.style import box, html, named

RULE = -1.0
"""The slider's place for a rule that gives every feature a threshold of its own."""
REDRAW_AFTER = 0.12
"""Seconds after the last step of the slider until list and figures follow; the numbers follow at once."""


class DialPart:
    """Slider, support, scope and numbers. Parts: `threshold`, `support`, `by_rule`, `scope`, `numbers`, `widget`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        own = desk.session.live.own_delta
        self._own = RULE if np.ndim(own) else float(own)
        now = self._own if desk.session.delta is None else desk.session.cut.delta
        steps = sorted({*desk.session.live.deltas(), self._own, now})
        self.threshold = named(
            ipywidgets.SelectionSlider(
                options=[(_step(step, own=self._own), step) for step in steps],
                value=now,
                description="threshold δ",
                style={"description_width": "initial"},
            ),
            "fl-threshold",
            "fl-wide",
        )
        self.threshold.tooltip = "pooled activation that a sample has to exceed to count; keys: ← →"
        self.support = named(
            ipywidgets.BoundedIntText(
                value=desk.session.cut.m,
                min=1,
                max=max(desk.session.cut.n_anchor, desk.session.cut.m),
                description="support m",
                style={"description_width": "initial"},
            ),
            "fl-support",
        )
        self.support.tooltip = "anchor samples that a feature needs to count; keys: ↑ ↓, or a number"
        self.by_rule = named(
            ipywidgets.ToggleButton(
                value=desk.session.m is None, description="by the rule", tooltip="the m that follows from the rule"
            ),
            "fl-support-rule",
        )
        self._quiet = False
        self.scope = named(
            ipywidgets.ToggleButtons(
                options=[("all features", "all"), ("relevant only", "relevant")],
                value=desk.session.scope,
                tooltips=["every feature of the dictionary counts", "only those that matter to the task count"],
            ),
            "fl-scope",
        )
        self.numbers = html("fl-numbers")
        self.widget = box(
            *(self.numbers, self.threshold, box(self.support, self.by_rule, flow=True), self.scope), name="fl-dial"
        )
        self.threshold.observe(lambda change: self._moved(), "value")
        self.support.observe(lambda change: self._asked(self.support.value), "value")
        self.by_rule.observe(lambda change: self._asked(None if self.by_rule.value else self.support.value), "value")
        self.scope.observe(lambda change: self._scoped(), "value")
        desk.on("cut", self.show)

    def show(self) -> None:
        """The numbers at the present threshold."""
        session = self.desk.session
        self.numbers.value = numbers_html(session.numbers())
        self._quiet = True
        self.support.max = max(self.support.max, session.cut.m)
        self.support.value, self.by_rule.value = session.cut.m, session.m is None
        self._quiet = False

    def _moved(self) -> None:
        session = self.desk.session
        delta = None if self.threshold.value == self._own else self.threshold.value
        self._set(lambda: session.set_threshold(delta, session.m))

    def _asked(self, m: int | None) -> None:
        if not self._quiet:
            self._set(lambda: self.desk.session.set_support(m))

    def _set(self, change: Callable[[], Numbers]) -> None:
        """Numbers at once, lists and figures once the steps have come to rest."""
        desk = self.desk
        desk.act(change, background=True)
        self.show()
        desk.later("cut", REDRAW_AFTER, lambda: desk.act(lambda: None, tell=["cut", "list", "feature"]))

    def _scoped(self) -> None:
        desk = self.desk
        desk.act(lambda: desk.session.set_scope(self.scope.value), tell=["cut", "list", "feature"])


def numbers_html(numbers: Numbers) -> Markup:
    """FAC and the missing features, with what chance leaves out beside them."""
    fac = "–" if math.isnan(numbers.fac) else f"{numbers.fac:.3f}"
    null = "–" if numbers.null_missing is None else f"{numbers.null_missing:,}"
    delta = "one per feature" if numbers.delta is None else f"{numbers.delta:.4g}"
    null_title = numbers.null_reason or "missing from a drawn seed that lacks nothing"
    entries = (
        ("FAC", fac, f"{numbers.n_covered:,} of {numbers.n_support:,}", "share of the anchor's features in the seed"),
        ("missing", f"{numbers.n_missing:,}", "", "in the anchor's support, activated by no seed sample"),
        ("by chance", f"{numbers.expected_missing:.1f}", "", "missing to be expected had anchor and seed one source"),
        ("null", null, "", null_title),
    )
    items = Markup("").join(
        Markup('<div title="{}"><dt>{}</dt><dd>{} <small>{}</small></dd></div>').format(title, name, value, note)
        for name, value, note, title in entries
    )
    unjudged = f"; frequent features without a verdict: {numbers.n_unjudged:,}" if numbers.n_unjudged else ""
    null = f"; null: {numbers.null_reason}" if numbers.null_reason else ""
    note = f"δ {delta}, support m = {numbers.m} samples{unjudged}{null}"
    return Markup('<dl class="fl-numbers-list">{}</dl><p class="fl-soft">{}</p>').format(items, note)


def _step(delta: float, *, own: float) -> str:
    """What the slider says at a threshold."""
    if delta == RULE:
        return "by the rule, one per feature"
    return f"{delta:.4g} (the rule's)" if delta == own else f"{delta:.4g}"
