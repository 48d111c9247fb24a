"""The dial: the threshold that is set now, what counts under it, and what chance would leave out."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from fac_lab.browsing.compare import Side
from fac_lab.browsing.table import FeatureTable
from fac_lab.browsing.threshold import OUTSIDE, Cut, LiveThreshold
from fac_lab.coverage import Coverage
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CoverageRule

SCOPES = ("all", "relevant")
T = TypeVar("T")


class Numbers(NamedTuple):
    """What stands at the top of the page, at the present threshold."""

    delta: float | None
    """None where every feature has its own."""
    m: int
    """Samples that a feature needs in the anchor."""
    scope: str
    """One of SCOPES: which features count."""
    fac: float
    """NaN where the anchor's support is empty."""
    n_support: int
    n_covered: int
    n_missing: int
    expected_missing: float
    """Missing by chance, computed: had anchor and seed one source."""
    null_missing: int | None
    """Missing by chance, drawn: from a seed that lacks nothing; None where there is none."""
    null_reason: str | None
    """Why there is none."""
    n_unjudged: int
    """Features frequent enough for the anchor's support, but without a verdict: they are not relevant to any scope."""
    n_features: int
    """All of the dictionary."""


class Dial:
    """The threshold of a browser, and coverage at it.

    `delta` None is the rule's own threshold, `m` None the support that follows from the rule; `scope` says which
    features count. `null` is an anchor and a seed that lacks nothing of it.
    """

    def __init__(
        self,
        anchor: FeatureStats,
        seed: FeatureStats,
        rule: CoverageRule,
        table: FeatureTable,
        null: tuple[FeatureStats, FeatureStats] | None,
    ) -> None:
        self.anchor, self.seed, self.table = anchor, seed, table
        self.sae = str(anchor.made_by.get("sae", f"without a digest, of {anchor.d_sae} features"))
        """Digest of the SAE whose features are shown."""
        self.live = LiveThreshold(anchor, seed, rule)
        self.null = None if null is None else LiveThreshold(*null, rule)
        self.delta: float | None = None
        self.m: int | None = None
        self._cache: dict[str, tuple[Hashable, Any]] = {}
        support = self.live.at().status != OUTSIDE
        # Where only some features were judged (an audit judges the missing ones), FAC over those would mislead.
        self.scope = "relevant" if support.any() and table.judged[support].mean() >= 0.5 else "all"

    def set_threshold(self, delta: float | None, m: int | None = None) -> Numbers:
        """Move the threshold (None: the rule's own) and the support m (None: what follows from the rule).

        Raises SettingsError, and changes nothing, for a negative delta or an m below 1.
        """
        self.live.at(delta, m=m)
        self.delta, self.m = delta, m
        return self.numbers()

    def set_support(self, m: int | None) -> Numbers:
        """Ask for another support m (None: what follows from the rule), the threshold staying where it is.

        Raises SettingsError, and changes nothing, for an m below 1.
        """
        return self.set_threshold(self.delta, m)

    def set_scope(self, scope: str) -> Numbers:
        """Let all features count, or only the relevant ones."""
        if scope not in SCOPES:
            raise SettingsError(f"there is no scope {scope!r}; there are: {', '.join(SCOPES)}")
        self.scope = scope
        return self.numbers()

    @property
    def counting(self) -> np.ndarray | None:
        """The features that count, bool `[d_sae]`; None for all."""
        return self.table.relevant if self.scope == "relevant" else None

    @property
    def cut(self) -> Cut:
        """Coverage at the present threshold."""
        return self._once("cut", self._at, lambda: self.live.at(self.delta, relevant=self.counting, m=self.m))

    @property
    def null_cut(self) -> Cut | None:
        """The same of the null; None where there is none."""
        null = self.null
        if null is None:
            return None
        return self._once("null", self._at, lambda: null.at(self.delta, relevant=self.counting, m=self.m))

    def coverage(self) -> Coverage:
        """Coverage at the present threshold as the object that figures take and that can be saved."""
        return self.live.coverage(self.cut)

    def numbers(self) -> Numbers:
        """FAC, the missing features, and what chance would make missing."""
        cut, null = self.cut, self.null_cut
        return Numbers(
            delta=None if np.ndim(cut.delta) else float(cut.delta),
            m=cut.m,
            scope=self.scope,
            fac=cut.fac,
            n_support=cut.n_support,
            n_covered=cut.n_covered,
            n_missing=cut.n_missing,
            expected_missing=cut.expected_missing,
            null_missing=None if null is None else null.n_missing,
            null_reason="no seed without gaps was drawn" if null is None else None,
            n_unjudged=int(((cut.anchor_count >= cut.m) & ~self.table.judged).sum()),
            n_features=self.table.d_sae,
        )

    def curve(self, deltas: Sequence[float] | None = None) -> pd.DataFrame:
        """Coverage over thresholds (those of `live.deltas()` if None), as `figures.coverage_curve` takes it.

        Columns: those of `coverage.sweep`, `expected_missing`, and `null_missing` where there is a null.
        """
        chosen = tuple(self.live.deltas() if deltas is None else deltas)

        def make() -> pd.DataFrame:
            frame = self.live.curve(chosen, relevant=self.counting, m=self.m)
            if self.null is not None:
                frame["null_missing"] = self.null.curve(chosen, relevant=self.counting, m=self.m)["missing"]
            return frame

        return self._once("curve", (chosen, *self._at[1:]), make)

    def side(self, name: str, *, delta: float | None = None, m: int | None = None) -> Side:
        """One side of a comparison: the present threshold, or another one where `delta` or `m` is given."""
        if delta is None and m is None:
            cut, null = self.cut, self.null_cut
        else:
            cut = self.live.at(delta, relevant=self.counting, m=m)
            null = None if self.null is None else self.null.at(delta, relevant=self.counting, m=m)
        return Side(name, self.sae, cut, None if null is None else null.n_missing)

    @property
    def _at(self) -> tuple:
        """What the present cut depends on."""
        return (self.delta, self.m, self.scope, self.table.version)

    def _once(self, name: str, key: Hashable, make: Callable[[], T]) -> T:
        """The value made last under a name, made anew where its key is another."""
        held = self._cache.get(name)
        if held is None or held[0] != key:
            self._cache[name] = held = (key, make())
        return held[1]
