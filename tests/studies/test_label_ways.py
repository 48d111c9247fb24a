import math

import numpy as np

from fac_lab.studies.label_ways import against, as_mask, jaccard
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


def test_results_are_registered():
    assert {"label_ways", "label_overlap", "label_arms", "label_noise"} <= set(RESULTS)
