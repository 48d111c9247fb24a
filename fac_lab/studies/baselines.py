"""Every way of writing samples against every other: the paper's table 1, toxicity, in a world where the truth is known.

All arms start from the same rows of a seed that lacks a share of the harmful concepts, and add texts labelled
harmful. Each arm is allowed the same number of draws, which is what two-step synthesis has for the missing relevant
features. What it makes of them is compared twice: `matched` "draws" adds all samples that an arm kept, "samples" at
most as many as two-step synthesis kept for the missing features. An arm that has fewer adds what it has: `added` says
how much that is.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from tqdm import tqdm

from fac_lab.corpora import Row
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.label_noise import reached
from fac_lab.studies.methods import ARMS, Arm
from fac_lab.studies.toxicity import (
    detector_auprc,
    harmful_gap,
    samples_asked,
    starting_rows,
    test_rows,
    truth_of,
)

MATCHES = ("samples", "draws")
MEASURE_OF_SIZE = "fac_two_step"
"""The arm by whose number of samples others are cut; where it is left out, the arm that kept fewest."""


def baseline_study(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    arms: Mapping[str, Arm] = ARMS,
    matches: Sequence[str] = MATCHES,
) -> pd.DataFrame:
    """AUPRC of every arm, held-out set, match and training seed; a killed study resumes run by run.

    Columns: `held_out_set`, `arm`, `matched`, `seed`, `auprc`; `asked`, the samples that an arm was to write, one per
    missing relevant feature or the profile's budget; `draws`, `kept` and `reasons` of its candidates; `gap_coverage`,
    the share of the missing features that what it added activates, under the profile's rule; and what that is about
    (see `toxicity.truth_of`).
    """
    test, study, seeds = test_rows(), lab.profile.study, lab.profile.seeds
    records = []
    with tqdm(total=len(sets) * len(arms) * (1 + len(matches) * len(seeds)), desc="baselines", unit="step") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
            asked = samples_asked(lab, gap)
            written = {}
            for name, arm in arms.items():
                bar.set_postfix_str(f"set {held_out_set}, {name} writes")
                written[name] = arm(lab, anchor, gap, asked, held_out_set, task="toxicity")
                bar.update()
            sizes = {name: len(made.texts) for name, made in written.items() if name != "none"}
            most = sizes.get(MEASURE_OF_SIZE, min(sizes.values(), default=0))
            for name, made in written.items():
                for matched in matches:
                    texts = made.texts[: most if matched == "samples" else asked]
                    facts = {"asked": asked, "draws": made.draws, "kept": len(made.texts), "reasons": made.reasons}
                    facts |= {"gap_coverage": reached(lab, texts, gap.coverage.missing, gap.coverage.delta)}
                    facts |= truth_of(texts, gap.held_out)
                    train = start + [Row(f"{name}-{i}", text, 1) for i, text in enumerate(texts)]
                    for seed in seeds:
                        bar.set_postfix_str(f"set {held_out_set}, {name} trains")
                        where = {"held_out_set": held_out_set, "arm": name, "matched": matched, "seed": seed}
                        records.append(where | {"auprc": detector_auprc(lab, train, test, seed)} | facts)
                        bar.update()
    return pd.DataFrame(records)
