"""The whole method once, offline: what a seed leaves out, two-step synthesis to fill it, and whether it helped.

Every step is an artifact in the run's folder, so that a second run reads instead of computing, and a killed one
goes on where it stopped.
"""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fac_lab.atomic import clear_temporaries, write_atomic
from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import Coverage, cover, gap_coverage
from fac_lab.display.demo_report import write_demo_report
from fac_lab.display.tables import paired_differences, summarise_arms
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.ledger import make_ledger, write_ledger
from fac_lab.profile import Profile, as_dict
from fac_lab.studies.missing import PAPER_RULE, recovery, world_corpus
from fac_lab.studies.toxicity import ARMS, Gap, additions, compare_arms, harmful_gap

log = logging.getLogger(__name__)

HELD_OUT_SET = 0
TRUTH = ("added", "truly_harmful", "about_held_out", "held_out_reached")


class DemoResult(NamedTuple):
    """Everything the demo's report shows."""

    gap: Gap
    null: Coverage
    """The same rule for a seed of the same size that lacks no concept."""
    naming: pd.DataFrame
    """How well missing features name the held-out concepts, per rule: precision, recall, beside the null."""
    after: pd.DataFrame
    """Per arm: samples added, what they are about, gap coverage and FAC of the seed with them."""
    samples: pd.DataFrame
    """Every candidate of two-step synthesis with its provenance."""
    runs: pd.DataFrame
    """AUPRC of every arm and training seed."""
    seconds: float
    report: Path

    def __str__(self) -> str:
        c = self.gap.coverage
        arms = summarise_arms(self.runs).set_index("arm")
        against_none = paired_by_seed(self.runs).set_index("arm")
        lines = [
            f"FAC {c.fac:.3f} over {c.anchor_support.sum()} relevant features; {len(c.missing)} missing "
            f"(null {len(self.null.missing)}), delta {c.delta:.3g}, m {c.m}",
            "",
            f"{'arm':8}{'added':>6}{'harmful':>9}{'held out':>10}{'gap cov.':>10}{'FAC':>7}"
            f"{'AUPRC mean ± sd':>18}{'minus none':>12}",
        ]
        for row in self.after.itertuples():
            run = arms.loc[row.arm]
            more = f"{against_none.loc[row.arm, 'mean']:+.3f}" if row.arm in against_none.index else ""
            lines.append(
                f"{row.arm:8}{row.added:6d}{row.truly_harmful:9.2f}{row.about_held_out:10.2f}"
                f"{row.gap_coverage:10.2f}{row.fac:7.3f}{run['mean']:11.3f} ± {run['sd']:.3f}{more:>12}"
            )
        lines += [
            f"({int(arms['n'].iloc[0])} training seeds; one held-out set: the study over five sets is in notebook 00)",
            "",
            f"done in {self.seconds:.0f} s; report: {self.report}",
        ]
        return "\n".join(lines)


def run_demo(profile: str | Profile | None = None, *, out: str | Path = "runs/demo", fresh: bool = False) -> DemoResult:
    """Run the toxicity vertical of a profile on the mini world and write report.html into `out`, and beside it
    coverage/, null/, profile.json, every table as .csv, samples.parquet and the ledger: what `fac-lab export` reads."""
    started = time.monotonic()
    out = Path(out)
    if fresh and out.exists():
        shutil.rmtree(out)
    clear_temporaries(out)
    lab = Lab.open(profile, out=out / "store")
    anchor_corpus = lab.corpus("anchor")
    anchor = lab.stats(anchor_corpus, keep_matrix=True)
    gap = harmful_gap(lab, anchor, held_out_set=HELD_OUT_SET)
    seed = lab.stats(gap.seed)
    null_seed = lab.stats(world_corpus("null", seed.n_samples, seed=5000))
    naming = naming_table(lab, gap, anchor, [row.concept for row in anchor_corpus], seed, null_seed)
    texts = additions(lab, anchor, gap, held_out_set=HELD_OUT_SET)
    after = pd.DataFrame([after_adding(lab, arm, texts[arm], gap, anchor, seed) for arm in ARMS])
    runs = compare_arms(lab, anchor, sets=[HELD_OUT_SET])
    result = DemoResult(
        gap=gap,
        null=cover(anchor, null_seed, lab.profile.rule, relevant=gap.coverage.relevant),
        naming=naming,
        after=after.merge(runs.groupby("arm", sort=False).first().reset_index()[["arm", *TRUTH]], on="arm"),
        samples=lab.synthesise(gap.missing_labels, anchor, gap.coverage.delta),
        runs=runs,
        seconds=time.monotonic() - started,
        report=out / "report.html",
    )
    gap.coverage.save(out / "coverage")
    result.null.save(out / "null")
    said = json.dumps(as_dict(lab.profile), indent=1) + "\n"
    write_atomic(out / "profile.json", lambda path: path.write_text(said, encoding="utf-8"))
    arms = {arm: added for arm, added in texts.items() if arm == "fac"}
    write_ledger(make_ledger(result.samples, gap.coverage, gap.labels, arms=arms, gains=paired_by_seed(runs)), out)
    write_atomic(out / "samples.parquet", lambda path: result.samples.to_parquet(path, index=False))
    for name in ("naming", "after", "samples", "runs"):
        frame = getattr(result, name)
        write_atomic(out / f"{name}.csv", lambda path, frame=frame: frame.to_csv(path, index=False))
    write_demo_report(result, anchor=anchor, seed=seed, profile=lab.profile)
    return result


def naming_table(
    lab: Lab, gap: Gap, anchor: FeatureStats, truth: list[str], seed: FeatureStats, null_seed: FeatureStats
) -> pd.DataFrame:
    """Precision and recall of the missing features against the held-out concepts, per rule, beside the null."""
    held_out = {concept.id for concept in gap.held_out}
    rows = []
    for name, rule in (("relative threshold, support m", lab.profile.rule), ("delta 0, m 1 (paper)", PAPER_RULE)):
        coverage = cover(anchor, seed, rule)
        found = recovery(coverage.missing, anchor.matrix, truth, held_out, coverage.delta)
        null = cover(anchor, null_seed, rule)
        rows.append({"rule": name, "fac": coverage.fac, **found._asdict(), "n_missing_null": len(null.missing)})
    return pd.DataFrame(rows)


def after_adding(
    lab: Lab, arm: str, texts: list[str], gap: Gap, anchor: FeatureStats, seed: FeatureStats
) -> dict[str, float | str]:
    """Gap coverage by an arm's samples, and FAC of the seed with them, under the rule and support of before."""
    before = gap.coverage
    if not texts:
        return {"arm": arm, "gap_coverage": 0.0, "fac": before.fac}
    added = lab.stats(Corpus.from_rows(arm, [Row(f"{arm}-{i}", text) for i, text in enumerate(texts)]))
    counts = added.counts(before.delta)
    covered = before.anchor_support & ((before.seed_count > 0) | (counts > 0))
    return {
        "arm": arm,
        "gap_coverage": gap_coverage(before.missing, counts),
        "fac": float(covered.sum() / np.maximum(before.anchor_support.sum(), 1)),
    }


def paired_by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """Each arm minus none, paired by training seed: with one held-out set the seeds are the units."""
    return paired_differences(runs.assign(pair=runs.seed), "none", unit="pair")
