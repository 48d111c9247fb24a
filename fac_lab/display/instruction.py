"""Figures and tables of instruction following: win rates by method, by number of samples, and by a judge's taste."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.tables import estimate, paper_table
from fac_lab.display.theme import BELOW, BLUE, GREEN, GRID, INK, ORANGE, PURPLE, RED, SKY, hover, styled

PAPER_COLUMNS = ("if_lc", "if_wr", "if_sd")
SIZED = {"fac_two_step": ("FAC Synthesis", GREEN), "magpie": ("Magpie", ORANGE), "alpaca": ("Alpaca", SKY)}
KINDS = {"if_known": ("concepts the base knows", SKY), "if_lacking": ("concepts it lacks", RED)}


def per_set(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean over the training seeds of each held-out set: index the sets, a column per arm."""
    return runs.groupby(["held_out_set", "arm"], sort=False)[value].mean().unstack("arm")


def methods_table(runs: pd.DataFrame, methods: dict[str, str]) -> pd.DataFrame:
    """The paper's three columns beside ours, a row per method (its name -> our arm) and per further arm.

    Ours are means over held-out sets with the standard deviation over them, training seeds averaged first; "SE" is
    the mean standard error over the test instructions, which is what the paper prints as SD.
    """
    printed = paper_table("table01_main").set_index("method")[list(PAPER_COLUMNS)]
    names = {arm: name for name, arm in methods.items()}
    rows = []
    for arm in runs.arm.unique():
        row = {"method": names.get(arm, arm.replace("_", " "))}
        for value, label in (("if_lc", "LC"), ("if_wr", "WR")):
            found = estimate(per_set(runs, value)[arm].dropna())
            row |= {f"our {label}": found.mean, f"{label} SD": found.sd}
        of_arm = runs[runs.arm == arm]
        row |= {"our SE": of_arm.if_sd.mean(), "known": of_arm.if_known.mean(), "lacking": of_arm.if_lacking.mean()}
        row |= {"added": of_arm.added.mean(), "about what it lacks": of_arm.about_held_out.mean()}
        paper = printed.loc[names[arm]] if arm in names else dict.fromkeys(PAPER_COLUMNS, float("nan"))
        row |= {f"paper {label}": paper[key] for key, label in zip(PAPER_COLUMNS, ("LC", "WR", "SD"), strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def kinds(runs: pd.DataFrame, methods: dict[str, str]) -> go.Figure:
    """Raw win rate of every arm, on what the base knows and on what it lacks; points are held-out sets."""
    names = {arm: name for name, arm in methods.items()}
    figure = go.Figure()
    for value, (name, paint) in KINDS.items():
        table = per_set(runs, value)[list(runs.arm.unique())[::-1]]
        labels = [hover(names.get(arm, arm.replace("_", " "))) for arm in table.columns]
        figure.add_bar(
            name=name, y=labels, x=table.mean(), orientation="h", marker={"color": paint, "opacity": 0.75},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )  # fmt: skip
    figure.add_vline(50, line={"dash": "dot", "color": INK})
    figure.update_xaxes(title="raw win rate, %", rangemode="tozero")
    figure.update_layout(barmode="group", bargap=0.25)
    subtitle = f"mean over {runs.held_out_set.nunique()} held-out sets, training seeds averaged; dotted: the reference"
    return styled(figure, "Who wins where", subtitle=subtitle, height=140 + 38 * runs.arm.nunique())


def efficiency(sizes: pd.DataFrame) -> go.Figure:
    """Win rate against the number of samples, ours beside the paper's figure 1 (log scale there)."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=["ours, in the mini world", "paper"], horizontal_spacing=0.1)
    base = sizes[sizes.arm == "none"].groupby("held_out_set").if_wr.mean()
    for arm, (name, paint) in SIZED.items():
        line = _line(sizes[sizes.arm == arm])
        if line.empty:
            continue
        start = pd.DataFrame({"size": [0.0], "mean": [base.mean()], "sd": [base.std()]})
        line = pd.concat([start, line]) if len(base) else line
        figure.add_scatter(
            name=name, legendgroup=name, x=line["size"], y=line["mean"], mode="lines+markers",
            line={"color": paint, "width": 2}, marker={"size": 8},
            error_y={"array": line.sd.fillna(0), "thickness": 1.5, "width": 4},
            hovertemplate=f"{name}<br>%{{x:.0f}} samples: %{{y:.1f}} %<extra></extra>", row=1, col=1,
        )  # fmt: skip
    printed = paper_table("figure01_efficiency")
    groups = {
        "FAC Synthesis": (printed.dataset.str.startswith("FAC"), GREEN, "lines+markers"),
        "Magpie": (printed.dataset == "MAGPIE", ORANGE, "markers"),
        "other data sets": (~printed.dataset.str.startswith("FAC") & (printed.dataset != "MAGPIE"), PURPLE, "markers"),
    }
    for name, (chosen, paint, mode) in groups.items():
        points = printed[chosen]
        figure.add_scatter(
            name=name, legendgroup=name, showlegend=name not in [shown for shown, _ in SIZED.values()],
            x=points["size"], y=points.win_rate, mode=mode, line={"color": paint, "width": 2}, marker={"size": 9},
            text=[hover(text) for text in points.dataset],
            hovertemplate="%{text}<br>%{x:,} samples: %{y:.1f} %<extra></extra>", row=1, col=2,
        )  # fmt: skip
    figure.update_xaxes(title="samples", row=1, col=1)
    figure.update_xaxes(title="samples (log scale)", type="log", dtick=1, row=1, col=2)
    figure.update_yaxes(title="raw win rate, %", rangemode="tozero", col=1)
    figure.update_yaxes(rangemode="tozero", col=2)
    subtitle = f"ours: mean and SD over {sizes.held_out_set.nunique()} held-out sets, training seeds averaged"
    return styled(
        figure, "Win rate by number of samples", subtitle=subtitle, height=480, legend=BELOW, margin_t=110, margin_b=100
    )


def taste_for_length(rates: pd.DataFrame) -> go.Figure:
    """Raw and length-controlled win rate against a judge's love of length: `love`, `answers`, `raw`, `lc`."""
    figure = go.Figure()
    for (name, rows), paint in zip(rates.groupby("answers", sort=False), (BLUE, ORANGE, GREEN), strict=False):
        for value, dash, label in (("raw", "solid", "raw"), ("lc", "dash", "length-controlled")):
            figure.add_scatter(
                name=hover(f"{name}, {label}"), x=rows.love, y=rows[value], mode="lines+markers",
                line={"color": paint, "dash": dash, "width": 2}, marker={"size": 7},
                hovertemplate=f"{hover(name)}, {label}<br>love of length %{{x:g}}: %{{y:.1f}} %<extra></extra>",
            )  # fmt: skip
    figure.add_hline(50, line={"dash": "dot", "color": GRID})
    figure.update_xaxes(title="how much the judge loves length (log-odds for being longer by far)")
    figure.update_yaxes(title="win rate, %")
    figure.update_layout(margin_t=120)
    return styled(figure, "What a taste for length does to a win rate", height=440)


def _line(rows: pd.DataFrame) -> pd.DataFrame:
    """Means and standard deviations over held-out sets by share: `size`, `mean`, `sd`."""
    each = rows.groupby(["share", "held_out_set"])[["size", "if_wr"]].mean().reset_index()
    return each.groupby("share").agg(size=("size", "mean"), mean=("if_wr", "mean"), sd=("if_wr", "std")).reset_index()
