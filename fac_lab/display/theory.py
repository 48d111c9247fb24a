"""Figures of the paper's bound: its terms beside what they bound, with sliders that work without a kernel.

A slider steps through frames that the figure holds, so a saved notebook and a saved page move as a live one does.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fac_lab.bounds import VACUOUS, information_bound, pinsker, risk_bound, uniform_kl
from fac_lab.correlation import correlate
from fac_lab.display.tables import to_html
from fac_lab.display.theme import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, styled

DIVERGENCES = {"surrogate": ("surrogate", RED), "kl_uniform": ("KL, uniform over supports", BLUE)} | {
    "kl_frequency": ("KL, shares of activations", GREEN)
}
WITNESSES = {
    "tv": ("exact, from concepts", INK),
    "tv_features": ("naive Bayes on activations", BLUE),
    "tv_vectors": ("neighbours among vectors", ORANGE),
    "tv_missing": ("lights a missing feature", RED),
}
SIZE_COLOURS = (SKY, BLUE, PURPLE, GREEN)
TWO_ROWS = {"height": 480, "margin": {"t": 136, "l": 64, "r": 24, "b": 48}}
"""Layout with room for a legend of two rows below the subtitle."""


def with_slider(frames: Mapping[str, Sequence[go.Scatter | go.Bar]], label: str, *, start: str) -> go.Figure:
    """A figure that shows the traces of one frame; a slider named `label` chooses it, by the names of the frames.

    All frames have as many traces, in one order.
    """
    figure = go.Figure(
        list(frames[start]), frames=[go.Frame(data=list(traces), name=name) for name, traces in frames.items()]
    )
    steps = [
        {
            "label": name,
            "method": "animate",
            "args": [
                [name],
                {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}},
            ],
        }
        for name in frames
    ]
    slider = {
        "active": list(frames).index(start),
        "currentvalue": {"prefix": f"{label} "},
        "pad": {"t": 50},
        "steps": steps,
    }
    return figure.update_layout(sliders=[slider])


def divergences(rows: pd.DataFrame, *, start: float) -> go.Figure:
    """KL and surrogate against features filled, a slider for eps. Columns: `eps`, `filled` and those of DIVERGENCES."""
    frames = {}
    for eps, of_eps in rows.groupby("eps"):
        frames[f"{eps:g}"] = [
            go.Scatter(x=of_eps.filled, y=of_eps[column], name=name, mode="lines", line={"color": colour, "width": 2.5})
            for column, (name, colour) in DIVERGENCES.items()
        ]
    figure = with_slider(frames, "eps", start=f"{start:g}")
    top = float(np.nanmax(rows[list(DIVERGENCES)].to_numpy()))
    figure.update_xaxes(title="missing features filled")
    figure.update_yaxes(title="nats", range=[min(0.0, float(rows[list(DIVERGENCES)].min().min())), 1.05 * top])
    subtitle = "One data set, filled feature by feature with real queries; the axis stays as eps moves"
    return styled(figure, "How much the anchor is missed, in nats", subtitle=subtitle, height=520)


def terms(rows: pd.DataFrame) -> go.Figure:
    """The theorem as stacked terms beside the measured risk, by share filled; a slider for n.

    `rows` are of `studies.theory.with_bounds`; means over held-out sets (bars of the risk: their standard deviation).
    """
    frames = {}
    for n, of_size in rows.groupby("n"):
        sets = of_size.groupby(["filled", "held_out_set"])[["train_error", "sampling", "tv", "risk"]].mean()
        mean, spread = sets.groupby("filled").mean(), sets.groupby("filled").std()
        x = [f"{share:.0%}" for share in mean.index]
        frames[f"{n:,}"] = [
            go.Bar(x=x, y=mean.train_error, name="training error", marker_color=INK),
            go.Bar(x=x, y=mean.sampling, name="sampling term", marker_color=SKY),
            go.Bar(x=x, y=2 * mean.tv, name="2 TV, exact", marker_color=ORANGE),
            go.Scatter(
                **{"x": x, "y": mean.risk, "name": "measured risk on D", "mode": "markers"},
                marker={"size": 12, "symbol": "diamond", "color": RED},
                error_y={"type": "data", "array": spread.risk.fillna(0), "color": RED},
            ),
        ]
    figure = with_slider(frames, "n", start=list(frames)[-1])
    heights = [sum(np.clip(bar.y, 0, None) for bar in traces[:3]).max() for traces in frames.values()]
    figure.update_layout(barmode="relative")
    figure.update_xaxes(title="share of what was held out that has been filled", type="category")
    figure.update_yaxes(title="0/1 loss", range=[0, 1.1 * max(heights)])
    subtitle = "The bars' tops bound the diamonds: means over held-out sets"
    return styled(figure, "Theorem 4.1, term by term", subtitle=subtitle, height=520)


def witnesses(rows: pd.DataFrame) -> go.Figure:
    """Total variation by share filled: exact, and as each witness sees it, mean and SD over held-out sets."""
    known = rows.dropna(subset=[column for column in WITNESSES if column in rows])
    sets = known.groupby(["filled", "held_out_set"])[list(WITNESSES)].mean()
    mean, spread = sets.groupby("filled").mean(), sets.groupby("filled").std()
    figure = go.Figure()
    for place, (column, (name, colour)) in enumerate(WITNESSES.items()):
        figure.add_scatter(
            **{"x": 100 * mean.index + 0.6 * place, "y": mean[column], "name": name, "mode": "lines+markers"},
            line={"color": colour, "dash": "dot" if column == "tv" else "solid"},
            error_y={"type": "data", "array": spread[column].fillna(0), "visible": column != "tv"},
        )
    figure.update_xaxes(title="% of what was held out that has been filled")
    figure.update_yaxes(title="total variation")
    subtitle = "Witnesses stay below the exact one in the long run; at 100 % the truth is 0 and they show their noise"
    return styled(figure, "How far a training set is from D, and who can see it", subtitle=subtitle, **TWO_ROWS)


def information(
    sizes: Sequence[int], gaps: Sequence[float], entropies: Mapping[str, float], weights: float, *, start: float = 100.0
) -> go.Figure:
    """Lemma 6.1 against n: with I = H(S), I = H(W), any I by a slider, and the measured gaps.

    `sizes` and `gaps` are training sizes and mean sampling terms; `entropies` nats per sample by name; `weights` H(W).
    """
    n = np.logspace(1.5, 6, 46)
    frames = {}
    for known in (1.0, 10.0, 100.0, 1e3, 1e4, 1e5):
        lines = [
            go.Scatter(
                x=n, y=[information_bound(each * one, one) for one in n], name=f"I = H(S), {name}", line_color=colour
            )
            for (name, each), colour in zip(entropies.items(), (RED, ORANGE, PURPLE), strict=False)
        ]
        lines += [
            go.Scatter(
                x=n, y=[information_bound(weights, one) for one in n], name="I = H(W), the head's bits", line_color=BLUE
            ),
            go.Scatter(x=n, y=[information_bound(known, one) for one in n], name="I by the slider", line_color=GREEN),
            go.Scatter(
                **{"x": list(sizes), "y": list(gaps), "name": "measured", "mode": "markers"},
                marker={"size": 11, "symbol": "diamond", "color": INK},
            ),
        ]
        frames[f"{known:,.0f}"] = lines
    figure = with_slider(frames, "I, in nats:", start=f"{start:,.0f}")
    figure.add_hline(y=VACUOUS, line={"dash": "dot", "color": INK})
    # Its height on a logarithmic axis is the logarithm.
    where = {"x": 1, "xref": "paper", "xanchor": "right", "y": math.log10(VACUOUS), "yanchor": "bottom"}
    figure.add_annotation(**where, text="vacuous from here on", showarrow=False)
    ticks = [100, 1000, 10_000, 100_000, 1_000_000]
    figure.update_xaxes(title="n", type="log", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks])
    figure.update_yaxes(title="R − R̂", type="log", range=[-2.5, 1])
    subtitle = "Bounds on the sampling term, and the sampling term"
    return styled(figure, "Lemma 6.1: what is allowed, what happens", subtitle=subtitle, **TWO_ROWS | {"height": 600})


def moves(rows: pd.DataFrame, *, x: str = "bound", y: str = "error") -> go.Figure:
    """The bound against what it bounds, one point per held-out set, share and size, means over training seeds."""
    points = rows.groupby(["n", "filled", "held_out_set"], as_index=False)[[x, y]].mean()
    figure = go.Figure()
    for colour, (n, part) in zip(SIZE_COLOURS, points.groupby("n"), strict=False):
        hovers = [f"{share:.0%} filled, set {one}" for share, one in zip(part.filled, part.held_out_set, strict=True)]
        figure.add_scatter(
            **{"x": part[x], "y": part[y], "name": f"n = {n:,}", "mode": "markers", "hovertext": hovers},
            marker={"color": colour, "size": 6 + 8 * part.filled, "opacity": 0.85},
        )
    low = float(min(points[x].min(), points[y].min(), 0))
    high = float(max(points[x].max(), points[y].max()))
    figure.add_scatter(x=[low, high], y=[low, high], name="equal", mode="lines", line={"dash": "dot", "color": INK})
    figure.update_xaxes(title="bound: 2 TV + sampling term")
    figure.update_yaxes(title="error: R − R̂_gen")
    subtitle = "Larger points: more has been filled. Below the dotted line the bound holds"
    return styled(figure, "Does the bound move as the error does?", subtitle=subtitle, height=480, margin_t=110)


def rank_correlations(rows: pd.DataFrame, terms: Sequence[str], *, outcomes: Sequence[str]) -> pd.DataFrame:
    """Spearman's rho of every term with every outcome at each n, over held-out sets and shares filled.

    Training seeds are averaged first. Points of one held-out set are not independent, so no interval is given.
    Columns: `n`, `term`, one per outcome, `points`.
    """
    points = rows.groupby(["n", "filled", "held_out_set"], as_index=False)[[*terms, *outcomes]].mean()
    lines = []
    for n, part in points.groupby("n"):
        for term in terms:
            if part[term].notna().any():
                found = {outcome: correlate(part[term], part[outcome], "spearman") for outcome in outcomes}
                values = {outcome: one.value for outcome, one in found.items()}
                lines.append({"n": n, "term": term} | values | {"points": found[outcomes[0]].n})
    return pd.DataFrame(lines)


def chain_table(rows: pd.DataFrame, *, eps: float, filled: float, n: int) -> pd.DataFrame:
    """Every link of the chain for one kind of training set, means over held-out sets and seeds.

    `rows` are of `studies.theory.with_bounds`; the divergences are worked out again from their counts for this eps.
    Columns: `term`, `value`, `says` ("nothing" where a bound on an error rate is 1 or more).
    """
    part = rows[np.isclose(rows.filled, filled) & (rows.n == n)]
    counts = part[["n_support", "n_covered", "n_other", "n_features"]].to_numpy(int)
    uniform = [uniform_kl(s - c, s, other, f, eps) for s, c, other, f in counts]
    nats = {"surrogate": [one.missing for one in uniform], "KL, uniform": [max(one.value, 0.0) for one in uniform]}
    table = [
        ("measured: R − R̂_gen", part.error.mean(), False),
        ("C TV + sampling term", part.bound_tight.mean(), True),
        ("2 C TV + sampling term (theorem 4.1)", part.bound.mean(), True),
    ]
    for name, values in nats.items():
        root = float(np.mean([pinsker(value) for value in values]))
        table.append((f"{name}, in nats", float(np.mean(values)), False))
        table.append((f"2 C √({name} / 2) + sampling term", risk_bound(root, part.sampling.mean()), True))
    says = ["nothing" if is_bound and value >= VACUOUS else "" for _, value, is_bound in table]
    return pd.DataFrame({"term": [t for t, *_ in table], "value": [v for _, v, _ in table], "says": says})


class ChainSliders:
    """Sliders for eps, share filled and n over `chain_table`; where no kernel runs, the table at their start."""

    def __init__(self, rows: pd.DataFrame, *, eps: float = 0.01):
        import ipywidgets

        self.rows = rows
        self.eps = ipywidgets.FloatLogSlider(value=eps, base=10, min=-9, max=-0.1, step=0.1, description="eps")
        shares = [(f"{share:.0%}", share) for share in sorted(rows.filled.unique())]
        self.filled = ipywidgets.SelectionSlider(options=shares, description="filled")
        sizes = sorted(rows.n.unique().tolist())
        self.n = ipywidgets.SelectionSlider(options=sizes, value=sizes[-1], description="n")
        self.table = ipywidgets.HTML(self.html())
        for slider in (self.eps, self.filled, self.n):
            slider.observe(lambda _: setattr(self.table, "value", self.html()), names="value")
        self.widget = ipywidgets.VBox([self.eps, self.filled, self.n, self.table])

    def html(self) -> str:
        """The table where the sliders stand."""
        at = {"eps": self.eps.value, "filled": self.filled.value, "n": self.n.value}
        caption = f"eps = {at['eps']:.1e}, {at['filled']:.0%} filled, n = {at['n']:,}"
        return to_html(chain_table(self.rows, **at), caption=caption)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return {**self.widget._repr_mimebundle_(**kwargs), "text/html": self.html()}
