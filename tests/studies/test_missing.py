import math

import numpy as np
import pytest
from scipy import sparse

from fac_lab.studies.missing import main_concepts, recovery

# Anchor of six samples about a, a, b, b, c, c; four features.
ANCHOR = sparse.csr_matrix(
    np.array(
        [
            [2.0, 0.0, 1.0, 0.1],
            [3.0, 0.0, 0.0, 0.1],
            [0.0, 4.0, 1.0, 0.0],
            [0.0, 0.5, 0.0, 0.0],
            [1.0, 0.0, 0.0, 9.0],
            [0.0, 0.0, 1.0, 0.0],
        ]
    )
)
TRUTH = ["a", "a", "b", "b", "c", "c"]


def test_main_concepts_by_mass_above_the_threshold():
    found = main_concepts(np.array([0, 1, 3]), ANCHOR, TRUTH, 0.2)
    assert found.concept.tolist() == ["a", "b", "c"]
    assert found.share.tolist() == pytest.approx([5 / 6, 1.0, 1.0])


def test_threshold_per_feature():
    found = main_concepts(np.array([3]), ANCHOR, TRUTH, np.array([0.0, 0.0, 0.0, 0.0]))
    assert found.share.tolist() == pytest.approx([9 / 9.2])


def test_precision_and_recall_by_hand():
    # Features 0 (mass mostly a) and 2 (a, b, c alike) are missing; a and b are held out.
    result = recovery(np.array([0, 2]), ANCHOR, TRUTH, {"a", "b"}, 0.2)
    assert result == (2, 1.0, 0.5)
    # With only c held out, neither is precise and c is not found.
    assert recovery(np.array([0, 2]), ANCHOR, TRUTH, {"c"}, 0.2) == (2, 0.0, 0.0)


def test_nothing_missing():
    result = recovery(np.array([], dtype=int), ANCHOR, TRUTH, {"a"}, 0.0)
    assert (result.n_missing, result.recall) == (0, 0.0) and math.isnan(result.precision)
