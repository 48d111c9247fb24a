"""Figures and tables of transfer: what is averaged over what, and where it stands."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.display.tables import paper_table
from fac_lab.display.transfer import (
    NO_FEATURE,
    grid_gains,
    grid_heat,
    likeness,
    shared_regions,
    table03_beside_paper,
)
from fac_lab.studies.transfer import NOBODY

MODELS = ("llama", "mistral")


def grid_rows(sets=(0, 1)):
    """Backbones start at 0.5 plus the set's own tenth; llama's features add 0.1, mistral's as generator 0.02."""
    rows = []
    for held_out_set in sets:
        for backbone in MODELS:
            for seed, shift in ((42, -0.01), (43, 0.01)):
                base = 0.5 + 0.1 * held_out_set + shift
                where = {"held_out_set": held_out_set, "backbone": backbone, "seed": seed}
                rows += [
                    where | {"arm": arm, "source": NOBODY, "generator": NOBODY, "auprc": base}
                    for arm in ("none", "oracle")
                ]
                for generator in MODELS:
                    by_writer = base + 0.02 * (generator == "mistral")
                    rows += [
                        where
                        | {"arm": "features", "source": source, "generator": generator}
                        | {"auprc": by_writer + (0.1 + 0.1 * held_out_set) * (source == "llama")}
                        for source in MODELS
                    ]
                    rows.append(where | {"arm": "plain", "source": NOBODY, "generator": generator, "auprc": by_writer})
    return pd.DataFrame(rows)


def test_gains_are_paired_by_set_with_seeds_averaged():
    cells = grid_gains(grid_rows()).set_index(["backbone", "generator", "source"])
    assert len(cells) == 2 * 2 * 3
    one = cells.loc[("llama", "mistral", "llama")]
    # 0.12 in one set and 0.22 in the other, whatever their levels.
    assert one["mean"] == pytest.approx(0.17) and one.sd == pytest.approx(0.1 / np.sqrt(2)) and one.ahead == 2
    null = cells.loc[("llama", "mistral", NO_FEATURE)]
    assert null["mean"] == pytest.approx(0.02) and null.sd == pytest.approx(0, abs=1e-12)
    level = grid_gains(grid_rows(), over_none=False).set_index(["backbone", "generator", "source"])
    assert level.loc[("llama", "llama", "mistral"), "mean"] == pytest.approx(0.55)


def test_the_heat_map_has_a_panel_per_backbone_and_the_null_as_a_column():
    figure = grid_heat(grid_rows())
    assert len(figure.data) == 2
    panel = figure.data[0]
    assert list(panel.x) == [*MODELS, NO_FEATURE] and list(panel.y) == list(MODELS)
    assert np.asarray(panel.z) == pytest.approx(np.array([[0.15, 0, 0], [0.17, 0.02, 0.02]]))
    assert panel.text[1][0] == "+0.170<br>± 0.071"
    assert "2 held-out sets" in figure.layout.title.subtitle.text
    alone = grid_heat(grid_rows(sets=(0,)))
    assert alone.data[0].text[0][0] == "+0.100", "one set has no spread"


def test_histograms_are_shares_of_each_kind():
    found = {"as they are": np.array([0.55, 0.95, 0.95, 0.01]), "texts <shuffled>": np.array([0.1])}
    figure = likeness(found, limit=0.4, title="t", subtitle="s")
    assert [sum(trace.y) for trace in figure.data] == pytest.approx([1.0, 1.0])
    assert figure.data[0].name == "as they are (4)" and "&lt;shuffled&gt;" in figure.data[1].name
    assert figure.data[0].y[47] == 0.5, "0.95 lies in the bin from 0.94"
    assert figure.layout.shapes[0].x0 == 0.4
    assert sum(likeness({"none": np.zeros(0)}, title="t", subtitle="s").data[0].y) == 0


def test_regions_stand_beside_chance_and_null():
    rows = pd.DataFrame(
        {
            "held_out_set": [0, 0, 1, 1, 0],
            "way": ["matching"] * 4 + ["concept"],
            "region": ["a", "a + b", "a", "a + b", "a"],
            "n_models": [1, 2, 1, 2, 1],
            "count": [4, 10, 6, 12, 99],
            "by_chance": [5.0, 1.0, 5.0, 2.0, 0.0],
            "under_null": [0, 0, 1, 0, 0],
        }
    )
    figure = shared_regions(rows, way="matching", title="t")
    found, chance, null = figure.data
    assert list(found.x) == ["a", "a and b"] and list(found.y) == [5, 11]
    assert list(found.error_y.array) == pytest.approx([np.sqrt(2)] * 2)
    assert list(chance.y) == [5, 1.5] and list(null.y) == [0.5, 0]


def test_table_3_has_the_papers_numbers_beside():
    rows = pd.DataFrame(
        [
            {"held_out_set": s, "arm": arm, "backbone": name, "seed": 42, "auprc": base + 0.1 * s}
            for s in (0, 1)
            for name in (*MODELS, "other")
            for arm, base in (("none", 0.4), ("shared", 0.5), ("apart", 0.4))
        ]
    )
    table = table03_beside_paper(rows, arms=("shared", "apart")).set_index(["backbone", "texts for"])
    assert len(table) == 6
    one = table.loc[("llama", "shared")]
    assert one.gain == pytest.approx(0.1) and one.baseline == "0.450 ± 0.071 (n = 2)"
    printed = paper_table("table03_shared_features").iloc[0]
    assert one["paper, baseline"] == pytest.approx(printed.baseline_auprc / 100)
    assert one["paper, gain"] == pytest.approx(printed.gain / 100)
    assert table.loc[("llama", "apart"), "gain"] == pytest.approx(0)
    assert np.isnan(table.loc[("other", "shared"), "paper, gain"])
