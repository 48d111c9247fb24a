"""How good are the labels? Rates, scores, agreement, and accuracy against concepts that are known.

Whoever annotates learned from the answer key of four concepts in five (`mini.documents.is_unseen` names the rest), so
that accuracies are counted for seen and unseen concepts apart: only the latter say what a label is worth.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fac_lab.annotation.agreement import agreement
from fac_lab.annotation.ask import Run
from fac_lab.annotation.cases import NEIGHBOUR
from fac_lab.annotation.explain import explain
from fac_lab.annotation.relevance import judge
from fac_lab.annotation.scores import feature_scores, over_features, recall_by_strength
from fac_lab.corpora import Corpus
from fac_lab.coverage import cover
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.mini.documents import is_unseen, summary
from fac_lab.settings import ChatSettings
from fac_lab.studies.missing import main_concepts
from fac_lab.world import concepts

FEATURES = 400
"""Features drawn from the anchor's support."""
PURE = 0.5
"""Share of a feature's activation above which it is one concept's, as in `missing.recovery`."""
SECOND = {"mistral": ("name", "verdict"), "llama": ("name",)}
"""Other mini models and what they learned: the subject knows nothing of harm, so its verdicts mean nothing."""
RUNS = (Run(0.7, 1000), Run(0.7, 2000))
"""Two runs of the same annotator. At temperature 0, the paper's, a run is the same again."""
COLUMNS = ("measure", "group", "value", "low", "high", "n", "base_rate")


def label_study(lab: Lab, *, n_features: int = FEATURES, seed: int = 0) -> pd.DataFrame:
    """Quality of the labels of features drawn from the anchor's support, one row per measure and group.

    Columns: `measure`, `group`, `value`, `low` and `high` (95 % interval over features; NaN where none is given),
    `n` (features, or what the measure counts), `base_rate` (what an answer that ignores the feature reaches; NaN
    where there is none). A killed study goes on where it stopped. Raises SettingsError for a profile whose anchor is
    not of the mini world, or whose annotator is not one of its models.
    """
    anchor_of = lab.profile.corpora.get("anchor")
    if anchor_of is None or anchor_of.source != "mini" or lab.profile.synthesis.prompts != "mini":
        raise SettingsError(
            f"profile {lab.profile.name} is not of the mini world, whose concepts this study counts against: take mini"
        )
    corpus = lab.corpus("anchor")
    anchor = lab.stats(corpus, keep_matrix=True)
    gap = cover(anchor, lab.stats(lab.corpus("seed")), lab.profile.rule)
    support = np.flatnonzero(gap.anchor_support)
    drawn = np.sort(np.random.default_rng(seed).permutation(support)[:n_features])
    labels = lab.annotate(anchor, drawn)
    truth = true_labels(drawn, anchor, corpus, gap.delta)
    answers = lab.score_labels(labels, anchor, corpus, gap.delta)
    rows = [
        *rate_rows(labels),
        *truth_rows(labels, truth),
        *score_rows(answers, labels, truth),
        *hard_negative_rows(answers, truth, corpus),
        *_second_rows(lab, anchor, labels),
        *_run_rows(lab, anchor, drawn),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def true_labels(features: np.ndarray, anchor: FeatureStats, corpus: Corpus, delta: float | np.ndarray) -> pd.DataFrame:
    """What each feature is really about, from the anchor's matrix and its rows' concepts.

    Columns: `feature`, `concept`, `share` (of its activation above `delta`), `pure` (the share is above PURE), `name`
    (the right summary), `domain`, `harmful`, `unseen` (the annotators never met the concept in a prompt).
    """
    by_id = {concept.id: concept for concept in concepts()}
    found = main_concepts(features, anchor.matrix, [row.concept for row in corpus], delta)
    truth = [by_id[concept] for concept in found.concept]
    return found.assign(
        pure=found.share > PURE,
        name=[summary(concept) for concept in truth],
        domain=[concept.domain for concept in truth],
        harmful=[concept.harmful for concept in truth],
        unseen=[is_unseen(concept) for concept in truth],
    )


def rate_rows(labels: pd.DataFrame) -> list[tuple]:
    """Explainability rate, rate of confirmed summaries among those checked, and share of failed annotations."""
    named = labels.summary.notna()
    checked = labels[labels.check.notna()]
    return [
        _row("explainability", "all", named),
        _row("confirmed", "checked", checked.confirmed),
        *(_row(f"check: {verdict}", "checked", checked.check == verdict) for verdict in sorted(set(checked.check))),
        _row("verdict unreadable", "named", labels.verdict[named].isna()),
        _row("relevant", "all", labels.relevant),
    ]


def truth_rows(labels: pd.DataFrame, truth: pd.DataFrame) -> list[tuple]:
    """Accuracy of names and verdicts against the concept behind each feature that has one.

    An unnamed or unjudged feature counts as wrong. Base rates: the commonest name, and the commoner verdict.
    """
    both = labels.merge(truth, on="feature", how="inner", validate="one_to_one")
    pure = both[both.pure]
    right = (pure.summary == pure.name).astype(bool)
    about = pd.Series(
        [
            isinstance(said, str) and _is_about(said, domain)
            for said, domain in zip(pure.summary, pure.domain, strict=True)
        ],
        index=pure.index,
        dtype=bool,
    )
    judged = pure.verdict.notna() & (pure.relevant == pure.harmful)
    rows = [_row("features of one concept", "all", both.pure)]
    for group, among in _groups(pure):
        rows += [
            _row("name is right", group, right[among], base_rate=_commonest(pure.name[among])),
            _row("domain is right", group, about[among], base_rate=_commonest(pure.domain[among])),
            _row("verdict is right", group, judged[among], base_rate=_commonest(pure.harmful[among])),
        ]
        for kind, chosen in (("harmful", pure.harmful), ("harmless", ~pure.harmful)):
            rows.append(_row(f"verdict is right, {kind}", group, judged[among & chosen]))
    for group, chosen in (("confirmed", pure.confirmed), ("not confirmed", ~pure.confirmed)):
        rows.append(_row("name is right", group, right[chosen], base_rate=_commonest(pure.name[chosen])))
        rows.append(_row("verdict is right", group, judged[chosen], base_rate=_commonest(pure.harmful[chosen])))
    for group, chosen in (("name right", right), ("name wrong", ~right)):
        rows.append(_row("verdict is right", group, judged[chosen], base_rate=_commonest(pure.harmful[chosen])))
    return rows


def score_rows(answers: pd.DataFrame, labels: pd.DataFrame, truth: pd.DataFrame) -> list[tuple]:
    """Detection and fuzzing over features, in all and by what is known of them; base rate of a balanced score: 1/2."""
    scores = feature_scores(answers).merge(labels[["feature", "confirmed", "summary"]], on="feature")
    scores = scores.merge(truth, on="feature")
    rows = []
    for test, part in scores.groupby("test"):
        groups = [("all", part), ("confirmed", part[part.confirmed]), ("not confirmed", part[~part.confirmed])]
        groups += [(group, part[among]) for group, among in _groups(part)[1:]]
        groups += [("name right", part[part.summary == part.name]), ("name wrong", part[part.summary != part.name])]
        rows += [_scored(test, group, chosen.score, 0.5) for group, chosen in groups]
        rows.append(_scored(f"{test} accuracy", "all", part.accuracy, float((1 - part.base_rate).mean())))
        for column in ("recall", "specificity", "specificity_other", "specificity_neighbour"):
            if part[column].notna().any() and (test == "detection" or "_" not in column):
                rows.append(_scored(f"{test} {column.replace('_', ', ')}", "all", part[column]))
        rows.append(_row(f"{test} unanswered", "cases", answers.answer[answers.test == test].isna()))
    strength = recall_by_strength(answers)
    rows += [
        ("detection recall", f"activation {row.part}/5", row.recall, np.nan, np.nan, row.n, np.nan)
        for row in strength.itertuples()
    ]
    return rows


def hard_negative_rows(answers: pd.DataFrame, truth: pd.DataFrame, corpus: Corpus) -> list[tuple]:
    """Share of hard negatives that are about the feature's own concept: a right summary gets these wrong."""
    concept = {row.id: row.concept for row in corpus}
    hard = answers[answers.kind == NEIGHBOUR].merge(truth[["feature", "concept", "pure"]], on="feature")
    hard = hard[hard.pure]
    same = [concept[sample] == own for sample, own in zip(hard.sample_id, hard.concept, strict=True)]
    return [_row("hard negative is about the feature's concept", "cases", pd.Series(same, dtype=bool))]


def agreement_rows(who: str, what: str, a: Sequence, b: Sequence) -> list[tuple]:
    """Agreement of two annotators or runs, its interval over features, and what luck gives."""
    found = agreement(a, b)
    given = [x == y for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    rows = [_row(f"{what}: raw agreement", who, pd.Series(given, dtype=bool), base_rate=found.by_chance)]
    measures = (("Cohen's kappa", found.kappa), ("Krippendorff's alpha", found.alpha))
    return rows + [(f"{what}: {name}", who, value, np.nan, np.nan, found.n, 0.0) for name, value in measures]


def _second_rows(lab: Lab, anchor: FeatureStats, labels: pd.DataFrame) -> list[tuple]:
    rows = []
    for model, skills in SECOND.items():
        settings = ChatSettings(backend="local", model=f"data/mini/{model}", concurrency=64)
        other = Lab(replace(lab.profile, annotator=settings), lab.store.root)
        theirs = other.annotate(anchor, labels.feature)
        columns = {"name": "summary", "verdict": "relevant"}
        for skill in skills:
            a, b = (_ratings(frame, columns[skill]) for frame in (labels, theirs))
            rows += agreement_rows(f"annotator and {model}", skill, a, b)
    return rows


def _run_rows(lab: Lab, anchor: FeatureStats, features: np.ndarray) -> list[tuple]:
    runs = []
    for run in RUNS:
        named = explain([int(f) for f in features], anchor, lab.annotator, lab.prompts, run=run)
        judged = judge(named, lab.annotator, lab.prompts, lab.rubric("toxicity"), run=run)
        runs.append(pd.DataFrame({"summary": [e.summary for e in named]}).join(pd.DataFrame(judged)))
    who = f"two runs at temperature {RUNS[0].temperature}"
    return [
        row
        for skill, column in (("name", "summary"), ("verdict", "relevant"))
        for row in agreement_rows(who, skill, *(_ratings(run, column) for run in runs))
    ]


def _ratings(frame: pd.DataFrame, column: str) -> list:
    """A column as ratings: None where there is no name, or no verdict."""
    known = frame.summary.notna() if column == "summary" else frame.verdict.notna()
    return [value if there else None for value, there in zip(frame[column].tolist(), known, strict=True)]


def _is_about(said: str, domain: str) -> bool:
    return said.endswith(f"({domain})") or said == f"requests about {domain}"


def _groups(frame: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    pure = frame.pure
    return [("all", pure), ("seen concepts", pure & ~frame.unseen), ("unseen concepts", pure & frame.unseen)]


def _commonest(values: pd.Series) -> float:
    return float(values.value_counts(normalize=True).iloc[0]) if len(values) else float("nan")


def _row(measure: str, group: str, hits: pd.Series, *, base_rate: float = float("nan")) -> tuple:
    return _scored(measure, group, hits.astype(float), base_rate)


def _scored(measure: str, group: str, values: pd.Series, base_rate: float = float("nan")) -> tuple:
    score = over_features(values)
    return (measure, group, score.mean, score.low, score.high, score.n, base_rate)
