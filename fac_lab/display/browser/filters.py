"""The filters, with counts that follow whatever else is set."""

from typing import Any

import ipywidgets
from markupsafe import Markup

from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.style import box, button, html, named, shown
from fac_lab.display.chips import Chips

SEARCH_AFTER = 0.3
"""Seconds after the last letter until the list follows."""
SHARES = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SCORES = tuple(round(0.1 * step, 1) for step in range(11))
_WORD = {"description_width": "initial"}


class FilterPart:
    """Parts: `search`, `status`, `relevant`, `verdicts`, `domains`, `scored`, `score`, `frequency`, `edited`, `among`,
    `more`, `clear`, `widget`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.search = named(
            ipywidgets.Text(
                description="search",
                placeholder="words of summaries or texts, or #12",
                style=_WORD,
            ),
            "fl-search",
            "fl-wide",
        )
        self.status, self.relevant, self.verdicts, self.domains = (
            named(Chips(legend=legend), name)
            for legend, name in (
                ("status:", "fl-status-filter"),
                ("relevant:", "fl-relevant-filter"),
                ("verdict:", "fl-verdict-filter"),
                ("domain:", "fl-domain-filter"),
            )
        )
        self.scored = named(Chips(legend="label scored:"), "fl-scored-filter")
        self.edited = named(Chips(legend="changed by people:"), "fl-edited-filter")
        self.edited.options = [{"key": "yes", "count": None}, {"key": "no", "count": None}]
        self.score = self._range("label quality", SCORES, "{:g}", "fl-score-filter")
        self.frequency = self._range("anchor share", SHARES, "{:.4g} %", "fl-frequency-filter", times=100)
        self.among = html("fl-among")
        self.clear = button("clear all filters", "fl-clear", self._clear)
        # An accordion's head cannot be reached by keys.
        self.more = named(
            ipywidgets.ToggleButton(
                description="more filters", tooltip="verdict, domain, changes, ranges, label quality"
            ),
            "fl-more",
        )
        self._rest = box(self.verdicts, self.domains, self.edited, self.frequency, self.scored, self.score)
        shown(self._rest, False)
        self.more.observe(lambda change: shown(self._rest, self.more.value), "value")
        self.widget = box(
            self.search,
            self.status,
            self.relevant,
            box(self.more, self.clear, self.among, flow=True),
            self._rest,
            name="fl-filters",
        )
        table = desk.session.table
        for part in (self.scored, self.score):
            shown(part, bool(table.scored.any()))
        shown(self.domains, bool(table.domain_names))
        shown(self.verdicts, desk.session.labels is not None)
        self._quiet = False
        self._take_over()
        for part in self._chips:
            part.observe(lambda change: self._changed(), "chosen")
        for part in (self.score, self.frequency):
            part.observe(lambda change: self._changed(), "value")
        self.search.observe(lambda change: desk.later("search", SEARCH_AFTER, self._changed), "value")
        desk.on("list", self.show)

    def set_among(self, features: Any) -> None:
        """Show only some features, such as those of a lasso; None for all."""
        self.desk.act(lambda: self.desk.session.set_filters(among=features), tell=["list"])

    def show(self) -> None:
        """The counts as they are now."""
        facets = self.desk.session.facets()
        for part, name in (
            (self.status, "status"),
            (self.relevant, "relevant"),
            (self.verdicts, "verdicts"),
            (self.domains, "domains"),
            (self.scored, "scored"),
        ):
            part.count(facets[name])
        among = self.desk.session.filters.among
        shown(self.among, among is not None)
        if among is not None:
            self.among.value = Markup('<p class="fl-soft">only {} chosen features</p>').format(f"{len(among):,}")

    def _changed(self) -> None:
        if self._quiet:
            return
        parts = (self.relevant, self.edited, self.scored)
        relevant, edited, scored = ({"yes": True, "no": False}.get(_only(part)) for part in parts)
        self.desk.act(
            lambda: self.desk.session.set_filters(
                text=self.search.value,
                status=self.status.chosen or None,
                relevant=relevant,
                verdicts=self.verdicts.chosen or None,
                domains=self.domains.chosen or None,
                edited=edited,
                scored=scored,
                label_score=_bounds(self.score, SCORES),
                anchor_frequency=_bounds(self.frequency, SHARES),
            ),
            tell=["list"],
        )

    def _take_over(self) -> None:
        """Begin with the session's filters; with the missing features, where it has none."""
        session = self.desk.session
        filters = session.filters
        if all(value is None or value == "" for value in vars(filters).values()) and session.cut.n_missing:
            session.set_filters(status=("missing",))
            filters = session.filters
        self.search.value = filters.text
        for part, chosen in ((self.status, filters.status), (self.verdicts, filters.verdicts)):
            part.chosen = list(chosen or ())
        self.domains.chosen = list(filters.domains or ())
        asked = ((self.relevant, filters.relevant), (self.edited, filters.edited), (self.scored, filters.scored))
        for part, wanted in asked:
            part.chosen = [] if wanted is None else ["yes" if wanted else "no"]
        for slider, steps, bounds in (
            (self.score, SCORES, filters.label_score),
            (self.frequency, SHARES, filters.anchor_frequency),
        ):
            slider.value = _steps_at(steps, bounds)

    def _clear(self) -> None:
        self._quiet = True
        self.search.value = ""
        for part in self._chips:
            part.chosen = []
        self.score.value, self.frequency.value = (SCORES[0], SCORES[-1]), (SHARES[0], SHARES[-1])
        self._quiet = False
        self.desk.act(self.desk.session.clear_filters, tell=["list"])

    @property
    def _chips(self) -> tuple[Chips, ...]:
        return self.status, self.relevant, self.verdicts, self.domains, self.edited, self.scored

    @staticmethod
    def _range(words: str, steps: tuple, label: str, name: str, *, times: float = 1) -> ipywidgets.Widget:
        slider = ipywidgets.SelectionRangeSlider(
            options=[(label.format(times * step), step) for step in steps],
            index=(0, len(steps) - 1),
            description=words,
            continuous_update=False,
            style=_WORD,
        )
        return named(slider, name, "fl-wide")


def _steps_at(steps: tuple, bounds: tuple[float | None, float | None] | None) -> tuple[float, float]:
    """The slider's steps nearest to bounds."""
    least, most = bounds or (None, None)
    wanted = (steps[0] if least is None else least, steps[-1] if most is None else most)
    return tuple(min(steps, key=lambda step, at=at: abs(step - at)) for at in wanted)


def _only(part: Chips) -> str | None:
    """The one option that is ticked; both ticked let everything pass, as none does."""
    return part.chosen[0] if len(part.chosen) == 1 else None


def _bounds(slider: Any, steps: tuple) -> tuple[float | None, float | None] | None:
    least, most = slider.value
    least, most = (None if least == steps[0] else least), (None if most == steps[-1] else most)
    return None if least is None and most is None else (least, most)
