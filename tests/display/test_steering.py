"""Figures of steering: every line of a small table is drawn where it belongs, once in the legend."""

from itertools import product

import pandas as pd
import pytest

from fac_lab.display import steering as shown
from fac_lab.display.theme import INK

VECTORS = [("items", 0), ("random", 0), ("random", 1)]


@pytest.fixture
def curves() -> pd.DataFrame:
    """Two behaviours, three vectors, five multipliers; every value is one of a kind."""
    keys = [
        (behaviour, *vector, multiplier)
        for behaviour, vector, multiplier in product(("calm", "self_image"), VECTORS, (-4.0, -1.0, 0.0, 1.0, 4.0))
    ]
    frame = pd.DataFrame(keys, columns=["behaviour", "vector", "draw", "multiplier"])
    values = {"in_residual_norms": frame.multiplier / 2, "robust": frame.index + 1.0, "standard": frame.index + 2.0}
    return frame.assign(**values, loss=frame.index + 3.0)


def test_a_curve_per_behaviour_and_vector_within_the_multipliers_asked_for(curves):
    figure = shown.curves(curves)
    drawn = [(trace.xaxis, trace.legendgroup, list(trace.x), list(trace.y)) for trace in figure.data]
    expected = []
    for place, behaviour in (("x", "calm"), ("x2", "self_image")):
        for vector, draw in VECTORS:
            line = curves[(curves.behaviour == behaviour) & (curves.vector == vector) & (curves.draw == draw)]
            line = line[line.multiplier.abs() <= 1]
            expected.append((place, vector, line.multiplier.tolist(), line.robust.tolist()))
    assert drawn == expected
    assert [trace.name for trace in figure.data if trace.showlegend] == ["CAA", "random directions"]
    assert len(shown.curves(curves, within=4.0).data[0].x) == 5
    assert [note.text for note in figure.layout.annotations] == ["calm", "self image"]


def test_standard_stands_beside_robust_at_both_ends_and_without_a_vector(curves):
    figure = shown.standard_and_robust(curves)
    standard, robust = (figure.data[at] for at in (0, 2))
    rows = curves[(curves.behaviour == "calm") & (curves.draw == 0) & (curves.multiplier.abs() <= 1)]
    assert list(standard.y) == rows.standard.tolist() and list(robust.y) == rows.robust.tolist()
    assert list(standard.x[0]) == ["CAA"] * 3 + ["random"] * 3
    assert list(standard.x[1]) == ["-1", "0", "+1"] * 2
    assert figure.layout.shapes[0].y0 == 50 and figure.layout.shapes[0].line.color == INK


def test_side_effects_are_over_the_length_that_is_added(curves):
    figure = shown.side_effects(curves)
    first = curves[(curves.behaviour == "calm") & (curves.vector == "items")]
    assert list(figure.data[0].x) == (first.multiplier / 2).tolist() and list(figure.data[0].y) == first.loss.tolist()
    assert len(figure.data) == 6
