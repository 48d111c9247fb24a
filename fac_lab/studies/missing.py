"""Does F_miss name what was really left out? A question that only a world with known concepts can answer."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import cover
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.world import Concept, concepts, hold_out, queries

PAPER_RULE = CoverageRule(kind="absolute", delta=0.0, support=1)
"""The paper's default: any activation of any sample counts."""


class Recovery(NamedTuple):
    """How well a set of missing features names the held-out concepts."""

    n_missing: int
    precision: float
    """Share of missing features whose anchor activation comes mostly from held-out concepts; NaN if none is."""
    recall: float
    """Share of held-out concepts that are the main concept of at least one missing feature."""


def main_concepts(
    features: np.ndarray, matrix: sparse.csr_matrix, concepts: Sequence[str], delta: float | np.ndarray
) -> pd.DataFrame:
    """What activates each of `features` in the anchor, by activation mass above the threshold.

    `matrix` holds the anchor's pooled activations [n_samples, d_sae], `concepts` [n_samples] what each sample is
    about, `delta` the threshold (one for all, or [d_sae]). Returns one row per feature: `feature`, `concept` (the
    one with the largest mass) and `share` (its share of the mass).
    """
    names, index = np.unique(np.asarray(concepts), return_inverse=True)
    mass = _mass(features, matrix, index, len(names), delta)
    main = mass.argmax(axis=0)
    share = mass.max(axis=0) / np.maximum(mass.sum(axis=0), 1e-12)
    return pd.DataFrame({"feature": features, "concept": names[main], "share": share})


def recovery(
    missing: np.ndarray,
    matrix: sparse.csr_matrix,
    concepts: Sequence[str],
    held_out: Collection[str],
    delta: float | np.ndarray,
) -> Recovery:
    """Precision and recall of the missing features against the concepts that were held out (shapes as above)."""
    if not len(missing):
        return Recovery(0, float("nan"), 0.0)
    names, index = np.unique(np.asarray(concepts), return_inverse=True)
    mass = _mass(missing, matrix, index, len(names), delta)
    is_out = np.isin(names, list(held_out))
    precise = mass[is_out].sum(axis=0) > 0.5 * mass.sum(axis=0)
    found = set(names[mass.argmax(axis=0)]) & set(held_out)
    return Recovery(len(missing), float(precise.mean()), len(found) / len(held_out))


def _mass(
    features: np.ndarray, matrix: sparse.csr_matrix, index: np.ndarray, n_concepts: int, delta: float | np.ndarray
) -> np.ndarray:
    """Activation above the threshold summed per concept and feature, [n_concepts, n_features]."""
    columns = matrix[:, features].tocsr()
    threshold = np.broadcast_to(np.asarray(delta, dtype=float), (matrix.shape[1],))[features]
    columns.data = np.where(columns.data > threshold[columns.indices], columns.data, 0.0)
    onehot = sparse.csr_matrix((np.ones(len(index)), (index, np.arange(len(index)))), shape=(n_concepts, len(index)))
    return (onehot @ columns).toarray()


def world_corpus(name: str, n: int, *, seed: int, without: Collection[Concept] = ()) -> Corpus:
    """`n` labelled queries of the mini world about all concepts except `without`."""
    among = [concept for concept in concepts() if concept not in without]
    drawn = queries(n, seed=seed, among=among)
    return Corpus.from_rows(
        name, [Row(f"{name}-{i}", text, int(concept.harmful), concept.id) for i, (concept, text) in enumerate(drawn)]
    )


def recovery_study(lab: Lab, *, sets: Sequence[int], n_held_out: int = 40) -> pd.DataFrame:
    """Recovery of random sets of held-out concepts, under the profile's rule and under the paper's.

    The anchor is the profile's; each set has a seed of its own without the held-out concepts, and the null is a
    seed of the same size with all concepts. One row per set and rule: `held_out_set`, `rule`, `delta`, `m`, `fac`,
    `n_missing`, `precision`, `recall`, `n_missing_null`.
    """
    anchor_corpus = lab.corpus("anchor")
    anchor = lab.stats(anchor_corpus, keep_matrix=True)
    truth = [row.concept for row in anchor_corpus]
    n_seed = lab.profile.corpora["seed"].n
    rows = []
    for held_out_set in tqdm(sets, desc="held-out sets", unit="set"):
        held_out = hold_out(n_held_out, seed=held_out_set)
        seed = lab.stats(world_corpus("seed", n_seed, seed=2000 + held_out_set, without=held_out))
        null = lab.stats(world_corpus("null", n_seed, seed=4000 + held_out_set))
        for rule in (lab.profile.rule, PAPER_RULE):
            rows.append(
                {"held_out_set": held_out_set, "rule": "paper" if rule is PAPER_RULE else "relative"}
                | _recover(anchor, seed, null, rule, truth, {concept.id for concept in held_out})
            )
    return pd.DataFrame(rows)


def _recover(
    anchor: FeatureStats, seed: FeatureStats, null: FeatureStats, rule: CoverageRule, truth: list[str], out: set[str]
) -> dict:
    coverage = cover(anchor, seed, rule)
    found = recovery(coverage.missing, anchor.matrix, truth, out, coverage.delta)
    return {
        "delta": coverage.delta,
        "m": coverage.m,
        "fac": coverage.fac,
        **found._asdict(),
        "n_missing_null": len(cover(anchor, null, rule).missing),
    }
