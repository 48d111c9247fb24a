"""The paper's bound taken apart in a world where every term is known or can be estimated.

D are queries about all concepts alike. A training set lacks a share of the harmful ones: 0, 25, 50, 75 or 100 % of what
was held out has been filled by real queries about it (the oracle of `toxicity`); where nothing is filled, as many
queries about harmful concepts that were there already take their place. So all training sets of one size have as many
rows, as many of them harmful; what differs is what they cover. Of each: its total variation from D, known exactly from
its concepts and estimated from texts; KL between features and its surrogate; a detector's error on D, on its own
distribution, and on its training rows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from fac_lab import bounds
from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import Coverage, gap_coverage
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.studies.coverage_grid import above, subset
from fac_lab.studies.mixtures import PER_CONCEPT, Mixture, mixture, test_queries, training_rows, uniform
from fac_lab.studies.toxicity import Gap, harmful_gap
from fac_lab.studies.witnesses import FOLDS, told_apart, told_by_missing
from fac_lab.world import Dice, concepts, draw_query

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of what is held out has been filled."""
SIZES = (100, 400, 1600)
EPS = 0.01
"""Smoothing of the stored divergences; the counts to work out the surrogate for any other are stored too."""
TERMS_VERSION, ERRORS_VERSION = 1, 1


def feature_terms(
    anchor_count: np.ndarray, count: np.ndarray, relevant: np.ndarray, m: int, *, eps: float = EPS
) -> dict[str, float]:
    """KL(anchor || data set) over the relevant features from counts of samples `[d_sae]`, three ways.

    `surrogate` and `kl_uniform` of uniform distributions over supports, `kl_frequency` of shares of all activations;
    and the counts that the first two come from: `n_features`, `n_support` of the anchor (m samples or more),
    `n_covered`, `n_other`, features in the data set's support.
    """
    anchor, other = anchor_count[relevant], count[relevant]
    support, reached = anchor >= m, other > 0
    n_features, n_support, n_other = len(anchor), int(support.sum()), int(reached.sum())
    n_missing = int((support & ~reached).sum())
    shares = [
        part / part.sum() if part.sum() else np.full(n_features, 1 / max(n_features, 1))
        for part in (np.where(support, anchor, 0).astype(float), other.astype(float))
    ]
    return {
        "n_features": n_features,
        "n_support": n_support,
        "n_covered": n_support - n_missing,
        "n_other": n_other,
        "surrogate": bounds.surrogate(n_missing, n_support, n_features, eps).value,
        "kl_uniform": bounds.uniform_kl(n_missing, n_support, n_other, n_features, eps).value,
        "kl_frequency": bounds.kl(shares[0], bounds.smoothed(shares[1], eps)) if n_support else float("nan"),
    }


def theory_study(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    sizes: Sequence[int] = SIZES,
    shares: Sequence[float] = SHARES,
    per_concept: int = PER_CONCEPT,
) -> pd.DataFrame:
    """Every term of the bound, one row per held-out set, size, share filled and training seed; resumes run by run.

    `anchor` has its matrix. Columns: `held_out_set`, `n`, `filled`, `seed`; `fac`, `gap_coverage` of the gap's seed
    with the filling rows; the counts and divergences of `feature_terms` for the training rows; `tv`, exact, and
    `tv_features`, `tv_vectors`, `tv_missing` (see `witnesses`) for the largest size; `risk`, `risk_gen`, `train_error`.
    """
    test = test_queries(per_concept)
    rows = []
    total = len(sets) * len(sizes) * len(shares) * len(lab.profile.seeds)
    with tqdm(total=total, desc="theory", unit="run") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            for share in shares:
                mixed = mixture(gap.held_out, share, order=held_out_set)
                terms = _terms(lab, anchor, gap, mixed, sizes, held_out_set)
                for n, of_size in zip(sizes, terms, strict=True):
                    train = sum(training_rows(gap, mixed, n, seed=5000 + held_out_set), [])
                    for seed in lab.profile.seeds:
                        where = {"held_out_set": held_out_set, "n": n, "filled": share, "seed": seed}
                        rows.append(where | of_size | _risks(lab, train, test, mixed, seed))
                        bar.update()
    return pd.DataFrame(rows)


def _terms(
    lab: Lab, anchor: FeatureStats, gap: Gap, mixed: Mixture, sizes: Sequence[int], held_out_set: int
) -> list[dict[str, float]]:
    """What does not depend on a detector, for each size of the training set."""

    def build(_) -> dict:
        largest = max(sizes)
        kept, filling = training_rows(gap, mixed, largest, seed=5000 + held_out_set)
        stats = [
            lab.stats(Corpus.from_rows(name, rows), keep_matrix=True)
            for name, rows in (("theory kept", kept), ("theory filling", filling))
        ]
        found, gone = [], gap.coverage
        for n in sizes:
            n_extra = round(n * mixed.extra_mass)
            parts = [subset(one, range(rows)) for one, rows in zip(stats, (n - n_extra, n_extra), strict=True)]
            counts = [part.counts(gone.delta) for part in parts]
            here = feature_terms(gone.anchor_count, sum(counts), gone.relevant, gone.m)
            reached = (gone.seed_count + counts[1]) > 0
            here["fac"] = float(reached[gone.anchor_support].mean()) if gone.anchor_support.any() else None
            here["gap_coverage"] = gap_coverage(gone.missing, counts[1]) if len(gone.missing) else None
            here["n_missing"] = len(gone.missing)
            here["tv"] = bounds.total_variation(uniform(), mixed.over_concepts)
            found.append(here)
        # Anchor rows are a sample of D; as many as the training set has.
        p = anchor.matrix.tocsr()[:largest]
        q = sparse.vstack([one.matrix for one in stats]).tocsr()
        texts = [row.text for row, _ in zip(lab.corpus("anchor"), range(p.shape[0]), strict=False)]
        vectors = [lab.vectors(one) for one in (texts, [row.text for row in [*kept, *filling]])]
        told = {
            "tv_features": told_apart(above(p, gone.delta), above(q, gone.delta)),
            "tv_vectors": told_apart(*vectors),
            "tv_missing": told_by_missing(p, q, gone.delta),
        }
        found[list(sizes).index(largest)] |= told
        return {"terms": found}

    artifact = lab.store.once(
        "theory_terms",
        build,
        version=TERMS_VERSION,
        subject=lab.subject.digest,
        sae=lab.encoder.digest,
        collect=lab.profile.collect,
        rule=lab.profile.rule,
        relevant=np.flatnonzero(gap.coverage.relevant).tolist(),
        anchor=lab.profile.corpora["anchor"],
        seed=gap.seed.digest,
        extra=[concept.id for concept in mixed.extra],
        sizes=list(sizes),
        held_out_set=held_out_set,
        settings=[EPS, FOLDS],
    )
    return artifact.facts["terms"]


def _risks(lab: Lab, train: Sequence[Row], test: Sequence[Row], mixed: Mixture, seed: int) -> dict[str, float]:
    """A detector's error under D, under its training distribution, and on its training rows, all by the 0/1 loss.

    The first two weigh the same errors on fresh queries, by concept: given its concept, a query is drawn alike in both.
    """

    def build(_) -> dict:
        # What trains detectors takes five seconds to import.
        import transformers

        from fac_lab.tasks.toxicity import Detector

        transformers.set_seed(seed)
        detector = Detector.new(lab.backbone, lab.profile.detector)
        try:
            detector.fit(train, seed=seed, progress=False)
            wrong = [
                (detector.score([row.text for row in rows]) > 0) != np.array([row.label for row in rows], bool)
                for rows in (train, test)
            ]
        finally:
            detector.release()
        each = wrong[1].reshape(len(concepts()), -1).mean(axis=1)
        return {"train_error": float(wrong[0].mean()), "by_concept": each.tolist()}

    artifact = lab.store.once(
        "theory_errors",
        build,
        version=ERRORS_VERSION,
        subject=lab.subject.digest,
        train=[(row.text, row.label) for row in train],
        test=[(row.text, row.label) for row in test],
        detector=lab.profile.detector,
        seed=seed,
    )
    by_concept = np.array(artifact.facts["by_concept"])
    return {
        "risk": float(uniform() @ by_concept),
        "risk_gen": float(mixed.over_concepts @ by_concept),
        "train_error": artifact.facts["train_error"],
    }


def with_bounds(rows: pd.DataFrame, *, eps_cond: float = 0.0) -> pd.DataFrame:
    """The study's rows with what follows from them.

    `error` is `R - Rhat_gen`, what theorem 4.1 bounds; `shift` its part `R - R_gen`, `sampling` the rest; `bound` the
    theorem with the exact total variation, `bound_tight` with C TV in place of 2 C TV; and `bound_KIND` with Pinsker's
    root of each divergence in its place, which is no bound at all unless `eps_cond` is as large as it has to be.
    """
    rows = rows.assign(
        error=rows.risk - rows.train_error,
        shift=rows.risk - rows.risk_gen,
        sampling=rows.risk_gen - rows.train_error,
    )
    rows["bound"] = bounds.risk_bound(rows.tv, rows.sampling)
    rows["bound_tight"] = bounds.shift_bound(rows.tv) + rows.sampling
    for kind in ("surrogate", "kl_uniform", "kl_frequency"):
        root = rows[kind].clip(lower=0).map(lambda value: bounds.pinsker(value, eps_cond))
        rows[f"bound_{kind}"] = bounds.risk_bound(root, rows.sampling)
    return rows


def query_entropy(n: int = 2000, *, seed: int = 9) -> tuple[float, float]:
    """Nats in one query of D, at least and at most: those of its concept, and those of all choices in writing it.

    The first is exact, since a query tells its concept; the second a mean over `n` drawn queries, and an upper bound
    because two sequences of choices may spell one text.
    """
    dice = Dice(seed)
    for _ in range(n):
        draw_query(dice.choose(concepts()), dice)
    return bounds.entropy(uniform()), dice.nats / n


def weight_entropy(lab: Lab, *, bits: int = 32) -> float:
    """At most so many nats are in the weights that a head-only detector trains, at `bits` bits each: H(W)."""
    head = lab.backbone.new_head()
    return sum(parameter.numel() for parameter in head.parameters()) * bits * float(np.log(2))


def filling_path(
    coverage: Coverage, matrix: sparse.csr_matrix, eps: Sequence[float], *, most: int | None = None
) -> pd.DataFrame:
    """Divergences of a seed that takes over rows one by one, a row per eps and point.

    `matrix [n_rows, d_sae]` are pooled activations of the rows, taken in order, `most` of them at most. A point is
    where a row fills a missing feature, beside the seed itself. Columns: `eps`, `rows` added, `filled`, and
    `surrogate`, `kl_uniform`, `kl_frequency` (see `feature_terms`).
    """
    active = above(matrix, coverage.delta)
    count, filled, points = coverage.seed_count.copy(), 0, []
    for number in range(min(active.shape[0], most or active.shape[0]) + 1):
        if number:
            count[active.indices[active.indptr[number - 1] : active.indptr[number]]] += 1
        now = int((count[coverage.missing] > 0).sum())
        if number == 0 or now > filled:
            filled = now
            for one in eps:
                found = feature_terms(coverage.anchor_count, count, coverage.relevant, coverage.m, eps=one)
                kinds = {kind: found[kind] for kind in ("surrogate", "kl_uniform", "kl_frequency")}
                points.append({"eps": one, "rows": number, "filled": filled} | kinds)
    return pd.DataFrame(points)
