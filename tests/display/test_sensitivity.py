"""Tables and figures of settings on made-up results, the paper's numbers from its files."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.display.sensitivity import (
    dictionary_table,
    layers,
    ratio_table,
    representation_table,
    settings_table,
    temperature_table,
    thresholds,
    tornado,
    variants_table,
)

RUNS = [(held_out_set, seed) for held_out_set in range(2) for seed in (42, 43)]


def made(levels, **columns):
    """A run per level, held-out set and seed: AUPRC 0.5, more by 0.01 per level and 0.1 per set."""
    rows = []
    for place, level in enumerate(levels):
        for held_out_set, seed in RUNS:
            auprc = 0.5 + 0.01 * place + 0.1 * held_out_set + 0.001 * (seed - 42)
            rows.append(level | {"held_out_set": held_out_set, "seed": seed, "auprc": auprc} | columns)
    return pd.DataFrame(rows)


HEATS = made([{"generator": "mistral", "temperature": t} for t in (0.4, 0.6, 0.8, 1.0, 1.2)])
ARMS = made(
    [{"arm": arm} for arm in ("none", "plain", "dense clusters", "random features", "missing features")],
    wanted=9.0, wanted_null=1.0, drafts=40, kept=12, added=10, about_held_out=0.5, held_out_reached=0.2, by_any=0.3,
)  # fmt: skip


def test_settings_are_ordered_by_how_far_they_reach():
    table = settings_table({"temperature": HEATS, "representation": ARMS})
    assert table.setting.tolist() == ["temperature", "what is written for"]
    heat = table.iloc[0]
    assert (heat.low, heat.high) == (pytest.approx(-0.02), pytest.approx(0.02)) and heat.range == pytest.approx(0.04)
    # The paper's Llama: 49.12 at 0.8, least 46.40 at 1.2, none higher.
    assert heat.paper_low == pytest.approx(-0.0272) and heat.paper_high == 0
    assert settings_table({"temperature": HEATS}, "held_out_reached").empty and settings_table({}).empty


def test_the_tornado_draws_what_the_table_says():
    table = settings_table({"temperature": HEATS, "representation": ARMS})
    chance, ours, paper = tornado(table).data
    assert np.allclose(np.array(ours.base) + np.array(ours.x), table.high) and len(paper.x) == 4
    assert np.allclose(np.array(chance.base) + np.array(chance.x) / 2, (table.low + table.high) / 2)


def test_the_papers_table_stands_beside_ours():
    heats = temperature_table(HEATS).set_index("temperature")
    assert heats.mistral[0.8] == pytest.approx(0.5705) and heats["paper, Llama"][0.8] == pytest.approx(0.4912)
    arms = representation_table(ARMS).set_index("arm")
    assert arms["paper, AUPRC"]["missing features"] == pytest.approx(0.626) and np.isnan(arms["paper, AUPRC"]["plain"])
    shares = made(
        [{"budget": b, "ratio": r} for b in ("one a feature", "fixed total") for r in (0.3, 0.6, 1.0)],
        by_any=0.4, added=20,
    )  # fmt: skip
    ratios = ratio_table(shares)
    assert ratios["paper, AUPRC"].tolist() == pytest.approx([0.456, 0.4662, 0.4912])
    assert ratios["fixed total: AUPRC"][0] == pytest.approx(0.5505 + 0.03)


def test_dictionaries_stand_in_the_row_of_their_ratio():
    facts = dict.fromkeys(("l0", "unexplained", "dead", "n_missing", "n_missing_null", "precision", "recall"), 0.5)
    facts |= {"by_any": 0.5, "added": 10, "held_out_reached": 0.2}
    levels = [
        {"name": "none", "d_sae": np.nan, "k": np.nan},
        {"name": "the profile's", "d_sae": 4096, "k": 3},
        {"name": "a", "d_sae": 4096, "k": 3},
        {"name": "b", "d_sae": 8192, "k": 3},
        {"name": "c", "d_sae": 2048, "k": 3},
    ]
    table = dictionary_table(made(levels, **facts)).set_index("name")
    assert table.index.tolist() == ["the profile's", "a", "b", "c"]
    assert table["paper's"].fillna("").tolist() == ["", "65,536, K 20", "131,072, K 20", ""]
    assert table["paper, AUPRC"]["b"] == pytest.approx(0.6267) and table["paper, l0"]["a"] == pytest.approx(19.41)


def test_variants_that_count_and_variants_that_choose():
    levels = [{"budget": "all", "variant": v, "order": "most weight"} for v in ("binary", "frequency", "magnitude")]
    levels += [line | {"budget": "a share"} for line in levels]
    levels += [{"budget": "a share", "variant": v, "order": "least weight"} for v in ("frequency", "magnitude")]
    table = variants_table(made(levels, fac_seed=0.7, fac=0.9, gap_share=0.6)).set_index("variant")
    assert table["paper, FAC"]["binary"] == pytest.approx(0.8178)
    assert table["paper, AUPRC"]["magnitude"] == pytest.approx(0.6301)
    assert table["auprc, most weight"]["binary"] == pytest.approx(0.5505 + 0.03)
    assert np.isnan(table["auprc, least weight"]["binary"])


def test_figures_have_a_point_per_level_and_the_start_dotted():
    facts = {"n_missing": 40, "n_missing_null": 2, "delta": 100.0, "added": 10, "held_out_reached": 0.3}
    levels = [{"kind": "none", "value": np.nan}]
    levels += [{"kind": "paper", "value": v} for v in (0.0, 1.0)] + [{"kind": "quantile", "value": 0.8}]
    figure = thresholds(made(levels, **facts))
    assert [len(trace.x) for trace in figure.data] == [2, 2, 2, 1, 1, 1]
    assert list(figure.data[0].x) == ["0", "1"] and figure.layout.shapes[0].y0 == pytest.approx(0.5505)
    levels = [{"name": "none", "layer": np.nan}] + [{"name": f"layer {i}", "layer": i} for i in range(3)]
    assert [list(trace.x) for trace in layers(made(levels, **facts)).data] == [[0, 1, 2]] * 4
