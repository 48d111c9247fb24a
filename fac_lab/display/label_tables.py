"""Tables of the studies of labels: ways to judge relevance, noise beside the paper's table 6, verdicts that flip."""

import pandas as pd

from fac_lab.display.tables import estimate, paper_table


def ways_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over held-out sets of `studies.label_ways.ways_study`, one row per way and source of labels.

    Columns: `way`, `labelled_on`, `n_labelled`, `sets`, then the means; NaN leaves a set out of a mean, such as the
    precision of a way that found nothing. Ways are in order of appearance.
    """
    by = ["way", "labelled_on", "n_labelled"]
    groups = rows.groupby(by, sort=False)
    means = groups.mean(numeric_only=True).drop(columns="held_out_set")
    means.insert(0, "sets", groups.held_out_set.nunique())
    return means.reset_index()


def noise_table(runs: pd.DataFrame, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Settings of `studies.label_noise.noise_study` as means over held-out sets, the paper's numbers beside.

    Seeds of one set are averaged first; `..._sd` is over sets, `sets` their number. Shares lie in [0, 1]; the
    paper's percentages are divided by 100. Its "FAC" stands beside `gap_coverage`, which is what it is. NaN for
    settings that it does not have. `paper` defaults to its table 6.
    """
    paper = paper_table("table06_annotation_noise") if paper is None else paper
    by, shown = ["setting", "noise_pct"], ["jaccard_missing", "gap_coverage", "fac", "n_missing", "auprc"]
    per_set = runs.groupby([*by, "held_out_set"], sort=False)[shown].mean()
    rows = []
    for setting, group in per_set.groupby(level=by, sort=False):
        row = dict(zip(by, setting, strict=True)) | {"sets": len(group)}
        for name in shown:
            found = estimate(group[name])
            row |= {name: found.mean, f"{name}_sd": found.sd}
        rows.append(row)
    printed = paper[by].assign(
        jaccard_missing_paper=paper.jaccard_missing / 100,
        gap_coverage_paper=paper.fac / 100,
        auprc_paper=paper.auprc / 100,
    )
    return pd.DataFrame(rows).merge(printed, on=by, how="left", validate="one_to_one")


def flip_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares of verdicts that texts flip, of the rows of `studies.injection`, by kind of text and number of spans.

    One line per `measure` (the kind; "all" first) and `group` (the number): `value` with the interval `low` to `high`,
    `base_rate`, the share that harmless words flip, and what the texts flip `beyond` that, with `beyond_low` and
    `beyond_high`. A verdict that cannot be read is one of "not". Intervals of 95 % by bootstrap over the `n` features,
    each a mean over texts first, as one feature's verdicts go together.
    """
    flips = rows.assign(
        text=(rows.after == "relevant") != (rows.before == "relevant"),
        words=(rows.neutral == "relevant") != (rows.before == "relevant"),
    )
    lines = []
    for kind, some in (("all", flips), *flips.groupby("kind", sort=False)):
        for n, part in some.groupby("injected"):
            means = part.groupby("feature")[["text", "words"]].mean()
            rate, words = (estimate(means[name], method="bootstrap") for name in ("text", "words"))
            beyond = estimate(means.text - means.words, method="bootstrap")
            facts = {"measure": kind, "group": f"{n} span{'s' if n > 1 else ''}", "n": rate.n}
            facts |= {"value": rate.mean, "low": rate.low, "high": rate.high, "base_rate": words.mean}
            lines.append(facts | {"beyond": beyond.mean, "beyond_low": beyond.low, "beyond_high": beyond.high})
    return pd.DataFrame(lines)
