"""Do features of one model help another? Feature source x generator x backbone (the paper's RQ3).

Three chat models read the same anchor and the same seed, each with its own tokenizer and dictionary. Each finds missing
relevant features of its own (the *source*), each can be asked to write for them (the *generator*), and each can be
trained on what was written (the *backbone*). All cells of the grid have as many features to write for, drafts a feature
and texts in the end; beside them nothing, texts of the same generator without any feature, and real queries about
what was held out. One model annotates throughout: the profile's, the only one that knows about harm.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.chat.client import ChatClient
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.amounts import MANY_DRAWS, in_rounds, second_round_study
from fac_lab.studies.filling import Filling, auprc_with, measured, open_filling, reached, variant
from fac_lab.studies.toxicity import truth_of
from fac_lab.world import queries

MODELS = {name: f"data/mini/{name}" for name in ("llama", "mistral", "qwen")}
"""The embedded chat models; the SAE of each is in its folder `sae`."""
NOBODY = "nobody"
"""Source or generator of texts that have none."""
MOST_PER_FEATURE = 5
"""Samples kept of one feature at most: weak writers reach few features, and are cut to the same number of texts."""


class View(NamedTuple):
    """What one model makes of a seed: its lab and its gap."""

    lab: Lab
    filling: Filling

    def coverage_by(self, texts: Sequence[str], features: np.ndarray | None = None) -> float:
        """Share of this model's missing features (or of `features`) that the texts activate; NaN of none."""
        features = self.filling.missing if features is None else features
        values = measured(self.lab, texts, features)
        return reached(values, np.full(len(texts), -1), features, self.filling.gap.coverage.delta)["by_any"]


def model_labs(lab: Lab, models: Mapping[str, str] = MODELS) -> dict[str, Lab]:
    """The lab once per model, which is its subject, at the profile's layer; store, generator and annotator are shared.

    SettingsError where the profile's SAE is no folder: those of the other models could not be found.
    """
    profile = lab.profile
    if profile.sae.source != "folder":
        raise SettingsError(
            f"profile {profile.name} reads its SAE from a {profile.sae.source}; transfer between models needs one for "
            "each, in the folder sae of the model: take a profile with sae.source folder"
        )
    labs = {}
    for name, path in models.items():
        subject, sae = replace(profile.subject, path=path), replace(profile.sae, path=f"{path}/sae")
        if (subject, sae) == (profile.subject, profile.sae):
            labs[name] = lab
            continue
        labs[name] = other = type(lab)(replace(profile, subject=subject, sae=sae), lab.store.root)
        other.generator, other.annotator = lab.generator, lab.annotator
    return labs


def anchors_of(labs: Mapping[str, Lab]) -> dict[str, FeatureStats]:
    """What the one anchor activates in each model, with its matrix."""
    return {name: lab.stats(lab.corpus("anchor"), keep_matrix=True) for name, lab in labs.items()}


def open_views(labs: Mapping[str, Lab], anchors: Mapping[str, FeatureStats], *, held_out_set: int) -> dict[str, View]:
    """Each model's view of one seed: held-out concepts, seed, null and rows are the same for all, features are not."""
    return {name: View(lab, open_filling(lab, anchors[name], held_out_set=held_out_set)) for name, lab in labs.items()}


def writers_of(lab: Lab, models: Mapping[str, str] = MODELS) -> dict[str, ChatClient]:
    """Each model as a generator."""
    settings = lab.profile.generator
    return {name: variant(lab, generator=replace(settings, model=path)).generator for name, path in models.items()}


def write_for(view: View, writer: ChatClient, features: np.ndarray) -> list[str]:
    """Texts that `writer` wrote for missing features of a view: the best of each feature first, then each one's second
    best; MANY_DRAWS drafts a feature, MOST_PER_FEATURE kept at most. The view's own model measures them."""
    lab, gap = variant(view.lab), view.filling.gap
    lab.generator = writer
    settings = replace(lab.profile.synthesis, **MANY_DRAWS, per_feature=MOST_PER_FEATURE)
    labels = gap.labels.set_index("feature", drop=False).loc[features]
    samples = lab.synthesise(labels, view.filling.anchor, gap.coverage.delta, settings=settings)
    kept = in_rounds(samples, features, len(samples)).text
    return list(dict.fromkeys(kept))


def write_plain(view: View, writer: ChatClient, n: int) -> list[str]:
    """`n` texts of `writer` without a feature in mind, fewer where it repeats itself."""
    lab = variant(view.lab)
    lab.generator = writer
    return lab.plain(n, seed=view.filling.held_out_set)


def grid_study(lab: Lab, *, sets: Sequence[int], models: Mapping[str, str] = MODELS) -> pd.DataFrame:
    """One row per held-out set, arm, source, generator, backbone and training seed; resumes run by run.

    `arm`: "features" (the grid), "plain" (source NOBODY), "none" and "oracle" (NOBODY wrote them). Columns beside:
    `asked` features, as many for every source; `n_missing` of the source, and `n_missing_null`; `kept` texts before
    all arms were cut to the same number, `added`; `source_by_any`, `backbone_by_any`: shares of the source's and of
    the backbone's own missing features that the added texts activate; `auprc`; what the texts are about.
    """
    labs, writers = model_labs(lab, models), writers_of(lab, models)
    anchors, rows = anchors_of(labs), []
    for held_out_set in sets:
        views = open_views(labs, anchors, held_out_set=held_out_set)
        rows += grid_of(views, writers)
    return pd.DataFrame(rows)


def grid_of(views: Mapping[str, View], writers: Mapping[str, ChatClient]) -> list[dict]:
    """The rows of `grid_study` for one held-out set."""
    first = next(iter(views.values())).filling
    asked = min(len(view.filling.missing) for view in views.values())
    cells = list(itertools.product(views, writers))
    written = {}
    for source, generator in tqdm(cells, desc=f"set {first.held_out_set}: write", unit="cell"):
        features = views[source].filling.missing[:asked]
        written["features", source, generator] = write_for(views[source], writers[generator], features)
    n = min((len(texts) for texts in written.values()), default=0)
    for generator, writer in writers.items():
        written["plain", NOBODY, generator] = write_plain(next(iter(views.values())), writer, n)
    written["none", NOBODY, NOBODY] = []
    real = queries(n, seed=3000 + first.held_out_set, among=first.gap.held_out)
    written["oracle", NOBODY, NOBODY] = [query for _, query in real]
    rows = []
    for (arm, source, generator), texts in tqdm(written.items(), desc=f"set {first.held_out_set}: train", unit="arm"):
        facts = {"held_out_set": first.held_out_set, "arm": arm, "source": source, "generator": generator}
        facts |= {"asked": asked if source in views else 0, "kept": len(texts)}
        facts |= {"n_missing": np.nan, "n_missing_null": np.nan, "source_by_any": np.nan}
        added = texts[:n]
        if source in views:
            own = views[source].filling.facts
            facts |= {name: own[name] for name in ("n_missing", "n_missing_null")}
            facts |= {"source_by_any": views[source].coverage_by(added)}
        rows += [facts | row for row in trained(views, added)]
    return rows


def trained(views: Mapping[str, View], texts: Sequence[str]) -> Iterator[dict]:
    """Each model trained on the start and `texts`: `backbone`, `backbone_by_any`, what the texts are about, `seed`,
    `auprc`."""
    for backbone, view in views.items():
        about = truth_of(texts, view.filling.gap.held_out)
        facts = {"backbone": backbone, "backbone_by_any": view.coverage_by(texts), **about}
        for seed in view.lab.profile.seeds:
            yield facts | {"seed": seed, "auprc": auprc_with(view.lab, view.filling, texts, seed)}


def weak_to_strong(grid: pd.DataFrame) -> pd.DataFrame:
    """Does a weaker model's gap guide data for a stronger one? Read off the grid, generators and seeds averaged.

    Of two models the weaker is the one whose detector without additions has the lower AUPRC, on average over all
    sets. One row per held-out set and pair: `weak`, `strong`, `weak_alone` and `strong_alone` (that AUPRC in this
    set), `by_weak` and `by_own`, the strong model's AUPRC after texts for the weak one's features and for its own,
    `by_plain` after texts without features.
    """
    per_set = grid.groupby(["arm", "source", "backbone", "held_out_set"])["auprc"].mean()
    alone = per_set["none", NOBODY]
    order = alone.groupby(level="backbone").mean().sort_values().index
    rows = []
    for weak, strong in itertools.combinations(order, 2):
        for held_out_set in grid.held_out_set.unique():
            rows.append(
                {"held_out_set": held_out_set, "weak": weak, "strong": strong}
                | {"weak_alone": alone[weak, held_out_set], "strong_alone": alone[strong, held_out_set]}
                | {"by_weak": per_set["features", weak, strong, held_out_set]}
                | {"by_own": per_set["features", strong, strong, held_out_set]}
                | {"by_plain": per_set["plain", NOBODY, strong, held_out_set]}
            )
    return pd.DataFrame(rows)


def self_improvement_study(lab: Lab, *, sets: Sequence[int], models: Mapping[str, str] = MODELS) -> pd.DataFrame:
    """`amounts.second_round_study` of every model with its own features and itself as the generator, by `model`."""
    writers, parts = writers_of(lab, models), []
    for name, own in model_labs(lab, models).items():
        generator = replace(own.profile.generator, model=models[name])
        alone = type(lab)(replace(own.profile, generator=generator), lab.store.root)
        for part in ("subject", "sae", "encoder", "backbone", "annotator"):
            setattr(alone, part, getattr(own, part))
        alone.generator = writers[name]
        anchor = alone.stats(alone.corpus("anchor"), keep_matrix=True)
        rounds = second_round_study(alone, anchor, sets=sets)
        rounds.insert(0, "model", name)
        parts.append(rounds)
    return pd.concat(parts, ignore_index=True)
