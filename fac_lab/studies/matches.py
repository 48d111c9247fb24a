"""Which features of one model have a counterpart in another, and do counterparts mean the same?

Two features of two models are *one* where each is the other's best match over the anchor's texts and they are more
alike than anything was with the texts of one side shuffled (`features.matching`). In a world with known truth there is
a second opinion: two features agree where the same concept holds most of their activation.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.features.matching import Matches, match_stats, null_likeness, null_quantile
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.missing import main_concepts
from fac_lab.studies.transfer import MODELS, anchors_of, model_labs

LEAST = 5
"""Texts of the anchor that a feature has to be active on to be matched: below, luck alone matches."""
SHUFFLES = 5
MOSTLY = 0.5
"""Share of a feature's activation that its main concept has to hold for the feature to be *about* it."""


class Pair(NamedTuple):
    """Two models' features matched, and the null of that."""

    found: Matches
    null: list[Matches]

    @property
    def limit(self) -> float:
        """The largest likeness of any match under the null."""
        return null_quantile(self.null, 1.0)

    @property
    def turned(self) -> "Pair":
        """The same with the two models exchanged."""
        return Pair(self.found.turned, _turned(self.null))


def match_pair(a: FeatureStats, b: FeatureStats, *, shuffles: int = SHUFFLES, seed: int = 0) -> Pair:
    """Features of two models matched by correlation over the same texts, beside their null."""
    null = null_likeness(a.matrix, b.matrix, shuffles=shuffles, seed=seed, least=LEAST)
    return Pair(match_stats(a, b, least=LEAST), null)


def matches_study(lab: Lab, *, models: Mapping[str, str] = MODELS) -> pd.DataFrame:
    """How many features have a match above the null, and do matched ones share their main concept?

    One row per ordered pair `a`, `b`. `live`: features of a that are active on LEAST texts or more; `null_99`,
    `null_max`: likeness of the best matches of a with the texts of b shuffled; `matched_99`, `matched`: features of a
    above these; `matched_null`: above the maximum with texts shuffled anew (the mean of shuffles that did not set the
    limit); `matched_within`: above it where only texts of one concept are shuffled among themselves. `mutual`:
    matched ones that are their match's match; `mutual_null` as before; `median_likeness` of mutual ones.
    `same_concept`: share of the mutual pairs with the same main concept, by all of their activation;
    `same_concept_chance`: the same if partners were dealt at random; `about`: pairs of which both
    are mostly about their main concept, `same_concept_about`: share of these that agree.
    """
    labs = model_labs(lab, models)
    anchors, kinds = anchors_of(labs), [row.concept for row in lab.corpus("anchor")]
    concepts = {name: concepts_of(stats, kinds, 0.0) for name, stats in anchors.items()}
    rows = []
    for a, b in tqdm(list(itertools.combinations(models, 2)), desc="match", unit="pair"):
        matrices = anchors[a].matrix, anchors[b].matrix
        pair = match_pair(anchors[a], anchors[b])
        fresh = null_likeness(*matrices, shuffles=SHUFFLES, seed=1, least=LEAST)
        within = null_likeness(*matrices, shuffles=1, least=LEAST, within=kinds)
        one = (anchors[a], concepts[a], pair, fresh, within)
        other = (anchors[b], concepts[b], pair.turned, _turned(fresh), _turned(within))
        rows += [{"a": a, "b": b, **_matched(*one, concepts[b])}, {"a": b, "b": a, **_matched(*other, concepts[a])}]
    return pd.DataFrame(rows)


def _matched(
    anchor: FeatureStats,
    concepts: pd.DataFrame,
    pair: Pair,
    fresh: Sequence[Matches],
    within: Sequence[Matches],
    others: pd.DataFrame,
) -> dict[str, float]:
    """What `matches_study` says of one direction; `concepts` and `others` are those of both sides."""
    found, pairs = pair.found, pair.found.pairs(pair.limit)
    active, null_99 = live(anchor), null_quantile(pair.null, 0.99)
    return {
        "texts": anchor.n_samples,
        "live": active,
        "null_99": null_99,
        "null_max": pair.limit,
        "matched_99": int((found.likeness > null_99).sum()),
        "matched": int((found.likeness > pair.limit).sum()),
        "matched_null": float(np.mean([(one.likeness > pair.limit).sum() for one in fresh])),
        "matched_within": int((within[0].likeness > pair.limit).sum()),
        "mutual": len(pairs),
        "mutual_null": float(np.mean([len(one.pairs(pair.limit)) for one in fresh])),
        "median_likeness": float(np.median(found.likeness[pairs[:, 0]])) if len(pairs) else np.nan,
        **concept_agreement(concepts.loc[pairs[:, 0]], others.loc[pairs[:, 1]]),
    }


def _turned(matches: Sequence[Matches]) -> list[Matches]:
    return [one.turned for one in matches]


def concepts_of(anchor: FeatureStats, kinds: Sequence[str], delta: float | np.ndarray) -> pd.DataFrame:
    """`main_concepts` of all features of an anchor, indexed by feature; `kinds`: what each of its texts is about."""
    return main_concepts(np.arange(anchor.d_sae), anchor.matrix, kinds, delta).set_index("feature")


def concept_agreement(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, float]:
    """Do paired features share their main concept? `a` and `b` are rows of `concepts_of`, one per pair (see
    `matches_study` for what is returned; NaN where there is no pair)."""
    ours, theirs = a.concept.to_numpy(), b.concept.to_numpy()
    about = (a.share.to_numpy() > MOSTLY) & (b.share.to_numpy() > MOSTLY)
    of_a, of_b = pd.Series(ours).value_counts(normalize=True), pd.Series(theirs).value_counts(normalize=True)
    same = ours == theirs
    return {
        "same_concept": float(same.mean()) if len(same) else np.nan,
        "same_concept_chance": float((of_a * of_b).sum()) if len(same) else np.nan,
        "about": int(about.sum()),
        "same_concept_about": float(same[about].mean()) if about.any() else np.nan,
    }


def links_of(anchors: Mapping[str, FeatureStats]) -> dict[tuple[int, int], np.ndarray]:
    """Mutual matches above the null between every two models, by their places: what `groups` takes."""
    names = list(anchors)
    found = {}
    for i, j in itertools.combinations(range(len(names)), 2):
        pair = match_pair(anchors[names[i]], anchors[names[j]])
        found[i, j] = pair.found.pairs(pair.limit)
    return found


def live(stats: FeatureStats) -> int:
    """Features that are active on LEAST texts or more."""
    return int((np.diff(stats.matrix.tocsc().indptr) >= LEAST).sum())
