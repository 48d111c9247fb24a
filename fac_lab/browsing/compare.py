"""Two coverages side by side: other data, another threshold, or another model."""

from typing import Any, NamedTuple

import numpy as np

from fac_lab.browsing.threshold import COVERED, MISSING, Cut
from fac_lab.errors import SettingsError

NUMBERS = (
    *("delta", "m", "n_anchor", "n_seed", "n_relevant", "n_support", "n_covered", "n_missing"),
    *("expected_missing", "fac"),
)
SETS = ("missing", "covered", "support")


class Side(NamedTuple):
    """One of the two."""

    name: str
    """What to call it."""
    sae: str
    """Digest of the SAE whose features it counts."""
    cut: Cut
    null_missing: int | None = None
    """Features missing from a seed that lacks nothing, where one was drawn."""


class Shared(NamedTuple):
    """Two sets of one SAE's features; indices, ascending, int64."""

    only_a: np.ndarray
    only_b: np.ndarray
    both: np.ndarray

    @property
    def jaccard(self) -> float:
        """Shared part of all; NaN where both are empty."""
        size = sum(map(len, self))
        return len(self.both) / size if size else float("nan")


class Comparison(NamedTuple):
    """What `compare` found."""

    names: tuple[str, str]
    numbers: dict[str, tuple[Any, Any]]
    """NUMBERS and `null_missing` of both; thresholds of their own per feature are None."""
    sets: dict[str, Shared] | None
    """By SETS; None for two SAEs."""
    reason: str | None
    """Why there are no sets."""

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """The numbers that differ."""
        return {name: pair for name, pair in self.numbers.items() if pair[0] != pair[1]}


def compare(a: Side, b: Side) -> Comparison:
    """Numbers of both, and, where they are of one SAE, the features that differ.

    Of two models only counts and FAC compare: feature 7 of one has nothing to do with feature 7 of the other.
    """
    numbers = {name: (_number(a.cut, name), _number(b.cut, name)) for name in NUMBERS}
    numbers["null_missing"] = (a.null_missing, b.null_missing)
    names = (a.name, b.name)
    if a.sae != b.sae:
        reason = f"{a.name} and {b.name} are read with two SAEs, whose features have nothing to do with each other"
        return Comparison(names, numbers, None, reason)
    if len(a.cut.status) != len(b.cut.status):
        raise SettingsError(
            f"{a.name} has {len(a.cut.status)} features and {b.name} {len(b.cut.status)}, though both name the SAE "
            f"{a.sae}: one of the two is damaged; collect it again"
        )
    sets = {name: _shared(_members(a.cut, name), _members(b.cut, name)) for name in SETS}
    return Comparison(names, numbers, sets, None)


def _members(cut: Cut, name: str) -> np.ndarray:
    missing, covered = cut.status == MISSING, cut.status == COVERED
    return {"missing": missing, "covered": covered, "support": missing | covered}[name]


def _shared(a: np.ndarray, b: np.ndarray) -> Shared:
    return Shared(*(np.flatnonzero(mask) for mask in (a & ~b, b & ~a, a & b)))


def _number(cut: Cut, name: str) -> Any:
    value = getattr(cut, name)
    return None if isinstance(value, np.ndarray) or value != value else value
