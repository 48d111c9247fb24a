import numpy as np
import pandas as pd
import pytest

from fac_lab.display.detection import (
    beside_paper,
    confusion,
    flagged_figure,
    methods_figure,
    name_of,
    paper_sizes,
    precision_recall,
    printed,
    real_figure,
    scale_figure,
)
from fac_lab.studies.methods import METHODS


def runs() -> pd.DataFrame:
    rows = []
    for mode, base in (("lora", 0.5), ("head", 0.4)):
        for arm, gain in (("none", 0.0), ("fac_two_step", 0.1), ("oracle", 0.2)):
            for held_out_set in (0, 1):
                for seed in (42, 43):
                    auprc = base + gain + 0.1 * held_out_set + 0.02 * (seed - 42)
                    where = {"held_out_set": held_out_set, "arm": arm, "mode": mode, "seed": seed, "auprc": auprc}
                    rows.append(where | {"added": 3, "gap_coverage": gain, "held_out_reached": gain})
    return pd.DataFrame(rows)


def test_the_papers_numbers_stand_by_arm():
    lora, head = printed("lora").set_index("arm"), printed("head").set_index("arm")
    assert list(lora.index) == list(head.index) == list(METHODS.values())
    assert lora.auprc["fac_two_step"] == pytest.approx(0.6260) and lora.auprc_sd["none"] == pytest.approx(0.0274)
    assert head.auprc["magpie"] == pytest.approx(0.3797) and head.auprc_sd["magpie"] == pytest.approx(0.0035)


def test_ours_beside_the_papers_in_percent():
    table = beside_paper(runs()).set_index("method")
    assert list(table.index) == ["Baseline", "FAC Synthesis", "oracle"]
    assert table["LoRA, ours"]["FAC Synthesis"] == pytest.approx(100 * (0.6 + 0.05 + 0.01))
    assert table["± LoRA, ours"]["FAC Synthesis"] == pytest.approx(100 * 0.1 / np.sqrt(2))
    assert table["head only, paper"]["FAC Synthesis"] == pytest.approx(49.12)
    assert np.isnan(table["LoRA, paper"]["oracle"]) and table["gap coverage"]["oracle"] == pytest.approx(0.2)
    one = beside_paper(runs().query("mode == 'head'"))
    assert "LoRA, ours" not in one and "LoRA, paper" in one


def test_a_row_per_arm_in_the_order_of_the_table():
    figure = methods_figure(runs())
    assert figure.layout.yaxis.categoryarray == ("oracle", "FAC Synthesis", "Baseline")
    ours = [trace for trace in figure.data if trace.xaxis == "x"]
    assert [len(trace.y) for trace in ours] == [3, 3] and len(figure.data) == 4
    assert [len(t.x) for t in methods_figure(runs().query("mode == 'head'")).data] == [len(METHODS), 3, len(METHODS)]
    assert name_of("random_features") == "random features"


def test_the_papers_sizes_are_counted_from_the_shape_of_its_model():
    sizes = paper_sizes().set_index(["mode", "arm"])
    assert sizes.n_trainable["head", "none"] == 2 * 4096
    # 8 (in + out) of q, k, v, o, gate, up and down in 32 layers, and the head.
    layer = 8 * (2 * 8192 + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert sizes.n_trainable["lora", "fac_two_step"] == 32 * layer + 8192 == 20_979_712
    assert sizes.pes["head", "fac_two_step"] == pytest.approx(0.4912 / np.log10(8192))


def test_the_scale_figure_has_both_measures_of_both_sides():
    rows = [
        {"held_out_set": s, "arm": arm, "size": size, "n_trainable": n, "auprc": 0.5, "pes": 0.5 / np.log10(n)}
        for s in (0, 1)
        for arm in ("none", "fac_two_step")
        for size, n in (("head", 320), ("all weights", 10**6))
    ]
    figure = scale_figure(pd.DataFrame(rows))
    assert len(figure.data) == 8 and sum(bool(trace.showlegend) for trace in figure.data) == 2
    assert list(figure.data[0].x) == [320, 10**6] and figure.data[2].y[1] == pytest.approx(0.5 / 6)


def test_precision_and_recall_of_a_perfect_and_of_an_empty_ranking():
    labels = np.array([1, 0, 0, 0])
    figure = precision_recall(labels, {"perfect": labels.astype(float), "all equal": np.zeros(4)})
    assert [trace.name for trace in figure.data] == ["perfect: AUPRC 1.000", "all equal: AUPRC 0.250"]
    assert figure.layout.annotations[0].text == "base rate 0.250"


def test_rows_are_flagged_from_the_top():
    told = confusion(np.array([1, 0, 1, 0, 0, 0, 0, 1]), 3)
    assert list(told.values()) == [2, 1, 1, 4]
    assert list(confusion(np.array([1, 0]), 0).values()) == [0, 0, 1, 1]
    labels = np.array([0] * 9 + [1])
    figure = flagged_figure(labels, np.arange(10.0), (0.0, 0.1, 1.0))
    said = [step.args[1]["title.subtitle.text"] for step in figure.layout.sliders[0].steps]
    assert said == [
        "accuracy 0.900, precision undefined, recall 0.000",
        "accuracy 1.000, precision 1.000, recall 1.000",
        "accuracy 0.100, precision 0.100, recall 1.000",
    ]
    assert [trace.visible for trace in figure.data] == [True, False, False]
    assert [sum(trace.y) for trace in figure.data] == [10] * 3


def test_real_runs_stand_by_size_with_their_intervals():
    rows = pd.DataFrame(
        {
            "mode": ["head", "head", "lora"], "n_toxic": [20, 331, 20], "n_safe": [500, 2287, 500],
            "seed": [42, 42, 42], "auprc": [0.4, 0.6, 0.5], "low": [0.35, 0.5, 0.4], "high": [0.5, 0.7, 0.65],
            "base_rate": 0.127, "n_test": 2853,
        }
    )  # fmt: skip
    figure = real_figure(rows)
    assert figure.layout.xaxis.ticktext == ("20 + 500", "331 + 2,287")
    lora = next(trace for trace in figure.data if trace.name == "LoRA")
    assert lora.error_y.array[0] == pytest.approx(0.15) and lora.error_y.arrayminus[0] == pytest.approx(0.1)
    assert np.round(lora.x[0]) == 0 and "0.127" in figure.layout.annotations[0].text
