"""The samples that were written for features, and what people decided about them."""

import numpy as np
import pandas as pd

from fac_lab.browsing.edits import Overlay

SAME = ["feature", "text", "step", "draw", "seed"]
"""Columns by which a sample is recognised."""


class WrittenSamples:
    """Samples as `Lab.synthesise` gives them, every candidate of them; `frame` None where none was written."""

    def __init__(self, frame: pd.DataFrame | None) -> None:
        self.frame = frame

    def add(self, samples: pd.DataFrame) -> None:
        """Take in more samples; those that are here already stay as they are."""
        if not len(samples):
            return
        both = samples if self.frame is None else pd.concat([self.frame, samples], ignore_index=True)
        self.frame = both.drop_duplicates(SAME, ignore_index=True)

    def has(self, feature: int, text: str) -> bool:
        """Whether such a sample was written."""
        return self.frame is not None and bool(((self.frame.feature == feature) & (self.frame.text == text)).any())

    def kept(self, feature: int, text: str) -> bool:
        """Whether synthesis itself kept it."""
        frame = self.frame
        return frame is not None and bool(frame.kept[(frame.feature == feature) & (frame.text == text)].any())

    def decided(self, overlay: Overlay, feature: int | None = None) -> pd.DataFrame | None:
        """The samples of one feature, or of all (None), with `decision`, `decided_by` and `decided_at` (None each
        where nobody decided); None where none was ever written."""
        if self.frame is None:
            return None
        frame = self.frame if feature is None else self.frame[self.frame.feature == feature]
        # Plain samples have no feature and nobody decides about them.
        keys = [(-1 if pd.isna(i) else int(i), text) for i, text in zip(frame.feature, frame.text, strict=True)]
        edits = [overlay.samples.get(key) for key in keys]
        columns = {"decision": "value", "decided_by": "by", "decided_at": "at"}
        return frame.assign(
            **{
                name: pd.Series([edit and getattr(edit, field) for edit in edits], frame.index, object)
                for name, field in columns.items()
            }
        )

    def accepted(self, overlay: Overlay) -> list[str]:
        """Texts that count, each once: kept ones that nobody rejected, and others that somebody accepted."""
        frame = self.decided(overlay)
        if frame is None:
            return []
        counts = np.where(frame.decision.isna(), frame.kept.to_numpy(bool), frame.decision == "accept")
        return list(dict.fromkeys(frame.text[counts.astype(bool)]))
