import json

import numpy as np
import pytest

from fac_lab.coverage import Coverage, cover, sweep
from fac_lab.display import maps
from fac_lab.errors import DataError
from fac_lab.features.stats import EDGES, FeatureStats
from fac_lab.settings import CoverageRule

PAYLOAD = "<b onmouseover=alert(1)>x</b> <a href='javascript:alert(1)'>y</a> %{x} {{z}}"


def coverage_of(anchor, seed, *, n=1000, m=2) -> Coverage:
    """A coverage with these counts."""
    anchor, seed = np.array(anchor), np.array(seed)
    return Coverage(
        rule=CoverageRule(delta=0.5, support=m),
        delta=0.5,
        m=m,
        relevant=np.ones(len(anchor), bool),
        anchor_count=anchor,
        seed_count=seed,
        anchor_mean=np.ones(len(anchor)),
        n_anchor=n,
        n_seed=n,
        anchor_made_by={},
        seed_made_by={},
    )


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, Coverage]:
    """Places and coverage of `n` features: a third each covered, missing and outside."""
    dice = np.random.default_rng(seed)
    kind = dice.integers(0, 3, n)
    anchor = np.where(kind < 2, dice.integers(2, 900, n), 0)
    return dice.normal(size=(n, 2)).astype(np.float32), coverage_of(anchor, np.where(kind == 0, anchor, 0))


def by_class(figure) -> dict:
    return {trace.meta: trace for trace in figure.data if trace.meta}


def test_each_feature_is_drawn_once_in_its_class():
    places, coverage = drawn(300)
    places[5] = np.nan
    figure = maps.dictionary_figure(places, coverage, selected=[3, 5])
    traces = by_class(figure)
    outside = ~coverage.anchor_support
    for name, of_class in (("covered", coverage.covered), ("missing", coverage.missing), ("outside", outside)):
        expected = np.sort(np.flatnonzero(of_class) if of_class.dtype == bool else of_class)
        trace = traces[name]
        assert trace.customdata.tolist() == [feature for feature in expected if feature != 5]
        np.testing.assert_array_equal(np.stack([trace.x, trace.y], axis=1), places[trace.customdata])
        assert trace.type == "scattergl"
    assert len({trace.marker.symbol for trace in traces.values()}) == 4
    assert len({traces[name].marker.color for name in ("covered", "missing", "outside")}) == 3
    assert traces["chosen"].customdata.tolist() == [3]
    assert figure.layout.dragmode == "lasso"
    assert "1 without a direction" in figure.layout.meta["subtitle"]


def test_a_map_of_another_dictionary_is_refused():
    places, coverage = drawn(30)
    with pytest.raises(DataError, match="30 features"):
        maps.dictionary_figure(places[:20], coverage)


def test_hover_text_is_escaped():
    places, coverage = drawn(40)
    for figure in (
        maps.dictionary_figure(places, coverage, dict.fromkeys(range(40), PAYLOAD)),
        maps.frequency_scatter(coverage, dict.fromkeys(range(40), PAYLOAD)),
    ):
        texts = [text for trace in figure.data if trace.hovertext is not None for text in trace.hovertext]
        assert len(texts) >= 25
        for text in texts:
            assert "<" not in text.replace("<br>", "") and "&lt;b onmouseover" in text
        # A summary never becomes part of a template, in which %{...} would be read.
        assert not any("alert" in str(trace.hovertemplate) for trace in figure.data)


def test_sizes():
    names = dict.fromkeys(
        range(4096), "questions about baking bread at home, with flour & yeast, and how long it rises"
    )
    places, coverage = drawn(4096)
    assert len(maps.dictionary_figure(places, coverage, names).to_json()) < 1_000_000
    assert len(maps.frequency_scatter(coverage, names).to_json()) < 1_000_000
    places, coverage = drawn(65_536)
    figure = maps.dictionary_figure(places, coverage)
    size = len(figure.to_json())
    assert size < 1_000_000
    outside = by_class(figure)["outside"]
    assert len(outside.x) == len(set(outside.customdata.tolist())) == maps.OUTSIDE_SHOWN
    total = int((~coverage.anchor_support).sum())
    assert f"{maps.OUTSIDE_SHOWN:,} of {total:,} outside features drawn" in figure.layout.meta["subtitle"]
    assert f"outside ({total:,})" == outside.name
    shown = json.loads(figure.to_json())["data"][0]
    assert shown["x"]["dtype"] == "f4" and shown["customdata"]["dtype"] in ("i4", "u2")


def test_frequencies_stand_at_their_logarithm_and_zeros_in_a_band():
    coverage = coverage_of([100, 10, 1, 0, 0], [10, 0, 0, 5, 0])
    figure = maps.frequency_scatter(coverage)
    traces = by_class(figure)
    assert {name: trace.customdata[:, 0].tolist() for name, trace in traces.items() if name != "chosen"} == {
        "covered": [0],
        "missing": [1],
        "outside": [2, 3],
    }
    assert traces["covered"].x[0] == pytest.approx(-1, abs=0.011)
    assert traces["covered"].y[0] == pytest.approx(-2, abs=0.011)
    assert traces["missing"].x[0] == pytest.approx(-2, abs=0.011)
    zero = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))["0"]
    assert abs(traces["missing"].y[0] - zero) < 0.3 and zero < -3
    assert abs(traces["outside"].x[1] - zero) < 0.3
    assert "1 fire in neither" in figure.layout.meta["subtitle"]
    ticks = dict(zip(figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext, strict=True))
    assert ticks[-1] == "10 %" and ticks[-3] == "0.1 %" and ticks[0] == "100 %"


@pytest.mark.parametrize(("anchor", "seed"), [([0, 0], [0, 0]), ([5, 5], [0, 0]), ([5, 5], [5, 5])])
def test_classes_may_be_empty(anchor, seed):
    coverage = coverage_of(anchor, seed)
    places = np.zeros((2, 2), np.float32)
    for figure in (maps.dictionary_figure(places, coverage), maps.frequency_scatter(coverage)):
        assert set(by_class(figure)) == {"covered", "missing", "outside", "chosen"}
        json.loads(figure.to_json())


def stats_of(values: np.ndarray) -> FeatureStats:
    made = FeatureStats.empty(values.shape[1], 0)
    made.n_samples = len(values)
    made.maximum = values.max(axis=0)
    for feature in range(values.shape[1]):
        positive = values[:, feature][values[:, feature] > 0]
        np.add.at(made.histogram[feature], np.searchsorted(EDGES, positive) - 1, 1)
    return made


def test_the_curve_has_its_null_beside():
    dice = np.random.default_rng(0)
    anchor, seed, null = (
        stats_of((np.exp(dice.normal(size=(200, 30))) * (dice.random((200, 30)) < share)).astype(np.float32))
        for share in (0.05, 0.01, 0.05)
    )
    found, chance = sweep(anchor, seed), sweep(anchor, null)
    figure = maps.threshold_curve(found, chance, chosen=1.0)
    fac, missing, fac_null, missing_null = figure.data
    np.testing.assert_array_equal(fac.y, found["fac"])
    np.testing.assert_array_equal(missing_null.y, chance["missing"])
    np.testing.assert_array_equal(fac_null.y, chance["fac"])
    assert {trace.name for trace in figure.data} == {"FAC", "missing", "FAC, null", "missing, null"}
    assert fac_null.line.dash == "dash" and fac.line.dash is None
    assert any("delta = 1" in note.text for note in figure.layout.annotations)
    assert len(maps.threshold_curve(found).data) == 2
    with pytest.raises(DataError, match="other thresholds"):
        maps.threshold_curve(found, chance.iloc[1:])
    assert cover(anchor, seed, CoverageRule()).fac == found["fac"][0]
