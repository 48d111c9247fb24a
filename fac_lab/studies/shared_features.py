"""Which missing features the models share (the paper's figure 11), and what samples for those are worth (table 3).

Compared twice: by features that are one by their activations (`studies.matches`), and by the concepts that
the missing features are about.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.chat.client import ChatClient
from fac_lab.features.matching import groups
from fac_lab.lab import Lab
from fac_lab.studies.matches import concepts_of, links_of
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

CHANCE_DRAWS = 100
"""Random draws of as many features, behind a count by chance."""


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
