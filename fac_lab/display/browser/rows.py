"""My rows: what each covers that no other does, and which could go without losing a feature."""

import ipywidgets
import numpy as np
import pandas as pd

from fac_lab.browsing.samples import SampleView
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.style import SIGNS, box, button, html, named, shown, soft
from fac_lab.display.picker import Column, Picker, Row

PAGE = 50
TEXT = 300


class RowsPart:
    """Parts: `read`, `which`, `rows`, `features`, `before`, `behind`, `widget`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.view: SampleView | None = None
        self._frame: pd.DataFrame | None = None
        self._cut: object = None
        self.start = 0
        self.read = button("read my rows", "fl-read-rows", self._read)
        self.about = html("fl-rows-about")
        self.which = named(
            ipywidgets.ToggleButtons(
                options=[("all rows", "all"), ("alone", "alone"), ("redundant", "redundant")],
                tooltips=["every row", "rows that cover a feature alone", "rows that can all go together"],
            ),
            "fl-rows-which",
        )
        self.rows = named(
            Picker(
                (Column("row"), Column("covers", "features that it activates", number=True), Column("alone", "those "
                 "that no other row activates", number=True), Column("", "redundant"), Column("text")),
                label="My rows",
                nothing="there is no such row",
            ),
            "fl-rows",
        )  # fmt: skip
        self.before = button("‹", "fl-rows-before", lambda: self._turn(-1), tooltip="rows before")
        self.behind = button("›", "fl-rows-behind", lambda: self._turn(1), tooltip="rows behind")
        self.place = html()
        self.features = named(
            Picker(
                (Column("", "status"), Column("#", number=True), Column("covered by this row"), Column("activation",
                 number=True), Column("rows", "rows that activate it", number=True)),
                label="Features that this row covers",
                nothing="choose a row to see what it covers",
            ),
            "fl-row-features",
        )  # fmt: skip
        self._inside = box(self.which, self.rows, box(self.before, self.place, self.behind, flow=True), self.features)
        self.widget = box(self.about, self.read, self._inside)
        shown(self._inside, False)
        self.which.observe(lambda change: self._from_the_top(), "value")
        self.rows.on_pick(lambda key: desk.act(lambda: self._show_features(int(key))))
        self.rows.on_beyond(lambda by: self._turn(1 if by.startswith("next") else -1))
        self.features.on_pick(lambda key: desk.select(int(key)))

    def show(self) -> None:
        """The rows at the present threshold; they are read first where that takes no model."""
        session = self.desk.session
        if self.view is None and session.seed.matrix is None:
            shown(self.read, True)
            self.about.value = soft(
                "What single rows activate was not kept. Reading the data again takes as long as the first time; the "
                "result is kept."
            )
            return
        if self.view is None:
            found = session.sample_view()
            if found.value is None:
                self.about.value = soft(found.reason)
                return
            self.view = found.value
        shown(self.read, False)
        shown(self._inside, True)
        if self._cut is not session.cut:
            self._cut, self._frame = session.cut, self.view.frame(session.cut)
            self.features.show([])
        frame = self._frame
        self.about.value = soft(
            f"{len(frame):,} rows: {int((frame.alone > 0).sum()):,} cover a feature that no other does; "
            f"{int(frame.redundant.sum()):,} could all go and every covered feature would stay covered "
            f"({int((frame.covers == 0).sum()):,} of them cover none that counts)."
        )
        self._from_the_top()

    def _read(self) -> None:
        def act() -> None:
            found = self.desk.session.sample_view()
            self.view = found.value
            if found.value is None:
                self.about.value = soft(found.reason)
            else:
                self.show()

        n = self.desk.session.seed.n_samples
        self.desk.act(act, busy=f"Reading {n:,} rows (the result is kept) …")

    def _from_the_top(self) -> None:
        self.start = 0
        self._show_rows()

    def _turn(self, by: int) -> None:
        self.start += by * PAGE
        self._show_rows()

    def _show_rows(self) -> None:
        if self._frame is None:
            return
        frame = self._frame
        if self.which.value == "alone":
            frame = frame[frame.alone > 0]
        elif self.which.value == "redundant":
            frame = frame[frame.redundant]
        self.start = int(np.clip(self.start, 0, max(len(frame) - 1, 0) // PAGE * PAGE))
        page = frame.iloc[self.start : self.start + PAGE]
        self.rows.show(
            [
                Row(
                    str(row.row),
                    (
                        str(row.id),
                        f"{row.covers:,}",
                        f"{row.alone:,}",
                        "redundant" if row.redundant else "",
                        (row.text or "–")[:TEXT],
                    ),
                )
                for row in page.itertuples(index=False)
            ],
            self.rows.chosen,
        )
        words = f"{self.start + 1:,}–{self.start + len(page):,} of {len(frame):,}" if len(page) else "none"
        self.place.value = soft(words)
        self.before.disabled, self.behind.disabled = self.start == 0, self.start + len(page) >= len(frame)

    def _show_features(self, row: int) -> None:
        session = self.desk.session
        names, status = session.table.summary, session.table.column("status", session.cut)
        found = self.view.features(row, session.cut)
        self.features.nothing = "this row covers no feature that counts"
        self.features.show(
            [
                Row(
                    str(one.feature),
                    (
                        SIGNS[status[one.feature]],
                        str(one.feature),
                        (names[one.feature] or "–")[:160],
                        f"{one.activation:.4g}",
                        "only this" if one.alone else f"{one.holders:,}",
                    ),
                    status[one.feature],
                )
                for one in found.itertuples(index=False)
            ]
        )
