import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from fac_lab.coverage import cover, sweep
from fac_lab.display import figures, theme
from fac_lab.display.tables import estimate
from fac_lab.features.stats import EDGES, FeatureStats
from fac_lab.settings import CoverageRule

D_SAE = 40
PAYLOAD = "<b onmouseover=alert(1)>x</b>"


def stats_of(values: np.ndarray) -> FeatureStats:
    """Statistics of activations [n_samples, d_sae]."""
    made = FeatureStats.empty(values.shape[1], 0)
    made.n_samples = len(values)
    made.maximum = values.max(axis=0)
    for feature in range(values.shape[1]):
        positive = values[:, feature][values[:, feature] > 0]
        np.add.at(made.histogram[feature], np.searchsorted(EDGES, positive) - 1, 1)
    return made


@pytest.fixture(scope="module")
def anchor_and_seed():
    dice = np.random.default_rng(0)
    rate = dice.uniform(0, 0.1, D_SAE)
    sets = []
    for n in (300, 400):
        strength = np.exp(dice.normal(0, 1, (n, D_SAE)))
        sets.append(np.where(dice.random((n, D_SAE)) < rate, strength, 0).astype(np.float32))
    sets[1][:, :8] = 0
    return sets


@pytest.fixture(scope="module")
def coverage(anchor_and_seed):
    anchor, seed = map(stats_of, anchor_and_seed)
    return cover(anchor, seed, CoverageRule(delta=0.5, support=2))


@pytest.fixture(scope="module")
def runs():
    dice = np.random.default_rng(1)
    return pd.DataFrame(
        {"held_out_set": k, "arm": arm, "seed": seed, "auprc": dice.uniform(0.3, 0.6)}
        for k in range(4)
        for arm in ("none", "plain", "fac")
        for seed in (42, 43)
    )


def test_coverage_curve_shows_the_sweep_and_labels_zero(anchor_and_seed):
    anchor, seed = map(stats_of, anchor_and_seed)
    frame = sweep(anchor, seed, [0.0, 0.5, 1.0, 2.0, 4.0])
    figure = figures.coverage_curve(frame, chosen=1.0)
    fac, missing = figure.data
    np.testing.assert_array_equal(fac.y, frame["fac"])
    np.testing.assert_array_equal(missing.y, frame["missing"])
    assert list(fac.x) == [-2, -1, 0, 1, 2]  # log2, zero an octave to the left
    axis = figure.layout.xaxis
    assert dict(zip(axis.tickvals, axis.ticktext, strict=True)) == {
        -2: "0",
        -1: "0.5",
        0: "1",
        1: "2",
        2: "4",
    }


def test_scatter_shows_every_feature_of_the_support_once(coverage):
    assert len(coverage.missing) and coverage.covered.any()
    names = {int(feature): PAYLOAD for feature in coverage.missing}
    covered, missing = figures.anchor_seed_scatter(coverage, names).data
    shown = [int(text.split("</b>")[0].removeprefix("<b>")) for text in missing.hovertext]
    assert shown == coverage.missing.tolist()
    assert list(missing.x) == coverage.anchor_count[coverage.missing].tolist()
    assert f"covered ({coverage.covered.sum()})" == covered.name
    pairs = {(coverage.anchor_count[f], coverage.seed_count[f]) for f in np.flatnonzero(coverage.covered)}
    assert len(covered.x) == len(pairs)
    assert max(missing.y) < 0 < min(covered.y)


def test_hover_escapes_wraps_and_cuts_text_of_the_data(coverage):
    names = {int(feature): PAYLOAD for feature in coverage.missing}
    missing = figures.anchor_seed_scatter(coverage, names).data[1]
    assert all("<b on" not in text and "&lt;b onmouseover" in text for text in missing.hovertext)
    label = theme.hover("word " * 200, width=20, lines=3)
    assert label.count("<br>") == 3 and label.endswith("…")


def test_arms_show_every_run_and_the_interval_over_sets(runs):
    figure = figures.arms(runs)
    points = [trace for trace in figure.data if trace.mode == "markers" and trace.customdata is not None]
    assert sum(len(trace.y) for trace in points) == len(runs)
    means = [trace for trace in figure.data if trace.error_y.array is not None]
    per_set = runs[runs["arm"] == "fac"].groupby("held_out_set")["auprc"].mean()
    found = estimate(per_set)
    assert means[2].y[0] == pytest.approx(found.mean)
    assert means[2].error_y.array[0] == pytest.approx(found.high - found.mean)


def test_one_held_out_set_gets_an_interval_over_seeds_and_one_run_none(runs):
    one_set = runs[runs["held_out_set"] == 0]
    means = [trace for trace in figures.arms(one_set).data if trace.error_y.array is not None]
    found = estimate(one_set.loc[one_set["arm"] == "fac", "auprc"])
    assert means[2].error_y.array[0] == pytest.approx(found.high - found.mean)
    alone = figures.arms(one_set[one_set["seed"] == 42])
    assert not [trace for trace in alone.data if trace.error_y.array is not None]
    assert "nan" not in str(alone.data[-1].hovertemplate)


def test_paired_differences_pair_by_held_out_set(runs):
    shifted = pd.concat([runs[runs["arm"] == "none"], runs[runs["arm"] == "none"].assign(arm="fac")])
    shifted.loc[shifted["arm"] == "fac", "auprc"] += 0.1
    points = figures.paired_differences(shifted, "none").data[0]
    np.testing.assert_allclose(points.y, 0.1)


def test_histogram_counts_each_sample_in_the_bar_of_its_activation(anchor_and_seed):
    values = anchor_and_seed[0]
    figure = figures.activation_histogram({"anchor": stats_of(values)}, 20, delta=1.0)
    (bars,) = figure.data
    active = values[:, 20][values[:, 20] > 0]
    counts = np.array(bars.customdata)[:, 0]
    np.testing.assert_allclose(np.array(bars.y) * len(values), counts)
    assert f"anchor: {len(active)} of 300 active" == bars.name
    for count, low, high in bars.customdata:
        assert count == ((active > low) & (active <= high)).sum()


def test_histogram_bars_hold_the_bins_of_their_half_octave():
    """One sample in the middle of every bin: float32 edges at whole steps may lie a hair below their step."""
    edges = EDGES.astype(float)
    middle = np.concatenate([[edges[1] / 2], np.sqrt(edges[1:-1] * edges[2:]), [edges[-1] * 1.1]])
    (bars,) = figures.activation_histogram({"anchor": stats_of(middle[:, None])}, 0).data
    half_octaves, counts = np.unique(np.floor(2 * np.log2(middle[1:])), return_counts=True)
    assert np.array(bars.customdata)[:, 0].tolist() == [1, *counts]
    np.testing.assert_allclose(np.array(bars.x)[1:], half_octaves / 2 + 0.25)
    assert set(counts[:-1]) == {4, 5}  # the edge at 1.5 makes one bin more
    assert bars.hovertext[0] == "0 to 0.0009766" and bars.hovertext[-1] == "above 4096"


def test_gap_coverage_and_sae_quality_state_their_numbers():
    steps = pd.DataFrame({"step": ["one", "two"], "covered": [5, 9], "missing": [10, 10], "own": [4, 8]})
    figure = figures.gap_coverage(steps)
    assert [list(bar.y) for bar in figure.data] == [[0.5, 0.9], [0.4, 0.8]]
    assert len(figures.gap_coverage(steps.drop(columns="own")).data) == 1
    saes = pd.DataFrame({"sae": ["a", "b"], "L0": [4.0, 8.0], "dead share": [0.1, 0.2]})
    assert [list(bar.y) for bar in figures.sae_quality(saes).data] == [[4, 8], [0.1, 0.2]]


def test_every_figure_speaks_one_language(coverage, anchor_and_seed, runs):
    anchor, seed = map(stats_of, anchor_and_seed)
    sets = pd.DataFrame(
        {"held_out_set": [0], "precision": [1.0], "recall": [0.8], "n_missing": [9], "n_missing_null": [0]}
    )
    steps = pd.DataFrame({"step": ["one"], "covered": [5], "missing": [10]})
    made = [
        figures.coverage_curve(sweep(anchor, seed)),
        figures.anchor_seed_scatter(coverage),
        figures.arms(runs),
        figures.paired_differences(runs),
        figures.recovery(sets),
        figures.activation_histogram({"anchor": anchor, "seed": seed}, 3),
        figures.sae_quality(pd.DataFrame({"sae": ["a"], "L0": [4.0]})),
        figures.gap_coverage(steps),
    ]
    for figure in made:
        assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.meta["title"] in figure.layout.title.text
        json.loads(figure.to_json())
        bare = theme.untitled(figure)
        assert bare.layout.title.text is None and figure.layout.title.text


def test_titles_are_text_not_markup():
    figure = theme.styled(go.Figure(), f"about {PAYLOAD}", subtitle=PAYLOAD)
    assert "<b on" not in figure.layout.title.text + figure.layout.title.subtitle.text
