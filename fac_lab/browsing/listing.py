"""The list of features: filtered, sorted, paged, one of them selected."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.browsing.dial import Dial
from fac_lab.browsing.filters import Filters
from fac_lab.errors import SettingsError

PAGE_ROWS = 50


class Page(NamedTuple):
    """Some rows of the list."""

    frame: pd.DataFrame
    """Columns as in `table.COLUMNS`."""
    start: int
    """Place of its first row in the list."""
    total: int
    """Rows of the whole list."""


class Listing(Dial):
    """A dial with the list of features that follows it."""

    filters = Filters()
    sort_by = "anchor_count"
    descending = True
    selected: int | None = None
    """The selected feature, in the list or not."""

    def set_filters(self, **changes: Any) -> int:
        """Change some filters, by their names in `Filters`; how many features pass."""
        self.filters = replace(self.filters, **changes)
        return len(self.features)

    def clear_filters(self) -> int:
        """Let every feature pass; their number."""
        self.filters = Filters()
        return len(self.features)

    def set_order(self, by: str, *, descending: bool = True) -> None:
        """Sort by one of `table.COLUMNS`; SettingsError, and no change, for any other."""
        self.table.column(by, self.cut)
        self.sort_by, self.descending = by, descending

    @property
    def features(self) -> np.ndarray:
        """The features that pass the filters, in order, int64."""

        def make() -> np.ndarray:
            mask = self.table.mask(self.filters, self.cut)
            return self.table.order(mask, self.cut, by=self.sort_by, descending=self.descending)

        # Filters have no equality (they may hold arrays); the object itself is the key and is never changed.
        return self._once("features", (self._at, self.filters, self.sort_by, self.descending), make)

    def facets(self) -> dict[str, dict[str, int]]:
        """How many features each option of a filter would show (see `FeatureTable.facets`)."""
        return self.table.facets(self.filters, self.cut)

    def page(self, start: int = 0, rows: int = PAGE_ROWS) -> Page:
        """Some rows of the list; a start beyond the end gives the last page."""
        features = self.features
        start = max(0, min(start, (len(features) - 1) // rows * rows))
        return Page(self.table.frame(features[start : start + rows], self.cut), start, len(features))

    def select(self, feature: int) -> int:
        """Make a feature the selected one. Raises SettingsError for one that does not exist."""
        self.selected = self.checked(feature)
        return self.selected

    def step(self, by: int = 1) -> int | None:
        """Select the next feature of the list, or one further away, up to its ends; None where it is empty."""
        features = self.features
        if not len(features):
            return None
        at = np.flatnonzero(features == self.selected)
        place = min(max(int(at[0]) + by, 0), len(features) - 1) if len(at) else 0
        return self.select(int(features[place]))

    def checked(self, feature: int | None = None) -> int:
        """A feature's number, that of the selected one if None. Raises SettingsError where there is no such feature."""
        if feature is None:
            feature = self.selected
        if feature is None:
            raise SettingsError("no feature is selected: choose one from the list")
        if not 0 <= feature < self.table.d_sae:
            raise SettingsError(f"there is no feature {feature}, only 0 to {self.table.d_sae - 1}")
        return int(feature)
