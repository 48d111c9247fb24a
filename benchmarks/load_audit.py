"""What an audit of very many rows takes: the command itself, from file to report, with a stub for model and SAE."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from benchmarks.stub import WORDS, make_stub, write_rows

ANCHOR = 5
"""Rows of the data for each row of the anchor."""
KNOWN_WORDS = 120
"""The data use the first of the words only, so that features of the others are missing."""
RUN = """
import sys
from pathlib import Path
from fac_lab.cli import main
code = main(sys.argv[1:])
print([line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")][0])
sys.exit(code)
"""


class Audited(NamedTuple):
    """One audit."""

    rows: int
    anchor_rows: int
    seconds: float
    peak_gb: float
    """The most memory that its process had."""
    out: Path
    """The audit's folder."""


def audit_rows(folder: Path, n: int, *, profile: str = "mini") -> Audited:
    """Write `n` rows and an anchor into `folder` (made if needed) and audit them there in a process of its own.

    `profile` sets how collection reads (chunks, batches) and the rule; model and SAE are the stub's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stub, mine, anchor, out = make_stub(folder), folder / "mine.jsonl", folder / "anchor.jsonl", folder / "audit"
    write_rows(mine, n, words=KNOWN_WORDS, seed=1)
    write_rows(anchor, n // ANCHOR, words=len(WORDS), seed=2)
    asked = ["-q", "audit", str(mine), "--anchor", str(anchor), "--id-column", "id", *stub.options, "--out", str(out)]
    # One thread, because the stub's products are too small to be shared, and waiting for others costs time only.
    environment = {**os.environ, "FAC_LAB_PROFILE": profile, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    began = perf_counter()
    done = subprocess.run([sys.executable, "-c", RUN, *asked], capture_output=True, text=True, env=environment)
    seconds = perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"the audit ended with {done.returncode}: {done.stderr[-2000:]}")
    peak = int(done.stdout.split()[-1]) * 1024 / 1e9
    return Audited(n, n // ANCHOR, seconds, peak, out)


def found(out: Path) -> dict[str, float]:
    """What an audit's folder says: FAC, missing features, and those of the null."""
    from fac_lab.coverage import Coverage

    coverage, null = Coverage.load(out / "coverage"), Coverage.load(out / "null")
    asked = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    return {
        "fac": coverage.fac,
        "missing": len(coverage.missing),
        "null_missing": len(null.missing),
        "n_seed": coverage.n_seed,
        "n_anchor": coverage.n_anchor,
        "limit": asked["limit"],
    }
