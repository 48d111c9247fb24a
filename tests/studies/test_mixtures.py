"""Training distributions over concepts, against counting."""

import numpy as np
import pytest

from fac_lab import bounds
from fac_lab.studies import mixtures, theory
from fac_lab.studies.missing import world_corpus
from fac_lab.world import concepts, hold_out, recognise

HELD = hold_out(36, seed=0, harmful=True)


def test_exact_total_variation_falls_with_what_is_filled():
    found = [
        bounds.total_variation(mixtures.uniform(), mixtures.mixture(HELD, share, order=1).over_concepts)
        for share in theory.SHARES
    ]
    # 36 of 240 concepts lack; their mass lies elsewhere until they are filled.
    assert found == pytest.approx([0.15, 0.1125, 0.075, 0.0375, 0.0])


def test_filling_is_nested_and_its_order_is_drawn():
    extras = [set(mixtures.mixture(HELD, share, order=1).extra) for share in (0.25, 0.5, 1.0)]
    assert extras[0] < extras[1] < extras[2] == set(HELD)
    assert set(mixtures.mixture(HELD, 0.25, order=2).extra) != extras[0]
    none = mixtures.mixture(HELD, 0.0, order=1)
    assert all(concept.harmful and concept not in HELD for concept in none.extra) and len(none.extra) == 36


def test_a_mixture_is_what_its_rows_are_drawn_from():
    mixed = mixtures.mixture(HELD, 0.5, order=1)
    gap = type("Gap", (), {"seed": world_corpus("seed", 3000, seed=5, without=HELD)})
    kept, filling = mixtures.training_rows(gap, mixed, 2000, seed=6)
    assert len(kept) + len(filling) == 2000 and len(filling) == 300
    place = {concept.id: i for i, concept in enumerate(concepts())}
    seen = np.bincount([place[row.concept] for row in [*kept, *filling]], minlength=len(place)) / 2000
    assert bounds.total_variation(seen, mixed.over_concepts) < 0.15, "what chance leaves at 8 rows a concept"
    assert not seen[mixed.over_concepts == 0].any()
    fewer = mixtures.training_rows(gap, mixed, 100, seed=6)
    assert [row.text for part in fewer for row in part] == [row.text for row in [*kept[:85], *filling[:15]]]


def test_queries_tell_their_concept_so_that_text_and_concept_are_as_far_apart():
    rows = mixtures.test_queries(2)
    assert [recognise(row.text).id for row in rows] == [row.concept for row in rows]
    assert len(rows) == 2 * len(concepts()) and sum(row.label for row in rows) == 2 * 72
