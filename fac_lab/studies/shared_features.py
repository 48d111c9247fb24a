"""Which features have a counterpart in other models, and which missing ones are missing in all (figure 11, table 3).

Two features of two models are *one* where each is the other's best match over the anchor's texts and they are more
alike than anything was with the texts of one side shuffled (`features.matching`). Concepts are the second way to
compare models, which only a world with known truth has: two features agree where the same concept holds most of their
activation.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.chat.client import ChatClient
from fac_lab.coverage import threshold
from fac_lab.features.matching import Matches, groups, match_stats, null_likeness, null_quantile
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.missing import main_concepts
from fac_lab.studies.transfer import (
    MODELS,
    View,
    anchors_of,
    model_labs,
    open_views,
    trained,
    write_for,
    write_plain,
)

LEAST = 5
"""Texts of the anchor that a feature has to be active on to be matched: below, luck alone matches."""
SHUFFLES = 5
CHANCE_DRAWS = 100
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


def match_pair(a: FeatureStats, b: FeatureStats, *, shuffles: int = SHUFFLES, seed: int = 0) -> Pair:
    """Features of two models matched by correlation over the same texts, beside their null."""
    null = null_likeness(a.matrix, b.matrix, shuffles=shuffles, seed=seed, least=LEAST)
    return Pair(match_stats(a, b, least=LEAST), null)


def matches_study(lab: Lab, *, models: Mapping[str, str] = MODELS) -> pd.DataFrame:
    """How many features have a match above the null, and do matched ones share their main concept?

    One row per ordered pair `a`, `b`. `live_a`, `live_b`: features active on LEAST texts or more; `null_99`,
    `null_max`: likeness of best matches with the texts of b shuffled; `matched_99`, `matched`: features of a above
    these; `mutual`: those of them that are also their match's match; `mutual_null`: as many with shuffled texts (the
    mean over fresh shuffles, which did not set the limit); `median_likeness` of mutual ones. `same_concept`: share of
    the mutual pairs with the same main concept; `same_concept_chance`: the same if partners were dealt at random;
    `about`: pairs of which both are mostly about their main concept, `same_concept_about`: share of these that agree;
    `within_kind`: share of the features of a that stay above the limit when texts of one concept are shuffled among
    themselves.
    """
    labs = model_labs(lab, models)
    anchors, kinds = anchors_of(labs), [row.concept for row in lab.corpus("anchor")]
    concepts = {name: concepts_of(stats, kinds, threshold(stats, lab.profile.rule)) for name, stats in anchors.items()}
    rows = []
    for a, b in tqdm(list(itertools.permutations(models, 2)), desc="match", unit="pair"):
        pair, matrices = match_pair(anchors[a], anchors[b]), (anchors[a].matrix, anchors[b].matrix)
        fresh = null_likeness(*matrices, shuffles=SHUFFLES, seed=1, least=LEAST)
        within = null_likeness(*matrices, shuffles=1, least=LEAST, within=kinds)[0]
        pairs = pair.found.pairs(pair.limit)
        null_99 = null_quantile(pair.null, 0.99)
        rows.append(
            {
                "a": a,
                "b": b,
                "texts": anchors[a].n_samples,
                "live_a": _live(anchors[a]),
                "live_b": _live(anchors[b]),
                "null_99": null_99,
                "null_max": pair.limit,
                "matched_99": int((pair.found.likeness > null_99).sum()),
                "matched": int((pair.found.likeness > pair.limit).sum()),
                "mutual": len(pairs),
                "mutual_null": float(np.mean([len(one.pairs(pair.limit)) for one in fresh])),
                "median_likeness": float(np.median(pair.found.likeness[pairs[:, 0]])) if len(pairs) else np.nan,
                **concept_agreement(concepts[a].loc[pairs[:, 0]], concepts[b].loc[pairs[:, 1]]),
                "within_kind": float((within.likeness > pair.limit).sum() / max(_live(anchors[a]), 1)),
            }
        )
    return pd.DataFrame(rows)


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


def shared_study(lab: Lab, *, sets: Sequence[int], models: Mapping[str, str] = MODELS) -> pd.DataFrame:
    """Figure 11: which missing relevant features do the models share? One row per held-out set, way and region.

    `way` "missing": |F_miss| of each model alone (`count`), under the null (`under_null`: a seed of the same size that
    lacks nothing) and as computed (`by_chance`: what luck leaves out). "matching": groups of missing features that are
    one by mutual matches, by the models that have one in it (`region`, `n_models`); "concept": the missing features'
    main concepts, by the models that miss a feature of it. `by_chance` is then the mean count where each model lacks as
    many of its relevant features, drawn at random; `held_out`: share of the region's groups or concepts that were
    held out in truth.
    """
    labs = model_labs(lab, models)
    anchors, kinds = anchors_of(labs), [row.concept for row in lab.corpus("anchor")]
    links, rows = links_of(anchors), []
    for held_out_set in tqdm(sets, desc="shared features", unit="set"):
        views = open_views(labs, anchors, held_out_set=held_out_set)
        rows += [{"held_out_set": held_out_set, **row} for row in regions_of(views, links, kinds)]
    return pd.DataFrame(rows)


def regions_of(views: Mapping[str, View], links: dict[tuple[int, int], np.ndarray], kinds: Sequence[str]) -> list[dict]:
    """The rows of `shared_study` for one held-out set."""
    fillings = [view.filling for view in views.values()]
    coverages = [filling.gap.coverage for filling in fillings]
    held_out = {concept.id for concept in fillings[0].gap.held_out}
    concepts = [
        concepts_of(filling.anchor, kinds, filling.gap.coverage.delta).concept.to_numpy() for filling in fillings
    ]
    found = [coverage.missing for coverage in coverages]
    null = [filling.chance(coverage.rule).missing for filling, coverage in zip(fillings, coverages, strict=True)]
    relevant = [np.flatnonzero(coverage.anchor_support & coverage.relevant) for coverage in coverages]
    dice = np.random.default_rng(fillings[0].held_out_set)
    drawn = [
        [dice.choice(all_, len(features), replace=False) for all_, features in zip(relevant, found, strict=True)]
        for _ in range(CHANCE_DRAWS)
    ]
    names, rows = list(views), []
    for name, filling, coverage in zip(names, fillings, coverages, strict=True):
        count = {"count": len(coverage.missing), "under_null": filling.facts["n_missing_null"]}
        about = {"by_chance": coverage.expected_missing, "held_out": np.nan}
        rows.append({"way": "missing", "region": name, "n_models": 1, **count, **about})
    ways = {
        "matching": lambda members: _by_matching(members, links, concepts),
        "concept": lambda members: _by_concept(members, concepts),
    }
    for way, regions in ways.items():
        ours, theirs, lucky = regions(found), regions(null), [regions(members) for members in drawn]
        for size in range(1, len(names) + 1):
            for region in itertools.combinations(range(len(names)), size):
                inside = ours.get(region, [])
                rows.append(
                    {"way": way, "region": " + ".join(names[i] for i in region), "n_models": size}
                    | {"count": len(inside), "under_null": len(theirs.get(region, []))}
                    | {"by_chance": float(np.mean([len(draw.get(region, [])) for draw in lucky]))}
                    | {"held_out": float(np.mean([c in held_out for c in inside])) if inside else np.nan}
                )
    return rows


Regions = dict[tuple[int, ...], list[str]]
"""What lies in each region of a Venn diagram, a region being the places of its models."""


def _by_matching(
    members: Sequence[np.ndarray], links: dict[tuple[int, int], np.ndarray], concepts: Sequence[np.ndarray]
) -> Regions:
    """Groups by the models that are in them; each is told by the main concept of its first feature."""
    found: Regions = {}
    for group in groups(members, links):
        inside = tuple(i for i, features in enumerate(group) if len(features))
        found.setdefault(inside, []).append(str(concepts[inside[0]][group[inside[0]][0]]))
    return found


def _by_concept(members: Sequence[np.ndarray], concepts: Sequence[np.ndarray]) -> Regions:
    missing = [set(map(str, names[features])) for features, names in zip(members, concepts, strict=True)]
    found: Regions = {}
    for concept in sorted(set().union(*missing)):
        found.setdefault(tuple(i for i, names in enumerate(missing) if concept in names), []).append(concept)
    return found


def shared_training_study(lab: Lab, *, sets: Sequence[int], models: Mapping[str, str] = MODELS) -> pd.DataFrame:
    """Table 3: samples written once, for missing features that all models share, tune each of the models.

    One row per held-out set, `arm`, `backbone` and training seed. Arms: "none"; "shared", written by the profile's
    generator for the first model's features of groups that all models miss; "apart", for as many of its missing
    features that no other model's match; "plain", no feature in mind. All add as many texts. Columns: `n_shared`
    groups; `asked` features; `shared_by_any`, the share of the backbone's own features of the shared groups that the
    texts activate; and those of `transfer.trained`.
    """
    labs = model_labs(lab, models)
    anchors = anchors_of(labs)
    links, rows = links_of(anchors), []
    for held_out_set in tqdm(sets, desc="table 3", unit="set"):
        views = open_views(labs, anchors, held_out_set=held_out_set)
        rows += [{"held_out_set": held_out_set, **row} for row in shared_training(views, links, lab.generator)]
    return pd.DataFrame(rows)


def shared_training(
    views: Mapping[str, View], links: dict[tuple[int, int], np.ndarray], writer: ChatClient
) -> list[dict]:
    """The rows of `shared_training_study` for one held-out set."""
    first = next(iter(views.values()))
    found = groups([view.filling.missing for view in views.values()], links)
    shared = [group for group in found if all(len(features) for features in group)]
    # The first feature of a group stands for it; they come most frequent in the anchor first.
    targets = np.array([group[0][0] for group in shared], np.int64)
    alone = [group[0] for group in found if len(group[0]) and not any(len(features) for features in group[1:])]
    apart = np.concatenate([np.zeros(0, np.int64), *alone]).astype(np.int64)
    asked = min(len(targets), len(apart))
    texts = {
        "shared": write_for(first, writer, targets[:asked]) if asked else [],
        "apart": write_for(first, writer, apart[:asked]) if asked else [],
    }
    n = min(map(len, texts.values()))
    texts = {"none": [], **texts, "plain": write_plain(first, writer, n) if n else []}
    rows = []
    for arm, written in texts.items():
        added = written[:n]
        covered = {
            name: view.coverage_by(added, np.concatenate([np.zeros(0, np.int64), *(g[i] for g in shared)]))
            for i, (name, view) in enumerate(views.items())
        }
        facts = {"arm": arm, "n_shared": len(shared), "asked": asked if arm in ("shared", "apart") else 0}
        rows += [facts | {"shared_by_any": covered[row["backbone"]]} | row for row in trained(views, added)]
    return rows


def _live(stats: FeatureStats) -> int:
    return int((np.diff(stats.matrix.tocsc().indptr) >= LEAST).sum())
