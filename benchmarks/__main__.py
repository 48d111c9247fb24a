"""Every table of measured speed, printed and, with --store, written to data/results with a manifest.

python -m benchmarks                      # as `make bench`
python -m benchmarks collect --share 0.1  # one table, on a tenth of the texts
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import torch

from benchmarks import collect, dictionary, generate, load, scaling
from benchmarks.settings import SETTINGS
from benchmarks.timing import alone
from fac_lab.studies.stored import write_result

TABLES: dict[str, Callable[[float, int], pd.DataFrame]] = {
    "collect": lambda share, rounds: collect.measure(list(SETTINGS), rounds, share),
    "scaling": lambda share, rounds: scaling.measure(list(scaling.POINTS), share, min(rounds, 3)),
    "generate": lambda share, rounds: generate.measure(rounds, share),
    "load": lambda share, rounds: load.measure(share),
    "dictionary": lambda share, rounds: alone(dictionary.measure, 65_536, int(100_000 * share), 300, rounds)[0],
}


def machine() -> dict[str, object]:
    """What the figures depend on. A load well above 0 means that others were at work."""
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": named[0].partition(":")[2].strip() if named else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load_before": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    """Measure, print, and store where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(TABLES)}; all if none is named")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of texts (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="counted runs of each way (%(default)s)")
    parser.add_argument("--store", action="store_true", help="write data/results/speed_*.csv")
    options = parser.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"there is no table {', '.join(sorted(unknown))}; choose from {', '.join(TABLES)}")
    for name in options.tables or TABLES:
        facts, began = machine(), time.monotonic()
        frame = TABLES[name](options.share, options.rounds)
        print(f"\n{name}: {facts}\n{shown(frame)}", flush=True)
        if options.store:
            facts |= {"share": options.share, "seconds": round(time.monotonic() - began)}
            write_result(f"speed_{name}", frame, facts | {"extra": frame.attrs})


def shown(frame: pd.DataFrame) -> str:
    """A frame for the terminal: ratios and their spread to two places, long tables as they are, wide ones turned."""
    rounded = frame.map(lambda value: float(f"{value:.4g}") if isinstance(value, float) else value)
    return rounded.T.to_string(header=False) if len(frame.columns) > 12 else rounded.to_string(index=False)


if __name__ == "__main__":
    main()
