"""Does FAC go with performance, and more closely than simpler measures do? (The paper's RQ1, table 8, figures 3, 9.)

One row per data set, whatever world it comes from, with columns by kind:

- `data_set`, `design`: names; correlations are taken within one or more designs;
- `made_...`: what the data set was made of, where that is known; `true_...`: the truth, in an embedded world;
- `size` (rows) and `mean_length` (words): what partial correlations take away;
- `fac_RULE_FEATURES`: FAC under a rule and a set of features F;
- `auprc`, the mean over training seeds: the outcome; `auprc_sd`, `auprc_seeds`, their spread and number, and any
  other `auprc_...`;
- every other number is a measure of diversity.

`correlations` reads such a table and knows nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.annotation.probe import information_gain
from fac_lab.corpora import Corpus, Row
from fac_lab.correlation import Correlation, compare, correlate, first_shares, partial
from fac_lab.coverage import cover, threshold, weighted_fac
from fac_lab.errors import DataError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.studies.diversity import Embedding, diversity_columns
from fac_lab.studies.label_ways import as_mask
from fac_lab.studies.make_up import DESIGNS, MakeUp, design, toxic_rows, true_coverage
from fac_lab.studies.missing import PAPER_RULE, main_concepts, world_corpus
from fac_lab.studies.toxicity import detector_auprc, test_rows
from fac_lab.world import concepts

SETS: Mapping[str, int] = {"equal size": 32, "free size": 32, "concepts only": 12}
"""Data sets of each design."""
SUPPORT = 4
"""Anchor samples that a feature needs under the rules that ask for several: what the mini profile's rule comes to."""
MAIN = "fac_relative_m_judge"
"""The FAC that claims are made about, chosen before any result: the profile's quantile, a support, the judge's F."""
COVARIATES = ("size", "mean_length")
OUTCOME = "auprc"
NO_MEASURES = ("auprc", "made_")
"""How the names of columns begin that are no measures of a data set."""
KINDS = ("pearson", "spearman", "kendall")
SAFE_SEED, DESIGN_SEED = 6000, 7


def correlation_study(lab: Lab, *, sets: Mapping[str, int] = SETS, judged: int | None = None) -> pd.DataFrame:
    """Data sets of known make-up, their FAC, their diversity, and what a detector learns from them.

    Every detector sees the same safe rows beside its toxic ones. Columns as said above; FAC under the rules of
    `rules_of` with each F of `relevant_sets`. `judged` limits the annotator to the most frequent features of the
    anchor. Every detector, every collection and every data set's metrics are kept as they are finished, so that a
    killed study goes on where it stopped.
    """
    anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
    relevant, rules = relevant_sets(lab, anchor, judged=judged), rules_of(lab)
    lean, safe, test = without_spans(lab), safe_rows(lab), test_rows()
    embedding = Embedding(lab.subject, lab.corpus("anchor"))
    rows = []
    with tqdm(total=sum(sets.values()) * len(lab.profile.seeds), desc="correlation", unit="run") as bar:
        for name, make_up, toxic in data_sets(sets):
            found = facts_of(name, make_up, toxic)
            found |= fac_columns(anchor, lean.stats(corpus_of(name, toxic)), rules, relevant)
            found |= diversity_columns(lab, [row.text for row in toxic], embedding)
            runs = []
            for seed in lab.profile.seeds:
                runs.append(detector_auprc(lab, [*safe, *toxic], test, seed))
                bar.update()
            rows.append(found | outcome_columns(runs))
    return pd.DataFrame(rows)


def data_sets(sets: Mapping[str, int]) -> list[tuple[str, MakeUp, list[Row]]]:
    """Name, make-up and rows of every data set, as many of each design as `sets` says."""
    found = []
    for place, kind in enumerate(DESIGNS):
        if sets.get(kind):
            for number, make_up in enumerate(design(kind, sets[kind], seed=DESIGN_SEED + place)):
                found.append((f"{kind} {number:02d}", make_up, toxic_rows(make_up)))
    return found


def facts_of(name: str, make_up: MakeUp, rows: Sequence[Row]) -> dict[str, Any]:
    """What is known of a data set without any model."""
    made = {f"made_{key}": value for key, value in make_up._asdict().items() if key != "seed"}
    words = [len(row.text.split()) for row in rows]
    return {
        "data_set": name,
        "design": name.rpartition(" ")[0],
        **made,
        "true_coverage": true_coverage(rows),
        "size": len(rows),
        "mean_length": float(np.mean(words)),
    }


def rules_of(lab: Lab) -> dict[str, CoverageRule]:
    """The paper's rule and the profile's, each with any anchor sample and with SUPPORT of them ("_m")."""
    relative = replace(lab.profile.rule, support=1)
    return {
        "paper": PAPER_RULE,
        "paper_m": replace(PAPER_RULE, support=SUPPORT),
        "relative": relative,
        "relative_m": replace(relative, support=SUPPORT),
    }


def relevant_sets(lab: Lab, anchor: FeatureStats, *, judged: int | None = None) -> dict[str, np.ndarray]:
    """Sets F of features, bool `[d_sae]`, by name.

    "judge": the annotator's, of the anchor's support under the profile's quantile and SUPPORT (its `judged` most
    frequent ones); "probe": those whose activity goes with the labels of the anchor's samples (information gain);
    "random": as many as the judge's, drawn from those that it judged; "all"; in the mini world "true": most of their
    anchor activation comes from harmful concepts.
    """
    rows = list(lab.corpus("anchor"))
    delta = threshold(anchor, lab.profile.rule)
    count = anchor.counts(delta)
    asked = np.flatnonzero(count >= SUPPORT)
    asked = np.sort(asked[np.argsort(-count[asked], kind="stable")][:judged])
    labels = lab.annotate(anchor, asked)
    sets = {"judge": as_mask(labels.feature[labels.relevant], anchor.d_sae)}
    drawn = np.random.default_rng(0).choice(asked, int(sets["judge"].sum()), replace=False)
    sets |= sets_by_label(anchor, rows, delta)
    return sets | {"random": as_mask(drawn, anchor.d_sae), "all": np.ones(anchor.d_sae, bool)}


def sets_by_label(anchor: FeatureStats, rows: Sequence[Row], delta: float | np.ndarray) -> dict[str, np.ndarray]:
    """ "probe" and "true" of `relevant_sets`, which ask no annotator; `anchor` are the rows' statistics with matrix."""
    labels = np.array([row.label for row in rows])
    gain = information_gain(anchor.matrix, labels, delta)
    kinds = main_concepts(np.arange(anchor.d_sae), anchor.matrix, [str(label) for label in labels], delta)
    active = anchor.counts(delta) > 0
    return {"probe": gain.relevant.to_numpy(), "true": (kinds.concept == "1").to_numpy() & active}


def fac_columns(
    anchor: FeatureStats,
    stats: FeatureStats,
    rules: Mapping[str, CoverageRule],
    relevant: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """`fac_RULE_F` for every rule and F, and table 11's weights under MAIN: `..._frequency`, `..._magnitude`."""
    found = {}
    for rule_name, rule in rules.items():
        for name, mask in relevant.items():
            coverage = cover(anchor, stats, rule, relevant=mask)
            column = f"fac_{rule_name}_{name}"
            found[column] = coverage.fac
            if column == MAIN:
                found |= {f"{column}_{by}": weighted_fac(coverage, by) for by in ("frequency", "magnitude")}
    return found


def outcome_columns(runs: Sequence[float]) -> dict[str, float]:
    """`auprc` and its spread over training seeds."""
    spread = float(np.std(runs, ddof=1)) if len(runs) > 1 else float("nan")
    return {"auprc": float(np.mean(runs)), "auprc_sd": spread, "auprc_seeds": len(runs)}


def safe_rows(lab: Lab) -> list[Row]:
    """The safe rows of every detector."""
    harmful = [concept for concept in concepts() if concept.harmful]
    return list(world_corpus("safe", lab.profile.study.safe_samples, seed=SAFE_SEED, without=harmful))


def without_spans(lab: Lab) -> Lab:
    """The lab, keeping no spans: they are the bulk of statistics, and nobody reads those of a hundred data sets."""
    lean = Lab(replace(lab.profile, collect=replace(lab.profile.collect, top_spans=0)), lab.store.root)
    lean.subject, lean.sae, lean.encoder = lab.subject, lab.sae, lab.encoder
    return lean


def corpus_of(name: str, rows: Sequence[Row]) -> Corpus:
    """The rows as a corpus."""
    return Corpus.from_rows(name, rows)


def measures_of(frame: pd.DataFrame) -> list[str]:
    """Columns that say something about a data set which might go with the outcome, in order."""
    numbers = frame.select_dtypes("number").columns
    return [name for name in numbers if not name.startswith(NO_MEASURES)]


def family_of(measure: str) -> str:
    """ "FAC", "truth", "covariate" or "diversity"."""
    if measure.startswith("fac_"):
        return "FAC"
    return "truth" if measure.startswith("true_") else "covariate" if measure in COVARIATES else "diversity"


def correlations(
    frame: pd.DataFrame,
    *,
    outcome: str = OUTCOME,
    fac: str = MAIN,
    measures: Sequence[str] | None = None,
    covariates: Sequence[str] = COVARIATES,
    draws: int = 2000,
) -> pd.DataFrame:
    """How every measure goes with the outcome over the data sets of `frame`, one row each, strongest first.

    Columns: `measure`, `family`, `n`; `pearson`, `spearman`, `kendall`, `partial` and `partial_spearman` (given the
    covariates), each with `_low` and `_high`; against the measure `fac`: `fac_minus`, `|r| of fac - |r| of this` with
    `_low`, `_high`, its bootstrap `p` and Williams' `t_p`; `first`, the share of draws of the points in which this
    measure has the largest |r| of its family's rivals, see `first_of_all`; `reason`, where it has no correlation.
    `measures` are those of `measures_of` if None. Intervals are bootstrap ones over data sets.
    """
    names = list(measures_of(frame) if measures is None else measures)
    missing = sorted({*names, fac, outcome, *covariates} - set(frame.columns))
    if missing:
        raise DataError(f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}")
    y = frame[outcome].to_numpy(float)
    first = first_of_all(frame, names, outcome, fac, draws=draws)
    rows = []
    for name in names:
        x = frame[name].to_numpy(float)
        found = {kind: correlate(x, y, kind, draws=draws) for kind in KINDS}
        given = {other: frame[other].to_numpy(float) for other in covariates if other != name}
        found["partial"] = partial(x, y, given, draws=draws)
        found["partial_spearman"] = partial(x, y, given, "spearman", draws=draws)
        than = compare(frame[fac].to_numpy(float), x, y, draws=draws)
        row = {"measure": name, "family": family_of(name), "n": found["pearson"].n}
        for kind, value in found.items():
            row |= _spread(kind, value)
        row |= {"fac_minus": than.value, "fac_minus_low": than.low, "fac_minus_high": than.high}
        row |= {"p": than.p, "t_p": than.t_p, "first": first.get(name, np.nan), "reason": found["pearson"].reason}
        rows.append(row)
    table = pd.DataFrame(rows)
    order = table.pearson.abs().sort_values(ascending=False, kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)


def first_of_all(
    frame: pd.DataFrame, names: Sequence[str], outcome: str, fac: str, *, draws: int = 2000
) -> dict[str, float]:
    """Share of draws of the data sets in which `fac`, or one of the measures of diversity, has the largest |r|.

    One FAC takes part, not all its variants: the best of twenty tickets would beat the best of ten.
    """
    rivals = [fac, *(name for name in names if family_of(name) == "diversity")]
    y = frame[outcome].to_numpy(float)
    return first_shares({name: frame[name].to_numpy(float) for name in rivals}, y, draws=draws)


def next_best(table: pd.DataFrame, fac: str = MAIN) -> pd.Series:
    """The row, of a table of `correlations`, of the measure of diversity with the largest |r|: FAC's rival.

    Raises DataError where no measure of diversity has a correlation.
    """
    rivals = table[(table.family == "diversity") & table.pearson.notna() & (table.measure != fac)]
    if rivals.empty:
        raise DataError("no measure of diversity in this table has a correlation, so FAC has no rival")
    return rivals.loc[rivals.pearson.abs().idxmax()]


def _spread(kind: str, value: Correlation) -> dict[str, float]:
    return {kind: value.value, f"{kind}_low": value.low, f"{kind}_high": value.high}
