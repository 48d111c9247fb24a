"""What leaves the browser: features as plain values, and what they were selected by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fac_lab.browsing.changes import Changes
from fac_lab.browsing.export import Exported, export
from fac_lab.browsing.table import COLUMNS
from fac_lab.profile import as_dict


class Selection(Changes):
    """A list of features that can be written down, with everybody's word for them."""

    name = ""
    """What the data are called."""

    def records(self, features: Sequence[int] | np.ndarray | None = None) -> list[dict[str, Any]]:
        """Plain values of some features (those of the list if None): the table's columns, who said what, the spans."""
        features = self.features if features is None else np.array([self.checked(i) for i in features], np.int64)
        columns = {name: self.table.column(name, self.cut)[features].tolist() for name in COLUMNS}
        spans: dict[int, list[dict[str, Any]]] = {}
        # Asked for together: one feature after the other, a whole dictionary takes several times as long.
        table = self.anchor.top.table(np.unique(features))
        rows = zip(table.feature.tolist(), table.text, table.value.tolist(), table.peak.tolist(), strict=True)
        for i, text, value, peak in rows:
            spans.setdefault(i, []).append({"text": text, "value": value, "peak": peak})
        records = []
        for place, i in enumerate(features.tolist()):
            record = {name: values[place] for name, values in columns.items()}
            for kind in ("summary", "verdict"):
                said = self._said(kind, i)
                record |= {f"{kind}_by": str(said), f"machine_{kind}": said.machine}
            records.append({**record, "spans": spans.get(i, [])})
        return records

    def manifest(self) -> dict[str, Any]:
        """Rule, threshold, data and filters: what a selection was made by."""
        numbers, cut = self.numbers(), self.cut
        filters = {name: value for name, value in vars(self.filters).items() if value is not None and value != ""}
        return {
            **numbers._asdict(),
            "rule": as_dict(cut.rule),
            "data": self.name,
            "anchor": {"samples": cut.n_anchor, **self.anchor.made_by},
            "seed": {"samples": cut.n_seed, **self.seed.made_by},
            "filters": filters,
            "sorted_by": {"column": self.sort_by, "descending": self.descending},
        }

    def export(
        self, folder: str | Path, name: str = "selection", features: Sequence[int] | np.ndarray | None = None
    ) -> Exported:
        """Write some features (those of the list if None) as NAME.csv and NAME.jsonl with a manifest."""
        return export(self.records(features), self.manifest(), folder, name)
