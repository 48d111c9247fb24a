"""Compare: two thresholds, two data sets or two models side by side."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from markupsafe import Markup

from fac_lab.browsing.compare import Comparison
from fac_lab.browsing.session import BrowserSession
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.dial import RULE
from fac_lab.display.browser.style import box, button, html, named, shown, soft
from fac_lab.errors import SettingsError

WORDS = {
    "delta": "threshold δ",
    "m": "support m",
    "n_anchor": "anchor samples",
    "n_seed": "seed samples",
    "n_relevant": "features that count",
    "n_support": "features in the anchor's support",
    "n_covered": "covered",
    "n_missing": "missing",
    "expected_missing": "missing by chance, expected",
    "null_missing": "missing by chance, drawn",
    "fac": "FAC",
}
FILE = "data in a file …"
THRESHOLD = "another threshold"


class SidesPart:
    """Parts: `what`, `threshold`, `path`, `compare`, `found`, `only_a`, `only_b`, `widget`.

    `others` are further sessions, statistics or corpora by name.
    """

    def __init__(self, desk: Desk, choose: Callable[[Any], None], others: Mapping[str, Any]) -> None:
        self.desk, self._choose, self._others = desk, choose, dict(others)
        self.comparison: Comparison | None = None
        fit = {"description_width": "initial"}
        self.what = named(
            ipywidgets.Dropdown(options=[THRESHOLD, *self._others, FILE], description="beside", style=fit), "fl-beside"
        )
        deltas = [("the rule's own", RULE), *((f"{delta:.4g}", delta) for delta in desk.session.live.deltas())]
        self.threshold = named(
            ipywidgets.Dropdown(options=deltas, description="threshold δ", style=fit), "fl-beside-threshold"
        )
        self.path = named(
            ipywidgets.Text(description="file", placeholder="JSONL, CSV or text; a column “text”", style=fit),
            "fl-beside-file", "fl-wide",
        )  # fmt: skip
        self.compare = button("compare", "fl-compare", self.run)
        self.found = html("fl-comparison")
        self.only_a = button("list what only this misses", "fl-only-a", lambda: self._list("only_a"))
        self.only_b = button("list what only the other misses", "fl-only-b", lambda: self._list("only_b"))
        self._lists = box(self.only_a, self.only_b, flow=True)
        self.widget = box(self.what, self.threshold, self.path, self.compare, self.found, self._lists)
        self.what.observe(lambda change: self._fields(), "value")
        self._fields()

    def show(self) -> None:
        """Compare again at the present threshold, where that costs nothing."""
        if self.what.value == THRESHOLD:
            self.run()

    def run(self) -> None:
        """Compare, and show both sides."""
        found = self.desk.act(
            self._compare, busy="" if self.what.value == THRESHOLD else self.desk.loading("Comparing …"),
            background=self.what.value == THRESHOLD,
        )  # fmt: skip
        self.comparison = found
        self.found.value = "" if found is None else comparison_html(found)
        shown(self._lists, found is not None and found.sets is not None)

    def _compare(self) -> Comparison:
        session = self.desk.session
        if self.what.value == THRESHOLD:
            delta = None if self.threshold.value == RULE else self.threshold.value
            return session.compare_threshold(delta, session.m)
        if self.what.value == FILE:
            from fac_lab.corpora import Corpus

            if not self.path.value.strip():
                raise SettingsError("no file is named: write its path into the field above")
            other = Corpus.from_file(self.path.value.strip())
            return session.compare_data(other, self.path.value.strip().rpartition("/")[2])
        other = self._others[self.what.value]
        if isinstance(other, BrowserSession):
            return session.compare_session(other)
        return session.compare_data(other, self.what.value)

    def _fields(self) -> None:
        shown(self.threshold, self.what.value == THRESHOLD)
        shown(self.path, self.what.value == FILE)
        shown(self._lists, False)
        self.found.value = ""

    def _list(self, side: str) -> None:
        if self.comparison is not None and self.comparison.sets is not None:
            self._choose(getattr(self.comparison.sets["missing"], side))


def comparison_html(found: Comparison) -> Markup:
    """Numbers of both sides, those that differ in bold, and how the sets overlap."""
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td class='number'>{}</td><td class='number'>{}</td></tr>").format(
            WORDS[name], *(_bold(_number(value), name in found.changed) for value in pair)
        )
        for name, pair in found.numbers.items()
    )
    a, b = found.names
    parts = [
        Markup(
            "<table class='fl-table'><thead><tr><th></th><th>{}</th><th>{}</th></tr></thead><tbody>{}</tbody></table>"
        ).format(a, b, rows)
    ]
    if found.sets is None:
        return parts[0] + soft(found.reason)
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td class='number'>{:,}</td><td class='number'>{:,}</td><td class='number'>{:,}</td>"
               "<td class='number'>{:.3f}</td></tr>").format(
            name, len(shared.only_a), len(shared.both), len(shared.only_b), shared.jaccard
        )
        for name, shared in found.sets.items()
    )  # fmt: skip
    parts.append(
        Markup(
            "<table class='fl-table'><thead><tr><th>features</th><th>only {}</th><th>both</th><th>only {}</th>"
            "<th>Jaccard</th></tr></thead><tbody>{}</tbody></table>"
        ).format(a, b, rows)
    )
    return Markup("").join(parts)


def _bold(value: str, changed: bool) -> Markup:
    return Markup("<b>{}</b>" if changed else "{}").format(value)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return "< 0.001" if 0 < value < 0.001 else f"{value:.4g}"
