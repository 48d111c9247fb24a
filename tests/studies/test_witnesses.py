"""What tells two data sets apart, on draws whose total variation is known."""

import numpy as np
import pytest
from scipy import sparse

from fac_lab.studies import witnesses


def samples(n: int, shares: list[float], seed: int) -> sparse.csr_matrix:
    """Rows that activate one of len(shares) features each."""
    kinds = np.random.default_rng(seed).choice(len(shares), n, p=shares)
    return sparse.csr_matrix((np.full(n, 2.0), (np.arange(n), kinds)), shape=(n, len(shares)))


def test_witnesses_see_what_differs_and_no_more():
    p, q = samples(800, [0.25] * 4, 0), samples(800, [0.5, 0.5, 0, 0], 1)
    noise = np.random.default_rng(3).normal(0, 0.1, (2, 800, 4))  # neighbours at equal distances have no order
    dense = witnesses.told_apart(p.toarray() + noise[0], q.toarray() + noise[1])
    assert 0.3 < dense < 0.58, "five neighbours outvote what is only twice as likely in four cases of five"
    for found in (witnesses.told_apart(p, q), witnesses.told_by_missing(p, q, 1.0)):
        assert found == pytest.approx(0.5, abs=0.08)
    alike = samples(800, [0.25] * 4, 2)
    for found in (witnesses.told_apart(p, alike), witnesses.told_by_missing(p, alike, 1.0)):
        assert abs(found) < 0.12
    assert witnesses.told_by_missing(p, q, 3.0) == 0, "nothing is above the threshold"
