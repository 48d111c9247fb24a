"""Tables and figures of the studies of synthesis, what the paper printed beside what was measured here."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.tables import paper_table
from fac_lab.display.theme import BELOW, BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, hover, styled

WAYS = {"one step": BLUE, "two steps": GREEN, "step 2 of two": SKY, "plain": INK}
"""Ways of writing and their colours."""
GENERATORS = (BLUE, ORANGE, GREEN, PURPLE)
BUDGETS = {"one a feature": BLUE, "fixed total": GREEN}


def over_sets(rows: pd.DataFrame, by: Sequence[str], shown: Sequence[str]) -> pd.DataFrame:
    """Means over held-out sets of the columns `shown`, one row per group `by`, in order of appearance.

    Whatever differs within a set (training seeds) is averaged first. Columns: `by`; each of `shown` and its standard
    deviation over sets, `..._sd` (NaN for one set); `sets`. NaN leaves a set out of a mean.
    """
    by, shown = list(by), list(shown)
    per_set = rows.groupby([*by, "held_out_set"], sort=False)[shown].mean()
    groups = per_set.groupby(level=by, sort=False)
    spread = groups.std().add_suffix("_sd")
    return groups.mean().join(spread).assign(sets=groups.size()).reset_index()


def steps_beside_paper(rows: pd.DataFrame, *, one: int, two: int) -> pd.DataFrame:
    """Our gap coverage with `one` and `two` drafts a feature in all, and the paper's table 10, toxicity, beside it.

    `rows` are of `studies.steps.steps_study`. One row per threshold, from the loosest; ours and the paper's thresholds
    are of different dictionaries and stand in one row by rank only. Shares in [0, 1].
    """
    ours = over_sets(rows[rows.texts == "all"], ["rule", "way", "draws"], ["delta", "by_own", "by_any"])
    ours = ours.set_index(["rule", "way", "draws"])
    printed = paper_table("table10_one_vs_two_step").pivot(index="threshold", columns="step", values="toxicity") / 100
    return pd.DataFrame(
        [
            {
                "rule": rule,
                "delta": ours.delta[rule, "one step", one],
                "one, own": ours.by_own[rule, "one step", one],
                "two, own": ours.by_own[rule, "two steps", two],
                "one, any": ours.by_any[rule, "one step", one],
                "two, any": ours.by_any[rule, "two steps", two],
                "paper's delta": threshold,
                "paper, one": line.one,
                "paper, two": line.two,
            }
            for rule, (threshold, line) in zip(rows.rule.unique(), printed.iterrows(), strict=False)
        ]
    )


def coverage_by_draws(rows: pd.DataFrame, *, rule: str = "profile", texts: str = "all") -> go.Figure:
    """Gap coverage against the drafts spent per feature, a line per way of writing, mean and SD over held-out sets."""
    chosen = rows[(rows.rule == rule) & (rows.texts == texts)]
    table = over_sets(chosen, ["way", "draws"], ["by_own", "by_any"])
    panels = {"by_own": "by the feature's own sample", "by_any": "by any sample"}
    figure = make_subplots(rows=1, cols=2, subplot_titles=list(panels.values()), shared_yaxes=True)
    for column, value in enumerate(panels, start=1):
        for way, paint in WAYS.items():
            line = table[table.way == way].dropna(subset=value)
            _add(figure, line, "draws", value, way, paint, column, legend=value == "by_any")
    draws = sorted(table.draws.unique())
    figure.update_xaxes(title="drafts a feature, in all", tickvals=draws, type="log")
    figure.update_yaxes(title="gap coverage", tickformat=".0%", rangemode="tozero", col=1)
    return _finished(figure, "One step or two, at equal numbers of drafts", int(table.sets.max()))


def per_feature(rows: pd.DataFrame) -> go.Figure:
    """AUPRC, DES and gap coverage against the samples kept per feature (the paper's figure 7)."""
    panels = {"auprc": "AUPRC", "des": "DES", "by_any": "gap coverage by any sample"}
    table = over_sets(rows, ["per_feature"], list(panels))
    figure = make_subplots(rows=1, cols=3, subplot_titles=list(panels.values()))
    for column, (value, paint) in enumerate(zip(panels, (BLUE, ORANGE, GREEN), strict=True), start=1):
        _add(figure, table, "per_feature", value, panels[value], paint, column, legend=False)
    figure.update_xaxes(title="samples a feature, at most", dtick=1)
    return _finished(figure, "More samples of the same features", int(table.sets.max()))


def temperatures(rows: pd.DataFrame) -> go.Figure:
    """Gap coverage and AUPRC against temperature, a line per generator, and the paper's table 4 (AUPRC) beside."""
    table = over_sets(rows, ["generator", "temperature"], ["by_any", "distinct", "auprc"])
    titles = ["ours: gap coverage by any", "ours: distinct share", "ours: AUPRC", "paper: AUPRC"]
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, horizontal_spacing=0.12, vertical_spacing=0.18)
    for generator, paint in zip(table.generator.unique(), GENERATORS, strict=False):
        line = table[table.generator == generator]
        _add(figure, line, "temperature", "by_any", generator, paint, 1, legend=True)
        _add(figure, line, "temperature", "distinct", generator, paint, 2, legend=False)
        _add(figure, line, "temperature", "auprc", generator, paint, 1, row=2, legend=False)
    printed = paper_table("table04_generator_temperature")
    for name, column, paint in (("paper: Llama", "llama", RED), ("paper: GPT-4o mini", "gpt4o_mini", PURPLE)):
        line = printed.assign(auprc=printed[f"{column}_auprc"] / 100, auprc_sd=printed[f"{column}_sd"] / 100)
        _add(figure, line, "temperature", "auprc", name, paint, 2, row=2, legend=True)
    figure.update_xaxes(title="temperature", row=2)
    return _finished(figure, "Temperature and generator", int(table.sets.max()), height=560)


def ratios(rows: pd.DataFrame) -> go.Figure:
    """AUPRC against the share of the gap that is written for, by budget, and the paper's table 9 beside."""
    table = over_sets(rows, ["budget", "ratio"], ["auprc"])
    figure = make_subplots(rows=1, cols=2, subplot_titles=["ours", "paper"], horizontal_spacing=0.1)
    for budget, paint in BUDGETS.items():
        _add(figure, table[table.budget == budget], "ratio", "auprc", budget, paint, 1, legend=True)
    printed = paper_table("table09_coverage_ratio")
    line = printed.assign(ratio=printed.ratio_pct / 100, auprc=printed.tox_auprc / 100, auprc_sd=printed.tox_sd / 100)
    _add(figure, line, "ratio", "auprc", "paper", RED, 2, legend=True)
    figure.update_xaxes(title="share of the missing features written for", tickformat=".0%")
    figure.update_yaxes(title="AUPRC", col=1)
    return _finished(figure, "Does filling more of the gap help?", int(table.sets.max()))


def _add(
    figure: go.Figure,
    table: pd.DataFrame,
    x: str,
    value: str,
    name: str,
    paint: str,
    column: int,
    *,
    row: int = 1,
    legend: bool,
) -> None:
    """A line of means with their standard deviations as bars."""
    figure.add_scatter(
        name=hover(name), legendgroup=name, showlegend=legend, x=table[x], y=table[value], mode="lines+markers",
        line={"color": paint, "width": 2}, marker={"size": 8},
        error_y={"array": table[f"{value}_sd"].fillna(0), "thickness": 1.5, "width": 4},
        hovertemplate=f"{hover(name)}<br>%{{x}}: %{{y:.3f}} ± %{{error_y.array:.3f}}<extra></extra>",
        row=row, col=column,
    )  # fmt: skip


def _finished(figure: go.Figure, title: str, sets: int, *, height: int = 420) -> go.Figure:
    figure.update_xaxes(zeroline=False)
    subtitle = f"mean and standard deviation over {sets} held-out sets, seeds averaged"
    return styled(figure, title, subtitle=subtitle, height=height, legend=BELOW, margin_t=110, margin_b=90)
