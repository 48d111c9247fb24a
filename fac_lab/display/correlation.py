"""Figures and sentences of the correlation studies: what goes with performance, how closely, and how surely."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.tables import paper_table
from fac_lab.display.theme import BELOW, BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, hover, styled

FAMILY = {"FAC": GREEN, "diversity": BLUE, "truth": ORANGE, "covariate": INK}
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
ROW_HEIGHT = 24
RULE_WORDS = {"paper": "delta 0", "paper_m": "delta 0, m", "relative": "quantile", "relative_m": "quantile, m"}
CLOSE = 0.02
"""Coefficients nearer than this are called alike in sentences."""


def words(measure: str) -> str:
    """A column's name for people: "fac_relative_m_judge" is "FAC (quantile, m; F judge)"."""
    if not measure.startswith("fac_"):
        return "true concept coverage" if measure == "true_coverage" else measure.replace("_", " ")
    rest = measure.removeprefix("fac_")
    rule = max((name for name in RULE_WORDS if rest.startswith(f"{name}_")), key=len, default=None)
    if rule is None:
        return f"FAC ({rest.replace('_', ' ')})"
    return f"FAC ({RULE_WORDS[rule]}; F {rest.removeprefix(f'{rule}_').replace('_', ', ')})"


def scatters(frame: pd.DataFrame, measures: Sequence[str], table: pd.DataFrame, *, outcome: str = "auprc") -> go.Figure:
    """The outcome against each measure, a panel each, after the paper's figures 3 and 9: a point per data set.

    `table` is that of `studies.correlation.correlations` for the same frame, whose r and interval head the panels.
    Bars are the standard deviation over training seeds, where `auprc_sd` is known. Designs have colours.
    """
    found = table.set_index("measure")
    heads = [f"{hover(words(name), width=40)}<br>{_coefficient(found.loc[name])}" for name in measures]
    figure = make_subplots(rows=1, cols=len(measures), shared_yaxes=True, subplot_titles=heads, horizontal_spacing=0.04)
    designs = list(dict.fromkeys(frame["design"])) if "design" in frame else [None]
    for column, name in enumerate(measures, start=1):
        for place, design in enumerate(designs):
            some = frame if design is None else frame[frame["design"] == design]
            spread = some["auprc_sd"].fillna(0) if outcome == "auprc" and "auprc_sd" in some else None
            figure.add_scatter(
                x=some[name], y=some[outcome], mode="markers", name=hover(design or "data sets"),
                legendgroup=str(design), showlegend=column == 1,
                marker={"color": COLOURS[place % len(COLOURS)], "size": 7, "opacity": 0.75},
                error_y=None if spread is None else {"array": spread, "thickness": 1, "width": 0},
                hovertext=[hover(which) for which in some["data_set"]],
                hovertemplate="%{hovertext}: %{x:.3f}, " + hover(outcome) + " %{y:.3f}<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
        _add_line(figure, frame[name].to_numpy(float), frame[outcome].to_numpy(float), column)
    figure.update_yaxes(title="AUPRC" if outcome == "auprc" else words(outcome), col=1)
    figure.update_annotations(font_size=12)
    figure.update_xaxes(zeroline=False)
    return styled(
        figure,
        f"What goes with {'AUPRC' if outcome == 'auprc' else words(outcome)}?",
        subtitle=f"{len(frame)} data sets; r with its 95 % interval",
        height=440,
        margin_t=130,
        legend=BELOW,
        margin_b=70,
    )


def forest(
    table: pd.DataFrame,
    title: str,
    *,
    kind: str = "pearson",
    given: str | None = "partial",
    paper: Mapping[str, float] | None = None,
    subtitle: str | None = None,
) -> go.Figure:
    """Every measure's coefficient with its interval, strongest first as in the table; open points: the partial one.

    `table` is that of `studies.correlation.correlations`; what is undefined is left out. `paper` gives values that the
    paper printed, by measure.
    """
    rows = table[table[kind].notna()].reset_index(drop=True)
    names = [hover(words(name), width=48) for name in rows["measure"]]
    figure = go.Figure()
    for family, paint in FAMILY.items():
        some = rows[rows["family"] == family]
        if some.empty:
            continue
        spread = {"array": some[f"{kind}_high"] - some[kind], "arrayminus": some[kind] - some[f"{kind}_low"]}
        figure.add_scatter(
            x=some[kind], y=[names[i] for i in some.index], mode="markers", name=family,
            marker={"color": paint, "size": 9},
            error_x={"type": "data", "symmetric": False, "thickness": 2, "width": 3, **spread},
            customdata=some[[f"{kind}_low", f"{kind}_high", "n"]],
            hovertemplate="%{y}: %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f})<br>"
            "%{customdata[2]} data sets<extra></extra>",
        )  # fmt: skip
    if given is not None and given in rows:
        figure.add_scatter(
            x=rows[given], y=names, mode="markers", name="given size and length",
            marker={"color": INK, "size": 8, "symbol": "circle-open"},
            hovertemplate="%{y}, given size and mean length: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    printed = [
        (name, paper[measure])
        for name, measure in zip(names, rows["measure"], strict=True)
        if paper and measure in paper
    ]
    if printed:
        figure.add_scatter(
            x=[value for _, value in printed], y=[name for name, _ in printed], mode="markers", name="paper",
            marker={"color": RED, "size": 10, "symbol": "diamond-open", "line": {"width": 2}},
            hovertemplate="paper, %{y}: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title=f"{kind} correlation", range=[-1.02, 1.02])
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    height = 190 + ROW_HEIGHT * len(rows)
    return styled(figure, title, subtitle=subtitle, height=height, margin_t=110)


def thresholds(rows: pd.DataFrame, *, relevant: str = "judge") -> go.Figure:
    """Correlation with AUPRC, and mean FAC, against the threshold: absolute ones left, quantiles right.

    `rows` are of `studies.scrutiny.scrutiny_study`, `what` "threshold"; a line for each support m.
    """
    some = rows[(rows["what"] == "threshold") & (rows["relevant"] == relevant)]
    sides = [some[some["quantile"].isna()], some[some["quantile"].notna()]]
    figure = make_subplots(
        rows=2, cols=2, shared_yaxes=True, shared_xaxes=True, vertical_spacing=0.08, horizontal_spacing=0.04,
        subplot_titles=["delta itself (the paper's)", "delta a quantile of the anchor's activations", "", ""],
    )  # fmt: skip
    for column, side in enumerate(sides, start=1):
        x = "delta" if column == 1 else "quantile"
        for place, (m, of_m) in enumerate(side.groupby("m")):
            ordered = of_m.sort_values(x)
            labels = [f"{value:g}" for value in ordered[x]]
            for row, measure in ((1, "pearson"), (2, "mean_fac")):
                bars = None
                if measure == "pearson":
                    bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 3}
                    bars |= {
                        "array": ordered["pearson_high"] - ordered["pearson"],
                        "arrayminus": ordered["pearson"] - ordered["pearson_low"],
                    }
                figure.add_scatter(
                    x=labels, y=ordered[measure], error_y=bars, mode="lines+markers", name=f"m = {m:g}",
                    legendgroup=f"{m:g}", showlegend=row == 1 and column == 1,
                    line={"color": COLOURS[place % len(COLOURS)], "width": 2},
                    customdata=ordered[["n_relevant", "saturated"]],
                    hovertemplate=f"m = {m:g}: %{{y:.2f}}<br>%{{customdata[0]:,.0f}} features, "
                    "%{customdata[1]:.0%} of the data sets cover them all<extra></extra>",
                    row=row, col=column,
                )  # fmt: skip
        figure.update_xaxes(type="category", col=column)
        figure.update_xaxes(title=x, row=2, col=column)
    figure.update_yaxes(title="r with AUPRC", row=1, col=1)
    figure.update_yaxes(title="mean FAC", range=[0, 1.05], row=2, col=1)
    return styled(
        figure,
        "Which threshold sees what matters?",
        subtitle=f"F: {relevant}; m: anchor samples that a feature needs",
        height=560,
        margin_t=100,
        margin_b=90,
        legend=BELOW,
    )


def dictionaries(rows: pd.DataFrame) -> go.Figure:
    """Correlation with AUPRC under each dictionary and clustering; `rows` as for `thresholds`, "sae" and "clusters"."""
    some = rows[rows["what"].isin(["sae", "clusters"])].copy()
    some["rule"] = np.where(
        some["what"] == "clusters", "clusters", np.where(some["quantile"].isna(), "delta 0", "quantile, m")
    )
    some["group"] = "F " + some["relevant"] + "; " + some["rule"]
    names = list(dict.fromkeys(some["name"]))
    figure = go.Figure()
    for place, (group, part) in enumerate(some.groupby("group", sort=False)):
        spread = {"array": part["pearson_high"] - part["pearson"], "arrayminus": part["pearson"] - part["pearson_low"]}
        figure.add_scatter(
            x=part["pearson"], y=[hover(name) for name in part["name"]], mode="markers", name=hover(group),
            marker={"color": COLOURS[place % len(COLOURS)], "size": 9},
            error_x={"type": "data", "symmetric": False, "thickness": 1, "width": 3, **spread},
            customdata=part[["mean_fac", "saturated", "n_relevant"]],
            hovertemplate=hover(group) + ": %{x:.2f}<br>%{customdata[2]:,.0f} counted, mean FAC %{customdata[0]:.2f}"
            "<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="r with AUPRC")
    figure.update_yaxes(categoryorder="array", categoryarray=[hover(name) for name in names[::-1]])
    height = 200 + 40 * len(names)
    return styled(figure, "Other dictionaries, and dense clusters in their place", height=height, margin_t=120)


def growth(
    curves: Mapping[str, pd.DataFrame], *, title: str = "How many features do so many samples show?"
) -> go.Figure:
    """Features expected in `samples` of a data set, a line each; optional columns `low` and `high` make a band,
    `beyond` (bool) marks what is extrapolated, which is dashed."""
    figure = go.Figure()
    for place, (name, curve) in enumerate(curves.items()):
        paint = COLOURS[place % len(COLOURS)]
        beyond = curve["beyond"] if "beyond" in curve else pd.Series(False, index=curve.index)
        for dashed in (False, True):
            # Both parts hold the point where they meet.
            part = curve[~beyond] if not dashed else curve[beyond | beyond.shift(-1, fill_value=False)]
            if part.empty or (dashed and not beyond.any()):
                continue
            figure.add_scatter(
                x=part["samples"], y=part["features"], mode="lines", name=hover(name), legendgroup=name,
                showlegend=not dashed, line={"color": paint, "width": 2, "dash": "dash" if dashed else "solid"},
                hovertemplate=f"{hover(name)}: %{{y:,.4g}} at %{{x:,}} samples<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(title="samples")
    figure.update_yaxes(title="features", rangemode="tozero")
    return styled(figure, title, subtitle="solid: exact expectation over subsets; dashed: extrapolated")


def hold_out(frame: pd.DataFrame) -> go.Figure:
    """Predicted against found: new features of the second half, and the share of it that was known.

    `frame` is that of `richness.hold_out`, with a column `rule` where several are shown.
    """
    figure = make_subplots(rows=1, cols=2, subplot_titles=["new features", "share already known"])
    rules = frame["rule"] if "rule" in frame else pd.Series("half of the anchor", index=frame.index)
    panels = (("new", "predicted", "low", "high"), ("covered", "sample_coverage", "coverage_low", "coverage_high"))
    for column, (found, predicted, low, high) in enumerate(panels, start=1):
        for place, (rule, part) in enumerate(frame.groupby(rules, sort=False)):
            figure.add_scatter(
                x=part[found], y=part[predicted], mode="markers", name=hover(rule), legendgroup=str(rule),
                showlegend=column == 1, marker={"color": COLOURS[place % len(COLOURS)], "size": 8},
                error_y={
                    "type": "data", "symmetric": False, "thickness": 1, "width": 3,
                    "array": part[high] - part[predicted], "arrayminus": part[predicted] - part[low],
                },
                hovertemplate="found %{x:.4g}, predicted %{y:.4g}<extra></extra>", row=1, col=column,
            )  # fmt: skip
        ends = [float(frame[[found, low]].min().min()), float(frame[[found, high]].max().max())]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line={"color": INK, "dash": "dot", "width": 1}, showlegend=False,
            hoverinfo="skip", row=1, col=column,
        )  # fmt: skip
        figure.update_xaxes(title="found in the second half", row=1, col=column)
    figure.update_yaxes(title="predicted from the first", row=1, col=1)
    return styled(
        figure, "Are the estimates right?", subtitle="bars: 95 % bootstrap intervals", height=420, margin_t=110
    )


def beside_paper(tables: Mapping[str, pd.DataFrame], fac: str) -> pd.DataFrame:
    """FAC's correlations with the outcome in each of `tables` (by what they are of) beside the paper's table 8.

    Columns: `source`, `points` (missing: the paper does not say), `pearson`, `spearman`, ours with intervals as text.
    """
    rows = []
    for name, table in tables.items():
        row = table.set_index("measure").loc[fac]
        cells = {kind: f"{row[kind]:.2f} ({row[f'{kind}_low']:.2f} to {row[f'{kind}_high']:.2f})" for kind in KINDS}
        rows.append({"source": name, "points": int(row["n"]), **cells})
    printed = paper_table("table08_fac_correlation").set_index("statistic")
    for task in printed.columns:
        cells = {kind: f"{printed.loc[kind, task]:.2f}" for kind in KINDS}
        rows.append({"source": f"paper: {task.replace('_', ' ')}", "points": pd.NA, **cells})
    return pd.DataFrame(rows).astype({"points": "Int64"})


KINDS = ("pearson", "spearman")
"""What table 8 prints."""


def verdict(row: pd.Series) -> str:
    """One sentence on FAC against a rival, from its row of `studies.correlation.correlations`."""
    interval = f"{row.fac_minus:+.2f}, interval {row.fac_minus_low:+.2f} to {row.fac_minus_high:+.2f}, p = {row.p:.3f}"
    if row.fac_minus_low > 0:
        return f"FAC goes with it more closely than {words(row.measure)} does ({interval})"
    if row.fac_minus_high < 0:
        return f"{words(row.measure)} goes with it more closely than FAC does ({interval})"
    return f"FAC and {words(row.measure)}, the next best, cannot be told apart ({interval})"


def _coefficient(row: pd.Series) -> str:
    if row.pearson != row.pearson:
        return hover(f"undefined: {row.reason}", width=40)
    return f"r = {row.pearson:.2f} ({row.pearson_low:.2f} to {row.pearson_high:.2f})"


def _add_line(figure: go.Figure, x: np.ndarray, y: np.ndarray, column: int) -> None:
    """The least-squares line, where there is one."""
    whole = np.isfinite(x) & np.isfinite(y)
    x, y = x[whole], y[whole]
    if len(x) < 2 or np.ptp(x) == 0:
        return
    slope, start = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    figure.add_scatter(
        x=ends, y=start + slope * ends, mode="lines", line={"color": INK, "dash": "dot", "width": 1.5},
        showlegend=False, hoverinfo="skip", row=1, col=column,
    )  # fmt: skip
