"""Tables and figures of the studies of detectors, what the paper printed beside what was measured here."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.metrics import average_precision_score, precision_recall_curve

from fac_lab.display.synthesis import over_sets
from fac_lab.display.tables import paper_table
from fac_lab.display.theme import BELOW, BLUE, GREEN, INK, ORANGE, RED, SKY, hover, styled
from fac_lab.planning.estimates import adapter_parameters
from fac_lab.planning.facts import model_facts
from fac_lab.studies.methods import METHODS
from fac_lab.studies.training_scale import pes

MODES = {"lora": "LoRA", "head": "head only"}
PAINTS = {"lora": GREEN, "head": BLUE}
SCALE_PAINTS = {"none": INK, "fac_two_step": GREEN}
PRINTED = {"lora": ("table01_main", "tox_auprc_sd"), "head": ("table13_head_only", "tox_sd")}
"""Where the paper prints the toxicity of a mode, and the column of its spread."""
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.127, 0.2, 0.3, 0.5, 1.0)
"""Shares of the test rows to flag; the paper's base rate among them."""
PAPER_MODEL, PAPER_RANK = "meta-llama/Llama-3.1-8B-Instruct", 8


def name_of(arm: str) -> str:
    """The paper's name of an arm; ours for one that the paper lacks."""
    return {ours: printed for printed, ours in METHODS.items()}.get(arm, arm.replace("_", " "))


def printed(mode: str) -> pd.DataFrame:
    """What the paper prints of a mode: `arm` (ours), `auprc` and `auprc_sd` as shares."""
    table, spread = PRINTED[mode]
    frame = paper_table(table)
    arms = frame.method.map(METHODS)
    return pd.DataFrame({"arm": arms, "auprc": frame.tox_auprc / 100, "auprc_sd": frame[spread] / 100})


def beside_paper(runs: pd.DataFrame) -> pd.DataFrame:
    """Every arm in each mode: ours in percent, mean and standard deviation over held-out sets (seeds averaged first),
    and the paper's. `runs` of `studies.detection.detection_study`, modes together.

    Columns: `method`; by mode `... ours`, `... ± ours`, `... paper`, `... ± paper`; `added`, `gap_coverage`, `held-out
    reached` (means); NaN where a side has none.
    """
    facts = over_sets(runs, ["arm"], ["added", "gap_coverage", "held_out_reached"]).set_index("arm")
    table = pd.DataFrame({"method": [name_of(arm) for arm in facts.index]}, index=facts.index)
    for mode, name in MODES.items():
        of_mode = runs[runs["mode"] == mode]
        if len(of_mode):
            ours = over_sets(of_mode, ["arm"], ["auprc"]).set_index("arm")
            table[f"{name}, ours"], table[f"± {name}, ours"] = 100 * ours.auprc, 100 * ours.auprc_sd
        theirs = printed(mode).set_index("arm")
        table[f"{name}, paper"], table[f"± {name}, paper"] = 100 * theirs.auprc, 100 * theirs.auprc_sd
    table["added"], table["gap coverage"] = facts.added, facts.gap_coverage
    table["held-out reached"] = facts.held_out_reached
    return table.reset_index(drop=True)


def methods_figure(runs: pd.DataFrame) -> go.Figure:
    """A row per arm, ours left and the paper's right, a mark per mode with its standard deviation."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=["ours, mini world", "paper"], shared_yaxes=True)
    order = [name_of(arm) for arm in runs.arm.unique()]
    for mode, name in MODES.items():
        of_mode = runs[runs["mode"] == mode]
        sides = ((1, over_sets(of_mode, ["arm"], ["auprc"]) if len(of_mode) else None), (2, printed(mode)))
        for column, side in sides:
            if side is None:
                continue
            figure.add_scatter(
                name=name, legendgroup=mode, showlegend=column == 2,
                x=side.auprc, y=[name_of(arm) for arm in side.arm], mode="markers",
                marker={"size": 9, "color": PAINTS[mode], "symbol": "circle" if mode == "lora" else "diamond-open"},
                error_x={"array": side.auprc_sd.fillna(0), "thickness": 1.2, "width": 3},
                hovertemplate=f"%{{y}}, {name}: %{{x:.3f}} ± %{{error_x.array:.3f}}<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], autorange=True)
    figure.update_xaxes(title="AUPRC")
    sets, seeds = runs.held_out_set.nunique(), runs.groupby("mode").seed.nunique().to_dict()
    many = ", ".join(f"{count} seed{'s' * (count > 1)} {MODES[mode]}" for mode, count in seeds.items())
    subtitle = f"mean and standard deviation; ours over {sets} held-out sets ({many}), the paper's over 3 seeds"
    title = "Toxicity detection by what was added"
    return styled(figure, title, subtitle=subtitle, height=560, legend=BELOW, margin_t=110, margin_b=100)


def paper_sizes() -> pd.DataFrame:
    """The paper's two sizes: head only (table 13) and LoRA (table 1), with parameters that we count from the shape of
    its model, which it does not state: `arm`, `n_trainable`, `auprc`, `auprc_sd`, `pes`."""
    facts = model_facts(PAPER_MODEL)
    head = 2 * facts.width
    counts = {"head": head, "lora": head + adapter_parameters(facts, PAPER_RANK)}
    frame = pd.concat([printed(mode).assign(mode=mode, n_trainable=n) for mode, n in counts.items()])
    frame["pes"] = [pes(row.auprc, row.n_trainable) for row in frame.itertuples()]
    return frame[frame.arm.isin(SCALE_PAINTS)].reset_index(drop=True)


def scale_figure(rows: pd.DataFrame) -> go.Figure:
    """The paper's figure 12: AUPRC and PES against trainable parameters, ours left, the paper's two sizes right.

    `rows` of `studies.training_scale.training_scale_study`; mean and standard deviation over held-out sets.
    """
    titles = ["ours: AUPRC", "paper: AUPRC", "ours: PES", "paper: PES"]
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, horizontal_spacing=0.1, vertical_spacing=0.16)
    ours = over_sets(rows, ["arm", "n_trainable", "size"], ["auprc", "pes"])
    theirs = paper_sizes().assign(size=lambda frame: frame["mode"].map(MODES))
    theirs["pes_sd"] = theirs.auprc_sd * theirs.pes / theirs.auprc
    for column, side in ((1, ours), (2, theirs)):
        for row, value in enumerate(("auprc", "pes"), start=1):
            for arm, paint in SCALE_PAINTS.items():
                line = side[side.arm == arm].sort_values("n_trainable")
                figure.add_scatter(
                    name=name_of(arm), legendgroup=arm, showlegend=(row, column) == (1, 1),
                    x=line.n_trainable, y=line[value], mode="lines+markers", customdata=line[["size"]],
                    line={"color": paint, "width": 2, "dash": "solid" if column == 1 else "dot"}, marker={"size": 8},
                    error_y={"array": line[f"{value}_sd"].fillna(0), "thickness": 1.5, "width": 4},
                    hovertemplate=f"{hover(name_of(arm))}, %{{customdata[0]}}<br>%{{x:,}} parameters: %{{y:.3f}} ± "
                    "%{error_y.array:.3f}<extra></extra>",
                    row=row, col=column,
                )  # fmt: skip
    figure.update_xaxes(type="log", dtick=1, exponentformat="power")
    figure.update_xaxes(title="trainable parameters", row=2)
    subtitle = (
        f"ours over {rows.held_out_set.nunique()} held-out sets in the mini world; the paper's parameters counted by us"
    )
    title = "More trainable parameters: AUPRC, and AUPRC per order of them"
    return styled(figure, title, subtitle=subtitle, height=620, legend=BELOW, margin_t=110, margin_b=100)


def precision_recall(labels: np.ndarray, scores: dict[str, np.ndarray]) -> go.Figure:
    """Precision against recall of rankings of the same test rows, `labels` and each of `scores` `[n_test]`; the base
    rate, which a random ranking stays at, dotted."""
    figure, base = go.Figure(), float(np.mean(labels))
    for (name, ranked), paint in zip(scores.items(), (INK, GREEN, BLUE, ORANGE), strict=False):
        precision, recall, _ = precision_recall_curve(labels, ranked)
        area = average_precision_score(labels, ranked)
        figure.add_scatter(
            name=f"{hover(name)}: AUPRC {area:.3f}", x=recall, y=precision, mode="lines",
            line={"color": paint, "width": 2, "shape": "hv"},
            hovertemplate=f"{hover(name)}<br>recall %{{x:.2f}}, precision %{{y:.2f}}<extra></extra>",
        )  # fmt: skip
    note = {"annotation_text": f"base rate {base:.3f}", "annotation_position": "bottom left"}
    figure.add_hline(base, line={"dash": "dot", "color": INK}, **note)
    figure.update_xaxes(title="recall: share of the toxic rows that are flagged", range=[0, 1.01])
    figure.update_yaxes(title="precision", range=[0, 1.04])
    subtitle = f"{len(labels):,} test rows; AUPRC is the area under a curve, as a sum of steps"
    title = "Every threshold at once"
    return styled(figure, title, subtitle=subtitle, height=460, legend=BELOW, margin_t=96, margin_b=110)


def flagged_figure(labels: np.ndarray, scores: np.ndarray, shares: Sequence[float] = SHARES) -> go.Figure:
    """What a detector does with the test rows when it flags a share of them, the highest `scores` first; a slider sets
    the share. `labels` and `scores` `[n_test]`; accuracy, precision and recall of each share stand in the title."""
    figure, steps = go.Figure(), []
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked, n = np.asarray(labels)[order], len(labels)
    for place, share in enumerate(shares):
        told = confusion(ranked, round(share * n))
        figure.add_bar(
            x=list(told), y=list(told.values()), marker_color=[GREEN, ORANGE, RED, SKY], visible=place == 0,
            text=[f"{count:,}" for count in told.values()], hovertemplate="%{x}: %{y:,} rows<extra></extra>",
        )  # fmt: skip
        steps.append(
            {
                "method": "update",
                "label": f"{share:.0%}",
                "args": [
                    {"visible": [other == place for other in range(len(shares))]},
                    {"title.subtitle.text": _rates(told)},
                ],
            }
        )
    figure.update_yaxes(title="test rows", range=[0, 1.1 * n])
    slider = {"steps": steps, "currentvalue": {"prefix": "flagged: "}, "pad": {"t": 40}, "len": 0.95, "x": 0.02}
    title = "What happens to the test rows as more of them are flagged"
    styled(figure, title, subtitle=_rates(confusion(ranked, round(shares[0] * n))), height=460, showlegend=False)
    return figure.update_layout(sliders=[slider], margin_b=110)


def confusion(ranked: np.ndarray, flagged: int) -> dict[str, int]:
    """Counts when the first `flagged` of labels in the order of their scores are called toxic."""
    hits, toxic = int(ranked[:flagged].sum()), int(ranked.sum())
    return {
        "toxic, flagged": hits,
        "safe, flagged": flagged - hits,
        "toxic, let pass": toxic - hits,
        "safe, let pass": len(ranked) - flagged - toxic + hits,
    }


def _rates(told: dict[str, int]) -> str:
    right, wrong, missed, passed = told.values()
    precision = f"{right / (right + wrong):.3f}" if right + wrong else "undefined"
    accuracy = (right + passed) / (right + wrong + missed + passed)
    return f"accuracy {accuracy:.3f}, precision {precision}, recall {right / max(right + missed, 1):.3f}"


def real_figure(rows: pd.DataFrame) -> go.Figure:
    """AUPRC on real test rows by what a detector was trained on; bars are intervals over test rows, a point per seed.

    `rows` of `studies.toxicity_real.real_detection_study`.
    """
    figure = go.Figure()
    sizes = [f"{row.n_toxic:,} + {row.n_safe:,}" for row in rows.itertuples()]
    places = {size: place for place, size in enumerate(dict.fromkeys(sizes))}
    for mode, name in MODES.items():
        chosen = (rows["mode"] == mode).to_numpy()
        of_mode = rows[chosen]
        side = -0.16 if mode == "head" else 0.16
        nth = of_mode.groupby(["n_toxic", "n_safe"]).cumcount() - 1
        place = np.array([places[size] for size, take in zip(sizes, chosen, strict=True) if take], float)
        figure.add_scatter(
            name=name, x=place + side + 0.07 * nth.to_numpy(), y=of_mode.auprc, mode="markers", customdata=of_mode.seed,
            marker={"size": 8, "color": PAINTS[mode], "symbol": "circle" if mode == "lora" else "diamond"},
            error_y={
                "array": of_mode.high - of_mode.auprc, "arrayminus": of_mode.auprc - of_mode.low,
                "thickness": 1.2, "width": 3,
            },
            hovertemplate=f"{name}, seed %{{customdata}}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    base = float(rows.base_rate.iloc[0])
    figure.add_hline(base, line={"dash": "dot", "color": INK}, annotation_text=f"random ranking: {base:.3f}")
    figure.update_xaxes(title="training rows, toxic + safe", tickvals=list(places.values()), ticktext=list(places))
    figure.update_yaxes(title="AUPRC", range=[0, 1])
    subtitle = f"{int(rows.n_test.iloc[0]):,} test rows of ToxicChat; bars: 95 % over resampled test rows"
    return styled(figure, "A detector on real queries", subtitle=subtitle, height=460, legend=BELOW, margin_b=100)
