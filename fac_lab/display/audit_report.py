"""The report of an audit: what the data set covers, what it lacks, and how sure that is."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fac_lab.coverage import PAPER_DELTAS
from fac_lab.display import figures
from fac_lab.display.report import Cards, Facts, FeatureCard, Figure, Prose, Section, Table, write_report
from fac_lab.features.stats import FeatureStats
from fac_lab.profile import Profile, as_dict
from fac_lab.store import package_versions

if TYPE_CHECKING:
    from fac_lab.audit import AuditResult
    from fac_lab.coverage import Coverage

CARDS = 60
"""Missing features shown as cards; all of them are in missing.csv."""


def write_audit_report(result: "AuditResult", *, anchor: FeatureStats, seed: FeatureStats, profile: Profile) -> None:
    """Write `result.report`."""
    coverage, n_missing, n_null = result.coverage, len(result.coverage.missing), len(result.null.missing)
    lead = (
        f"The data set covers {coverage.covered.sum():,} of the {coverage.anchor_support.sum():,} features that the "
        f"anchor shows: FAC {coverage.fac:.3f}. {n_missing:,} are missing; in a seed drawn from the anchor itself "
        f"it would be {n_null:,}."
    )
    sweep = Figure(
        figures.coverage_curve(result.sweep, chosen=coverage.delta if np.ndim(coverage.delta) == 0 else None),
        "At absolute thresholds with m = 1, where one activation of one sample is enough.",
    )
    sections = [
        Section("Coverage", [Prose(f"{reading(coverage)}\n\n{null_reading(coverage, result.null)}"), sweep]),
        Section(
            "Missing features",
            [
                Figure(figures.anchor_seed_scatter(coverage, _names(result.missing))),
                Prose(
                    f"The {min(CARDS, n_missing)} most frequent in the anchor; all {n_missing:,} are in missing.csv. "
                    "Each shows the anchor's texts that activate it most, the token of the maximum marked."
                ),
                Cards(missing_cards(result.missing[:CARDS], coverage, anchor)),
            ],
        ),
        Section("Where the numbers come from", [_rejected(result), provenance(coverage, anchor, seed, profile)]),
    ]
    write_report(result.report, "What your data leave out", sections, lead=lead)


def octaves(delta: float | np.ndarray) -> list[float]:
    """The paper's thresholds, and powers of two from there to beyond `delta`."""
    top = float(np.max(delta))
    return sorted({*PAPER_DELTAS, *(2.0**power for power in range(math.ceil(math.log2(max(top, 1))) + 2))})


def null_reading(coverage: "Coverage", null: "Coverage") -> str:
    """What would be missing by chance, expected and in one draw."""
    return (
        f"By chance alone, had data set and anchor one source, {coverage.expected_missing:.1f} features would be "
        f"expected missing. The null is one draw: of {null.n_seed:,} samples taken at random from the anchor, against "
        f"the remaining {null.n_anchor:,}, the same rule (m = {null.m}) finds {len(null.missing):,} features missing, "
        "though nothing was left out. Read the missing set as a finding only as far as it exceeds both."
    )


def reading(coverage: "Coverage") -> str:
    """The rule in words."""
    delta = f"{coverage.delta:.4g}" if np.ndim(coverage.delta) == 0 else "its own, one per feature"
    return (
        f"A sample activates a feature above delta = {delta}; a feature belongs to the anchor's support if at least "
        f"{coverage.m} of {coverage.n_anchor:,} anchor samples activate it, and is missing if none of the "
        f"{coverage.n_seed:,} samples of the data set does."
    )


def missing_cards(labels: pd.DataFrame, coverage: "Coverage", anchor: FeatureStats) -> list[FeatureCard]:
    """A card per row of `labels` (`feature`, and `summary` and `verdict` where it was annotated)."""
    return [
        FeatureCard(
            feature=int(row.feature),
            summary=getattr(row, "summary", None),
            counts={
                "anchor": int(coverage.anchor_count[row.feature]),
                "seed": int(coverage.seed_count[row.feature]),
            },
            spans=anchor.spans(int(row.feature))[:5],
            verdict=getattr(row, "verdict", None),
        )
        for row in labels.itertuples()
    ]


def provenance(coverage: "Coverage", anchor: FeatureStats, seed: FeatureStats, profile: Profile) -> Facts:
    """Everything that decides the numbers, folded."""
    return Facts(
        "Rule, data, model, versions",
        {
            "rule": as_dict(coverage.rule),
            "anchor": {**coverage.anchor_made_by, "truncated rows": anchor.n_truncated},
            "seed": {**coverage.seed_made_by, "truncated rows": seed.n_truncated},
            "profile": as_dict(profile),
            "versions": package_versions(),
        },
    )


def _names(missing: pd.DataFrame) -> dict[int, str]:
    label = "summary" if "summary" in missing else "spans"
    return dict(zip(missing.feature, missing[label].fillna(""), strict=True))


def _rejected(result: "AuditResult") -> Table:
    frame = pd.DataFrame({"data set": list(result.rejected), "rejected rows": list(result.rejected.values())})
    return Table(frame, caption="Rows that could not be used; each is listed with its reason in rejected.jsonl")
