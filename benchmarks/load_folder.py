"""The folder of a finished audit with as many features as asked, without any model: its activations are drawn."""

from pathlib import Path

from benchmarks.dictionary import drawn
from fac_lab.atomic import write_atomic
from fac_lab.audit import describe
from fac_lab.coverage import Coverage, cover
from fac_lab.digests import digest
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CoverageRule
from fac_lab.store import Artifact, Store

RULE = CoverageRule(kind="anchor_quantile", quantile=0.5)
PARTS = {"seed": 0.1, "rest": 0.9, "drawn": 0.1}
"""Data sets with their sizes, as shares of the anchor's; rest and drawn are the anchor in two, for its null."""


def write_audit(folder: Path, d_sae: int, n_samples: int, *, active: int = 100) -> Coverage:
    """Write what `fac-lab audit` leaves and `fac-lab browse` reads: statistics, coverage, null, missing features.

    Without audit.json, as of a folder of old: no profile is known and no model can be asked. Returns the coverage.
    """
    store, parts = Store(folder / "store"), {}
    for number, (name, share) in enumerate(PARTS.items(), start=1):
        stats, _ = drawn(int(n_samples * share), d_sae, active, seed=number)
        parts[name] = _kept(store, stats, name)
    anchor = parts["rest"].merge(parts["drawn"])
    coverage = cover(anchor, parts["seed"], RULE)
    coverage.save(folder / "coverage")
    cover(parts["rest"], parts["drawn"], RULE).save(folder / "null")
    missing = describe(coverage.missing, coverage, anchor)
    write_atomic(folder / "missing.csv", lambda path: missing.to_csv(path, index=False))
    return coverage


def _kept(store: Store, stats: FeatureStats, name: str) -> FeatureStats:
    corpus = digest(name, stats.n_samples, stats.d_sae)
    stats.made_by = {"sae": "drawn", "corpora": {corpus: name}}

    def build(artifact: Artifact) -> dict:
        stats.save(artifact.path)
        return {"samples": stats.n_samples}

    store.once("stats", build, version=1, corpus=corpus, matrix=False)
    return stats
