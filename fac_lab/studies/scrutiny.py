"""FAC under scrutiny: what threshold, support, dictionary and representation do to its correlation with performance.

The data sets and their AUPRC are those of `studies.correlation`; only the way of counting coverage changes. So all
rows of the result are over the same points, and differ by nothing else. The paper's figure 6 (thresholds), table 7
(width and K of the SAE) and table 12 (dense clusters in place of features) ask the same of AUPRC after synthesis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.corpora import Row
from fac_lab.correlation import correlate, partial
from fac_lab.coverage import PAPER_DELTAS, threshold
from fac_lab.errors import DataError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule, SaeSettings
from fac_lab.studies.correlation import (
    COVARIATES,
    OUTCOME,
    SUPPORT,
    corpus_of,
    data_sets,
    relevant_sets,
    sets_by_label,
    without_spans,
)
from fac_lab.studies.diversity import Embedding
from fac_lab.studies.missing import world_corpus

SAES = ((4096, 3), (1024, 3), (1024, 1), (1024, 10))
"""Width and K of the dictionaries trained beside the profile's own, the first with its settings."""
TRAINED_SHARE = 0.25
"""They see this share of the profile's training: minutes for all four. Compare them with each other."""
QUANTILES = (0.0, 0.25, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99)
SUPPORTS = (1, SUPPORT, 16)
CLUSTERS = (64, 256, 1024)
"""Dense clusters of the anchor's vectors: few, about as many as there are concepts, many."""
SATURATED = 0.99
POOLED = ("equal size", "free size")
"""Designs whose data sets are the points; the circular one stays out."""


class Way(NamedTuple):
    """One way of counting coverage, and what it gave for every data set."""

    what: str
    """"threshold", "sae" or "clusters": what the row belongs to."""
    name: str
    """Rule, dictionary or clustering, in words."""
    relevant: str
    """The set F."""
    facts: Mapping[str, Any]
    """`delta`, `quantile`, `m`, `d_sae`, `k`, where they say something."""
    fac: Sequence[float]


class Counted:
    """What an anchor and many data sets activate, counted once per threshold; FACs as `coverage.cover` gives them."""

    def __init__(self, anchor: FeatureStats, stats: Sequence[FeatureStats]) -> None:
        self.anchor, self.stats = anchor, stats
        self._last: tuple[Any, np.ndarray, np.ndarray] | None = None

    def way(self, what: str, name: str, relevant: str, rule: CoverageRule, mask: np.ndarray, **facts: Any) -> Way:
        """One way of counting; `rule` has one delta for all features and a support of its own."""
        delta = float(threshold(self.anchor, rule))
        if self._last is None or self._last[0] != delta:
            reached = np.stack([one.counts(delta) > 0 for one in self.stats])
            self._last = delta, self.anchor.counts(delta), reached
        _, count, reached = self._last
        support = mask & (count >= rule.support)
        facts |= {"delta": delta, "m": rule.support, "n_relevant": int(support.sum())}
        if rule.kind == "anchor_quantile":
            facts["quantile"] = rule.quantile
        fac = reached[:, support].mean(axis=1) if support.any() else np.full(len(self.stats), np.nan)
        return Way(what, name, relevant, facts, fac)


def scrutiny_study(
    lab: Lab,
    results: pd.DataFrame,
    *,
    sets: Mapping[str, int],
    saes: Sequence[tuple[int, int]] = SAES,
    judged: int | None = None,
) -> pd.DataFrame:
    """How FAC goes with AUPRC under every way of counting, one row each.

    `results` is what `correlation_study` returned for the same `sets`. Columns: `what`, `name`, `relevant`; `delta`,
    `quantile`, `m`, `d_sae`, `k` (NaN where they do not apply); `n_relevant` features (or clusters) counted;
    `mean_fac`, `sd_fac` over data sets, `saturated`, the share of them with a FAC of SATURATED or more; `pearson`,
    `spearman` and `partial` (given size and mean length) with intervals, `n`, `reason`. Dictionaries are trained where
    they are not there yet.
    """
    points = [point for point in data_sets(sets) if point[0].rpartition(" ")[0] in POOLED]
    known = results.set_index("data_set")
    absent = [name for name, *_ in points if name not in known.index]
    if absent or not points:
        raise DataError(f"the results lack {', '.join(absent) or 'every data set'}: run the study for the same sets")
    table = known.loc[[name for name, *_ in points]]
    named = [(name, rows) for name, _, rows in points]
    ways = [*_thresholds(lab, named, judged), *_dictionaries(lab, named, saes), *_clusters(lab, named)]
    return pd.DataFrame([_row(way, table) for way in ways])


def _thresholds(lab: Lab, points: Sequence[tuple[str, list[Row]]], judged: int | None) -> Iterator[Way]:
    anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
    relevant = relevant_sets(lab, anchor, judged=judged)
    lean = without_spans(lab)
    counted = Counted(anchor, [lean.stats(corpus_of(*point)) for point in points])
    settings = {f"delta {delta:g}": CoverageRule(delta=delta) for delta in PAPER_DELTAS}
    settings |= {f"quantile {q:g}": CoverageRule(kind="anchor_quantile", quantile=q) for q in QUANTILES}
    for name, rule in tqdm(settings.items(), desc="thresholds", unit="threshold"):
        for m in SUPPORTS:
            for chosen in ("judge", "probe", "all"):
                yield counted.way("threshold", name, chosen, replace(rule, support=m), relevant[chosen])


def _dictionaries(lab: Lab, points: Sequence[tuple[str, list[Row]]], saes: Sequence[tuple[int, int]]) -> Iterator[Way]:
    rows = list(lab.corpus("anchor"))
    own = lab.profile.sae_training
    for width, k in tqdm([(None, None), *saes], desc="dictionaries", unit="SAE"):
        other = lab if width is None else with_dictionary(lab, width, k)
        lean = without_spans(other)
        anchor = lean.stats(lab.corpus("anchor"), keep_matrix=True)
        counted = Counted(anchor, [lean.stats(corpus_of(*point)) for point in points])
        facts = {"d_sae": anchor.d_sae, "k": k or (own.k if own else None)}
        name = "the profile's" if width is None else f"{width:,} features, K {k}"
        for rule in (CoverageRule(), replace(lab.profile.rule, support=SUPPORT)):
            relevant = sets_by_label(anchor, rows, threshold(anchor, rule))
            for chosen, mask in {"probe": relevant["probe"], "all": np.ones(anchor.d_sae, bool)}.items():
                yield counted.way("sae", name, chosen, rule, mask, **facts)


def _clusters(lab: Lab, points: Sequence[tuple[str, list[Row]]]) -> Iterator[Way]:
    """Coverage of clusters of dense vectors, the subject's, where its features are read (table 12).

    A cluster counts as relevant where most of its anchor samples are labelled harmful.
    """
    from fac_lab.diversity.clusters import assign, find_clusters

    rows = list(lab.corpus("anchor"))
    labels = np.array([row.label for row in rows])
    embedding = Embedding(lab.subject, lab.corpus("anchor"))
    vectors = embedding.of([row.text for row in rows])
    inside = [embedding.of([row.text for row in toxic]) for _, toxic in points]
    for n in tqdm([n for n in CLUSTERS if n < len(rows)], desc="clusters", unit="clustering"):
        clusters = find_clusters(vectors, n)
        found = len(clusters.counts)
        harmful = np.bincount(assign(clusters, vectors), weights=labels, minlength=found)
        masks = {"probe": harmful > 0.5 * clusters.counts, "all": np.ones(found, bool)}
        reached = np.stack([np.bincount(assign(clusters, one), minlength=found) > 0 for one in inside])
        for chosen, mask in masks.items():
            facts = {"d_sae": found, "n_relevant": int(mask.sum())}
            fac = reached[:, mask].mean(axis=1) if mask.any() else np.full(len(points), np.nan)
            yield Way("clusters", f"{n} dense clusters", chosen, facts, fac)


def with_dictionary(lab: Lab, width: int, k: int, *, layer: int | None = None) -> Lab:
    """The lab with another SAE of the same subject, trained as the profile says but for width, K and TRAINED_SHARE.

    With a `layer` other than the profile's the subject is read there. Chat models and the detector's backbone stay
    those of `lab`, as far as it opened them.
    """
    own, subject = lab.profile.sae_training, lab.profile.subject
    elsewhere = layer is not None and layer != subject.layer
    name = f"{width}-{k}" + (f"-layer-{layer}" if elsewhere else "")
    folder = Path(lab.store.root) / "dictionaries" / name
    training = replace(own, d_sae=width, k=k, tokens=max(own.batch, round(TRAINED_SHARE * own.tokens)))
    profile = replace(
        lab.profile,
        subject=replace(subject, layer=layer) if elsewhere else subject,
        sae=SaeSettings("folder", str(folder.resolve())),
        sae_training=training,
    )
    other = Lab(profile, lab.store.root)
    if not elsewhere:
        other.subject = lab.subject
    for part in ("generator", "annotator", "backbone"):
        if part in vars(lab):
            setattr(other, part, getattr(lab, part))
    # As many texts as the anchor has, and none of them: some 40 tokens each are what this much training reads.
    other.train_sae(world_corpus("sae training", lab.profile.corpora["anchor"].n, seed=500))
    return other


def _row(way: Way, table: pd.DataFrame) -> dict[str, Any]:
    fac, y = np.asarray(way.fac), table[OUTCOME].to_numpy(float)
    facts = {name: way.facts.get(name, np.nan) for name in ("delta", "quantile", "m", "d_sae", "k", "n_relevant")}
    row = {"what": way.what, "name": way.name, "relevant": way.relevant, **facts}
    row |= {"mean_fac": fac.mean(), "sd_fac": fac.std(ddof=1), "saturated": float((fac >= SATURATED).mean())}
    found = {
        "pearson": correlate(fac, y),
        "spearman": correlate(fac, y, "spearman"),
        "partial": partial(fac, y, {name: table[name].to_numpy(float) for name in COVARIATES}),
    }
    for kind, value in found.items():
        row |= {kind: value.value, f"{kind}_low": value.low, f"{kind}_high": value.high}
    return row | {"n": found["pearson"].n, "reason": found["pearson"].reason}
