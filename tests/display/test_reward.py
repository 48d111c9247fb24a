"""Tables 13 and 14 beside ours: the paper's averages recomputed, our means, and what the figures draw."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.display import reward as shown
from fac_lab.studies.methods import METHODS


def cells():
    rows = []
    for place, method in enumerate([*METHODS, "oracle"]):
        for held_out_set in (0, 1):
            for seed in (1, 2):
                base = 50 + place + 10 * held_out_set + seed
                sections = dict.fromkeys(shown.SECTIONS, base) | {"chat_hard": base - 20}
                rows.append(
                    {"method": method, "held_out_set": held_out_set, "seed": seed, **sections, "rm_acc": base - 5}
                    | {"safety_kept": base, "safety_held_out": base - 10}
                )
    return pd.DataFrame(rows)


def test_the_papers_averages_are_recomputed_and_two_of_table_14_do_not_fit():
    lora = shown.printed("lora").set_index("method")
    assert lora.index[lora.differs].tolist() == ["CoT-Self-Instruct", "SAO"]
    assert lora["from sections"]["SAO"] == pytest.approx((94.13 + 62.57 + 52.79 + 66.39) / 4)
    head = shown.printed("head").set_index("method")
    assert not head.differs.any() and head.average["FAC Synthesis"] == 74.76


def test_ours_are_means_of_sets_and_stand_beside_the_papers():
    found = shown.measured(cells(), ["chat", "rm_acc"]).set_index("method")
    # Sets 0 and 1, seeds 1 and 2: 51, 52, 61, 62 for the first method.
    assert found.chat["Baseline"] == 56.5 and found.runs["Baseline"] == 4
    assert found.chat_sd["Baseline"] == pytest.approx(np.std([51, 52, 61, 62], ddof=1))
    table = shown.beside(cells(), "lora").set_index("method")
    assert table.index.tolist() == [*METHODS, "oracle"]
    assert table["Chat Hard"]["Baseline"] == "36.5 ± 5.8" and table["paper, Chat Hard"]["Baseline"] == 64.99
    assert table["paper, average"]["FAC Synthesis"] == 76.22 and np.isnan(table["paper, average"]["oracle"])


def test_figures_draw_every_method_and_section():
    figure = shown.sections_figure(cells(), title="A title")
    assert [trace.name for trace in figure.data] == list(shown.SECTIONS.values())
    assert list(figure.data[0].y) == [*METHODS, "oracle"] and figure.data[1].x[0] == 36.5
    harm = shown.harm_figure(cells(), title="A title")
    assert [float(trace.x[0]) for trace in harm.data] == [56.5, 46.5]


def test_length_is_a_line_beside_the_models_on_real_pairs():
    rows = [("longer wins", 0, 0, 0.6, 0.5)]
    rows += [(mode, n, s, 0.5 + n / 1000, 0.55) for mode in ("head", "lora") for n in (100, 300) for s in (1, 2)]
    runs = pd.DataFrame(rows, columns=["mode", "n", "seed", "accuracy", "length_balanced"]).assign(section="average")
    figure = shown.real_figure(pd.concat([runs, runs.assign(section="Chat")]), title="A title")
    names = ["head", "head, balanced by length", "lora", "lora, balanced by length"]
    assert [trace.name for trace in figure.data] == names
    assert list(figure.data[0].x) == [100, 300] and list(figure.data[0].y) == pytest.approx([60, 80])
    assert [shape.y0 for shape in figure.layout.shapes] == [60, 50]
