import json

import numpy as np
import pandas as pd
import pytest

from fac_lab.display import correlation as shown
from fac_lab.display.tables import paper_table
from fac_lab.richness import hold_out
from fac_lab.studies.correlation import MAIN, correlations

PAYLOAD = "<b onmouseover=alert(1)>x</b>"


@pytest.fixture(scope="module")
def frame():
    dice = np.random.default_rng(0)
    truth = dice.normal(size=30)
    return pd.DataFrame(
        {
            "data_set": [PAYLOAD, *(f"set {i}" for i in range(29))],
            "design": ["a"] * 15 + [PAYLOAD] * 15,
            "size": dice.normal(size=30),
            "mean_length": dice.normal(size=30),
            MAIN: truth + 0.2 * dice.normal(size=30),
            "distinct_1": truth + dice.normal(size=30),
            PAYLOAD: dice.normal(size=30),
            "flat": 1.0,
            "auprc": truth,
            "auprc_sd": 0.1,
        }
    )


@pytest.fixture(scope="module")
def table(frame):
    return correlations(frame, draws=100)


@pytest.fixture(scope="module")
def scrutiny():
    rows = []
    for place, (delta, quantile) in enumerate([(0.0, np.nan), (1.0, np.nan), (7.0, 0.5), (9.0, 0.8)]):
        for m in (1, 4):
            rows.append(("threshold", "x", "judge", delta, quantile, m, 0.1 * place, 0.9 - 0.1 * place))
    rows += [
        ("sae", PAYLOAD, "all", 0.0, np.nan, 1, 0.5, 0.8),
        ("clusters", "64", "all", np.nan, np.nan, np.nan, 0.4, 0.7),
    ]
    names = ["what", "name", "relevant", "delta", "quantile", "m", "pearson", "mean_fac"]
    made = pd.DataFrame(rows, columns=names)
    return made.assign(pearson_low=made.pearson - 0.1, pearson_high=made.pearson + 0.2, n_relevant=9, saturated=0.5)


def test_columns_have_names_for_people():
    assert shown.words("fac_relative_m_judge") == "FAC (quantile, m; F judge)"
    assert shown.words("fac_paper_all") == "FAC (delta 0; F all)"
    assert shown.words("fac_relative_m_judge_frequency") == "FAC (quantile, m; F judge, frequency)"
    assert shown.words("fac_other") == "FAC (other)" and shown.words("self_bleu") == "self bleu"


def test_each_panel_has_every_data_set_its_line_and_its_coefficient(frame, table):
    figure = shown.scatters(frame, [MAIN, "flat"], table)
    first, second, line, *flat = figure.data
    assert len(first.x) + len(second.x) == 30 and len(line.x) == 2 and len(flat) == 2
    slope = (line.y[1] - line.y[0]) / (line.x[1] - line.x[0])
    assert slope == pytest.approx(np.polyfit(frame[MAIN], frame.auprc, 1)[0])
    heads = [note.text for note in figure.layout.annotations]
    r = table.set_index("measure").pearson[MAIN]
    assert f"r = {r:.2f}" in heads[0] and "undefined: the first is" in heads[1]


def test_the_forest_shows_what_is_defined_and_the_papers_value(table):
    figure = shown.forest(table, "All", paper={"distinct_1": -0.58, "flat": 1.0})
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["paper"].x) == [-0.58] and list(by_name["paper"].y) == ["distinct 1"]
    drawn = [y for name in ("FAC", "diversity", "covariate") for y in by_name[name].y]
    assert len(drawn) == len(table) - 1 and "flat" not in drawn
    row = table.set_index("measure").loc[MAIN]
    assert by_name["FAC"].error_x.array[0] == pytest.approx(row.pearson_high - row.pearson)


def test_thresholds_stand_left_or_right_with_a_line_per_support(scrutiny):
    figure = shown.thresholds(scrutiny)
    assert len(figure.data) == 8
    left = [trace for trace in figure.data if trace.xaxis in ("x", "x3")]
    assert {tuple(trace.x) for trace in left} == {("0", "1")}
    right = [trace for trace in figure.data if trace.xaxis in ("x2", "x4")]
    assert {tuple(trace.x) for trace in right} == {("0.5", "0.8")}


def test_dictionaries_stand_by_name(scrutiny):
    figure = shown.dictionaries(scrutiny)
    assert [trace.name for trace in figure.data] == ["F all; delta 0", "F all; clusters"]


def test_curves_go_on_dashed(frame):
    curve = pd.DataFrame({"samples": [1, 2, 3], "features": [5.0, 7.0, 8.0], "beyond": [False, False, True]})
    figure = shown.growth({"anchor": curve, PAYLOAD: curve.drop(columns="beyond")})
    assert [list(trace.x) for trace in figure.data] == [[1, 2], [2, 3], [1, 2, 3]]
    assert [trace.line.dash for trace in figure.data] == ["solid", "dash", "solid"]


def test_hold_out_has_a_panel_for_each_estimate():
    from scipy import sparse

    active = sparse.csr_matrix((np.random.default_rng(0).random((40, 50)) < 0.05).astype(np.int32))
    frame = hold_out(active, repeats=3, draws=20)
    figure = shown.hold_out(frame.assign(rule=PAYLOAD))
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert list(points[0].x) == frame.new.tolist() and list(points[1].y) == frame.sample_coverage.tolist()
    assert {trace.name for trace in points} == {"&lt;b onmouseover=alert(1)&gt;x&lt;/b&gt;"}


def test_ours_stands_beside_the_papers_table(table):
    beside = shown.beside_paper({"mini world": table}, MAIN)
    printed = paper_table("table08_fac_correlation")
    assert len(beside) == 1 + len(printed.columns) - 1 and beside.points[0] == 30
    assert beside.pearson[1] == f"{printed.tox_auprc[0]:.2f}"
    assert beside.points[1:].isna().all()


def test_verdicts_follow_the_interval():
    row = pd.Series({"measure": "vendi", "fac_minus": 0.2, "fac_minus_low": 0.1, "fac_minus_high": 0.3, "p": 0.01})
    assert shown.verdict(row).startswith("FAC goes with it more closely than vendi")
    assert "cannot be told apart" in shown.verdict(row.replace({0.1: -0.1}))
    other = pd.Series({**row, "fac_minus": -0.2, "fac_minus_low": -0.3, "fac_minus_high": -0.1})
    assert shown.verdict(other).startswith("vendi goes with it more closely than FAC")


@pytest.mark.parametrize("name", ["scatters", "forest", "dictionaries", "growth"])
def test_texts_are_escaped(name, frame, table, scrutiny):
    figure = {
        "scatters": lambda: shown.scatters(frame, [PAYLOAD], table),
        "forest": lambda: shown.forest(table, PAYLOAD, subtitle=PAYLOAD),
        "dictionaries": lambda: shown.dictionaries(scrutiny),
        "growth": lambda: shown.growth({PAYLOAD: pd.DataFrame({"samples": [1], "features": [2]})}, title=PAYLOAD),
    }[name]()
    content = figure.to_plotly_json()
    content["layout"].pop("meta", None)  # plain text, for pages that escape it
    for trace in content["data"]:
        trace.pop("legendgroup", None)  # an identifier, never drawn
    assert "<b onmouseover" not in json.dumps(content, default=str)
