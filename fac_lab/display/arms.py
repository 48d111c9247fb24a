"""Figures of fine-tuning runs: what each arm reached, and what it gained over a baseline, with intervals."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fac_lab.display import tables
from fac_lab.display.theme import GRID, INK, colour, hover, styled


def arms(runs: pd.DataFrame, *, value: str = "auprc", label: str = "AUPRC") -> go.Figure:
    """Every run of every arm, with the arm's mean and its 95 % interval.

    Columns: `arm`, `seed`, `held_out_set` and the value. The interval is one over held-out sets, their seeds
    averaged; over seeds where there is one set only. Grey lines join the means of one held-out set.
    """
    order = list(runs["arm"].unique())
    per_set = runs.groupby(["held_out_set", "arm"])[value].mean().unstack("arm")[order]
    unit = "held-out sets" if len(per_set) > 1 else "seeds"
    figure = go.Figure()
    for means in per_set.itertuples(index=False, name=None):
        line = {"color": GRID, "width": 1}
        figure.add_scatter(x=list(range(len(order))), y=means, mode="lines", line=line, hoverinfo="skip")
    for place, arm in enumerate(order):
        of_arm = runs[runs["arm"] == arm]
        figure.add_scatter(
            x=place + _spread(len(of_arm)),
            y=of_arm[value],
            mode="markers",
            marker={"color": colour(arm), "opacity": 0.55, "size": 7},
            customdata=of_arm[["held_out_set", "seed"]],
            hovertemplate=f"{hover(arm)}: %{{y:.3f}}<br>held-out set %{{customdata[0]}}, "
            "seed %{customdata[1]}<extra></extra>",
        )
        values = per_set[arm].dropna() if len(per_set) > 1 else of_arm[value]
        _add_estimate(figure, place, values, arm, unit=unit)
    figure.update_xaxes(tickvals=list(range(len(order))), ticktext=[hover(arm) for arm in order])
    figure.update_yaxes(title=label)
    sizes = f"{_counted(len(per_set), 'held-out set')} × {_counted(runs['seed'].nunique(), 'seed')}"
    subtitle = f"{sizes}; bars: mean and 95 % interval over {unit}"
    title = f"{label} by what was added to the same training data"
    return styled(figure, title, subtitle=subtitle, showlegend=False)


def paired_differences(
    runs: pd.DataFrame, baseline: str = "none", *, value: str = "auprc", label: str = "AUPRC"
) -> go.Figure:
    """Each arm minus the baseline: a point per held-out set (seeds averaged), mean and 95 % interval."""
    table = tables.paired_differences(runs, baseline, value=value)
    means = runs.groupby(["held_out_set", "arm"])[value].mean().unstack("arm")
    figure = go.Figure()
    for place, row in enumerate(table.itertuples()):
        gain = means[row.arm] - means[baseline]
        figure.add_scatter(
            x=place + _spread(len(gain)),
            y=gain,
            mode="markers",
            marker={"color": colour(row.arm), "opacity": 0.55, "size": 8},
            customdata=gain.index,
            hovertemplate=f"{hover(row.arm)}: %{{y:+.3f}}<br>held-out set %{{customdata}}<extra></extra>",
        )
        _add_estimate(figure, place, gain, row.arm, unit="held-out sets")
    figure.add_hline(0, line={"color": INK, "width": 1})
    figure.update_xaxes(tickvals=list(range(len(table))), ticktext=[hover(arm) for arm in table["arm"]])
    figure.update_yaxes(title=f"{label} gained over “{hover(baseline)}”")
    subtitle = f"{_counted(len(means), 'held-out set')}, seeds averaged; bars: mean and 95 % interval"
    return styled(figure, f"Gain over “{baseline}”, paired", subtitle=subtitle, showlegend=False)


def _add_estimate(figure: go.Figure, place: float, values: Sequence[float], role: str, *, unit: str) -> None:
    """Mean and interval as a bar beside the points at `place`."""
    found = tables.estimate(list(values))
    half = None if math.isnan(found.high) else [found.high - found.mean]
    interval = f"<br>95 % interval {found.low:.3f} to {found.high:.3f}" if half else ""
    figure.add_scatter(
        x=[place + 0.28],
        y=[found.mean],
        error_y={"type": "data", "array": half, "thickness": 2, "width": 6} if half else None,
        mode="markers",
        marker={
            "color": colour(role),
            "size": 12,
            "symbol": "line-ew",
            "line": {"width": 3, "color": colour(role)},
        },
        hovertemplate=f"{hover(role)}: mean %{{y:.3f}}{interval}<br>n = {found.n} {unit}<extra></extra>",
    )


def _spread(n: int, width: float = 0.3) -> np.ndarray:
    """Offsets that keep points of one arm apart, [n], centred on 0."""
    return np.linspace(-width / 2, width / 2, n) if n > 1 else np.zeros(n)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")
