"""Does it matter how features are found relevant? Four ways on the same features.

The ways judge the same features, those in the anchor's support: the annotator; a sparse probe and the information
gain of each feature, both on the activations of labelled texts; the words of a feature's spans in labelled texts.
Labelled texts are the pool's, a sample of its own beside the anchor; of few of them; or the seed's, which never
activate what the seed lacks. Truth: a feature is relevant where most of its anchor activation above delta comes from
harmful concepts. The seed lacks harmful and harmless concepts alike, because only then does the verdict decide what
is written.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.annotation.lexical import feature_words, lexical_relevance, lexical_summaries, spans_of
from fac_lab.annotation.probe import information_gain, sparse_probe
from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import Coverage, cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.missing import main_concepts, world_corpus
from fac_lab.studies.toxicity import Gap, detector_auprc, kept_texts, starting_rows, test_rows, truth_of
from fac_lab.world import concepts, hold_out

UNAIDED = ("probe", "information gain", "lexical")
"""Ways that ask no annotator."""
WAYS = ("annotator", *UNAIDED, "truth")
FEW = 400
"""Labelled samples where there are few."""
RELEVANCE_VERSION = 1


class Case(NamedTuple):
    """A seed that lacks harmful and harmless concepts, before anything is said about relevance."""

    gap: Gap
    """`gap.held_out` are the harmful concepts it lacks; `gap.coverage` is over all features."""
    anchor: FeatureStats
    seed: FeatureStats
    null: FeatureStats
    """Statistics of a seed of the same size that lacks no concept."""
    truth: np.ndarray
    """Features that are relevant in truth, bool `[d_sae]`."""

    def cover(self, lab: Lab, relevant: np.ndarray, *, null: bool = False) -> Coverage:
        """Coverage of the relevant features (bool `[d_sae]`) by the seed, or by the null."""
        return cover(self.anchor, self.null if null else self.seed, lab.profile.rule, relevant=relevant)


def open_case(lab: Lab, anchor: FeatureStats, *, held_out_set: int) -> Case:
    """A seed without a random share of the harmful concepts and without as many harmless ones."""
    n = round(lab.profile.study.held_out_share * sum(concept.harmful for concept in concepts()))
    harmful = hold_out(n, seed=held_out_set, harmful=True)
    harmless = hold_out(n, seed=held_out_set, harmful=False)
    n_seed = lab.profile.corpora["seed"].n
    corpus = world_corpus("seed", n_seed, seed=5000 + held_out_set, without=(*harmful, *harmless))
    null = lab.stats(world_corpus("null", n_seed, seed=4000 + held_out_set))
    seed = lab.stats(corpus, keep_matrix=True)
    everything = cover(anchor, seed, lab.profile.rule)
    features = np.flatnonzero(everything.anchor_support)
    kinds = [str(row.label) for row in lab.corpus("anchor")]
    main = main_concepts(features, anchor.matrix, kinds, everything.delta)
    truth = as_mask(main.feature[main.concept == "1"], anchor.d_sae)
    gap = Gap(harmful, corpus, everything, lab.annotate(anchor, features))
    return Case(gap, anchor, seed, null, truth)


def judge_by(lab: Lab, way: str, case: Case, texts: Corpus, stats: FeatureStats, n: int | None = None) -> np.ndarray:
    """Relevant features by a way without an annotator, bool `[d_sae]`, from `n` labelled texts (all if None).

    `stats` are those of `texts`, with their matrix.
    """
    features = case.gap.labels.feature.to_numpy()
    rows = list(texts)[:n]
    labels = np.array([row.label for row in rows])

    def build(artifact) -> dict:
        matrix = stats.matrix[: len(rows)]
        if way == "probe":
            frame = sparse_probe(matrix, labels, features=features)
        elif way == "information gain":
            frame = information_gain(matrix, labels, case.gap.coverage.delta, features=features)
        else:
            words = feature_words(spans_of(features, case.anchor))
            frame = lexical_relevance(words, [row.text for row in rows], labels)
        artifact.write_frame("relevance.parquet", frame)
        return {"relevant": int(frame.relevant.sum())}

    artifact = lab.store.once(
        "relevance",
        build,
        version=RELEVANCE_VERSION,
        way=way,
        features=features,
        delta=case.gap.coverage.delta,
        anchor=case.anchor.made_by,
        labelled=stats.made_by,
        labels=labels,
    )
    frame = artifact.read_frame("relevance.parquet")
    return as_mask(frame.feature[frame.relevant], case.anchor.d_sae)


def relevant_sets(lab: Lab, case: Case) -> dict[str, np.ndarray]:
    """The relevant features of every way, bool `[d_sae]`, labels being those of the whole pool."""
    pool = lab.corpus("pool")
    stats = lab.stats(pool, keep_matrix=True)
    labels = case.gap.labels
    sets = {"annotator": as_mask(labels.feature[labels.relevant], case.anchor.d_sae)}
    sets |= {way: judge_by(lab, way, case, pool, stats) for way in UNAIDED}
    return sets | {"truth": case.truth}


def ways_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """What each way finds relevant and missing, one row per held-out set, way and source of labelled texts.

    Columns: `held_out_set`, `way`, `labelled_on` ("pool", "seed", "none" where no label is used), `n_labelled`;
    `n_relevant`, `precision`, `recall` of F against the truth; `n_missing`, `n_missing_null` (same-size seed without
    a gap), `expected_missing`, `missing_precision`, `missing_recall` of F_miss against the truly relevant missing;
    `fac`.
    """
    pool = lab.corpus("pool")
    pool_stats = lab.stats(pool, keep_matrix=True)
    rows = []
    for held_out_set in tqdm(sets, desc="ways of judging", unit="set"):
        case = open_case(lab, anchor, held_out_set=held_out_set)
        found = []
        for way, relevant in relevant_sets(lab, case).items():
            labelled = ("pool", pool_stats.n_samples) if way in UNAIDED else ("none", 0)
            found.append((way, *labelled, relevant))
        for way in UNAIDED:
            few = min(FEW, pool_stats.n_samples)
            found.append((way, "pool", few, judge_by(lab, way, case, pool, pool_stats, few)))
            by_seed = judge_by(lab, way, case, case.gap.seed, case.seed)
            found.append((way, "seed", case.seed.n_samples, by_seed))
        for way, on, n, relevant in found:
            where = {"held_out_set": held_out_set, "way": way, "labelled_on": on, "n_labelled": n}
            rows.append(where | _compare(lab, case, relevant))
    return pd.DataFrame(rows)


def overlap_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """Jaccard index of every pair of ways, labels from the whole pool: `held_out_set`, `way`, `other`,
    `jaccard_relevant` (of F), `jaccard_missing` (of F_miss)."""
    rows = []
    for held_out_set in sets:
        case = open_case(lab, anchor, held_out_set=held_out_set)
        relevant = relevant_sets(lab, case)
        missing = {way: case.cover(lab, mask).missing for way, mask in relevant.items()}
        for way, other in combinations(WAYS, 2):
            both = np.flatnonzero(relevant[way]), np.flatnonzero(relevant[other])
            rows.append(
                {
                    "held_out_set": held_out_set,
                    "way": way,
                    "other": other,
                    "jaccard_relevant": jaccard(*both),
                    "jaccard_missing": jaccard(missing[way], missing[other]),
                }
            )
    return pd.DataFrame(rows)


def ways_arms(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """What each way is worth to the detector: samples written for its F_miss, added to the same starting rows.

    Arms are "none", the ways (features named by the annotator) and "no annotator": relevance by information gain,
    names by words. All add as many texts, the least that any of them kept; `kept` is what each did. Other columns as
    in `toxicity.compare_arms`.
    """
    rows = []
    for held_out_set in tqdm(sets, desc="detectors by way", unit="set"):
        case = open_case(lab, anchor, held_out_set=held_out_set)
        labels = case.gap.labels
        texts: dict[str, list[str]] = {"none": []}
        relevant = relevant_sets(lab, case)
        for way, mask in relevant.items():
            texts[way] = write_for(lab, case, labels, mask)
        words = feature_words(spans_of(labels.feature, case.anchor))
        # The generator of the mini world writes requests and was taught this beginning.
        named = labels.assign(summary=lexical_summaries(words, lead="requests about").summary.to_numpy())
        texts["no annotator"] = write_for(lab, case, named, relevant["information gain"])
        least = min(len(found) for arm, found in texts.items() if arm != "none")
        for arm, found in texts.items():
            for seed in lab.profile.seeds:
                rows.append(
                    {"held_out_set": held_out_set, "arm": arm, "seed": seed, "kept": len(found)}
                    | {"auprc": auprc_with(lab, case, found[:least], seed)}
                    | truth_of(found[:least], case.gap.held_out)
                )
    return pd.DataFrame(rows)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """`|a & b| / |a | b|` of two sets of indices; NaN where both are empty."""
    union = len(np.union1d(a, b))
    return len(np.intersect1d(a, b)) / union if union else float("nan")


def against(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Precision and recall of one bool array against another; NaN where its divisor is 0."""
    right = float((found & truth).sum())
    return tuple(right / n if n else float("nan") for n in (found.sum(), truth.sum()))


def as_mask(features: Sequence[int], d_sae: int) -> np.ndarray:
    """bool `[d_sae]`, true at the indices."""
    mask = np.zeros(d_sae, dtype=bool)
    mask[np.asarray(features, dtype=np.int64)] = True
    return mask


def _compare(lab: Lab, case: Case, relevant: np.ndarray) -> Mapping[str, float]:
    coverage = case.cover(lab, relevant)
    missing = as_mask(coverage.missing, len(relevant))
    truly_missing = as_mask(case.gap.coverage.missing, len(relevant)) & case.truth
    precision, recall = against(relevant, case.truth)
    missing_precision, missing_recall = against(missing, truly_missing)
    return {
        "n_relevant": int(relevant.sum()),
        "precision": precision,
        "recall": recall,
        "n_missing": len(coverage.missing),
        "n_missing_null": len(case.cover(lab, relevant, null=True).missing),
        "expected_missing": coverage.expected_missing,
        "missing_precision": missing_precision,
        "missing_recall": missing_recall,
        "fac": coverage.fac,
    }


def write_for(lab: Lab, case: Case, labels: pd.DataFrame, relevant: np.ndarray) -> list[str]:
    """Texts that synthesis keeps for the missing relevant features, as labels name them."""
    coverage = case.cover(lab, relevant)
    chosen = labels.set_index("feature", drop=False).loc[coverage.missing].assign(relevant=True)
    return kept_texts(lab.synthesise(chosen, case.anchor, coverage.delta))


def auprc_with(lab: Lab, case: Case, texts: Sequence[str], seed: int) -> float:
    """AUPRC of a detector whose training rows are the seed's first ones and `texts`, labelled harmful."""
    study = lab.profile.study
    start = starting_rows(case.gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
    return detector_auprc(
        lab, [*start, *(Row(f"added-{i}", text, 1) for i, text in enumerate(texts))], test_rows(), seed
    )
