"""Figures and tables of transfer between models, what the paper printed beside what was measured here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.synthesis import over_sets
from fac_lab.display.tables import estimate, paper_table
from fac_lab.display.theme import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, hover, styled
from fac_lab.studies.transfer import NOBODY

NO_FEATURE = "no feature"
"""The column of the grid's null: texts of the same generator without a feature in mind."""
PAPER_NAMES = {"llama": "LLaMA-3.1-8B-Instruct", "mistral": "Mistral-7B-Instruct", "qwen": "Qwen2-7B-Instruct"}
KINDS = (BLUE, SKY, INK, PURPLE, ORANGE)
PALE = "#f2f2f2"
SHADES = [[0, RED], [0.5, PALE], [1, GREEN]]
BINS = 50


def likeness(found: Mapping[str, np.ndarray], *, limit: float | None = None, title: str, subtitle: str) -> go.Figure:
    """How alike best matches are: one outline per kind of match (say "as they are", "texts shuffled"), as shares.

    `found` holds likenesses in (0, 1], one per feature that has a match; a dotted line at `limit`.
    """
    edges = np.linspace(0, 1, BINS + 1)
    figure = go.Figure()
    for (name, values), paint in zip(found.items(), KINDS, strict=False):
        count = np.histogram(values, edges)[0]
        figure.add_scatter(
            name=f"{hover(name)} ({len(values):,})",
            x=(edges[:-1] + edges[1:]) / 2,
            y=count / max(len(values), 1),
            customdata=count,
            mode="lines",
            line={"color": paint, "shape": "hvh", "width": 2},
            fill="tozeroy",
            opacity=0.9,
            hovertemplate=f"{hover(name)}: %{{x:.2f}}<br>%{{customdata:,}} features, %{{y:.1%}}<extra></extra>",
        )
    if limit is not None:
        figure.add_vline(limit, line={"dash": "dot", "color": INK}, annotation_text=f"null's maximum {limit:.2f}")
    figure.update_xaxes(title="likeness with the best match in the other model (correlation)", range=[0, 1])
    figure.update_yaxes(title="share of features", tickformat=".0%", rangemode="tozero")
    return styled(figure, title, subtitle=subtitle, height=420, margin_t=110)


def grid_gains(grid: pd.DataFrame, *, value: str = "auprc", over_none: bool = True) -> pd.DataFrame:
    """Cells of the grid, and their null: one row per backbone, generator and source (`NO_FEATURE` for none).

    Columns: `mean`, `sd` and `n` over held-out sets, seeds averaged, of `value`, or of what it gains over the same
    backbone without additions; `ahead`, the number of sets in which it is above it. Of one set there is no sd (NaN).
    """
    per_set = grid.groupby(["arm", "backbone", "generator", "source", "held_out_set"])[value].mean()
    rows = []
    for (arm, backbone, generator, source), values in per_set.groupby(level=[0, 1, 2, 3], sort=False):
        if arm not in ("features", "plain"):
            continue
        alone = per_set["none", backbone, NOBODY, NOBODY]
        gain = values.droplevel([0, 1, 2, 3]) - (alone if over_none else 0)
        found = estimate(gain)
        where = {"backbone": backbone, "generator": generator, "source": NO_FEATURE if source == NOBODY else source}
        rows.append(where | {"mean": found.mean, "sd": found.sd, "n": found.n, "ahead": int((gain > 0).sum())})
    return pd.DataFrame(rows)


def grid_heat(grid: pd.DataFrame, *, value: str = "auprc", label: str = "AUPRC", over_none: bool = True) -> go.Figure:
    """The grid: a panel per backbone, a row per generator, a column per feature source, and the null as a last one."""
    cells = grid_gains(grid, value=value, over_none=over_none)
    models = [name for name in grid.backbone.unique() if name in set(cells.backbone)]
    sources = [*(name for name in grid.source.unique() if name != NOBODY), NO_FEATURE]
    generators = [name for name in grid.generator.unique() if name != NOBODY]
    figure = make_subplots(
        rows=1,
        cols=len(models),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[f"backbone: {hover(name)}" for name in models],
    )
    reach = float(cells["mean"].abs().max()) or 1.0
    sign = "+" if over_none else ""
    for column, backbone in enumerate(models, start=1):
        of_one = cells[cells.backbone == backbone].set_index(["generator", "source"])
        mean, sd, ahead, n = (
            of_one[name].unstack("source").reindex(index=generators, columns=sources).to_numpy()
            for name in ("mean", "sd", "ahead", "n")
        )
        shown = [
            [f"{m:{sign}.3f}" + (f"<br>± {s:.3f}" if np.isfinite(s) else "") for m, s in zip(*row, strict=True)]
            for row in zip(mean, sd, strict=True)
        ]
        figure.add_heatmap(
            x=[hover(name) for name in sources],
            y=[hover(name) for name in generators],
            z=mean,
            text=shown,
            texttemplate="%{text}",
            textfont={"size": 11, "color": "#222222"},  # cells are light in dark themes, too
            customdata=np.stack([ahead, n], axis=-1),
            hovertemplate=f"features of %{{x}}, written by %{{y}}, trained: {hover(backbone)}<br>{hover(label)} "
            "%{text}<br>above nothing added in %{customdata[0]} of %{customdata[1]} sets<extra></extra>",
            colorscale=SHADES if over_none else [[0, PALE], [1, GREEN]],
            zmin=-reach if over_none else 0,
            zmax=reach,
            showscale=False,
            xgap=3,
            ygap=3,
            row=1,
            col=column,
        )
    figure.update_xaxes(title="feature source", showgrid=False, tickangle=-30)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    figure.update_yaxes(title="generator", col=1)
    what = f"{label} gained over nothing added" if over_none else label
    sets = int(cells.n.max()) if len(cells) else 0
    subtitle = f"mean and standard deviation over {sets} held-out sets, seeds averaged; equal numbers of texts"
    return styled(figure, f"Source × generator × backbone: {what}", subtitle=subtitle, height=430, margin_t=110)


def shared_regions(rows: pd.DataFrame, *, way: str, title: str) -> go.Figure:
    """Figure 11: how many missing features, or their concepts, lie in which models' gaps; chance and null beside.

    `rows` are of `studies.shared_features.shared_study`; `way` is "matching" or "concept". Means over held-out sets
    with their standard deviation.
    """
    table = over_sets(rows[rows.way == way], ["region", "n_models"], ["count", "by_chance", "under_null"])
    kinds = {
        "count": ("found", GREEN),
        "by_chance": ("as many, drawn at random", SKY),
        "under_null": ("null seed", INK),
    }
    figure = go.Figure()
    for column, (name, paint) in kinds.items():
        figure.add_bar(
            name=name,
            x=["<br>and ".join(map(hover, region.split(" + "))) for region in table.region],
            y=table[column],
            marker_color=paint,
            text=[
                f" {mean:.1f}" + (f" ± {sd:.1f}" if np.isfinite(sd) else "")
                for mean, sd in zip(table[column], table[f"{column}_sd"], strict=True)
            ],
            textangle=-90,
            textfont={"size": 11, "color": "#222222"},  # cells are light in dark themes, too
            constraintext="none",
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{x}}: %{{text}}, {name}<extra></extra>",
        )
    top = float(table[list(kinds)].to_numpy().max()) if len(table) else 1.0
    figure.update_xaxes(title="missing in", tickangle=0)
    figure.update_yaxes(title="number", range=[0, 1.35 * max(top, 1)])
    subtitle = f"mean and standard deviation over {int(table.sets.max())} held-out sets"
    return styled(figure, title, subtitle=subtitle, barmode="group", height=470, margin_t=110)


def table03_beside_paper(rows: pd.DataFrame, *, arms: Sequence[str] = ("shared",)) -> pd.DataFrame:
    """Table 3: each backbone alone and after texts for shared features, and the paper's rows beside (as shares).

    `rows` are of `studies.shared_features.shared_training_study`. Gains are paired by held-out set, seeds averaged;
    `low` and `high` end their 95 % interval over sets (NaN of one set).
    """
    per_set = rows.groupby(["arm", "backbone", "held_out_set"])["auprc"].mean()
    printed = paper_table("table03_shared_features").set_index("backbone")
    lines = []
    for backbone in rows.backbone.unique():
        alone = estimate(per_set["none", backbone])
        paper = printed.loc[PAPER_NAMES[backbone]] / 100 if backbone in PAPER_NAMES else None
        for arm in arms:
            after = per_set[arm, backbone]
            gain = estimate(after - per_set["none", backbone])
            lines.append(
                {
                    "backbone": backbone,
                    "texts for": arm,
                    "baseline": str(alone),
                    "after": str(estimate(after)),
                    "gain": gain.mean,
                    "low": gain.low,
                    "high": gain.high,
                    "paper, baseline": np.nan if paper is None else paper.baseline_auprc,
                    "paper, FAC": np.nan if paper is None else paper.fac_auprc,
                    "paper, gain": np.nan if paper is None else paper.gain,
                }
            )
    return pd.DataFrame(lines)
