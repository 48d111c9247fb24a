"""How the rate of collection and its memory change with samples, features, batch and the spread of lengths.

    python -m benchmarks.scaling --only features batch

Each point runs in a process of its own, whose highest memory is reported. Rates of different points are measured
one after the other: compare what differs by much. `over_floor` is a ratio within its point.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
from tqdm.auto import tqdm

from benchmarks import settings, ways
from benchmarks.timing import alone, in_turns, spread

POINTS: dict[str, list] = {
    "samples": [1_000, 10_000, 100_000],
    "features": [4_096, 16_384, 65_536, 131_072],
    "batch": [512, 2_048, 4_096, 16_384, 65_536],
    "spread": [0.0, 0.5, 1.0, 1.5],
}
"""Samples of the mini setting; features of a random SAE on the wide subject; tokens per batch of the mini setting;
sigma of the log-length of texts of four queries on average."""


def point(axis: str, value: float, share: float, rounds: int) -> dict[str, object]:
    """One point: rates with their spread."""
    setting = settings.wide(d_sae=int(value)) if axis == "features" else settings.mini()
    if axis == "batch":
        setting = replace(setting, collect=replace(setting.collect, batch_tokens=int(value)))
    n = {"samples": value, "features": 2e7 / (value + 15_000), "batch": 1_600, "spread": 600}[axis]
    n_texts = max(8, int(n * share))
    # Its floor would hold all batches of the largest corpus in memory.
    is_large = axis == "samples" and value > 10_000
    corpus = settings.texts(
        max(8, int(n * share)), mean=4 if axis == "spread" else 1, spread=value * (axis == "spread")
    )
    seconds = in_turns(
        {"ours": ways.ours(setting, corpus)} | ({} if is_large else {"floor": ways.floor(setting, corpus)}),
        1 if is_large else rounds,
        warm=not is_large,
    )
    tokens = ways.n_tokens(setting, corpus)
    rate, least, most = spread(tokens / seconds["ours"])
    return {
        "axis": axis,
        "value": n_texts if axis == "samples" else value,
        "texts": n_texts,
        "tokens": tokens,
        "rounds": len(seconds["ours"]),
        "tokens_per_second": rate,
        "least": least,
        "most": most,
        "over_floor": None if is_large else spread(seconds["ours"] / seconds["floor"])[0],
    }


def measure(axes: list[str], share: float = 1.0, rounds: int = 3) -> pd.DataFrame:
    """One row per point of each axis."""

    def rows() -> Iterator[dict]:
        for axis, value in tqdm([(name, value) for name in axes for value in POINTS[name]], unit="point"):
            found, peak = alone(point, axis, value, share, rounds)
            yield {**found, "peak_gb": peak}

    return pd.DataFrame(rows())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(POINTS), default=list(POINTS))
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of texts (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(measure(options.only, options.share, options.rounds).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
