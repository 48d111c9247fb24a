"""Figures: pure functions from a frame to a `go.Figure`. Titles say what is seen, hover what a point is."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.arms import arms, paired_differences
from fac_lab.display.theme import GREEN, INK, PURPLE, RED, SKY, colour, hover, styled

if TYPE_CHECKING:
    from fac_lab.coverage import Coverage
    from fac_lab.features.stats import FeatureStats

__all__ = [
    "activation_histogram",
    "anchor_seed_scatter",
    "arms",
    "coverage_curve",
    "gap_coverage",
    "paired_differences",
    "recovery",
    "sae_quality",
]

LISTED = 6
BARS_PER_OCTAVE = 2
MAX_TICKS = 12


def coverage_curve(sweep: pd.DataFrame, *, chosen: float | np.ndarray | None = None) -> go.Figure:
    """FAC and |F_miss| against delta, from `coverage.sweep`; a dotted line at the `chosen` threshold.

    Thresholds of their own per feature (`chosen` of shape [d_sae]) have no one place and are not drawn.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    x = _log_positions(sweep["delta"])
    counts = sweep[["delta", "covered", "anchor", "missing", "m"]]
    label = (
        "delta %{customdata[0]:.4g}<br>covered %{customdata[1]:,} of %{customdata[2]:,} anchor features"
        "<br>missing %{customdata[3]:,}<br>support m = %{customdata[4]}<extra></extra>"
    )
    for row, column, role in ((1, "fac", "covered"), (2, "missing", "missing")):
        line = go.Scatter(
            x=x,
            y=sweep[column],
            mode="lines+markers",
            line={"color": colour(role), "width": 2},
            customdata=counts,
            hovertemplate=label,
        )
        figure.add_trace(line, row=row, col=1)
    if chosen is not None and np.ndim(chosen) == 0:
        place = _log_positions([*sweep["delta"], chosen])[-1]
        figure.add_vline(place, line={"dash": "dot", "color": INK}, row="all", col=1)
        note = {"x": place, "y": 1, "xref": "x", "yref": "paper", "yanchor": "bottom", "showarrow": False}
        figure.add_annotation(text=f"delta = {chosen:.4g}", **note)
    figure.update_yaxes(title="FAC", range=[0, 1.04], row=1, col=1)
    figure.update_yaxes(title="missing features", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title="threshold delta (activation, log scale)", row=2, col=1)
    figure.update_xaxes(**_octave_ticks(x, zero=bool((sweep["delta"] == 0).any())))
    return styled(figure, "How much of the anchor the seed covers", height=480, showlegend=False)


def anchor_seed_scatter(coverage: "Coverage", names: Mapping[int, str] | None = None) -> go.Figure:
    """Anchor against seed counts of every feature of the anchor's support, the missing ones set apart.

    Covered features with equal counts share one point, whose area grows with their number. `names` are
    summaries by feature.
    """
    names = names or {}
    covered = np.flatnonzero(coverage.covered)
    pairs = pd.DataFrame(
        {"feature": covered, "anchor": coverage.anchor_count[covered], "seed": coverage.seed_count[covered]}
    )
    points = pairs.groupby(["anchor", "seed"], as_index=False)["feature"].agg(list)
    size = points["feature"].map(len).to_numpy(float)
    figure = go.Figure()
    figure.add_scatter(
        name=f"covered ({len(covered):,})",
        x=points["anchor"],
        y=np.log10(points["seed"] + 1),
        mode="markers",
        marker={"color": colour("covered"), "opacity": 0.6, "size": 4 + 3 * np.sqrt(size), "line_width": 0},
        hovertext=[
            f"{_named(p.feature, names)}<br>anchor {p.anchor:,}, seed {p.seed:,} samples" for p in points.itertuples()
        ],
        hoverinfo="text",
    )
    missing = coverage.missing
    # Missing features all have no seed sample: spread over a band below, evenly, so that none hides another.
    band = -0.15 - 0.25 * ((np.arange(len(missing)) * 0.618034) % 1)
    figure.add_scatter(
        name=f"missing ({len(missing):,})",
        x=coverage.anchor_count[missing],
        y=band,
        mode="markers",
        marker={"color": colour("missing"), "size": 8, "symbol": "diamond", "opacity": 0.8},
        hovertext=[
            f"{_named([feature], names)}<br>anchor {coverage.anchor_count[feature]:,}, seed 0 samples"
            for feature in missing
        ],
        hoverinfo="text",
    )
    top = int(coverage.seed_count[covered].max()) if len(covered) else 1
    ticks = [0, *(10**power for power in range(len(str(top)) + 1))]
    figure.update_xaxes(
        title=f"anchor samples above delta (of {coverage.n_anchor:,})", type="log", dtick=1, tickformat=","
    )
    figure.update_yaxes(
        title=f"seed samples above delta (of {coverage.n_seed:,})",
        tickvals=[-0.275, *np.log10(np.array(ticks[1:]) + 1)],
        ticktext=[f"{tick:,}" for tick in ticks],
        zeroline=False,
    )
    support = int(coverage.anchor_support.sum())
    title = f"{len(missing):,} of the anchor's {support:,} features have no seed sample"
    return styled(figure, title, subtitle=f"FAC {coverage.fac:.3f}, support m = {coverage.m}", height=480)


def recovery(sets: pd.DataFrame) -> go.Figure:
    """How well F_miss names what was held out, beside its null.

    One row per held-out set: `held_out_set`, `precision`, `recall`, `n_missing` and `n_missing_null` (|F_miss|
    against a seed of the same size that keeps every concept).
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    bars = (
        (1, "precision", "precision", GREEN),
        (1, "recall", "recall", SKY),
        (2, "n_missing", "|F_miss|", RED),
        (2, "n_missing_null", "|F_miss| under the null", INK),
    )
    for row, column, name, paint in bars:
        trace = go.Bar(
            x=sets["held_out_set"].astype(str),
            y=sets[column],
            name=name,
            marker_color=paint,
            text=[f"{value:.2f}" if row == 1 else f"{value:,}" for value in sets[column]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"held-out set %{{x}}<br>{name}: %{{text}}<extra></extra>",
        )
        figure.add_trace(trace, row=row, col=1)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title="held-out set", row=2, col=1)
    figure.update_yaxes(title="share right", range=[0, 1.1], row=1, col=1)
    figure.update_yaxes(title="missing features", rangemode="tozero", row=2, col=1)
    return styled(figure, "Do the missing features name what was held out?", barmode="group", height=520)


def activation_histogram(
    stats: Mapping[str, "FeatureStats"], feature: int, *, name: str | None = None, delta: float | None = None
) -> go.Figure:
    """How strongly a feature fires in each data set (role -> statistics), on one axis of activations.

    Shares of all samples, so that sets of different sizes compare; two bars per octave. Samples without any
    activation are left out and counted in the legend.
    """
    from fac_lab.browsing.histograms import bar_starts
    from fac_lab.features.stats import EDGES

    first = bar_starts(BARS_PER_OCTAVE)
    # Edges are float32: their logarithms are rounded to the steps that they mean.
    steps = np.round(BARS_PER_OCTAVE * np.log2(EDGES[first[1:]].astype(float))) / BARS_PER_OCTAVE
    left = np.append(steps[0] - 1 / BARS_PER_OCTAVE, steps)  # the lowest bar reaches down to 0
    low, high = np.append(0.0, 2**steps), np.append(2**steps, np.inf)
    figure = go.Figure()
    for role, found in stats.items():
        counts = np.add.reduceat(found.histogram[feature].astype(int), first)
        shown = np.flatnonzero(counts)
        figure.add_bar(
            name=f"{hover(role)}: {counts.sum():,} of {found.n_samples:,} active",
            x=left[shown] + 0.5 / BARS_PER_OCTAVE,
            y=counts[shown] / max(found.n_samples, 1),
            marker_color=colour(role),
            customdata=np.stack([counts[shown], low[shown], high[shown]], axis=1),
            hovertext=[
                f"{low[bar]:.4g} to {high[bar]:.4g}" if np.isfinite(high[bar]) else f"above {low[bar]:.4g}"
                for bar in shown
            ],
            hovertemplate=f"{hover(role)}: %{{customdata[0]:,}} samples<br>activation %{{hovertext}}<extra></extra>",
        )
    if delta is not None and delta > 0:
        line = {"dash": "dot", "color": INK}
        figure.add_vline(math.log2(delta), line=line, annotation_text=f"delta = {delta:.4g}")
    reach = np.concatenate([np.asarray(trace.x) for trace in figure.data]) if figure.data else np.zeros(0)
    figure.update_xaxes(title="activation of a sample (log scale)", **_octave_ticks(reach))
    figure.update_yaxes(title="share of samples", tickformat=".1%", rangemode="tozero")
    return styled(figure, f"Where feature {feature} fires", subtitle=name, barmode="group", bargap=0.1, margin_t=108)


def sae_quality(saes: pd.DataFrame) -> go.Figure:
    """One panel per measure, one bar per SAE; the first column names the SAE, each other is a measure."""
    name, *measures = saes.columns
    figure = make_subplots(rows=1, cols=len(measures), subplot_titles=[hover(m, width=18) for m in measures])
    for column, measure in enumerate(measures, start=1):
        bars = go.Bar(
            x=[hover(value) for value in saes[name]],
            y=saes[measure],
            marker_color=PURPLE,
            text=[f"{value:.3g}" for value in saes[measure]],
            hovertemplate=f"%{{x}}<br>{hover(measure)}: %{{y:.4g}}<extra></extra>",
        )
        figure.add_trace(bars, row=1, col=column)
    figure.update_yaxes(rangemode="tozero")
    return styled(figure, "Quality of the sparse autoencoders", showlegend=False)


def gap_coverage(steps: pd.DataFrame) -> go.Figure:
    """Share of the missing features that are activated after each step.

    Columns: `step`, `covered`, `missing` (numbers of features at the outset), and `own` where known: features
    activated by the sample written for them, rather than by any.
    """
    figure = go.Figure()
    kinds = [("covered", "by any sample", GREEN), ("own", "by the feature's own sample", SKY)]
    for column, label, paint in [kind for kind in kinds if kind[0] in steps]:
        figure.add_bar(
            name=label,
            x=[hover(step) for step in steps["step"]],
            y=steps[column] / steps["missing"],
            marker_color=paint,
            text=[f"{a:,} of {b:,}" for a, b in zip(steps[column], steps["missing"], strict=True)],
            hovertemplate="%{x}: %{y:.1%}<br>%{text} missing features, " + label + "<extra></extra>",
        )
    figure.update_yaxes(title="gap coverage", tickformat=".0%", range=[0, 1.05])
    return styled(figure, "How much of the gap each step fills", barmode="group")


def _named(features: Sequence[int], names: Mapping[int, str]) -> str:
    """Hover lines for features with equal counts, the first few of them by name."""
    lines = [
        f"<b>{feature}</b> {hover(names[feature], lines=2) if names.get(feature) else ''}"
        for feature in features[:LISTED]
    ]
    rest = len(features) - LISTED
    return "<br>".join(lines + ([f"and {rest:,} more"] if rest > 0 else []))


def _log_positions(deltas: Sequence[float]) -> np.ndarray:
    """log2 of thresholds, with 0 one octave left of the smallest positive one."""
    deltas = np.asarray(deltas, float)
    positive = deltas[deltas > 0]
    lowest = math.log2(positive.min()) if len(positive) else 0.0
    return np.array([math.log2(delta) if delta > 0 else lowest - 1 for delta in deltas])


def _octave_ticks(positions: Sequence[float], *, zero: bool = False) -> dict:
    """Ticks at powers of two for positions in log2; `zero` labels the leftmost position as 0."""
    positions = np.sort(np.asarray(positions, float))
    if not len(positions):
        return {}
    low = math.floor(positions[0]) if not zero else math.ceil(positions[0] + 0.5)
    high = math.ceil(positions[-1])
    powers = list(range(low, high + 1, math.ceil((high - low + 1) / MAX_TICKS)))
    leftmost = [positions[0]] if zero else []
    return {
        "tickvals": leftmost + powers,
        "ticktext": ["0"] * len(leftmost) + [f"{2.0**p:.4g}" for p in powers],
    }
