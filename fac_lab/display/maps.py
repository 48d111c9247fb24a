"""Figures of a whole dictionary for the browser: the map, anchor against seed, coverage over thresholds.

Drawn by WebGL from typed arrays (base64 in the JSON), `customdata` being the feature of each point, so that a
click or a lasso names features. A class has a colour and a shape. The features outside the anchor's support are
thinned out where they are too many to draw; the caption says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fac_lab.display import figures
from fac_lab.display.theme import GRID, INK, colour, hover, styled
from fac_lab.errors import DataError

if TYPE_CHECKING:
    from fac_lab.coverage import Coverage

OUTSIDE_SHOWN = 6_000
"""Points of features outside the anchor's support, at most."""
NAMED = 5_000
"""Points of one class whose summaries are put into the figure; of larger ones, hovering shows the number only."""
NAME_LENGTH = 80


class _Look(NamedTuple):
    name: str
    symbol: str
    size: float
    opacity: float


# In the order of drawing: what matters most comes last, on top.
_LOOKS = (
    _Look("outside", "x-thin", 4, 0.45),
    _Look("covered", "circle", 4.5, 0.6),
    _Look("missing", "diamond", 8, 0.85),
)


def dictionary_figure(
    places: np.ndarray,
    coverage: "Coverage",
    names: Mapping[int, str] | None = None,
    *,
    selected: Sequence[int] = (),
    method: str | None = None,
) -> go.Figure:
    """The dictionary in two dimensions (`geometry.dictionary_map`, `[d_sae, 2]`), ready for a lasso.

    Covered, missing and outside (not in the anchor's support, or not relevant) have colours and shapes of their own;
    `selected` features get a ring. Features with NaN for a place are left out and counted in the caption, where
    `method` says how the map was made. `names` are summaries by feature. Raises DataError where the map is of another
    dictionary.
    """
    if places.shape != (len(coverage.relevant), 2):
        raise DataError(
            f"the map has shape {places.shape}, but the coverage is of {len(coverage.relevant)} features: make the map "
            "from the SAE that the statistics were collected with"
        )
    placed = np.isfinite(places).all(axis=1)
    figure, captions = go.Figure(), []
    for look, features in _classes(coverage, placed):
        shown = _thinned(features) if look.name == "outside" else features
        if len(shown) < len(features):
            captions.append(f"{len(shown):,} of {len(features):,} outside features drawn")
        xy = places[shown].astype(np.float32)
        _add_points(figure, look, xy[:, 0], xy[:, 1], shown, len(features), names)
    if (~placed).any():
        captions.append(f"{int((~placed).sum()):,} without a direction not shown")
    ring = np.array([feature for feature in selected if placed[feature]], np.int64)
    _add_ring(figure, places[ring, 0], places[ring, 1], ring)
    blank = {"showticklabels": False, "showgrid": False, "zeroline": False, "title": None}
    figure.update_xaxes(**blank)
    figure.update_yaxes(**blank, scaleanchor="x")
    captions = [method] * bool(method) + captions
    return styled(
        figure,
        "The dictionary: near each other, features that point alike",
        subtitle="; ".join(captions) or None,
        height=560,
        **_LASSO,
    )


def frequency_scatter(
    coverage: "Coverage", names: Mapping[int, str] | None = None, *, selected: Sequence[int] = ()
) -> go.Figure:
    """How often features fire in the anchor and in the seed, as shares of samples, both on log scales.

    Shares of 0 have a band of their own left of and below the scales, in which points are spread so that none hides
    another. Features that fire in neither are left out and counted in the caption. On the line, both shares are equal.
    """
    share = [
        counts / max(n, 1)
        for counts, n in ((coverage.anchor_count, coverage.n_anchor), (coverage.seed_count, coverage.n_seed))
    ]
    fires = (share[0] > 0) | (share[1] > 0)
    lowest = math.floor(math.log10(min(1 / max(coverage.n_anchor, 1), 1 / max(coverage.n_seed, 1))))
    # Equal counts lie upon each other: every point is moved by less than its own width.
    spread = (np.arange(len(fires)) * 0.618034) % 1 - 0.5
    x, y = (
        np.where(value > 0, np.log10(np.maximum(value, 1e-30)) + 0.02 * shift, lowest - 0.5 + 0.5 * shift)
        for value, shift in zip(share, (spread, np.roll(spread, 1)), strict=True)
    )
    figure, captions = go.Figure(), [f"FAC {coverage.fac:.3f}, support m = {coverage.m}"]
    figure.add_scatter(
        x=[lowest, 0], y=[lowest, 0], mode="lines", line={"color": GRID, "width": 1}, hoverinfo="skip", showlegend=False
    )
    for look, features in _classes(coverage, fires):
        shown = _thinned(features) if look.name == "outside" else features
        if len(shown) < len(features):
            captions.append(f"{len(shown):,} of {len(features):,} outside features drawn")
        counts = np.stack([coverage.anchor_count[shown], coverage.seed_count[shown]], axis=1)
        _add_points(figure, look, x[shown], y[shown], shown, len(features), names, counts=counts)
    captions.append(f"{int((~fires).sum()):,} fire in neither")
    ring = np.array([feature for feature in selected if fires[feature]], np.int64)
    _add_ring(figure, x[ring], y[ring], ring)
    powers = list(range(lowest, 1))
    axis = {
        "tickvals": [lowest - 0.5, *powers],
        "ticktext": ["0", *(f"{10.0 ** (power + 2):.10g} %" for power in powers)],
        "range": [lowest - 0.9, 0.15],
        "zeroline": False,
    }
    figure.update_xaxes(title=f"share of the anchor's {coverage.n_anchor:,} samples", **axis)
    figure.update_yaxes(title=f"share of the seed's {coverage.n_seed:,} samples", **axis)
    for place in ("x", "y"):
        add = figure.add_vline if place == "x" else figure.add_hline
        add(lowest - 0.1, line={"color": GRID, "width": 1, "dash": "dot"})
    title = "How often features fire in anchor and seed"
    return styled(figure, title, subtitle="; ".join(captions), height=560, **_LASSO)


def threshold_curve(
    sweep: pd.DataFrame, null: pd.DataFrame | None = None, *, chosen: float | np.ndarray | None = None
) -> go.Figure:
    """FAC and |F_miss| over thresholds, the chosen one marked, with the null beside.

    Both frames are from `coverage.sweep`; `null` is that of a seed of the same size that leaves nothing out. What is
    missing counts as a finding only as far as it exceeds the null.
    """
    figure = figures.coverage_curve(sweep, chosen=chosen)
    for trace, name in zip(figure.data, ("FAC", "missing"), strict=True):
        trace.name = name
    if null is not None:
        if list(null["delta"]) != list(sweep["delta"]):
            raise DataError(
                "the null was swept over other thresholds than the data set: use the same `deltas` for both"
            )
        for row, (trace, column) in enumerate(zip(list(figure.data), ("fac", "missing"), strict=True), start=1):
            figure.add_scatter(
                name=f"{trace.name}, null",
                x=trace.x,
                y=null[column],
                mode="lines+markers",
                line={"color": INK, "width": 1.5, "dash": "dash"},
                marker={"symbol": "x-thin", "size": 6, "line": {"color": INK, "width": 1.5}},
                customdata=null[["delta", "covered", "anchor", "missing", "m"]],
                hovertemplate=trace.hovertemplate.replace("<extra></extra>", "<br>null<extra></extra>"),
                row=row,
                col=1,
            )
    subtitle = "dashed: the null, a seed of the same size that leaves nothing out" if null is not None else None
    return styled(figure, "How much of the anchor the seed covers", subtitle=subtitle, showlegend=False)


_LASSO = {
    "dragmode": "lasso",
    "hovermode": "closest",
    "legend": {"itemsizing": "constant"},
    "margin": {"t": 108},
    "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": colour("missing")},
    # A new threshold redraws the figure without undoing a zoom or a hidden class.
    "uirevision": "kept",
}


def _classes(coverage: "Coverage", placed: np.ndarray) -> list[tuple[_Look, np.ndarray]]:
    """Features of each class among those that have a place, in the order of drawing."""
    covered = coverage.covered
    missing = coverage.anchor_support & ~coverage.seed_support
    of_class = {"outside": ~covered & ~missing, "covered": covered, "missing": missing}
    return [(look, np.flatnonzero(of_class[look.name] & placed)) for look in _LOOKS]


def _thinned(features: np.ndarray) -> np.ndarray:
    """At most OUTSIDE_SHOWN of them, evenly by index."""
    if len(features) <= OUTSIDE_SHOWN:
        return features
    return features[np.linspace(0, len(features) - 1, OUTSIDE_SHOWN).round().astype(np.int64)]


def _add_points(
    figure: go.Figure,
    look: _Look,
    x: np.ndarray,
    y: np.ndarray,
    features: np.ndarray,
    total: int,
    names: Mapping[int, str] | None,
    *,
    counts: np.ndarray | None = None,
) -> None:
    """Points of one class; `customdata` is the feature, or the feature and its counts `[n, 2]`."""
    names = names or {}
    with_names = 0 < len(features) <= NAMED and any(names.get(int(feature)) for feature in features)
    feature = "%{customdata}" if counts is None else "%{customdata[0]}"
    template = f"<b>{feature}</b> {look.name}"
    if counts is not None:
        template += "<br>anchor %{customdata[1]:,}, seed %{customdata[2]:,} samples"
    if with_names:
        template += "<br>%{hovertext}"
    custom = features.astype(np.int32)
    figure.add_scattergl(
        name=f"{look.name} ({total:,})",
        x=np.asarray(x, np.float32),
        y=np.asarray(y, np.float32),
        mode="markers",
        marker={
            "color": colour(look.name),
            "symbol": look.symbol,
            "size": look.size,
            "opacity": look.opacity,
            "line": {"width": 1 if look.symbol == "x-thin" else 0, "color": colour(look.name)},
        },
        unselected={"marker": {"opacity": 0.12}},
        customdata=custom if counts is None else np.column_stack([custom, counts]).astype(np.int32),
        hovertext=[_short(names.get(int(feature))) for feature in features] if with_names else None,
        hovertemplate=template + "<extra></extra>",
        meta=look.name,
    )


def _add_ring(figure: go.Figure, x: np.ndarray, y: np.ndarray, features: np.ndarray) -> None:
    """Rings around chosen features; an empty trace where there is none, so that its place among the traces is fixed."""
    figure.add_scattergl(
        name="chosen",
        x=np.asarray(x, np.float32),
        y=np.asarray(y, np.float32),
        mode="markers",
        marker={"symbol": "circle-open", "size": 16, "color": INK, "line": {"width": 3}},
        customdata=features.astype(np.int32),
        hoverinfo="skip",
        showlegend=len(features) > 0,
        meta="chosen",
    )


def _short(name: str | None) -> str:
    if not name:
        return "unnamed"
    return hover(name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…", lines=2)
