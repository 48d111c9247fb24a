"""One feature's activations in several data sets, on one axis with few enough bars to be read."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fac_lab.features.stats import EDGES, FeatureStats

BARS_PER_OCTAVE = 2
MOST_BARS = 40


class Histogram(NamedTuple):
    """Samples by activation; bar b holds those in `(lower[b], upper[b]]`."""

    lower: np.ndarray
    """float64 `[n_bars]`; the first may be 0."""
    upper: np.ndarray
    """float64 `[n_bars]`; the last may be infinite."""
    counts: dict[str, np.ndarray]
    """Samples per bar by data set, int64 `[n_bars]`."""
    n_samples: dict[str, int]
    """All samples by data set, those that do not activate the feature included."""

    def share(self, role: str) -> np.ndarray:
        """Share of all samples of a data set per bar, float64 `[n_bars]`: what sets of different sizes compare by."""
        return self.counts[role] / max(self.n_samples[role], 1)

    def silent(self, role: str) -> int:
        """Samples of a data set that do not activate the feature."""
        return self.n_samples[role] - int(self.counts[role].sum())


def histogram(stats: Mapping[str, FeatureStats], feature: int, *, per_octave: int = BARS_PER_OCTAVE) -> Histogram:
    """The bins of one feature merged to bars that all data sets share, from the first that is filled to the last.

    `per_octave` is 1, 2, 4 or 8; it is halved until there are at most 40 bars. Counts are exact, because bars are made
    of whole bins. No bars where nothing activates the feature.
    """
    bins = {role: found.histogram[feature].astype(np.int64) for role, found in stats.items()}
    sizes = {role: found.n_samples for role, found in stats.items()}
    filled = np.flatnonzero(sum(bins.values(), np.zeros(len(EDGES), np.int64)))
    if not len(filled):
        none = np.zeros(0)
        return Histogram(none, none, {role: np.zeros(0, np.int64) for role in bins}, sizes)
    while True:
        starts = bar_starts(per_octave)
        first, last = np.searchsorted(starts, [filled[0], filled[-1]], side="right") - 1
        if last - first < MOST_BARS or per_octave == 1:
            break
        per_octave //= 2
    bounds = np.append(EDGES[starts].astype(float), np.inf)
    return Histogram(
        bounds[first : last + 1],
        bounds[first + 1 : last + 2],
        {role: np.add.reduceat(counts, starts)[first : last + 1] for role, counts in bins.items()},
        sizes,
    )


def bar_starts(per_octave: int) -> np.ndarray:
    """The bins that begin a bar: the lowest one, which reaches down to 0, and those at whole steps of an octave.

    `per_octave` is 1, 2, 4 or 8: bars are made of whole bins.
    """
    steps = per_octave * np.log2(EDGES[1:].astype(float))
    # Edges are float32, so that a power of two's root may lie a hair below its step.
    return np.append(0, 1 + np.flatnonzero(np.abs(steps - steps.round()) < 1e-4))
