"""What does your data set leave out? FAC against an anchor, the missing features with their spans, and a report.

result = audit("mine.jsonl", anchor="task.parquet", profile="minilm", text_column="query")
result.coverage.fac, result.missing.head(10)
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fac_lab.atomic import clear_temporaries, write_atomic
from fac_lab.corpora import Corpus
from fac_lab.coverage import Coverage, cover, sweep
from fac_lab.display.audit_report import octaves, write_audit_report
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.profile import Profile, as_dict

NULL_SEED = 0
SPANS_SHOWN = 5


class AuditResult(NamedTuple):
    """What an audit found; all of it is also in the run's folder."""

    coverage: Coverage
    null: Coverage
    """The same rule for a seed drawn from the anchor itself: what is missing there is missing by chance."""
    missing: pd.DataFrame
    """One row per missing feature, most frequent in the anchor first."""
    sweep: pd.DataFrame
    """FAC and missing features at absolute thresholds (the paper's, and octaves above), m = 1."""
    rejected: dict[str, int]
    """Unusable rows per data set; listed in rejected.jsonl."""
    report: Path

    def __str__(self) -> str:
        c = self.coverage
        delta = f"{c.delta:.3g}" if np.ndim(c.delta) == 0 else "one per feature"
        return "\n".join(
            (
                f"FAC {c.fac:.3f}: {c.covered.sum()} of the anchor's {c.anchor_support.sum()} features are covered",
                f"missing: {len(c.missing)} (by chance: {c.expected_missing:.1f} expected; "
                f"{len(self.null.missing)} found in {self.null.n_seed} rows drawn from the anchor)",
                f"rule: {c.rule.kind}, delta {delta}, m {c.m}; {c.n_anchor} anchor rows, {c.n_seed} seed rows",
                f"rejected rows: {self.rejected['seed']} of the seed, {self.rejected['anchor']} of the anchor",
                f"report: {self.report}",
            )
        )


def audit(
    file: str | Path,
    *,
    anchor: str | Path,
    profile: str | Profile | None = None,
    text_column: str = "text",
    anchor_text_column: str | None = None,
    id_column: str | None = None,
    limit: int | None = None,
    out: str | Path = "runs/audit",
) -> AuditResult:
    """Measure the data set in `file` against the one in `anchor`.

    Writes into `out`: coverage/ and null/ (every number with its settings), missing.csv, sweep.csv, rejected.jsonl,
    audit.json (what was asked) and report.html. Finished parts are found again by a second run. Raises DataError for
    unusable files, SettingsError and ModelError for a profile or model that does not fit.
    """
    out = Path(out)
    clear_temporaries(out)
    lab = Lab.open(profile, out=out / "store")
    seed_corpus = Corpus.from_file(file, text_column=text_column, id_column=id_column)
    anchor_corpus = Corpus.from_file(anchor, text_column=anchor_text_column or text_column)
    if limit is not None:
        seed_corpus, anchor_corpus = seed_corpus.head(limit, seed=0), anchor_corpus.head(limit, seed=0)
    # A pass over the file lists its unusable rows, also where its statistics are found on disk.
    n_seed = sum(1 for _ in seed_corpus)
    seed = lab.stats(seed_corpus)
    rest, drawn = anchor_in_two(lab, anchor_corpus, n_seed)
    anchor_stats = rest.merge(drawn)
    coverage = cover(anchor_stats, seed, lab.profile.rule)
    null = cover(rest, drawn, lab.profile.rule)
    missing = describe(coverage.missing, coverage, anchor_stats)
    if lab.profile.annotator is not None:
        missing = missing.merge(lab.annotate(anchor_stats, coverage.missing), on="feature", how="left")
    rejected = {"seed": seed_corpus.rejections, "anchor": anchor_corpus.rejections}
    result = AuditResult(
        coverage=coverage,
        null=null,
        missing=missing,
        sweep=sweep(anchor_stats, seed, octaves(coverage.delta)),
        rejected={role: len(rows) for role, rows in rejected.items()},
        report=out / "report.html",
    )
    coverage.save(out / "coverage")
    null.save(out / "null")
    write_atomic(out / "missing.csv", lambda path: missing.to_csv(path, index=False))
    write_atomic(out / "sweep.csv", lambda path: result.sweep.to_csv(path, index=False))
    lines = [json.dumps({"data": role} | row._asdict()) for role, rows in rejected.items() for row in rows]
    write_atomic(out / "rejected.jsonl", lambda path: path.write_text("".join(line + "\n" for line in lines)))
    asked = {
        "profile": as_dict(lab.profile),
        "limit": limit,
        "seed": _asked(seed_corpus, file, text_column, id_column),
        "anchor": _asked(anchor_corpus, anchor, anchor_text_column or text_column, None),
    }
    write_atomic(out / "audit.json", lambda path: path.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8"))
    write_audit_report(result, anchor=anchor_stats, seed=seed, profile=lab.profile)
    return result


def _asked(corpus: Corpus, file: str | Path, text_column: str, id_column: str | None) -> dict:
    """A data set as it was asked for, so that it can be opened again."""
    where = {"file": str(Path(file).resolve()), "text_column": text_column, "id_column": id_column}
    return {**where, "digest": corpus.digest}


def anchor_in_two(lab: Lab, anchor: Corpus, n_drawn: int) -> tuple[FeatureStats, FeatureStats]:
    """Statistics of the anchor without some of its rows, drawn at random, and of those rows, at most half of all.

    Statistics merge exactly, so the anchor and its null need only one reading.
    """
    size = sum(1 for _ in anchor)
    drawn, rest = anchor.split(min(n_drawn, size // 2), NULL_SEED)
    return lab.stats(rest), lab.stats(drawn)


def describe(features: np.ndarray, coverage: Coverage, anchor: FeatureStats) -> pd.DataFrame:
    """Features with their counts, largest activation and strongest anchor spans."""
    rows = []
    for feature in map(int, features):
        spans = anchor.spans(feature)
        rows.append(
            {
                "feature": feature,
                "anchor_count": int(coverage.anchor_count[feature]),
                "seed_count": int(coverage.seed_count[feature]),
                "maximum": float(anchor.maximum[feature]),
                "spans": " | ".join(span.text for span in spans[:SPANS_SHOWN]),
            }
        )
    return pd.DataFrame(rows, columns=["feature", "anchor_count", "seed_count", "maximum", "spans"])
