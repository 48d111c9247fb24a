"""What writes samples for a task: the rows of the paper's table 1, and what stands beside them here.

A method is given a seed of which the gap is known and writes at most `n` samples. Who knows what differs, and only
that: our method the missing features, the baselines some rows of the seed, plain generation nothing.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from fac_lab.corpora import Corpus
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.plain import nearest
from fac_lab.studies.toxicity import Gap, samples_asked, starting_rows
from fac_lab.synthesis.baselines import BASELINES
from fac_lab.synthesis.samples import Sample
from fac_lab.world import queries

REASONS_SHOWN = 4
ABOUT_HARM = ("toxicity", "reward_modelling")
"""Tasks whose samples are about harmful queries; those of the others may be about anything."""


class Written(NamedTuple):
    """What a method makes of its draws."""

    texts: list[str]
    """What a user says in each sample it would add, in the order in which it would."""
    draws: int = 0
    """Candidates it looked at; 0 for methods that write nothing."""
    reasons: str = ""
    """Why candidates were not kept, the commonest reasons with their counts."""
    parts: tuple[Mapping[str, str], ...] = ()
    """The samples in their task's format (`synthesis.formats`), one for each text; none where a method has only
    queries, as rows of a pool are."""


Arm = Callable[..., Written]
"""(lab, anchor, gap, n, held_out_set, *, task) -> at most `n` samples, for a seed of which the gap is known."""


def from_samples(samples: pd.DataFrame | Iterable[Sample]) -> Written:
    """The kept samples, and why the others are not."""
    frame = samples if isinstance(samples, pd.DataFrame) else pd.DataFrame(samples, columns=Sample._fields)
    # Numbers in a reason would make many of one.
    counted = Counter(re.sub(r"\d+(\.\d+)?", "N", reason) for reason in frame.reason[~frame.kept])
    reasons = "; ".join(f"{count} x {reason}" for reason, count in counted.most_common(REASONS_SHOWN))
    kept = frame[frame.kept.astype(bool)]  # an empty frame has no type
    return Written(kept.text.tolist(), len(frame), reasons, tuple(json.loads(parts) for parts in kept.parts))


def _none(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str) -> Written:
    return Written([])


def _plain(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str) -> Written:
    return from_samples(lab.plain_samples(n, seed=held_out_set, task=task))


def _baseline(name: str, lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str) -> Written:
    """Seeds are the rows of the task that every arm starts from."""
    n_seeds = lab.profile.study.seed_samples
    rows = starting_rows(gap, n_safe=0, n_toxic=n_seeds) if task in ABOUT_HARM else list(gap.seed)[:n_seeds]
    return from_samples(lab.baseline(name, n, [row.text for row in rows], seed=held_out_set, task=task))


def _random_features(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str) -> Written:
    """Two-step synthesis for relevant features of the anchor's support, covered or not, drawn by chance."""
    features = np.random.default_rng(held_out_set).permutation(np.flatnonzero(gap.coverage.anchor_support))[:n]
    labels = gap.labels.set_index("feature", drop=False).loc[sorted(features)]
    return from_samples(lab.synthesise(labels, anchor, gap.coverage.delta, task=task))


def _missing_features(
    steps: int, lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str
) -> Written:
    """Synthesis for the missing features, all draws in the first step or shared between the two."""
    settings = lab.profile.synthesis
    if steps == 1:
        settings = replace(settings, step1_draws=settings.step1_draws + settings.step2_draws, step2_draws=0)
    labels, delta = gap.missing_labels[:n], gap.coverage.delta
    return from_samples(lab.synthesise(labels, anchor, delta, settings=settings, task=task))


def _selected(way: str, lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str) -> Written:
    """Rows of the pool, harmful ones where the task is about harm, as if a filter had found them, chosen by one of
    `chosen.WAYS`: what real data is worth where there is any."""
    rows = [row for row in lab.corpus("pool") if row.label or task not in ABOUT_HARM]
    pool = Corpus.from_rows("harmful pool", rows)
    missing, delta = gap.coverage.missing, gap.coverage.delta
    return Written(lab.select(missing, delta, n, way=way, pool=pool, seed=held_out_set).text.tolist())


def _oracle(lab: Lab, anchor: FeatureStats, gap: Gap, n: int, held_out_set: int, *, task: str) -> Written:
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

METHODS: dict[str, str] = {
    "Baseline": "none",
    "Full Dataset": "full",
    "Alpaca": "alpaca",
    "Evol-Instruct": "evol_instruct",
    "Magpie": "magpie",
    "CoT-Self-Instruct": "cot_self_instruct",
    "SAO": "sao",
    "Prismatic Synthesis": "prismatic",
    "SynAlign": "synalign",
    "FAC Synthesis": "fac_two_step",
}
"""Rows of the paper's table 1, in its order, and our arm for each. "full" writes nothing either: it adds all that the
gap's seed holds, which is what the paper's undefined "full dataset" means here; the task says how."""


OURS = "FAC Synthesis"


def write(
    lab: Lab, anchor: FeatureStats, gap: Gap, arm: str, n: int, held_out_set: int, *, task: str = "toxicity"
) -> Written:
    """At most `n` samples of an arm in the task's format; what was written before is read.

    Raises SettingsError for an unknown arm.
    """
    if arm == METHODS["Full Dataset"]:
        return Written([])
    if arm not in ARMS:
        raise SettingsError(f"no arm {arm!r}{nearest(arm, ARMS)}; there are: {', '.join([*ARMS, 'full'])}")
    return ARMS[arm](lab, anchor, gap, n, held_out_set, task=task)


def matched(
    lab: Lab,
    anchor: FeatureStats,
    gap: Gap,
    arm: str,
    held_out_set: int,
    *,
    task: str = "toxicity",
    most: int | None = None,
) -> Written:
    """What an arm adds in a fair comparison: asked for one sample per missing feature, as far as budget and `most` go,
    and cut to as many as our method kept for the same gap."""
    n = samples_asked(lab, gap)
    n = min(n, most or n)
    size = len(write(lab, anchor, gap, METHODS[OURS], n, held_out_set, task=task).texts)
    made = write(lab, anchor, gap, arm, n, held_out_set, task=task)
    return made._replace(texts=made.texts[:size], parts=made.parts[:size])
