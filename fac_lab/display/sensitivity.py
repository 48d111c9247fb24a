"""Tables and figures of the studies of settings: how far each moves the result, and the paper's tables beside ours."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fac_lab.display.synthesis import over_sets
from fac_lab.display.tables import paper_table
from fac_lab.display.theme import BELOW, BLUE, GREEN, INK, RED, hover, styled
from fac_lab.studies.sensitivity import SETTINGS, paper_levels, reach_of, runs_of, said

CHANCE = "rgba(128,128,128,0.35)"
ROW_HEIGHT = 34
LIKE_PAPER = {
    (1024, 3): (16384, 20),
    (4096, 3): (65536, 20),
    (8192, 3): (131072, 20),
    (4096, 2): (65536, 10),
    (4096, 6): (65536, 40),
}
"""Our dictionaries (width, K) and those of the paper's table 7 that stand in as near as may be the same ratio to the
one in use."""
ARM_OF = {
    "baseline": "none",
    "dense_clusters_coverage": "dense clusters",
    "sae_random_features": "random features",
    "sae_fac": "missing features",
}
"""Rows of the paper's table 12, and our arms."""


def settings_table(results: Mapping[str, pd.DataFrame], value: str = "auprc") -> pd.DataFrame:
    """How far every setting of `studies.sensitivity.SETTINGS` moves `value`, widest range first; those without a
    stored result, or whose result has no such column, are left out.

    Columns: `setting`; those of `Reach` and its `range`; for AUPRC `paper_low` and `paper_high`, the same differences
    in the paper's table (NaN where it prints none).
    """
    rows = []
    for name, setting in SETTINGS.items():
        frame = results.get(setting.result)
        if frame is None or value not in frame:
            continue
        found = reach_of(runs_of(setting, frame, value))
        row = {"setting": name, **found._asdict(), "range": found.range, "paper_low": np.nan, "paper_high": np.nan}
        if setting.paper and value == "auprc":
            printed = paper_levels(setting, paper_table(setting.paper))
            row |= {"paper_low": printed.min() - printed.iloc[0], "paper_high": printed.max() - printed.iloc[0]}
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values("range", ascending=False, ignore_index=True) if len(table) else table


def tornado(table: pd.DataFrame, *, label: str = "AUPRC") -> go.Figure:
    """A bar per setting from its lowest to its highest level, 0 being the level in use; under it in grey the range
    that dealing the runs anew among the levels stays below in 95 of 100 cases; red diamonds are the paper's ends.

    `table` is a `settings_table`.
    """
    names = [f"{hover(row.setting)} ({row.levels})" for row in table.itertuples()]
    middle = (table.low + table.high) / 2
    figure = go.Figure()
    figure.add_bar(
        orientation="h", y=names, x=table.by_chance, base=middle - table.by_chance / 2, name="95 % by chance",
        marker_color=CHANCE, width=0.75, hovertemplate="by chance, 95 %: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    details = table[["low_level", "low", "high_level", "high", "p", "sets"]]
    figure.add_bar(
        orientation="h", y=names, x=table.range, base=table.low, name="ours, lowest to highest level",
        marker_color=BLUE, width=0.35, customdata=details,
        hovertemplate="%{y}<br>%{customdata[0]}: %{customdata[1]:+.3f}<br>%{customdata[2]}: %{customdata[3]:+.3f}"
        "<br>as wide by chance: %{customdata[4]:.2f}, %{customdata[5]} sets<extra></extra>",
    )  # fmt: skip
    printed = table[table.paper_low.notna()]
    if len(printed):
        places = [name for name, has in zip(names, table.paper_low.notna(), strict=True) if has]
        figure.add_scatter(
            x=[*printed.paper_low, *printed.paper_high], y=places * 2, mode="markers", name="paper, its ends",
            marker={"color": RED, "size": 9, "symbol": "diamond-open", "line": {"width": 2}},
            hovertemplate="paper, %{y}: %{x:+.3f}<extra></extra>",
        )  # fmt: skip
    spread = float(np.sqrt((table.seed_sd**2).mean()))
    for side in (-spread, spread):
        figure.add_vline(side, line={"dash": "dot", "color": INK, "width": 1})
    figure.add_vline(0, line={"color": INK, "width": 1})
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title=f"{label} minus that of the level in use")
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    sets = " or ".join(str(n) for n in sorted(set(table.sets)))
    subtitle = f"number of levels in brackets; {sets} held-out sets, seeds averaged; dotted: ± SD over training seeds"
    height = 190 + ROW_HEIGHT * len(table)
    title = f"How far each setting moves {label}"
    return styled(figure, title, subtitle=subtitle, height=height, legend=BELOW, margin_t=90, margin_b=100)


def thresholds(rows: pd.DataFrame) -> go.Figure:
    """AUPRC, and missing features with their null, against the threshold (the paper's figure 6).

    `rows` are of `studies.threshold_sweep.threshold_study`. Left the paper's deltas, scaled; right quantiles. Dotted:
    nothing added.
    """
    table = over_sets(
        rows[rows.kind != "none"], ["kind", "value"], ["auprc", "n_missing", "n_missing_null", "delta", "added"]
    )
    start = over_sets(rows[rows.kind == "none"], ["kind"], ["auprc"]).auprc.iloc[0]
    panels = {"paper": "the paper's delta, scaled", "quantile": "delta a quantile of the anchor's activations"}
    figure = make_subplots(
        rows=2, cols=2, shared_xaxes=True, shared_yaxes=True, vertical_spacing=0.08, horizontal_spacing=0.05,
        subplot_titles=[*panels.values(), "", ""],
    )  # fmt: skip
    lines = (("auprc", "AUPRC", BLUE, 1), ("n_missing", "missing", RED, 2), ("n_missing_null", "by its null", INK, 2))
    for column, kind in enumerate(panels, start=1):
        side = table[table.kind == kind].sort_values("value")
        for value, name, paint, row in lines:
            figure.add_scatter(
                x=[said(level) for level in side.value], y=side[value], name=name, legendgroup=name,
                showlegend=column == 1, mode="lines+markers", line={"color": paint, "width": 2}, marker={"size": 8},
                error_y={"array": side[f"{value}_sd"].fillna(0), "thickness": 1.5, "width": 4},
                customdata=side[["delta", "added"]],
                hovertemplate=f"{name} at %{{x}}: %{{y:.3g}}<br>delta %{{customdata[0]:.0f}}, %{{customdata[1]:.0f}} "
                "texts added<extra></extra>",
                row=row, col=column,
            )  # fmt: skip
        figure.add_hline(start, line={"dash": "dot", "color": INK, "width": 1}, row=1, col=column)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title="delta in the paper's units", row=2, col=1)
    figure.update_xaxes(title="quantile", row=2, col=2)
    figure.update_yaxes(title="AUPRC", row=1, col=1)
    figure.update_yaxes(title="missing features", rangemode="tozero", row=2, col=1)
    return _finished(figure, "Synthesis by threshold", table, height=560)


def layers(rows: pd.DataFrame) -> go.Figure:
    """AUPRC, missing features and how many held-out concepts the texts reach, by layer (the paper's figure 8).

    `rows` are of `studies.sae_sensitivity.layer_study`; dotted: nothing added.
    """
    start = over_sets(rows[rows.name == "none"], ["name"], ["auprc"]).auprc.iloc[0]
    shown = {"auprc": "AUPRC", "n_missing": "missing features", "held_out_reached": "held-out concepts reached"}
    found = rows[rows.name != "none"]
    table = over_sets(found, ["layer"], [*shown, "n_missing_null"]).sort_values("layer")
    figure = make_subplots(rows=1, cols=3, subplot_titles=list(shown.values()), horizontal_spacing=0.09)
    for column, (value, paint) in enumerate(zip(shown, (BLUE, RED, GREEN), strict=True), start=1):
        _line(figure, table, "layer", value, shown[value], paint, column)
    _line(figure, table, "layer", "n_missing_null", "under the null", INK, 2)
    figure.add_hline(start, line={"dash": "dot", "color": INK, "width": 1}, row=1, col=1)
    figure.update_xaxes(title="layer, from 0", dtick=1)
    figure.update_yaxes(rangemode="tozero", col=2)
    figure.update_yaxes(rangemode="tozero", tickformat=".0%", col=3)
    figure.update_layout(showlegend=False)
    return _finished(figure, "Synthesis by the layer that features are read at", table)


def dictionary_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Our dictionaries, and the paper's table 7 in the rows of nearly the same ratio of width and K.

    `rows` are of `studies.sae_sensitivity.sae_study`. AUPRC of the paper in [0, 1]. Its "L2 reconstruction" is not
    defined; ours is the share of the variance that is not explained.
    """
    shown = ["l0", "unexplained", "dead", "n_missing", "n_missing_null", "precision", "recall", "by_any", "added"]
    found = rows[rows.name != "none"]
    table = over_sets(found, ["name", "d_sae", "k"], [*shown, "held_out_reached", "auprc"])
    table = table[["name", "d_sae", "k", *shown, "held_out_reached", "auprc", "auprc_sd"]]
    printed = paper_table("table07_sae_sensitivity").set_index(["dictionary_size", "top_k"])
    lines = []
    for row in table.itertuples():
        like = None if row.name == "the profile's" else LIKE_PAPER.get((int(row.d_sae), int(row.k)))
        if like is None:
            lines.append(dict.fromkeys(("paper's", "paper, l0", "paper, L2", "paper, AUPRC"), None))
            continue
        line = printed.loc[like]
        name = f"{like[0]:,}, K {like[1]}"
        values = (name, line.l0, line.l2_reconstruction, line.auprc / 100)
        lines.append(dict(zip(("paper's", "paper, l0", "paper, L2", "paper, AUPRC"), values, strict=True)))
    beside = pd.DataFrame(lines).astype({"paper, l0": float, "paper, L2": float, "paper, AUPRC": float})
    return table.drop(columns=["d_sae", "k"]).join(beside)


def variants_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Our variants of FAC and the paper's table 11, whose FAC is the weight of the gap that was reached.

    `rows` are of `studies.variants.variants_study`. One row per variant: counted after writing for all missing
    features; chosen by it, most weight first and, as a control, least.
    """
    whole = over_sets(rows[rows.budget == "all"], ["variant"], ["fac_seed", "fac", "gap_share", "auprc"])
    table = whole.set_index("variant")[["fac_seed", "fac", "gap_share"]].assign(
        **{"auprc, all": whole.auprc.to_numpy()}
    )
    part = over_sets(rows[rows.budget == "a share"], ["order", "variant"], ["auprc", "gap_share"])
    for order in part.order.unique():
        of_order = part[part.order == order].set_index("variant")
        table[f"auprc, {order}"], table[f"± {order}"] = of_order.auprc, of_order.auprc_sd
    printed = paper_table("table11_fac_variants").assign(
        variant=lambda frame: frame.variant.str.replace("_weighted", ""), **{"paper, FAC": lambda f: f.fac / 100}
    )
    printed = printed.assign(**{"paper, AUPRC": printed.auprc / 100}).set_index("variant")
    return table.join(printed[["paper, FAC", "paper, AUPRC"]]).reset_index()


def representation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Our arms and the paper's table 12; `rows` are of `studies.representation.representation_study`."""
    shown = ["wanted", "wanted_null", "drafts", "kept", "added", "about_held_out", "held_out_reached", "by_any"]
    table = over_sets(rows, ["arm"], [*shown, "auprc"])
    printed = paper_table("table12_representation")
    paper = dict(zip(printed.representation.map(ARM_OF), printed.auprc / 100, strict=True))
    return table[["arm", *shown, "auprc", "auprc_sd", "sets"]].assign(**{"paper, AUPRC": table.arm.map(paper)})


def temperature_table(rows: pd.DataFrame) -> pd.DataFrame:
    """AUPRC by temperature of our generators and, in [0, 1], of the paper's table 4."""
    ours = over_sets(rows, ["generator", "temperature"], ["auprc"])
    table = pd.DataFrame(index=pd.Index(sorted(ours.temperature.unique()), name="temperature"))
    for generator, part in ours.groupby("generator", sort=False):
        part = part.set_index("temperature")
        table[generator], table[f"± {generator}"] = part.auprc, part.auprc_sd
    printed = paper_table("table04_generator_temperature").set_index("temperature") / 100
    names = {"llama_auprc": "paper, Llama", "llama_sd": "± Llama", "gpt4o_mini_auprc": "paper, GPT-4o mini"}
    return table.join(printed.rename(columns=names)[list(names.values())]).reset_index()


def ratio_table(rows: pd.DataFrame) -> pd.DataFrame:
    """AUPRC by the share of the gap that is written for, under both budgets, and the toxicity column of table 9."""
    ours = over_sets(rows, ["budget", "ratio"], ["auprc", "by_any", "added"])
    table = pd.DataFrame(index=pd.Index(sorted(ours.ratio.unique()), name="share of the gap"))
    for budget, part in ours.groupby("budget", sort=False):
        part = part.set_index("ratio")
        table[f"{budget}: added"], table[f"{budget}: covered"] = part.added, part.by_any
        table[f"{budget}: AUPRC"], table[f"± {budget}"] = part.auprc, part.auprc_sd
    printed = paper_table("table09_coverage_ratio")
    printed.index = pd.Index(printed.ratio_pct / 100)
    table["paper, AUPRC"], table["± paper"] = printed.tox_auprc / 100, printed.tox_sd / 100
    return table.reset_index()


def _line(figure: go.Figure, table: pd.DataFrame, x: str, value: str, name: str, paint: str, column: int) -> None:
    figure.add_scatter(
        name=name, x=table[x], y=table[value], mode="lines+markers", line={"color": paint, "width": 2},
        marker={"size": 8}, error_y={"array": table[f"{value}_sd"].fillna(0), "thickness": 1.5, "width": 4},
        hovertemplate=f"{name}, %{{x}}: %{{y:.3f}} ± %{{error_y.array:.3f}}<extra></extra>", row=1, col=column,
    )  # fmt: skip


def _finished(figure: go.Figure, title: str, table: pd.DataFrame, *, height: int = 420) -> go.Figure:
    figure.update_xaxes(zeroline=False)
    subtitle = f"mean and standard deviation over {int(table.sets.max())} held-out sets, seeds averaged"
    return styled(figure, title, subtitle=subtitle, height=height, legend=BELOW, margin_t=110, margin_b=90)
