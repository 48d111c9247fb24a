"""What follows collection, at the paper's dictionary: coverage, selection, the browser and a report.

    python -m benchmarks.dictionary --features 65536 --samples 100000

The activations are drawn, not read: feature frequencies fall as 1 / rank, values are log-normal, and each sample has
about as many active features as a text of sixty tokens at K 20 (`--active`).
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.timing import peak_gb, spread
from fac_lab.audit import AuditResult, describe
from fac_lab.browsing.session import BrowserSession
from fac_lab.coverage import cover, sweep
from fac_lab.display.audit_report import octaves, write_audit_report
from fac_lab.features.encoder import Pooled
from fac_lab.features.stats import FeatureStats
from fac_lab.features.tokens import TokenizedText
from fac_lab.profile import load_profile
from fac_lab.settings import CoverageRule
from fac_lab.synthesis.selection import select_greedily

CHUNK = 2048


def drawn(n_samples: int, d_sae: int, active: int, seed: int) -> tuple[FeatureStats, sparse.csr_matrix]:
    """Statistics and matrix of samples that nobody wrote."""
    rng = np.random.default_rng(seed)
    share = np.cumsum(1 / np.arange(1.0, d_sae + 1))
    stats, parts = FeatureStats.empty(d_sae), []
    for start in range(0, n_samples, CHUNK):
        n = min(CHUNK, n_samples - start)
        feature = np.searchsorted(share, rng.random(n * active) * share[-1])
        key = np.unique(np.repeat(np.arange(n), active) * d_sae + feature)
        sample, feature = np.divmod(key, d_sae)
        value = rng.lognormal(0, 1, len(key)).astype(np.float32)
        text = "a text that stands for others"
        tokens = [TokenizedText(np.arange(1), 0, 1, [(0, len(text))], False)] * n
        ids = [f"{start + i:07d}" for i in range(n)]
        stats.update(Pooled(sample, feature, value, np.zeros_like(sample)), ids, [text] * n, tokens, span_tokens=32)
        parts.append(sparse.csr_matrix((value, (sample, feature)), shape=(n, d_sae)))
    return stats, sparse.vstack(parts, format="csr")


def measure(d_sae: int, n_samples: int, active: int, rounds: int) -> pd.DataFrame:
    """One row per step: seconds with their spread, and the most memory that this process had so far, in GB."""
    rows = []

    def time(step: str, run, times: int = rounds):
        result, seconds = run(), []
        for _ in range(times):
            began = perf_counter()
            result = run()
            seconds.append(perf_counter() - began)
        values = dict(zip(("seconds", "least", "most"), spread(np.array(seconds)), strict=True))
        rows.append({"step": step, **values, "rounds": times, "peak_gb": peak_gb()})
        return result

    anchor, pool = drawn(n_samples, d_sae, active, seed=1)
    seed, _ = drawn(n_samples // 10, d_sae, active, seed=2)
    rule = CoverageRule(kind="anchor_quantile", quantile=0.5)
    with tempfile.TemporaryDirectory() as folder:
        anchor.save(Path(folder))
        time("read stored statistics", lambda: FeatureStats.load(folder), 2)
    coverage = time("coverage at one threshold", lambda: cover(anchor, seed, rule))
    session = BrowserSession(anchor, seed, rule, null=(anchor, seed))
    deltas = session.live.deltas(20)
    time("slider: coverage at twenty thresholds", lambda: [session.live.at(delta) for delta in deltas])

    def slide() -> None:
        for delta in deltas:
            session.set_threshold(delta)
            session.page()
            session.facets()

    time("slider: twenty moves with null, list and counts", slide, 3)
    time("one feature's view", lambda: session.feature(int(coverage.missing[0])))
    selected = time(
        "selection of 2,000 rows", lambda: select_greedily(pool, coverage.missing, 2000, delta=coverage.delta), 3
    )
    with tempfile.TemporaryDirectory() as folder:
        missing, curve = describe(coverage.missing, coverage, anchor), sweep(anchor, seed, octaves(coverage.delta))
        none = {"seed": 0, "anchor": 0}
        result = AuditResult(coverage, coverage, missing, curve, none, Path(folder) / "report.html")
        time("report", lambda: write_audit_report(result, anchor=anchor, seed=seed, profile=load_profile("mini")), 1)
        megabytes = result.report.stat().st_size / 1e6
    frame = pd.DataFrame(rows)
    frame["features"], frame["samples"], frame["active"] = d_sae, n_samples, active
    frame.attrs = {"missing": len(coverage.missing), "selected": len(selected.rows), "report_mb": megabytes}
    return frame


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--active", type=int, default=300, help="features drawn per sample (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    frame = measure(options.features, options.samples, options.active, options.rounds)
    print(frame.round(4).to_string(index=False))
    print(frame.attrs)


if __name__ == "__main__":
    main()
