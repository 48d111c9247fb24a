"""Speed of collection against its floor and against one text at a time, in one run on one machine.

    python -m benchmarks.collect --settings mini wide --rounds 5

Each way runs in turns; a ratio is taken within a round. One text at a time reads fewer texts, so its ratio is one
of tokens per second. Tokens are those that the subject reads, padding not counted.
"""

import argparse

import pandas as pd
from tqdm.auto import tqdm

from benchmarks import ways
from benchmarks.settings import SETTINGS, texts
from benchmarks.timing import in_turns, spread

TEXTS = {"mini": 4_000, "minilm": 800, "wide": 320}
FEW = {"mini": 40, "minilm": 16, "wide": 4}
"""Texts of a run of each way, and of one text at a time: some seconds each."""


def measure(names: list[str], rounds: int, share: float = 1.0) -> pd.DataFrame:
    """One row per setting and protocol: tokens per second of each way and the two ratios, with their spread."""
    rows = []
    for name in tqdm(names, desc="settings", unit="setting"):
        setting = SETTINGS[name]()
        many, few = texts(int(TEXTS[name] * share)), texts(max(2, int(FEW[name] * share)))
        for top_k in (True, False):
            chosen = setting.with_protocol(top_k=top_k)
            seconds = in_turns(
                {
                    "floor": ways.floor(chosen, many),
                    "ours": ways.ours(chosen, many),
                    "one": ways.one_at_a_time(chosen, few),
                },
                rounds,
            )
            rate = {
                "floor": ways.n_tokens(chosen, many) / seconds["floor"],
                "ours": ways.n_tokens(chosen, many) / seconds["ours"],
                "one": ways.n_tokens(chosen, few) / seconds["one"],
            }
            row = {**chosen.facts, "texts": int(TEXTS[name] * share), "rounds": rounds}
            row |= {f"{way}_tokens_per_second": spread(rates)[0] for way, rates in rate.items()}
            for ratio, values in (
                ("over_floor", seconds["ours"] / seconds["floor"]),
                ("over_reference", rate["ours"] / rate["one"]),
            ):
                row |= dict(zip((ratio, f"{ratio}_least", f"{ratio}_most"), spread(values), strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=4, help="counted runs of each way (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of texts (%(default)s)")
    options = parser.parse_args()
    print(measure(options.settings, options.rounds, options.share).round(2).T.to_string())


if __name__ == "__main__":
    main()
