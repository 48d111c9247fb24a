"""Cells of behaviour steering: what a vector is made of, that all are one length, that nothing is turned round."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fac_lab.corpora import Corpus, Row
from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.mini.personas import behaviour_of
from fac_lab.studies import steering as study
from fac_lab.studies.methods import Written
from fac_lab.studies.steering import Reading, Source, as_items, framed_queries, measure, steering_cell, vector_items
from fac_lab.synthesis.complete import framed

QUERIES = [f"How do I bake bread number {i}?" for i in range(7)]
GAP = SimpleNamespace(seed=Corpus.from_rows("seed", [Row(f"s{i}", text) for i, text in enumerate(QUERIES)]))
WRITTEN = Written(QUERIES[:4], 8, "", tuple(framed(text, "sycophancy") for text in QUERIES[:4]))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "TUNING_SHARE", 0.1)
        yield Lab.open("smoke", out=tmp_path_factory.mktemp("steering"))


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch):
    monkeypatch.setattr(study, "UNIT", (3, 30))
    drawn = study.held_out_items
    monkeypatch.setattr(study, "held_out_items", lambda behaviour, **options: drawn(behaviour, n=4, **options))


def test_what_the_vector_of_an_arm_is_made_of():
    def of(arm, written=WRITTEN, seed=42):
        return vector_items(GAP, written, arm=arm, behaviour="sycophancy", seed=seed)

    assert len(of("alpaca")) == study.ITEMS and {item.question for item in of("alpaca")} <= {
        part["question"] for part in WRITTEN.parts
    }
    # Queries without parts, as a pool's rows are, get the frame that samples have.
    assert set(of("alpaca", WRITTEN._replace(parts=()))) == set(of("alpaca"))
    assert of("alpaca") == of("fac_two_step") and any(of("alpaca", seed=seed) != of("alpaca") for seed in range(9))
    assert len(of("none", Written([]))) == study.ITEMS and of("none", Written([])) == of("none")
    assert [item.question for item in of("full")] == [item.question for item in as_items(QUERIES, "sycophancy")]
    assert len(of("alpaca", Written(QUERIES[:2]))) == 2 and of("alpaca", Written([])) == []


def test_items_say_what_their_matching_option_means():
    (item,) = as_items(["How do I bake bread?"], "survival_instinct")
    assert item.meaning == behaviour_of("survival_instinct").meaning == "resists shutdown"
    assert "stay switched on" in item.matching and "How do I bake bread?" in item.question


def test_a_cell_is_in_percent_and_computed_once(lab, monkeypatch):
    def cell(arm, written=WRITTEN, seed=42):
        return steering_cell(lab, None, GAP, written, arm=arm, held_out_set=0, seed=seed, behaviour="sycophancy")

    found = cell("alpaca")
    assert set(found) == {"sycophancy_scr", "robust_plus", "robust_minus", "items"} and found["items"] == 3
    assert found["sycophancy_scr"] == found["robust_plus"] - found["robust_minus"]
    assert found["robust_plus"] % 25 == 0 and 0 <= found["robust_plus"] <= 100
    # A method that kept nothing has no vector and moves nothing.
    nothing = cell("alpaca", Written([]))
    assert nothing["sycophancy_scr"] == 0 and nothing["items"] == 0
    monkeypatch.setattr(study, "steerable", lambda *_: pytest.fail("computed again"))
    assert cell("alpaca") == found


def test_vectors_have_one_length_unless_told_otherwise(lab):
    items = framed_queries("sycophancy", 2, seed=1)
    unit = study.unit_length(lab)
    assert unit == pytest.approx(np.mean(list(study.lengths(lab)["vectors"].values())))
    own = study.vector_of(lab, Source("items", "sycophancy", items), Reading(same_length=False))
    torch.testing.assert_close(own, study.steerable(lab).vector(items))
    for kind in ("items", "persona", "random"):
        assert float(study.vector_of(lab, Source(kind, "sycophancy", items)).norm()) == pytest.approx(unit, rel=1e-5)
    assert study.vector_of(lab, Source("none", "sycophancy")).norm() == 0
    with pytest.raises(DataError, match="not of 'words'"):
        study.vector_of(lab, Source("words", "sycophancy"))


def test_options_the_wrong_way_round_and_other_behaviours_are_refused(lab):
    accepting = [
        item._replace(matching=item.other, other=item.matching, meaning="accepts shutdown")
        for item in framed_queries("survival_instinct", 2, seed=1)
    ]
    with pytest.raises(DataError, match="accepts shutdown in one source and resists shutdown in another"):
        measure(lab, Source("items", "survival_instinct", tuple(accepting)))
    with pytest.raises(DataError, match="2 behaviours"):
        measure(lab, Source("items", "survival_instinct", framed_queries("sycophancy", 2, seed=1)))


def test_side_effects_stand_beside_the_curve(lab):
    curve = measure(lab, Source("random", "sycophancy", seed=1), multipliers=(0.0, 8.0), side_effects=True).set_index(
        "multiplier"
    )
    assert 0 < curve.loss[0.0] < 20 and curve.loss[8.0] != curve.loss[0.0]
    assert {"standard", "robust", "robust_other", "letter_a", "mean_p"} <= set(curve.columns)
