"""How long, on how many machines, with how much disk: sizes of a collection computed from measured rates.

Nothing here is a measurement. A rate is given by whoever measured it (`make bench`, or the line that
`fac-lab collect` prints), the rest is arithmetic on the formats that this package writes.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from fac_lab.errors import SettingsError
from fac_lab.features.stats import N_BINS


@dataclass(frozen=True)
class Rates:
    """What was measured on one worker, on the hardware that is to be used."""

    tokens_per_second: float
    """Tokens that the subject reads, padding not counted."""
    tokens_per_sample: float
    """Mean length in the template, after cutting."""
    merge_seconds: float = 0.0
    """Adding one shard's statistics to the total, on the machine that starts the run."""
    load_seconds: float = 0.0
    """Until a worker has model and SAE."""

    def __post_init__(self):
        for name in ("tokens_per_second", "tokens_per_sample"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; measure it, it has to be positive")
        for name in ("merge_seconds", "load_seconds"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it has to be 0 or more")


class Size(NamedTuple):
    """A collection of `samples` samples by `workers` workers."""

    samples: int
    workers: int
    shards: int
    tokens: float
    """Tokens the subject reads."""
    worker_hours: float
    """Hours of work of all workers together, loading included."""
    hours: float
    """From start to result: the busiest worker, or merging where that takes longer."""
    lost_minutes: float
    """Most that one killed worker costs: loading again, and one shard."""
    stats_gb: float
    """Disk for the shards' statistics, at most: before compression, with every feature's spans."""

    def __str__(self) -> str:
        return (
            f"{self.samples:>13,} samples, {self.tokens:.3g} tokens, {self.shards:,} shards on {self.workers} workers: "
            f"{self.worker_hours:,.1f} worker hours, {self.hours:,.1f} h to the result; a killed worker costs "
            f"{self.lost_minutes:.1f} min; the shards' statistics take {self.stats_gb:,.1f} GB of disk at most"
        )


def size(
    samples: int,
    rates: Rates,
    *,
    workers: int,
    rows_per_shard: int,
    d_sae: int,
    top_spans: int = 10,
    span_bytes: int = 200,
) -> Size:
    """Sizes of a run, from rates measured on one worker and taken to hold on each of them.

    Workers take shards one by one, so the busiest has `ceil(shards / workers)` of them; one process merges those
    that are finished meanwhile. `span_bytes` is what a kept span takes with its id.
    """
    for name, value in (("samples", samples), ("workers", workers), ("rows_per_shard", rows_per_shard)):
        if value < 1:
            raise SettingsError(f"{name} is {value}; it has to be at least 1")
    shards = math.ceil(samples / rows_per_shard)
    workers = min(workers, shards)
    # The last shard may be smaller, and the only one may be smaller than a whole shard.
    per_shard = min(samples, rows_per_shard) * rates.tokens_per_sample / rates.tokens_per_second
    busiest = math.ceil(shards / workers) * per_shard + rates.load_seconds
    tokens = samples * rates.tokens_per_sample
    # Histogram and maximum have four bytes each; a span has its feature, value and peak besides its text.
    feature_bytes = 4 * (N_BINS + 1) + top_spans * (span_bytes + 28)
    return Size(
        samples=samples,
        workers=workers,
        shards=shards,
        tokens=tokens,
        worker_hours=(tokens / rates.tokens_per_second + workers * rates.load_seconds) / 3600,
        hours=(max(busiest, (shards - 1) * rates.merge_seconds) + rates.merge_seconds) / 3600,
        lost_minutes=(per_shard + rates.load_seconds) / 60,
        stats_gb=shards * d_sae * feature_bytes / 1e9,
    )
