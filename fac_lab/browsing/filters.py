"""Filters of the feature table: what a feature has to be to be shown, and the masks that such conditions are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fac_lab.annotation.styles import VERDICTS
from fac_lab.browsing.threshold import STATUSES
from fac_lab.errors import SettingsError

UNJUDGED = "unjudged"
"""Stands for "no verdict" among the options of the verdict filter."""
NO_DOMAIN = "unknown"
"""Stands for "no domain" among the options of the domain filter."""


@dataclass(frozen=True, eq=False)
class Filters:
    """What a feature has to be to be shown; None, or "" for the text, lets everything pass."""

    status: Sequence[str] | None = None
    """Some of STATUSES."""
    relevant: bool | None = None
    """Only features that matter to the task, or only those that do not."""
    verdicts: Sequence[str] | None = None
    """Some of VERDICTS and UNJUDGED."""
    label_score: tuple[float | None, float | None] | None = None
    """Smallest and largest label score, either may be open; features without a score do not pass."""
    scored: bool | None = None
    """Only features whose label has a score, or only others."""
    anchor_frequency: tuple[float | None, float | None] | None = None
    """Smallest and largest share of anchor samples above the threshold."""
    domains: Sequence[str] | None = None
    """Some domains, and NO_DOMAIN."""
    text: str = ""
    """Words that all have to be in the summary or the spans, in any case and order; `#12` is feature 12."""
    among: np.ndarray | Sequence[int] | None = None
    """Indices of features, e.g. those of a lasso."""
    edited: bool | None = None
    """Only features that a person changed, or only others."""

    def __post_init__(self):
        for name, known in (("status", STATUSES), ("verdicts", (*VERDICTS, UNJUDGED))):
            for value in getattr(self, name) or ():
                if value not in known:
                    raise SettingsError(f"there is no {name} {value!r} to filter by; there are: {', '.join(known)}")


def codes_of(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Place of each value in `names`, their number where it is none of them; int `[d_sae]`."""
    place = {name: number for number, name in enumerate(names)}
    return np.fromiter((place.get(value, len(place)) for value in values), np.int64, len(values))


def any_of(codes: np.ndarray, chosen: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Where a code is that of one of the names chosen, bool of the shape of `codes`."""
    wanted = np.zeros(len(names), bool)
    wanted[[place for place, name in enumerate(names) if name in chosen]] = True
    return wanted[codes]


def within(values: np.ndarray, bounds: tuple[float | None, float | None]) -> np.ndarray:
    """Where a value is known and lies between two bounds, either of which may be open."""
    least, most = bounds
    inside = ~np.isnan(values)
    if least is not None:
        inside &= values >= least
    if most is not None:
        inside &= values <= most
    return inside


def all_of(masks: Iterable[np.ndarray], n: int) -> np.ndarray:
    """Where all masks hold, bool `[n]`; everywhere where there are none."""
    every = np.ones(n, bool)
    for mask in masks:
        every &= mask
    return every
