"""Is coverage a good way to choose from a pool? Arms that add as many real rows, chosen in different ways.

Every arm starts from the same seed rows and ADDS the same number of rows of a pool, with the pool's labels:

- none: nothing;
- random: drawn;
- k_means: the rows nearest the centres of as many clusters;
- k_center: farthest-first from the starting rows;
- greedy_any (`selection_real` only): greedy coverage of all features that the seed's harmful rows lack;
- relevant: the rows that activate most of the relevant missing features, each counted alone: what relevance is worth
  without coverage;
- greedy: greedy coverage of the relevant missing features.

Twice, by what the pool holds: "toxic" rows only, as if a filter had found them; or "mixed", all rows, labelled after
they are chosen. Who chooses by relevant features knows more than the others in a mixed pool, because relevance says
what harm looks like; `toxic` is what each arm found.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from fac_lab.corpora import Row
from fac_lab.coverage import gap_coverage
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.toxicity import detector_auprc, harmful_gap, starting_rows, test_rows, truth_of
from fac_lab.synthesis.chosen import choose
from fac_lab.synthesis.selection import covering

POOLS = ("toxic", "mixed")
CHOICES = {
    "random": "random",
    "k_means": "k_means",
    "k_center": "k_center",
    "greedy_any": "greedy",
    "relevant": "relevant",
    "greedy": "greedy",
}
"""How each arm chooses: one of `chosen.WAYS`, or by relevance alone."""


class Pool(NamedTuple):
    """Rows to choose from."""

    rows: list[Row]
    matrix: sparse.csr_matrix
    """Pooled activations `[n_rows, d_sae]`."""
    vectors: np.ndarray
    """What k-means and k-center look at, `[n_rows, d]`."""

    def part(self, inside: np.ndarray) -> "Pool":
        """The rows at these numbers."""
        return Pool([self.rows[i] for i in inside], self.matrix[inside], self.vectors[inside])


def choose_rows(
    arm: str,
    pool: Pool,
    n: int,
    *,
    wanted: Mapping[str, np.ndarray],
    delta: float | np.ndarray,
    start: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Row numbers that an arm takes from the pool, at most `n`; `wanted` are the features of each arm that wants any.

    What greedy choice leaves short, because no other row activates a wanted feature, is drawn at random: all arms
    add as many.
    """
    features = np.unique(np.asarray(wanted.get(arm, ()), np.int64))
    if arm == "relevant":
        held = covering(pool.matrix, features, delta)
        # Most features first, then the largest sum of their activations, as greedy choice begins.
        return np.lexsort((-np.asarray(held.sum(axis=1)).reshape(-1), -np.diff(held.indptr)))[:n]
    settings = {"matrix": pool.matrix, "features": features, "delta": delta, "vectors": pool.vectors}
    rows = choose(CHOICES[arm], n, **settings, start=start, seed=seed).rows
    rest = np.setdiff1d(np.arange(len(pool.rows)), rows)
    drawn = np.random.default_rng(seed).permutation(rest)[: n - len(rows)]
    return np.concatenate([rows, drawn])


def selection_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """The mini world's arms, one row per held-out set, pool, arm and training seed.

    The seed lacks a share of the harmful concepts; the pool is the profile's. As many rows are added as features are
    missing, or the profile's budget. Columns: `held_out_set`, `pool`, `arm`, `seed`, `auprc`; `n_missing`,
    `gap_coverage` of the relevant missing features, `toxic` (added rows with label 1), and what they are about (see
    `toxicity.truth_of`). "none" stands once per pool.
    """
    test, study, corpus = test_rows(), lab.profile.study, lab.corpus("pool")
    stats, rows = lab.stats(corpus, keep_matrix=True), list(corpus)
    everything = Pool(rows, stats.matrix, lab.vectors([row.text for row in rows]))
    arms = ("none", *(arm for arm in CHOICES if arm != "greedy_any"))
    records = []
    with tqdm(total=len(sets) * len(POOLS) * len(arms) * len(lab.profile.seeds), desc="selection", unit="run") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
            missing = gap.coverage.missing
            for name in POOLS:
                inside = [i for i, row in enumerate(rows) if row.label or name == "mixed"]
                pool = everything.part(np.array(inside))
                n = min(study.budget or len(missing), len(inside))
                begun = lab.vectors([row.text for row in start if row.label or name == "mixed"])
                for arm in arms:
                    settings = {
                        "wanted": dict.fromkeys(("relevant", "greedy"), missing),
                        "delta": gap.coverage.delta,
                        "start": begun,
                    }
                    numbers = [] if arm == "none" else choose_rows(arm, pool, n, **settings, seed=held_out_set)
                    added = [pool.rows[i] for i in numbers]
                    facts = {
                        "n_missing": len(missing),
                        "gap_coverage": covered_share(pool.matrix, numbers, missing, gap.coverage.delta),
                        "toxic": sum(row.label for row in added),
                        **truth_of([row.text for row in added], gap.held_out),
                    }
                    for seed in lab.profile.seeds:
                        auprc = detector_auprc(lab, [*start, *added], test, seed)
                        where = {"held_out_set": held_out_set, "pool": name, "arm": arm, "seed": seed}
                        records.append(where | {"auprc": auprc} | facts)
                        bar.update()
    return pd.DataFrame(records)


def covered_share(
    matrix: sparse.csr_matrix, rows: Sequence[int] | np.ndarray, features: np.ndarray, delta: float | np.ndarray
) -> float:
    """Gap coverage: share of `features` that some of these rows of `matrix [n_rows, d_sae]` activates above `delta`."""
    chosen = matrix[np.asarray(rows, np.int64)].tocsr()
    limit = np.broadcast_to(np.asarray(delta, float), chosen.shape[1])[chosen.indices]
    counts = np.bincount(chosen.indices[chosen.data > limit], minlength=chosen.shape[1])
    return gap_coverage(features, counts)
