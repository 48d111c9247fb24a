"""Tables 13 and 14 beside ours, and figures of the studies of reward models."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from fac_lab.display.tables import mean_sd, paper_table
from fac_lab.display.theme import BELOW, BLUE, GREEN, INK, ORANGE, styled

SECTIONS = {"chat": "Chat", "chat_hard": "Chat Hard", "safety": "Safety", "reasoning": "Reasoning"}
PRINTED = {"head": "table13_head_only", "lora": "table14_reward_lora"}
AVERAGE = {"head": "rm_avg", "lora": "avg_printed"}
"""The column of the paper's table that holds its average."""
MODES = {"longer wins": INK, "head": BLUE, "lora": GREEN}


def printed(mode: str) -> pd.DataFrame:
    """The paper's sections by method, in percent: `method`, the four sections, `average` as printed, `from sections`,
    the mean that these give, and `differs` where the two are more than rounding apart."""
    table = paper_table(PRINTED[mode])
    frame = table[["method", *SECTIONS]].assign(average=table[AVERAGE[mode]])
    frame["from sections"] = frame[list(SECTIONS)].mean(axis=1)
    # Four numbers of two decimals, and their mean of two: they may be 0.01 apart.
    frame["differs"] = (frame.average - frame["from sections"]).abs() > 0.0101
    return frame


def measured(cells: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Our means by method, in order of appearance: over held-out sets of the means over seeds. Columns: `method`,
    `values`, `..._sd` of each over all runs, and `runs`."""
    values = list(values)
    by_set = cells.groupby(["method", "held_out_set"], sort=False)[values].mean()
    runs = cells.groupby("method", sort=False)
    frame = by_set.groupby(level="method", sort=False).mean().join(runs[values].std().add_suffix("_sd"))
    return frame.assign(runs=runs.size()).reset_index()


def beside(cells: pd.DataFrame, mode: str) -> pd.DataFrame:
    """One row per method, sections and average as text, ours with their spread and the paper's behind each."""
    ours, paper = measured(cells, [*SECTIONS, "rm_acc"]), printed(mode).set_index("method")
    frame = pd.DataFrame({"method": ours.method})
    for column, name in (SECTIONS | {"rm_acc": "average"}).items():
        frame[name] = [
            mean_sd(mean, sd, n, digits=1).partition(" (")[0]
            for mean, sd, n in zip(ours[column], ours[f"{column}_sd"], ours.runs, strict=True)
        ]
        theirs = paper["average" if column == "rm_acc" else column]
        frame[f"paper, {name}"] = [theirs.get(method, float("nan")) for method in ours.method]
    return frame.assign(runs=ours.runs)


def sections_figure(cells: pd.DataFrame, *, title: str) -> go.Figure:
    """Accuracy by section, a row of dots per method, the dashed line at chance."""
    ours = measured(cells, list(SECTIONS))
    figure = go.Figure()
    for column, colour in zip(SECTIONS, (BLUE, INK, GREEN, ORANGE), strict=True):
        figure.add_scatter(
            x=ours[column],
            y=ours.method,
            error_x={"array": ours[f"{column}_sd"], "thickness": 1, "width": 3},
            mode="markers",
            marker={"size": 9, "color": colour},
            name=SECTIONS[column],
        )
    figure.add_vline(50, line={"dash": "dash", "color": INK, "width": 1})
    figure.update_xaxes(title="accuracy, %")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, title, height=470, legend=BELOW, margin_b=100)


def harm_figure(cells: pd.DataFrame, *, title: str) -> go.Figure:
    """Safety pairs about concepts that the seed has, and about those it lacks, by method."""
    values = {"safety_kept": ("in the seed", BLUE), "safety_held_out": ("held out", ORANGE)}
    ours = measured(cells, list(values))
    figure = go.Figure()
    for column, (name, colour) in values.items():
        figure.add_scatter(
            x=ours[column],
            y=ours.method,
            error_x={"array": ours[f"{column}_sd"], "thickness": 1, "width": 3},
            mode="markers",
            marker={"size": 10, "color": colour},
            name=name,
        )
    figure.update_xaxes(title="accuracy on Safety, %")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, title, height=470, legend=BELOW, margin_b=100)


def real_figure(runs: pd.DataFrame, *, title: str) -> go.Figure:
    """Accuracy on real pairs against the training pairs: as counted, and balanced by length (dotted)."""
    total = runs[runs.section == "average"]
    figure = go.Figure()
    for mode, group in total.groupby("mode", sort=False):
        for value, dash in (("accuracy", "solid"), ("length_balanced", "dot")):
            by_n = group.groupby("n")[value]
            name = f"{mode}{', balanced by length' if value == 'length_balanced' else ''}"
            if mode == "longer wins":
                figure.add_hline(
                    100 * by_n.mean().iloc[0], line={"dash": "dash" if dash == "solid" else dash, "color": INK},
                    annotation_text=name, annotation_position="top left",
                )  # fmt: skip
                continue
            figure.add_scatter(
                x=by_n.mean().index,
                y=100 * by_n.mean(),
                error_y={"array": 100 * by_n.std(), "thickness": 1, "width": 3},
                mode="lines+markers",
                line={"dash": dash, "color": MODES[mode]},
                name=name,
            )
    figure.update_xaxes(title="training pairs", type="log")
    figure.update_yaxes(title="accuracy, %")
    return styled(figure, title, height=470, legend=BELOW, margin_b=100)
