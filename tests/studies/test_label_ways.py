import math

import numpy as np
import pandas as pd

from fac_lab.studies.label_ways import NOISE, against, as_mask, jaccard
from fac_lab.studies.results import RESULTS


def test_jaccard():
    assert jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 0.25
    assert jaccard(np.array([1]), np.array([], int)) == 0.0
    assert math.isnan(jaccard(np.array([], int), np.array([], int)))


def test_precision_and_recall():
    truth = as_mask([0, 1, 2, 3], 6)
    assert against(as_mask([0, 4], 6), truth) == (0.5, 0.25)
    precision, recall = against(as_mask([], 6), truth)
    assert math.isnan(precision) and recall == 0.0


def test_settings_are_those_of_table_6_and_change_what_they_should():
    labels = pd.DataFrame(
        {
            "feature": range(40),
            "summary": [f"requests about thing {i}" for i in range(40)],
            "verdict": ["Yes"] * 20 + ["No"] * 20,
            "relevant": [True] * 20 + [False] * 20,
            "reason": "",
        }
    )
    assert NOISE["original", 0] is None
    for (setting, percent), disturb in NOISE.items():
        if disturb is None:
            continue
        noisy = disturb(labels, seed=42, among=None)
        reversed_ = int((noisy.relevant != labels.relevant).sum())
        reworded = int((noisy.summary != labels.summary).sum())
        expected = {"mislabel": (2 * percent / 5, 0), "mislabel_any": (2 * percent / 5, 0)}.get(setting, (0, 8))
        assert (reversed_, reworded) == expected


def test_results_are_registered():
    assert {"label_ways", "label_overlap", "label_arms", "label_noise"} <= set(RESULTS)
