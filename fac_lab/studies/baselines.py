"""Every way of writing samples against every other: the paper's table 1, toxicity, in a world where the truth is known.

All arms start from the same rows of a seed that lacks a share of the harmful concepts, and add texts labelled
harmful. Each arm is allowed the same number of draws, which is what two-step synthesis has for the missing relevant
features. What it makes of them is compared twice: `matched` "draws" adds all samples that an arm kept, "samples" at
most as many as two-step synthesis kept for the missing features. An arm that has fewer adds what it has: `added` says
how much that is.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.corpora import Corpus, Row
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.label_noise import reached
from fac_lab.studies.toxicity import (
    Gap,
    detector_auprc,
    harmful_gap,
    samples_asked,
    starting_rows,
    test_rows,
    truth_of,
)
from fac_lab.synthesis.baselines import BASELINES
from fac_lab.synthesis.samples import Sample
from fac_lab.world import queries

MATCHES = ("samples", "draws")
REASONS_SHOWN = 4
MEASURE_OF_SIZE = "fac_two_step"
"""The arm by whose number of samples others are cut; where it is left out, the arm that kept fewest."""


class Written(NamedTuple):
    """What an arm makes of its draws."""

    texts: list[str]
    """What it would add, in the order in which it would."""
    draws: int = 0
    """Candidates it looked at; 0 for arms that write nothing."""
    reasons: str = ""
    """Why candidates were not kept, the commonest reasons with their counts."""


Arm = Callable[[Lab, FeatureStats, Gap, int, int], Written]
"""(lab, anchor, gap, n, held_out_set) -> at most `n` texts, for a seed of which the gap is known."""


def from_samples(samples: pd.DataFrame | Iterable[Sample]) -> Written:
    """The kept texts of samples, and why the others are not."""
    frame = samples if isinstance(samples, pd.DataFrame) else pd.DataFrame(samples, columns=Sample._fields)
    # Numbers in a reason would make many of one.
    counted = Counter(re.sub(r"\d+(\.\d+)?", "N", reason) for reason in frame.reason[~frame.kept])
    reasons = "; ".join(f"{count} x {reason}" for reason, count in counted.most_common(REASONS_SHOWN))
    return Written(frame.text[frame.kept].tolist(), len(frame), reasons)


def _none(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    return Written([])


def _plain(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    return from_samples(lab.plain_samples(n, seed=held_out_set))


def _baseline(name: str, lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    """Seeds are the harmful rows that every arm starts from."""
    rows = starting_rows(gap, n_safe=0, n_toxic=lab.profile.study.seed_samples)
    return from_samples(lab.baseline(name, n, [row.text for row in rows], seed=held_out_set))


def _random_features(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    """Two-step synthesis for relevant features of the anchor's support, covered or not, drawn by chance."""
    features = np.random.default_rng(held_out_set).permutation(np.flatnonzero(gap.coverage.anchor_support))[:n]
    labels = gap.labels.set_index("feature", drop=False).loc[sorted(features)]
    return from_samples(lab.synthesise(labels, anchor, gap.coverage.delta))


def _missing_features(steps: int, lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    """Synthesis for the missing features, all draws in the first step or shared between the two."""
    settings = lab.profile.synthesis
    if steps == 1:
        settings = replace(settings, step1_draws=settings.step1_draws + settings.step2_draws, step2_draws=0)
    return from_samples(lab.synthesise(gap.missing_labels[:n], anchor, gap.coverage.delta, settings=settings))


def _selected(way: str, lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    """Harmful rows of the pool, as if a filter had found them, chosen by one of `chosen.WAYS`: what real data is
    worth where there is any."""
    pool = Corpus.from_rows("harmful pool", [row for row in lab.corpus("pool") if row.label])
    missing, delta = gap.coverage.missing, gap.coverage.delta
    return Written(lab.select(missing, delta, n, way=way, pool=pool, seed=held_out_set).text.tolist())


def _oracle(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int) -> Written:
    """Real queries about the concepts that were held out."""
    return Written([query for _, query in queries(n, seed=3000 + held_out_set, among=gap.held_out)])


ARMS: dict[str, Arm] = {
    "none": _none,
    "plain": _plain,
    **{name: partial(_baseline, name) for name in BASELINES},
    "random_features": _random_features,
    "fac_one_step": partial(_missing_features, 1),
    "fac_two_step": partial(_missing_features, 2),
    **{f"pool_{way}": partial(_selected, way) for way in ("random", "k_means", "k_center", "greedy")},
    "oracle": _oracle,
}
"""Another way of filling a gap is one more line here."""


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
                written[name] = arm(lab, anchor, gap, asked, held_out_set)
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
