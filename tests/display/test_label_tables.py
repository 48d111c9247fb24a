import numpy as np
import pandas as pd
import pytest

from fac_lab.display.label_tables import flip_rates, noise_table, ways_table


def noise_runs():
    rows = []
    for setting, percent, base in (("original", 0, 1.0), ("mislabel", 10, 0.8), ("mislabel_any", 10, 0.9)):
        for held_out_set in range(2):
            for seed in range(3):
                value = base - 0.1 * held_out_set - 0.01 * seed
                columns = ("jaccard_missing", "gap_coverage", "fac", "auprc")
                rows.append(
                    {"held_out_set": held_out_set, "setting": setting, "noise_pct": percent, "seed": seed}
                    | dict.fromkeys(columns, value)
                    | {"n_missing": 10 + held_out_set}
                )
    return pd.DataFrame(rows)


def test_noise_is_averaged_over_seeds_first_and_stands_beside_the_paper():
    table = noise_table(noise_runs())
    assert table.setting.tolist() == ["original", "mislabel", "mislabel_any"]
    assert table.sets.tolist() == [2, 2, 2]
    # Two sets with means 0.79 and 0.69.
    assert table.auprc[1] == pytest.approx(0.74) and table.auprc_sd[1] == pytest.approx(0.1 / np.sqrt(2))
    assert table.n_missing.tolist() == [10.5] * 3
    assert table.gap_coverage_paper[:2].tolist() == pytest.approx([0.8178, 0.771])
    assert table.auprc_paper[:2].tolist() == pytest.approx([0.626, 0.6155])
    assert np.isnan(table.jaccard_missing_paper[2])


def test_ways_are_averaged_over_sets():
    rows = pd.DataFrame(
        {
            "held_out_set": [0, 0, 1, 1],
            "way": ["probe", "annotator"] * 2,
            "labelled_on": ["pool", "none"] * 2,
            "n_labelled": [400, 0] * 2,
            "missing_precision": [np.nan, 0.5, 0.7, 1.0],
        }
    )
    table = ways_table(rows)
    assert table.way.tolist() == ["probe", "annotator"] and table.sets.tolist() == [2, 2]
    assert table.missing_precision.tolist() == pytest.approx([0.7, 0.75])


def test_flips_are_counted_by_feature_beside_those_of_harmless_words():
    verdicts = {  # feature: before, after the attempts "a" and "b", after the words in their place
        1: ("relevant", ("relevant", "not"), ("relevant", "relevant")),
        2: ("not", ("relevant", "relevant"), ("not", "relevant")),
        3: ("not", ("none", "not"), ("not", "none")),
        4: ("relevant", ("none", "relevant"), ("not", "relevant")),
    }
    rows = pd.DataFrame(
        {"attempt": name, "kind": kind, "injected": 1, "feature": feature}
        | {"before": before, "after": after[i], "neutral": words[i]}
        for i, (name, kind) in enumerate((("a", "order"), ("b", "role")))
        for feature, (before, after, words) in verdicts.items()
    )
    found = flip_rates(rows).set_index("measure")
    assert found.group.tolist() == ["1 span"] * 3 and found.n.tolist() == [4] * 3
    assert found.value.to_dict() == {"all": 0.5, "order": 0.5, "role": 0.5}
    assert found.base_rate.to_dict() == {"all": 0.25, "order": 0.25, "role": 0.25}
    assert found.beyond["all"] == 0.25
    # Of the features, flips are one half, all, none and one half; that beyond the words is 1/2, 1/2, 0, 0.
    assert found.low["all"] < 0.5 < found.high["all"] <= 1 and found.beyond_low["all"] >= 0
