"""Figures of the main table: our means over the paper's, and how far every method is from ours."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.theme import GREEN, GRID, INK, RED, hover, styled

OURS = "FAC Synthesis"
TITLES = {
    "tox_auprc": "toxicity, AUPRC",
    "rm_acc": "reward model, accuracy",
    "sycophancy_scr": "sycophancy, SCR",
    "survival_scr": "survival instinct, SCR",
    "if_lc": "instructions, LC win rate",
    "if_wr": "instructions, win rate",
}
"""The columns of the paper's table in words."""
N_COLUMNS = 3


def _panels(measures: list[str], **options) -> go.Figure:
    rows = -(-len(measures) // N_COLUMNS)
    heads = [hover(TITLES.get(name, name)) for name in measures]
    figure = make_subplots(rows=rows, cols=min(N_COLUMNS, len(measures)), subplot_titles=heads, **options)
    figure.update_annotations(font_size=13)
    return figure.update_layout(height=100 + 260 * rows)


def _place(number: int) -> dict[str, int]:
    return {"row": number // N_COLUMNS + 1, "col": number % N_COLUMNS + 1}


def beside_paper(means) -> go.Figure:
    """A panel per measure, a point per method: ours over the paper's value; bars are standard deviations over seeds.
    `means` as `main_table.measured` makes them. Where both order the methods alike, points rise to the right."""
    measures = list(dict.fromkeys(means.measure))
    figure = _panels(measures, horizontal_spacing=0.09, vertical_spacing=0.16)
    for number, name in enumerate(measures):
        group = means[means.measure == name]
        figure.add_scatter(
            x=group.paper, y=group["mean"], mode="markers", showlegend=False,
            marker={"size": 9, "color": [GREEN if method == OURS else INK for method in group.method]},
            error_x={"array": group.paper_sd.fillna(0), "thickness": 1, "width": 0, "color": GRID},
            error_y={"array": group.sd_seeds.fillna(0), "thickness": 1, "width": 0, "color": GRID},
            hovertext=[hover(method) for method in group.method],
            hovertemplate="%{hovertext}: here %{y:.1f}, the paper %{x:.1f}<extra></extra>",
            **_place(number),
        )  # fmt: skip
        if number + N_COLUMNS >= len(measures):
            figure.update_xaxes(title="the paper", **_place(number))
        figure.update_yaxes(title="here", **_place(number))
    subtitle = "one point per method, FAC Synthesis green; bars: standard deviation over seeds"
    return styled(figure, "The paper's table 1 beside ours", subtitle=subtitle, margin_t=110, margin_b=60)


def differences(tests) -> go.Figure:
    """Every method minus FAC Synthesis, a panel per measure, with 95 % intervals over held-out sets; red where the
    difference stands after correction for all comparisons. `tests` as `main_table.tested` makes them."""
    measures = list(dict.fromkeys(tests.measure))
    figure = _panels(measures, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=0.14)
    for number, name in enumerate(measures):
        group = tests[tests.measure == name].iloc[::-1]
        figure.add_scatter(
            x=group["mean"], y=[hover(method) for method in group.method], mode="markers", showlegend=False,
            marker={"size": 8, "color": [RED if differs else INK for differs in group.differs]},
            error_x={
                "type": "data", "array": group.high - group["mean"], "arrayminus": group["mean"] - group.low,
                "thickness": 1.2, "width": 0,
            },
            customdata=group.p_holm,
            hovertemplate="%{y}: %{x:+.1f}, p %{customdata:.2g} corrected<extra></extra>",
            **_place(number),
        )  # fmt: skip
        figure.add_vline(x=0, line={"color": GREEN, "width": 1}, **_place(number))
    subtitle = "percentage points; 95 % intervals over held-out sets, red: differs after Holm's correction"
    return styled(figure, "Every method minus FAC Synthesis", subtitle=subtitle, margin_t=110, margin_l=150)
