"""What people change: summaries, verdicts and samples, kept in a journal and laid over what the machine said."""

from typing import Any

import pandas as pd

from fac_lab.browsing.edits import Edit, Journal, Overlay
from fac_lab.browsing.listing import Listing
from fac_lab.browsing.neuronpedia import ImportedLabels
from fac_lab.browsing.table import FeatureTable
from fac_lab.browsing.view import Said
from fac_lab.browsing.written import WrittenSamples
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CoverageRule


class Changes(Listing):
    """A list of features, and samples, that people can change; without a journal they can only be read."""

    def __init__(
        self,
        anchor: FeatureStats,
        seed: FeatureStats,
        rule: CoverageRule,
        table: FeatureTable,
        null: tuple[FeatureStats, FeatureStats] | None,
        written: WrittenSamples,
    ) -> None:
        super().__init__(anchor, seed, rule, table, null)
        self.written = written
        self.imported: ImportedLabels | None = None
        self.overlay = Overlay({}, {}, {})
        """People's changes in force."""
        self.journal: Journal | None = None

    def edit_summary(self, feature: int, summary: str, *, by: str) -> Edit:
        """Put one's own words for a feature over the machine's."""
        machine = self.table.machine_summary[self.checked(feature)]
        return self._change("edit_summary", feature, summary, by=by, machine=machine)

    def override_verdict(self, feature: int, verdict: str, *, by: str) -> Edit:
        """Put one's own verdict over the machine's; what is relevant, and so coverage, follows."""
        machine = self.table.machine_verdict[self.checked(feature)]
        return self._change("override_verdict", feature, verdict, by=by, machine=machine)

    def decide_sample(self, feature: int, text: str, decision: str, *, by: str) -> Edit:
        """Accept or reject ("accept", "reject") a sample; SettingsError for one that was not written."""
        if not self.written.has(feature, text):
            raise SettingsError(f"no such sample was written for feature {feature}")
        machine = "kept" if self.written.kept(feature, text) else "not kept"
        return self._change("decide_sample", feature, text, decision, by=by, machine=machine)

    def undo(self, *, by: str, entry: str | None = None) -> Edit | None:
        """Take back one's own last change, or any (by its id); None where there is none."""
        return self._change("undo", entry, by=by)

    def redo(self, *, by: str) -> Edit | None:
        """Bring back what one's last undo took; None where there is none, or something was changed since."""
        return self._change("redo", by=by)

    def refresh(self) -> bool:
        """Take in what others saved meanwhile; whether anything that is shown changed."""
        overlay = self.journal.overlay() if self.journal else self.overlay
        if overlay == self.overlay:
            return False
        self.overlay = overlay
        self._apply()
        return True

    def samples(self, feature: int | None = None) -> pd.DataFrame | None:
        """The samples written, for one feature or (None) for all, with `decision`, `decided_by`, `decided_at`."""
        return self.written.decided(self.overlay, feature)

    def accepted(self) -> list[str]:
        """Texts of the samples that count: kept ones that nobody rejected, and others that somebody accepted."""
        return self.written.accepted(self.overlay)

    def _said(self, kind: str, feature: int) -> Said:
        changes = self.overlay.summaries if kind == "summary" else self.overlay.verdicts
        label = self.imported.labels.get(feature) if self.imported and kind == "summary" else None
        return Said(
            shown=getattr(self.table, kind)[feature],
            machine=getattr(self.table, f"machine_{kind}")[feature],
            imported=label.summary if label else None,
            imported_by=", ".join(filter(None, (self.imported.source, label.by))) if label else None,
            edit=changes.get(feature),
        )

    def _change(self, action: str, *arguments: Any, **more: Any) -> Any:
        if self.journal is None:
            raise SettingsError("changes cannot be kept: the browser was opened without a folder for them (`out`)")
        edit = getattr(self.journal, action)(*arguments, **more)
        self.refresh()
        return edit

    def _apply(self) -> None:
        imported = {i: label.summary for i, label in self.imported.labels.items()} if self.imported else None
        self.table.apply(self.overlay, imported)

    def _lay_under(self, imported: ImportedLabels) -> ImportedLabels:
        """Show imported labels where nothing else is said."""
        self.imported = imported
        self._apply()
        return imported
