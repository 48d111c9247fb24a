"""The list of features: sorted, a page at a time, walked with the mouse or with keys."""

from typing import Any

import ipywidgets
import numpy as np

from fac_lab.browsing.listing import PAGE_ROWS
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.style import SIGNS, box, button, html, named, soft
from fac_lab.display.picker import Column, Picker, Row

ORDERS = (
    *(("in the anchor", "anchor_count"), ("in the seed", "seed_count"), ("number", "feature")),
    *(("summary", "summary"), ("verdict", "verdict"), ("status", "status"), ("label quality", "label_score")),
    *(("maximum", "maximum"), ("mean", "mean"), ("domain", "domain"), ("concept", "concept"), ("changed", "edited")),
)
COLUMNS = (
    Column("", "◆ missing, ● covered, × not in the anchor's support"),
    Column("#", "feature", number=True),
    Column("summary"),
    Column("verdict", "relevance to the task; * changed by a person"),
    Column("anchor", "anchor samples above the threshold", number=True),
    Column("seed", "seed samples above the threshold", number=True),
)
ALSO = {
    "label_score": (
        Column("quality", "how well the annotator's summary tells texts; – not scored", number=True),
        ".2f",
    ),
    "maximum": (Column("maximum", "largest activation in the anchor", number=True), ".4g"),
    "mean": (Column("mean", "mean positive activation in the anchor", number=True), ".4g"),
    "domain": (Column("domain"), ""),
    "concept": (Column("concept", "the known concept behind most of its activation"), ""),
}
"""Columns that are shown while the list is sorted by them, and how their values are written."""
TEXT = 160
"""Characters of a summary that are shown in the list."""


class ListPart:
    """Parts: `table`, `order`, `descending`, `before`, `behind`, `place`, `widget`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.start = 0
        session = desk.session
        self.order = named(
            ipywidgets.Dropdown(
                options=ORDERS, value=session.sort_by, description="sort by", style={"description_width": "initial"}
            ),
            "fl-order",
        )
        self.descending = named(
            ipywidgets.ToggleButton(value=session.descending, description="↓", tooltip="largest first"), "fl-descending"
        )
        self.table = named(Picker(COLUMNS, label="Features", nothing="no feature passes these filters"), "fl-list")
        self.before = button("‹", "fl-before", lambda: self.turn(-1), tooltip="rows before (key: Page Up)")
        self.behind = button("›", "fl-behind", lambda: self.turn(1), tooltip="rows behind (key: Page Down)")
        self.place = html("fl-place")
        self.widget = box(
            box(self.order, self.descending, flow=True),
            self.table,
            box(self.before, self.place, self.behind, flow=True),
            soft_keys(),
            name="fl-listing",
        )
        self.order.observe(lambda change: self._ordered(), "value")
        self.descending.observe(lambda change: self._ordered(), "value")
        self.table.on_pick(lambda key: desk.select(int(key)))
        self.table.on_beyond(self._beyond)
        desk.on("list", self._from_the_top)
        desk.on("feature", self.follow)

    def show(self) -> None:
        """The rows from `start` on."""
        session = self.desk.session
        page = session.page(self.start)
        self.start = page.start
        column, form = ALSO.get(session.sort_by, (None, ""))
        self.table.columns = [one._asdict() for one in (*COLUMNS, *filter(None, [column]))]
        rows = [
            Row(
                str(row.feature),
                (
                    SIGNS[row.status],
                    str(row.feature),
                    (row.summary or "–")[:TEXT],
                    (row.verdict or "–") + "*" * bool(row.edited),
                    f"{row.anchor_count:,}",
                    f"{row.seed_count:,}",
                    *([] if column is None else [_written(getattr(row, session.sort_by), form)]),
                ),
                row.status,
            )
            for row in page.frame.itertuples(index=False)
        ]
        chosen = session.selected
        self.table.show(rows, "" if chosen is None else chosen)
        last = page.start + len(rows)
        words = f"{page.start + 1:,}–{last:,} of {page.total:,}" if rows else "none"
        self.place.value = soft(words)
        self.before.disabled, self.behind.disabled = page.start == 0, last >= page.total

    def turn(self, by: int) -> None:
        """Show the rows before or behind."""
        self.start += by * PAGE_ROWS
        self.desk.act(self.show, background=True)

    def step(self, by: int) -> None:
        """Select the next feature, or one before."""
        self.desk.act(lambda: self.desk.session.step(by), tell=["feature"])

    def follow(self) -> None:
        """Show the page of the selected feature, where the list has it."""
        session = self.desk.session
        found = np.flatnonzero(session.features == session.selected)
        if len(found) and not self.start <= found[0] < self.start + PAGE_ROWS:
            self.start = int(found[0]) // PAGE_ROWS * PAGE_ROWS
            self.show()
        elif session.selected is not None:
            self.table.chosen = str(session.selected)

    def _from_the_top(self) -> None:
        self.start = 0
        self.show()

    def _ordered(self) -> None:
        self.descending.description = "↓" if self.descending.value else "↑"
        self.descending.tooltip = "largest first" if self.descending.value else "smallest first"
        session = self.desk.session
        self.desk.act(
            lambda: session.set_order(self.order.value, descending=self.descending.value),
            tell=["list"],
        )

    def _beyond(self, by: str) -> None:
        match by:
            case "next":
                self.step(1)
            case "previous":
                self.step(-1)
            case "next page":
                self.turn(1)
            case "previous page":
                self.turn(-1)


def _written(value: Any, form: str) -> str:
    return "–" if value is None or value != value else format(value, form)


def soft_keys() -> ipywidgets.HTML:
    """What the keys do."""
    return html("fl-help", soft("keys: j next, k previous feature; in the list also ↑ ↓, Page Up, Page Down"))
