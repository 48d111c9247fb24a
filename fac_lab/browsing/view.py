"""One feature as the browser shows it, with who said what: the machine, a file, or a person."""

from dataclasses import dataclass

import pandas as pd

from fac_lab.browsing.edits import Edit
from fac_lab.browsing.histograms import Histogram
from fac_lab.features.spans import Span


@dataclass(frozen=True, eq=False)
class Said:
    """A summary or a verdict with everybody's word for it."""

    shown: str | None
    """What holds: the person's word, else the machine's, else the imported one."""
    machine: str | None
    """The annotator's word; it is never overwritten."""
    imported: str | None = None
    """What an imported file says."""
    imported_by: str | None = None
    """Which file, and the model that wrote it."""
    edit: Edit | None = None
    """The person's change in force: who, when, and what the machine had said at that time."""

    @property
    def source(self) -> str | None:
        """Whose word is shown: "person", "machine" or "imported"; None where nobody's is."""
        if self.edit is not None:
            return "person"
        return "machine" if self.machine is not None else "imported" if self.imported is not None else None

    @property
    def outdated(self) -> bool:
        """Whether the machine says something else than when the person changed it."""
        return self.edit is not None and self.edit.machine != self.machine

    def __str__(self) -> str:
        """Who said it, in words."""
        if self.edit is not None:
            return f"{self.edit.by}, {self.edit.at[:16].replace('T', ' ')} UTC"
        return {"machine": "annotator", "imported": self.imported_by or "imported", None: "nobody"}[self.source]


@dataclass(frozen=True, eq=False)
class FeatureView:
    """What is known of one feature without asking the model; `absent` says why a part is None or empty."""

    feature: int
    status: str
    """One of `threshold.STATUSES`, at the present threshold."""
    relevant: bool
    """Whether it matters to the task, by the verdict that holds."""
    summary: Said
    verdict: Said
    reason: str | None
    """The machine's reason for its verdict."""
    label_score: float | None
    """How well the machine's summary tells activating from other texts, 0 to 1, by chance 0.5; None: not scored."""
    label_texts: int | None
    """Texts that score was counted on."""
    fuzzing_score: float | None
    """How well it tells the token that matters from others."""
    anchor_count: int
    """Anchor samples above the threshold."""
    anchor_frequency: float
    """Their share of the anchor."""
    seed_count: int
    seed_frequency: float
    maximum: float
    """Largest pooled activation in the anchor."""
    mean: float
    """Mean positive one."""
    delta: float
    """This feature's threshold."""
    m: int
    """Anchor samples it needs."""
    concept: str | None
    """The known concept behind most of its activation, in the mini world."""
    domain: str | None
    spans: dict[str, list[Span]]
    """Strongest spans by data set ("anchor", "seed", "synthetic"), strongest first."""
    histogram: Histogram
    """Activations by data set."""
    samples: pd.DataFrame | None
    """Samples written for it (columns of `synthesis.samples.Sample`), with `decision`, `decided_by`, `decided_at`."""
    history: list[Edit]
    """Everything people did to it, oldest first."""
    absent: dict[str, str]
    """Name of a part -> why it is not there."""
