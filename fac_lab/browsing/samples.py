"""The sample view: what each row of a data set covers alone, and which rows could go without losing any feature."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_lab.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

    from fac_lab.browsing.threshold import Cut


class RowCoverage(NamedTuple):
    """What the rows of a data set cover at one threshold, of the features that count."""

    covers: np.ndarray
    """Features that a row activates, int64 `[n_samples]`."""
    alone: np.ndarray
    """Features that no other row activates, int64 `[n_samples]`."""
    redundant: np.ndarray
    """Rows that can all go together while every covered feature stays covered, bool `[n_samples]`."""
    holders: np.ndarray
    """Rows that activate a feature, int64 `[d_sae]`; 0 for one that does not count."""

    @property
    def n_covered(self) -> int:
        """Features that at least one row activates."""
        return int((self.holders > 0).sum())


class SampleView:
    """The rows of a data set with their pooled activations.

    `matrix [n_samples, d_sae]` is sparse, as `FeatureStats.matrix`; `ids` and `texts` are `[n_samples]`, texts where
    they are known. Raises DataError where they differ in length.
    """

    def __init__(self, matrix: "csr_matrix", ids: Sequence[str], texts: Sequence[str] | None = None) -> None:
        for name, values in (("ids", ids), ("texts", texts)):
            if values is not None and len(values) != matrix.shape[0]:
                raise DataError(
                    f"{len(values)} {name} for {matrix.shape[0]} rows of activations: they are of two data sets; "
                    "collect the one that is to be looked at, with keep_matrix"
                )
        self.matrix = matrix.tocsr()
        self.ids = list(ids)
        self.texts = None if texts is None else list(texts)

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def at(self, cut: "Cut") -> RowCoverage:
        """Rows at the threshold of a cut, for the features of the anchor's support.

        Redundant rows are found one by one: those that cover the fewest features are tried first, of equal ones the
        last, and a row goes if each of its features has another row left. What stays covers all that was covered,
        and none of what stays could go. Other orders would find other sets; the smallest that covers all is a harder
        question (set cover), which this answers with a bound from above.
        """
        rows, features = self._active(cut)
        n_rows, d_sae = self.matrix.shape
        covers = np.bincount(rows, minlength=n_rows)
        holders = np.bincount(features, minlength=d_sae)
        alone = np.bincount(rows[holders[features] == 1], minlength=n_rows)
        redundant = covers == 0
        # A row with a feature of its own can never go, because counts only fall: few are left to be tried in turn.
        tried = np.flatnonzero((covers > 0) & (alone == 0))
        starts = np.concatenate([[0], np.cumsum(covers)])
        left = holders.copy()
        for row in tried[np.lexsort((-tried, covers[tried]))].tolist():
            own = features[starts[row] : starts[row + 1]]
            if left[own].min() > 1:
                left[own] -= 1
                redundant[row] = True
        return RowCoverage(covers, alone, redundant, holders)

    def frame(self, cut: "Cut") -> "pd.DataFrame":
        """One row per sample, those that cover most alone first.

        Columns: `row`, `id`, `text`, `covers`, `alone`, `redundant`.
        """
        import pandas as pd

        found = self.at(cut)
        frame = pd.DataFrame(
            {
                "row": np.arange(len(self)),
                "id": self.ids,
                "text": self.texts if self.texts is not None else [None] * len(self),
                "covers": found.covers,
                "alone": found.alone,
                "redundant": found.redundant,
            }
        )
        return frame.sort_values(["alone", "covers", "row"], ascending=[False, False, True], ignore_index=True)

    def features(self, row: int, cut: "Cut") -> "pd.DataFrame":
        """What one row covers: `feature`, `activation`, `holders` (rows that cover it), `alone`; strongest first."""
        import pandas as pd

        rows, features = self._active(cut)
        holders = np.bincount(features, minlength=self.matrix.shape[1])
        own = features[rows == row]
        values = self.matrix[[row]].toarray()[0][own]
        frame = pd.DataFrame(
            {"feature": own, "activation": values, "holders": holders[own], "alone": holders[own] == 1}
        )
        return frame.sort_values(["activation", "feature"], ascending=[False, True], ignore_index=True)

    def rows(self, feature: int, cut: "Cut") -> "pd.DataFrame":
        """The samples that activate one feature: `row`, `id`, `text`, `activation`; strongest first."""
        import pandas as pd

        column = self.matrix[:, [feature]].tocoo()
        delta = cut.delta if np.ndim(cut.delta) == 0 else cut.delta[feature]
        keep = column.data > np.float32(delta)
        rows = column.row[keep]
        frame = pd.DataFrame(
            {
                "row": rows,
                "id": [self.ids[row] for row in rows],
                "text": [self.texts[row] if self.texts is not None else None for row in rows],
                "activation": column.data[keep],
            }
        )
        return frame.sort_values(["activation", "row"], ascending=[False, True], ignore_index=True)

    def _active(self, cut: "Cut") -> tuple[np.ndarray, np.ndarray]:
        """Row and feature of every activation above the threshold of a feature in the anchor's support, by row."""
        from fac_lab.browsing.threshold import OUTSIDE

        matrix = self.matrix
        # Thresholds are edges, which float32 holds exactly, as the counts of the histograms do.
        delta = np.broadcast_to(np.asarray(cut.delta, np.float32), (matrix.shape[1],))
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        keep = (matrix.data > delta[matrix.indices]) & (cut.status[matrix.indices] != OUTSIDE)
        return rows[keep], matrix.indices[keep].astype(np.int64)
