import json

import numpy as np
import pandas as pd
import pytest

from fac_lab.display import label_figures
from fac_lab.display.label_tables import noise_table, ways_table
from fac_lab.studies.stored import read_result

PAYLOAD = "<b onmouseover=alert(1)>x</b>"
NAN = float("nan")


def quality_rows():
    rows = [
        ("name", "seen", 0.8, 0.7, 0.9, 50, 0.1),
        ("name", "unseen", 0.2, 0.1, 0.3, 10, 0.15),
        ("kappa", "seen", 0.5, NAN, NAN, 50, NAN),
    ]
    return pd.DataFrame(rows, columns=["measure", "group", "value", "low", "high", "n", "base_rate"], index=[7, 3, 5])


def test_values_intervals_and_base_rates_stand_on_the_same_line():
    figure = label_figures.label_quality(quality_rows(), "Quality", base="luck")
    seen, unseen, luck = figure.data
    assert [trace.name for trace in figure.data] == ["seen", "unseen", "luck"]
    assert list(seen.x) == [0.8, 0.5] and list(seen.y) == [0, -2.5]
    assert list(luck.x) == [0.1, 0.15] and list(luck.y) == [0, -1]
    np.testing.assert_allclose(seen.error_x.array[0], 0.1)
    np.testing.assert_allclose(unseen.error_x.arrayminus, [0.1])
    assert list(figure.layout.yaxis.tickvals) == [-0.5, -2.5] and list(figure.layout.yaxis.ticktext) == [
        "name",
        "kappa",
    ]
    low, high = figure.layout.yaxis.range
    assert low < -2.5 and high > 0


def test_without_base_rates_there_is_no_mark_for_them():
    figure = label_figures.label_quality(quality_rows().assign(base_rate=NAN), "Quality")
    assert [trace.name for trace in figure.data] == ["seen", "unseen"]


def test_overlap_has_one_index_on_each_side_of_the_diagonal():
    rows = pd.DataFrame(
        [(0, "a", "b", 0.1, 0.5), (1, "a", "b", 0.3, NAN), (0, "b", "c", 0.6, 0.7), (0, "a", "c", 0.2, 0.9)],
        columns=["held_out_set", "way", "other", "jaccard_relevant", "jaccard_missing"],
    )
    (heat,) = label_figures.ways_overlap(rows).data
    np.testing.assert_allclose(heat.z, [[NAN, 0.5, 0.9], [0.2, NAN, 0.7], [0.2, 0.6, NAN]])
    assert heat.customdata[1][0] == "F" and heat.customdata[0][1] == "F_miss" and heat.text[0][0] == ""


def test_ways_go_from_relevant_to_missing():
    table = ways_table(read_result("label_ways")[0])
    table = table[table.labelled_on != "seed"]
    figure = label_figures.relevance_ways(table)
    assert [trace.name for trace in figure.data] == table.way.tolist()
    first = figure.data[0]
    assert list(first.x) == [table.recall.iloc[0], table.missing_recall.iloc[0]]
    assert list(first.y) == [table.precision.iloc[0], table.missing_precision.iloc[0]]


def test_noise_stands_beside_the_papers_numbers():
    table = noise_table(read_result("label_noise")[0])
    figure = label_figures.annotation_noise(table)
    assert [trace.name for trace in figure.data] == ["ours, mean ± SD over sets", "paper"] * 3
    for column, (measure, _) in enumerate(label_figures.NOISE):
        ours, paper = figure.data[2 * column : 2 * column + 2]
        assert list(ours.x) == table[measure].tolist()
        np.testing.assert_allclose(np.array(paper.x, float), table[f"{measure}_paper"])
        assert len(set(ours.y)) == len(table)


@pytest.mark.parametrize("name", ["quality", "overlap", "ways", "noise"])
def test_texts_are_escaped(name):
    if name == "quality":
        figure = label_figures.label_quality(quality_rows().replace(["name", "seen"], PAYLOAD), PAYLOAD, base=PAYLOAD)
    elif name == "overlap":
        rows = pd.DataFrame({"way": [PAYLOAD], "other": ["b"], "jaccard_relevant": [0.1], "jaccard_missing": [0.2]})
        figure = label_figures.ways_overlap(rows)
    elif name == "ways":
        figure = label_figures.relevance_ways(ways_table(read_result("label_ways")[0])[:1].assign(way=PAYLOAD))
    else:
        figure = label_figures.annotation_noise(noise_table(read_result("label_noise")[0]).assign(setting=PAYLOAD))
    shown = figure.to_plotly_json()
    shown["layout"].pop("meta", None)  # plain text, for pages that escape it
    assert "<b onmouseover" not in json.dumps(shown, default=str)
