"""A point of weight k is that point k times."""

import numpy as np
import pytest
from scipy import stats

from fac_lab.errors import DataError
from fac_lab.weighted import coefficient, drawn_weights, partial_coefficient

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
X = np.array([0.3, -1.0, 2.5, 2.5, 0.9, 4.0])
Y = np.array([1.0, 0.0, 0.5, 3.0, 1.0, 2.0])
WEIGHTS = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 1, 2, 0, 4], [0, 2, 2, 1, 1, 0]], float)


@pytest.mark.parametrize("kind", SCIPY)
def test_a_weight_is_a_number_of_points(kind):
    found = coefficient(kind, X, Y)(WEIGHTS)
    for value, weights in zip(found, WEIGHTS.astype(int), strict=True):
        assert value == pytest.approx(SCIPY[kind](np.repeat(X, weights), np.repeat(Y, weights)).statistic)


@pytest.mark.parametrize("kind", SCIPY)
def test_where_all_weight_is_on_equal_points_there_is_no_coefficient(kind):
    # Points 2 and 3 agree in x, points 0 and 4 in y.
    found = coefficient(kind, X, Y)(np.array([[0, 0, 2, 2, 0, 0], [1, 0, 0, 0, 3, 0]], float))
    assert np.isnan(found).all()


def test_given_the_rest_is_the_correlation_of_what_a_fit_leaves():
    rest = np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])
    weights = WEIGHTS[1].astype(int)
    x, y, z = (np.repeat(column, weights) for column in (X, Y, rest))
    left = [column - np.polyval(np.polyfit(z, column, 1), z) for column in (x, y)]
    found = partial_coefficient("pearson", np.column_stack([X, Y, rest]))(WEIGHTS[1:2])
    assert found[0] == pytest.approx(stats.pearsonr(*left).statistic)


def test_draws_are_of_n_points_and_the_same_for_the_same_seed():
    drawn = drawn_weights(6, 50, 3)
    assert drawn.shape == (50, 6) and (drawn.sum(axis=1) == 6).all() and (drawn >= 0).all()
    assert drawn_weights(6, 50, 3) is drawn and (drawn_weights(6, 50, 4) != drawn).any()


def test_other_kinds_are_refused():
    with pytest.raises(DataError, match="not 'cosine'"):
        coefficient("cosine", X, Y)
    with pytest.raises(DataError, match="not 'kendall'"):
        partial_coefficient("kendall", np.column_stack([X, Y, X]))
