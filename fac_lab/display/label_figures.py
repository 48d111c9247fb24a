"""Figures of the studies of labels: shares with their base rates, ways to judge relevance, noise beside the paper."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.theme import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, hover, styled

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
ROW_HEIGHT = 26
NOISE = (
    ("jaccard_missing", "Jaccard of F_miss"),
    ("gap_coverage", "gap coverage"),
    ("auprc", "AUPRC"),
)
"""What table 6 prints, and the names of its three panels."""


def label_quality(
    rows: pd.DataFrame, title: str, *, subtitle: str | None = None, base: str = "base rate", axis: str = "share"
) -> go.Figure:
    """Shares or scores with their intervals, each beside its base rate.

    `rows` are of `studies.labels.label_study`: `measure`, `group`, `value`, `low`, `high`, `n`, `base_rate`; one line
    per row, measures and their groups from the top down in order of appearance, a colour for each of up to six groups.
    NaN in `low` and `high`, or in `base_rate`, leaves the interval, or the mark of the base rate, out. `base` names
    that mark.
    """
    groups, measures = list(dict.fromkeys(rows.group)), list(dict.fromkeys(rows.measure))
    placed = rows.assign(y=_lines(rows, measures))
    figure = go.Figure()
    for colour, group in zip(_cycle(len(groups)), groups, strict=True):
        some = placed[placed.group == group]
        spread = {"array": some.high - some.value, "arrayminus": some.value - some.low}
        figure.add_scatter(
            name=hover(group), x=some.value, y=some.y, mode="markers", marker={"color": colour, "size": 10},
            error_x={"type": "data", "symmetric": False, "thickness": 2, "width": 4, **spread},
            customdata=np.stack([some.low, some.high, some.n], axis=1),
            hovertext=[hover(name) for name in some.measure],
            hovertemplate=f"%{{hovertext}}, {hover(group)}: %{{x:.3f}}<br>95 % interval %{{customdata[0]:.3f}} to "
            "%{customdata[1]:.3f}<br>n = %{customdata[2]:,}<extra></extra>",
        )  # fmt: skip
    known = placed[placed.base_rate.notna()]
    if len(known):
        figure.add_scatter(
            name=hover(base), x=known.base_rate, y=known.y, mode="markers",
            marker={"color": INK, "symbol": "line-ns", "size": 16, "line": {"width": 3, "color": INK}},
            hovertemplate=f"{hover(base)} %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    centres = [float(placed.y[placed.measure == name].mean()) for name in measures]
    figure.update_yaxes(
        tickvals=centres,
        ticktext=[hover(name, width=24) for name in measures],
        range=[float(placed.y.min()) - 0.8, 0.8],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(title=hover(axis), range=[-0.02, 1.04], zeroline=False)
    height = 160 + ROW_HEIGHT * int(np.ceil(1 - placed.y.min()))
    return styled(figure, title, subtitle=subtitle, height=height, margin_t=100)


def relevance_ways(table: pd.DataFrame) -> go.Figure:
    """Precision against recall of each way, from its relevant features (open) to the missing ones (filled).

    `table` is that of `label_tables.ways_table`, the rows that are to be compared. A way that found nothing has no
    precision, and no point.
    """
    figure = go.Figure()
    for colour, row in zip(_cycle(len(table)), table.itertuples(), strict=True):
        figure.add_scatter(
            name=hover(row.way),
            x=[row.recall, row.missing_recall],
            y=[row.precision, row.missing_precision],
            mode="lines+markers",
            line={"color": colour, "width": 1, "dash": "dot"},
            marker={
                "color": colour,
                "size": 12,
                "symbol": ["circle-open", "circle"],
                "line": {"width": 2, "color": colour},
            },
            customdata=[["relevant", row.n_relevant], ["relevant and missing", row.n_missing]],
            hovertemplate=f"{hover(row.way)}, %{{customdata[0]}}: precision %{{y:.2f}}, recall %{{x:.2f}}<br>"
            "%{customdata[1]:.0f} features<extra></extra>",
        )
    figure.update_xaxes(title="recall", range=[-0.02, 1.06], zeroline=False)
    figure.update_yaxes(title="precision", range=[-0.02, 1.06], zeroline=False)
    subtitle = "open: the relevant features; filled: those of them that the seed lacks"
    return styled(figure, "How right is each way of judging relevance?", subtitle=subtitle, height=460, margin_t=100)


def ways_overlap(rows: pd.DataFrame) -> go.Figure:
    """Jaccard indices of every pair of ways, means over held-out sets: of F below the diagonal, of F_miss above it.

    `rows` are of `studies.label_ways.overlap_study`. NaN, where both of a pair are empty, leaves a set out.
    """
    ways = list(dict.fromkeys([*rows.way, *rows.other]))
    means = rows.groupby(["way", "other"])[["jaccard_relevant", "jaccard_missing"]].mean()
    z = np.full((len(ways), len(ways)), np.nan)
    for (way, other), found in means.iterrows():
        i, j = sorted((ways.index(way), ways.index(other)))
        z[j, i], z[i, j] = found.jaccard_relevant, found.jaccard_missing
    names = [hover(way, width=18) for way in ways]
    kind = [["" if i == j else "F" if i > j else "F_miss" for j in range(len(ways))] for i in range(len(ways))]
    heat = go.Heatmap(
        z=z, x=names, y=names, customdata=kind, zmin=0, zmax=1, showscale=False, xgap=2, ygap=2,
        colorscale=[[0, "rgba(43,131,186,0.08)"], [1, "rgba(43,131,186,0.75)"]],
        text=[["" if np.isnan(value) else f"{value:.2f}" for value in line] for line in z], texttemplate="%{text}",
        hovertemplate="%{y} and %{x}: Jaccard of %{customdata} %{z:.2f}<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    figure = styled(
        go.Figure(heat),
        "How far do the ways agree?",
        subtitle="Jaccard index; below the diagonal: relevant features (F), above: missing ones (F_miss)",
        height=440,
    )
    figure.update_xaxes(showgrid=False)
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def annotation_noise(table: pd.DataFrame) -> go.Figure:
    """Ours and the paper's table 6 side by side, a panel per measure; `table` is that of `label_tables.noise_table`.

    Bars at ours are the standard deviation over held-out sets. Settings that the paper does not have stand alone.
    """
    settings = [
        hover(f"{row.setting.replace('_', ' ')}, {row.noise_pct} %" if row.noise_pct else row.setting)
        for row in table.itertuples()
    ]
    figure = make_subplots(
        rows=1, cols=len(NOISE), shared_yaxes=True, subplot_titles=[name for _, name in NOISE], horizontal_spacing=0.05
    )
    for column, (measure, _) in enumerate(NOISE, start=1):
        figure.add_scatter(
            name="ours, mean ± SD over sets", x=table[measure], y=settings, mode="markers", legendgroup="ours",
            showlegend=column == 1, marker={"color": BLUE, "size": 10},
            error_x={"array": table[f"{measure}_sd"].fillna(0), "thickness": 2, "width": 4},
            hovertemplate="ours, %{y}: %{x:.3f} ± %{error_x.array:.3f}<extra></extra>",
            row=1, col=column,
        )  # fmt: skip
        figure.add_scatter(
            name="paper", x=table[f"{measure}_paper"], y=settings, mode="markers", legendgroup="paper",
            showlegend=column == 1, marker={"color": RED, "size": 10, "symbol": "diamond-open", "line": {"width": 2}},
            hovertemplate="paper, %{y}: %{x:.3f}<extra></extra>",
            row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(zeroline=False)
    figure.update_yaxes(autorange="reversed")
    return styled(
        figure,
        "What errors of annotation do",
        height=180 + ROW_HEIGHT * (len(table) + 2),
        legend={"y": -0.12, "yanchor": "top"},
        margin_b=80,
    )


def _lines(rows: pd.DataFrame, measures: Sequence[str]) -> list[float]:
    """Height of each row: 0 downwards, a gap between measures."""
    heights, y = {}, 0.0
    for measure in measures:
        for index in rows.index[rows.measure == measure]:
            heights[index] = y
            y -= 1
        y -= 0.5
    return [heights[index] for index in rows.index]


def _cycle(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]
