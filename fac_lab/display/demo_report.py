"""The report of the demo: the whole method on one page."""

from typing import TYPE_CHECKING

import pandas as pd

from fac_lab.coverage import sweep
from fac_lab.display import arms, figures
from fac_lab.display.audit_report import octaves, provenance, reading
from fac_lab.display.report import Cards, FeatureCard, Figure, Prose, Section, Table, write_report
from fac_lab.display.tables import summarise_arms
from fac_lab.features.stats import FeatureStats
from fac_lab.profile import Profile

if TYPE_CHECKING:
    from fac_lab.demo import DemoResult

CARDS = 24
ARMS_IN_WORDS = (
    "Every arm starts from the same seed rows and adds the same number of rows labelled harmful. none: nothing. "
    "plain: written by the generator without a feature in mind. random: synthesised for relevant features drawn at "
    "random. fac: synthesised for the missing features. oracle: real queries about what was really held out."
)


def write_demo_report(result: "DemoResult", *, anchor: FeatureStats, seed: FeatureStats, profile: Profile) -> None:
    """Write `result.report`."""
    coverage = result.gap.coverage
    means = summarise_arms(result.runs).set_index("arm")["mean"]
    lead = (
        f"The seed covers {coverage.fac:.0%} of the anchor's relevant features. Samples written for the "
        f"{len(coverage.missing)} missing ones bring a detector from an AUPRC of {means['none']:.3f} to "
        f"{means['fac']:.3f}; as many for random relevant features {means['random']:.3f}, without any feature "
        f"{means['plain']:.3f}, real ones about what was left out {means['oracle']:.3f}."
    )
    curve = sweep(anchor, seed, octaves(coverage.delta), relevant=coverage.relevant)
    sections = [
        Section(
            "What is missing",
            [
                Prose(
                    reading(coverage)
                    + f"\n\nThe null is the same rule for a seed of as many samples that lacks no concept: "
                    f"{len(result.null.missing)} relevant features are missing there by chance."
                ),
                Table(
                    result.naming,
                    caption="Do missing features name the concepts that were held out? All features, relevant or not",
                ),
                Prose(
                    "precision: share of missing features whose anchor activation comes mostly from held-out concepts. "
                    "recall: share of held-out concepts that are the main concept of a missing feature. At delta 0 "
                    "with m = 1, one stray activation among thousands of texts counts as covered, one in the anchor as "
                    "support: the missing set then says little."
                ),
                Figure(figures.anchor_seed_scatter(coverage, _names(result.gap.labels))),
                Figure(figures.coverage_curve(curve, chosen=coverage.delta)),
            ],
        ),
        Section(
            "Written for the missing features",
            [
                Table(steps_table(result.samples), caption="Candidates of two-step synthesis"),
                Cards(sample_cards(result, anchor)),
            ],
        ),
        Section(
            "Does it help?",
            [
                Prose(ARMS_IN_WORDS),
                Table(result.after, caption="What each arm added, and what that covers"),
                Table(summarise_arms(result.runs), caption="AUPRC over training seeds"),
                Figure(arms.arms(result.runs)),
            ],
        ),
        Section("Where the numbers come from", [provenance(coverage, anchor, seed, profile)]),
    ]
    write_report(result.report, "Less is enough, in miniature", sections, lead=lead)


def steps_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Candidates per step: how many, how many were kept, and why the others were not."""
    # "does not activate: 153 is not above 362": the kind of reason stands before the colon.
    reasons = samples.reason.fillna("").str.partition(":")[0].where(~samples.kept, "kept")
    return samples.assign(outcome=reasons).groupby(["step", "outcome"]).size().rename("samples").reset_index()


def sample_cards(result: "DemoResult", anchor: FeatureStats) -> list[FeatureCard]:
    """The most frequent missing features with what was written for them."""
    coverage, kept = result.gap.coverage, result.samples[result.samples.kept]
    return [
        FeatureCard(
            feature=int(row.feature),
            summary=row.summary,
            counts={
                "anchor": int(coverage.anchor_count[row.feature]),
                "seed": int(coverage.seed_count[row.feature]),
            },
            spans=anchor.spans(int(row.feature))[:3],
            verdict=row.verdict,
            written=[(s.text, s.activation) for s in kept[kept.feature == row.feature].itertuples()],
        )
        for row in result.gap.missing_labels[:CARDS].itertuples()
    ]


def _names(labels: pd.DataFrame) -> dict[int, str]:
    return dict(zip(labels.feature, labels.summary.fillna(""), strict=True))
