"""Behaviour steering as figures and tables: curves, standard against robust accuracy, SCR beside the paper's."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.main_table import measured
from fac_lab.display.theme import BELOW, BLUE, GREEN, INK, ORANGE, PURPLE, styled
from fac_lab.studies.steering import VALUES

NAMES = {"items": "CAA", "persona": "persona in the system's words", "random": "random directions"}
PAINT = {"items": GREEN, "persona": ORANGE, "random": INK}


def _name(behaviour: str) -> str:
    return behaviour.replace("_", " ")


def _panels(frame: pd.DataFrame, **options) -> tuple[go.Figure, dict[str, int]]:
    """One panel per behaviour, side by side, and the place of each."""
    behaviours = list(dict.fromkeys(frame.behaviour))
    figure = make_subplots(cols=len(behaviours), subplot_titles=[_name(b) for b in behaviours], **options)
    return figure, {behaviour: place + 1 for place, behaviour in enumerate(behaviours)}


def curves(frame: pd.DataFrame, *, value: str = "robust", within: float = 1.0) -> go.Figure:
    """Figure 14 of the paper: accuracy (`value`, in percent) against the multiplier, up to `within` either way.

    `frame` as `studies.steering_tables.curves_study` makes it; several random directions are several thin lines.
    """
    frame = frame[frame.multiplier.abs() <= within]
    figure, places = _panels(frame, shared_yaxes=True)
    for (behaviour, vector, draw), line in frame.groupby(["behaviour", "vector", "draw"], sort=False):
        thin = vector == "random"
        trace = go.Scatter(
            x=line.multiplier,
            y=line[value],
            name=NAMES[vector],
            legendgroup=vector,
            showlegend=places[behaviour] == 1 and draw == 0,
            mode="lines" if thin else "lines+markers",
            line={"color": PAINT[vector], "width": 1 if thin else 2.5},
            hovertemplate=f"{NAMES[vector]}<br>multiplier %{{x}}: %{{y:.0f}} %<extra></extra>",
        )
        figure.add_trace(trace, row=1, col=places[behaviour])
    figure.update_xaxes(title="multiplier")
    figure.update_yaxes(range=[-4, 104])
    figure.update_yaxes(title=f"{value} accuracy (%)", col=1)
    return styled(figure, "How far a vector moves the choice", height=450, legend=BELOW, margin_b=100)


def standard_and_robust(frame: pd.DataFrame) -> go.Figure:
    """Figure 13 of the paper: standard beside robust accuracy, without a vector and at both ends, for each vector.

    `frame` as for `curves`.
    """
    ends = frame[frame.multiplier.isin((-1.0, 0.0, 1.0)) & (frame.draw == 0)]
    figure, places = _panels(ends, shared_yaxes=True)
    short = {"items": "CAA", "persona": "persona", "random": "random"}
    for value, paint in (("standard", PURPLE), ("robust", BLUE)):
        for behaviour, rows in ends.groupby("behaviour", sort=False):
            trace = go.Bar(
                x=[[short[vector] for vector in rows.vector], [f"{m:+.0f}" if m else "0" for m in rows.multiplier]],
                y=rows[value],
                name=f"{value} accuracy",
                legendgroup=value,
                showlegend=places[behaviour] == 1,
                marker_color=paint,
                hovertemplate="%{x}<br>" + value + " %{y:.0f} %<extra></extra>",
            )
            figure.add_trace(trace, row=1, col=places[behaviour])
    figure.add_hline(y=50, line={"dash": "dot", "color": INK}, row="all", col="all")
    figure.update_yaxes(range=[0, 104])
    figure.update_yaxes(title="accuracy (%)", col=1)
    figure.update_xaxes(title="vector and multiplier")
    return styled(
        figure, "How much of standard accuracy is robust", barmode="group", height=470, legend=BELOW, margin_b=100
    )


def side_effects(frame: pd.DataFrame) -> go.Figure:
    """What steering costs elsewhere: loss on talks about other things against the length of what is added."""
    figure, places = _panels(frame, shared_yaxes=True)
    for (behaviour, vector, draw), line in frame.groupby(["behaviour", "vector", "draw"], sort=False):
        trace = go.Scatter(
            x=line.in_residual_norms,
            y=line.loss,
            name=NAMES[vector],
            legendgroup=vector,
            showlegend=places[behaviour] == 1 and draw == 0,
            mode="lines+markers",
            line={"color": PAINT[vector], "width": 1 if vector == "random" else 2.5},
            customdata=line.multiplier,
            hovertemplate=f"{NAMES[vector]}<br>multiplier %{{customdata}}: %{{y:.3f}} nats<extra></extra>",
        )
        figure.add_trace(trace, row=1, col=places[behaviour])
    figure.update_xaxes(title="length added, in residual norms")
    figure.update_yaxes(title="loss on other talks (nats per token)", col=1)
    return styled(figure, "What steering costs elsewhere", height=470, legend=BELOW, margin_b=100)


def beside_paper(methods: pd.DataFrame) -> pd.DataFrame:
    """SCR in percent by behaviour and method beside the paper's: `mean` with `sd_seeds` and `sd_sets` (see
    `main_table.measured`), `items` of the vectors, `paper`, `paper_sd`.

    `methods` as `studies.steering_tables.methods_study` makes them.
    """
    cells = methods.assign(measure=methods.behaviour.map(VALUES), value=methods.scr)
    named = {column: _name(behaviour) for behaviour, column in VALUES.items()}
    table = measured(cells)
    items = methods.groupby(["behaviour", "method"])["items"].mean()
    of = {column: behaviour for behaviour, column in VALUES.items()}
    table.insert(2, "items", [items[of[row.measure], row.method] for row in table.itertuples()])
    return table.assign(behaviour=table.measure.map(named)).drop(columns=["measure", "added"])[
        ["behaviour", "method", "mean", "sd_seeds", "sd_sets", "sets", "seeds", "items", "paper", "paper_sd"]
    ]
