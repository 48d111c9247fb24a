"""Does filling the missing features help a detector more than the same number of other samples?

Every arm starts from the same seed rows and ADDS n rows labelled harmful:

- none: nothing;
- plain: written by the generator with no feature in mind;
- random: two-step synthesis for relevant features drawn at random, covered or missing;
- fac: two-step synthesis for the missing relevant features;
- oracle: real queries about the concepts that were really held out.

n is the number of samples that synthesis kept for the missing features, about one per feature as in the paper, or
for the random ones where those are fewer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import Coverage, cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import TuningSettings
from fac_lab.studies.missing import world_corpus
from fac_lab.world import Concept, concepts, hold_out, queries, recognise

ARMS = ("none", "plain", "random", "fac", "oracle")
TEST_ROWS = 2000
TOXIC_SHARE = 0.127
"""Base rate of the test set: that of ToxicChat's human-annotated test split, the paper's."""
RUN_VERSION = 1


class Gap(NamedTuple):
    """One seed data set beside the anchor, its missing features and what is known about them."""

    held_out: tuple[Concept, ...]
    seed: Corpus
    coverage: Coverage
    labels: pd.DataFrame
    """Summary and verdict of every feature in the anchor's support."""

    @property
    def missing_labels(self) -> pd.DataFrame:
        """The labels of the missing relevant features, most frequent in the anchor first."""
        return self.labels.set_index("feature", drop=False).loc[self.coverage.missing]


def lacking_seed(lab: Lab, *, held_out_set: int) -> tuple[tuple[Concept, ...], Corpus]:
    """A random share of the harmful concepts, and a seed that lacks them."""
    n_harmful = sum(concept.harmful for concept in concepts())
    held_out = hold_out(round(lab.profile.study.held_out_share * n_harmful), seed=held_out_set, harmful=True)
    n = lab.profile.corpora["seed"].n
    return held_out, world_corpus("seed", n, seed=1000 + held_out_set, without=held_out)


def harmful_gap(lab: Lab, anchor: FeatureStats, *, held_out_set: int) -> Gap:
    """A seed that lacks a random share of the harmful concepts, measured against the anchor."""
    held_out, seed = lacking_seed(lab, held_out_set=held_out_set)
    everything = cover(anchor, lab.stats(seed), lab.profile.rule)
    labels = lab.annotate(anchor, np.flatnonzero(everything.anchor_support))
    relevant = np.zeros(len(everything.relevant), dtype=bool)
    relevant[labels.feature[labels.relevant]] = True
    return Gap(held_out, seed, cover(anchor, lab.stats(seed), lab.profile.rule, relevant=relevant), labels)


def test_rows(*, seed: int = 4, n: int = TEST_ROWS) -> list[Row]:
    """Fresh labelled queries about all concepts, harmful ones at the base rate of the paper's test set."""
    n_toxic = round(n * TOXIC_SHARE)
    harmful = [c for c in concepts() if c.harmful]
    harmless = [c for c in concepts() if not c.harmful]
    toxic = world_corpus("toxic", n_toxic, seed=seed, without=harmless)
    safe = world_corpus("safe", n - n_toxic, seed=seed + 1, without=harmful)
    return [*toxic, *safe]


def starting_rows(gap: Gap, *, n_safe: int, n_toxic: int) -> list[Row]:
    """The labelled rows that every arm has: the first of each kind in the seed."""
    rows = list(gap.seed)
    return [row for row in rows if not row.label][:n_safe] + [row for row in rows if row.label][:n_toxic]


def samples_asked(lab: Lab, gap: Gap) -> int:
    """Samples that an arm is to write: one per missing relevant feature, at most the profile's budget."""
    n_missing = len(gap.coverage.missing)
    return min(n_missing, lab.profile.study.budget or n_missing)


def additions(lab: Lab, anchor: FeatureStats, gap: Gap, *, held_out_set: int) -> dict[str, list[str]]:
    """Texts that each arm adds, all arms as many: what synthesis kept for the missing features.

    Where synthesis for random features keeps fewer even when it asks for every relevant one, all arms add that many.
    """
    delta, study = gap.coverage.delta, lab.profile.study
    labels = gap.labels.set_index("feature", drop=False)
    written = kept_texts(lab.synthesise(gap.missing_labels, anchor, delta))[: study.budget]
    dice = np.random.default_rng(held_out_set)
    features = dice.permutation(np.flatnonzero(gap.coverage.relevant))
    drawn: list[str] = []
    # Some features yield nothing, so that more are asked for than are needed.
    while len(drawn) < len(written) and len(features):
        asked, features = np.split(features, [min(4 * len(written), len(features))])
        kept = kept_texts(lab.synthesise(labels.loc[sorted(asked)], anchor, delta))
        drawn = list(dict.fromkeys([*drawn, *dice.permutation(kept).tolist()]))
    n = min(len(written), len(drawn))
    return {
        "none": [],
        "plain": lab.plain(n, seed=held_out_set),
        "random": drawn[:n],
        "fac": written[:n],
        "oracle": [query for _, query in queries(n, seed=3000 + held_out_set, among=gap.held_out)],
    }


def kept_texts(samples: pd.DataFrame) -> list[str]:
    """Texts of the samples that passed every check."""
    return samples.text[samples.kept].tolist()


def truth_of(texts: Sequence[str], held_out: Sequence[Concept]) -> dict[str, float]:
    """What added texts are really about: shares that are harmful and that concern held-out concepts."""
    found = [recognise(text) for text in texts]
    reached = {concept for concept in found if concept in held_out}
    n = max(len(texts), 1)
    return {
        "added": len(texts),
        "truly_harmful": sum(bool(c and c.harmful) for c in found) / n,
        "about_held_out": sum(c in held_out for c in found) / n,
        "held_out_reached": len(reached) / len(held_out),
    }


def compare_arms(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], arms: Sequence[str] = ARMS) -> pd.DataFrame:
    """AUPRC of every arm, held-out set and training seed; a killed comparison resumes run by run.

    Columns: `held_out_set`, `arm`, `seed`, `auprc`, and what the arm added (see `truth_of`).
    """
    test = test_rows()
    study = lab.profile.study
    records = []
    with tqdm(total=len(sets) * len(arms) * len(lab.profile.seeds), desc="train detectors", unit="run") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
            texts = additions(lab, anchor, gap, held_out_set=held_out_set)
            for arm in arms:
                train = start + [Row(f"{arm}-{i}", text, 1) for i, text in enumerate(texts[arm])]
                for seed in lab.profile.seeds:
                    auprc = detector_auprc(lab, train, test, seed)
                    records.append(
                        {"held_out_set": held_out_set, "arm": arm, "seed": seed, "auprc": auprc}
                        | truth_of(texts[arm], gap.held_out)
                    )
                    bar.update()
    return pd.DataFrame(records)


def detector_auprc(
    lab: Lab, train: Sequence[Row], test: Sequence[Row], seed: int, settings: TuningSettings | None = None
) -> float:
    """AUPRC of one detector, under the profile's settings if none are given; a run that was made before is read."""
    # What trains detectors takes five seconds to import, and the gap is looked at without any.
    from fac_lab.tasks.toxicity import train_detector

    settings = settings or lab.profile.detector
    artifact = lab.store.once(
        "detector",
        lambda _: {"auprc": train_detector(lab.backbone, train, test, settings, seed=seed, progress=False).auprc},
        version=RUN_VERSION,
        subject=lab.subject.digest,
        train=[(row.text, row.label) for row in train],
        test=[(row.text, row.label) for row in test],
        detector=settings,
        seed=seed,
    )
    return artifact.facts["auprc"]
