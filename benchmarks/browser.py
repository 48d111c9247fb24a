"""Latency of the browser's threshold slider, filters and sample view on random statistics, on one core.

OMP_NUM_THREADS=1 python benchmarks/browser.py --features 65536 --thresholds 20
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fac_lab.browsing.session import BrowserSession
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import N_BINS, FeatureStats
from fac_lab.profile import CoverageRule

RULES = {
    "absolute, m 1": CoverageRule(),
    "quantile, alpha": CoverageRule(kind="anchor_quantile", quantile=0.5, support=None),
    "quantile, alpha and fdr": CoverageRule(kind="anchor_quantile", quantile=0.5, support=None, fdr=0.1),
    "quantile per feature": CoverageRule(kind="feature_quantile", quantile=0.5, support=None),
}


def random_stats(d_sae: int, n_samples: int, seed: int, *, frequency: np.ndarray) -> FeatureStats:
    """Statistics as a data set could have them: log-normal activations, features of very different frequency."""
    dice = np.random.default_rng(seed)
    stats = FeatureStats.empty(d_sae, 10, {"sae": "random"})
    stats.n_samples = n_samples
    counts = dice.binomial(n_samples, frequency)
    feature = np.repeat(np.arange(d_sae), counts)
    bins = np.clip(dice.normal(90, 12, len(feature)).round(), 1, N_BINS - 1).astype(int)
    np.add.at(stats.histogram.reshape(-1), feature * N_BINS + bins, 1)
    stats.maximum[:] = np.where(counts > 0, 2.0 ** dice.normal(2, 1, d_sae), 0)
    rows = np.repeat(np.arange(d_sae), np.minimum(counts, 10))
    texts = np.array([f"a span about thing {i % 977} and thing {i % 1013}" for i in range(len(rows))], object)
    ids = np.array([f"row-{i}" for i in range(len(rows))], object)
    value = dice.uniform(0.5, 8, len(rows)).astype(np.float32)
    stats.top.offer(SpanTable(rows, value, ids, texts, np.zeros((len(rows), 2), np.int64)))
    return stats


def timed(name: str, make: Callable[[], Any], repeats: int) -> None:
    """Print the median and the slowest time of some calls."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        make()
        times.append(1000 * (time.perf_counter() - began))
    print(f"{name:52} {np.median(times):9.1f} ms median {max(times):9.1f} ms slowest of {repeats}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--thresholds", type=int, default=20)
    parser.add_argument("--anchor", type=int, default=200_000, help="anchor samples (%(default)s)")
    parser.add_argument("--seed", type=int, default=20_000, help="seed samples (%(default)s)")
    options = parser.parse_args()
    print(
        f"{options.features:,} features, {options.thresholds} thresholds, {options.anchor:,} anchor and "
        f"{options.seed:,} seed samples, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}"
    )
    frequency = np.random.default_rng(0).lognormal(-9.5, 1.5, options.features).clip(0, 0.5)
    gaps = np.where(np.random.default_rng(3).random(options.features) < 0.05, 0, frequency)
    anchor = random_stats(options.features, options.anchor, 1, frequency=frequency)
    seed = random_stats(options.features, options.seed, 2, frequency=gaps)
    for name, rule in RULES.items():
        began = time.perf_counter()
        session = BrowserSession(anchor, seed, rule, null=(anchor, seed))
        print(f"\n{name}: opened in {time.perf_counter() - began:.2f} s")
        deltas = session.live.deltas(options.thresholds)

        def all_thresholds(session=session, deltas=deltas) -> None:
            for delta in deltas:
                session.live.at(delta)

        def slide(session=session, deltas=deltas) -> None:
            for delta in deltas:
                session.set_threshold(delta)
                session.page()
                session.facets()

        timed(f"coverage at {len(deltas)} thresholds", all_thresholds, 7)
        timed("the curve as a frame", lambda session=session, deltas=deltas: session.live.curve(deltas), 7)
        timed(f"slider over {len(deltas)}: counts, null, page, facets", slide, 3)
    session.set_threshold(deltas[len(deltas) // 2])
    words = iter(range(1000))
    timed("search, first word (texts are made ready)", lambda: session.set_filters(text=f"thing {next(words)}"), 1)
    timed("search, another word", lambda: session.set_filters(text=f"thing {next(words)}"), 5)
    session.clear_filters()
    timed("all features as records", session.records, 1)
    timed("one feature", lambda: session.feature(next(words)), 20)


if __name__ == "__main__":
    main()
