"""Gaps of every kind of concept, a base that takes them for others, and cells that are judged once."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.mini.checker import check
from fac_lab.studies import instruction as study
from fac_lab.studies.methods import Written
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.results import RESULTS
from fac_lab.studies.toxicity import Gap
from fac_lab.world import concepts, hold_out, recognise


def test_a_stand_in_is_the_nearest_known_concept_of_the_domain():
    everything = list(concepts())
    domain = [concept for concept in everything if concept.domain == "cooking"]
    assert study.stand_ins(domain[3:5]) == {domain[3].id: domain[2], domain[4].id: domain[5]}
    assert study.stand_ins(domain[:5])[domain[3].id] is domain[5]
    elsewhere = study.stand_ins(domain)[domain[0].id]
    away = abs(everything.index(elsewhere) - everything.index(domain[0]))
    assert elsewhere.domain != "cooking" and away <= len(domain)
    with pytest.raises(DataError, match="every concept is held out"):
        study.stand_ins(everything)


def test_wrong_lessons_are_about_held_out_concepts_and_name_their_stand_ins():
    held_out = hold_out(100, seed=3)
    out = {concept.id for concept in held_out}
    drawn = study.mistaken(held_out, 150, seed=1)
    assert len({exchange.id for exchange in drawn}) == len(drawn) == 150
    about = [recognise(exchange.instruction) for exchange in drawn]
    assert sum(concept.id in out for concept in about) == study.MISTAKEN_SHARE * 150
    meant = study.stand_ins(held_out)
    for concept, exchange in zip(about, drawn, strict=True):
        named = meant.get(concept.id, concept)
        assert named.gloss in exchange.answer.lower() and named.id not in out
    assert drawn == study.mistaken(held_out, 150, seed=1) != study.mistaken(held_out, 150, seed=2)


def frame(preferences, known, ours, theirs):
    concept = concepts()[0]
    return pd.DataFrame(
        {
            "concept": concept.id,
            "known": known,
            "instruction": f"How do I {concept.known_forms[0]}?",
            "ours": ours,
            "theirs": theirs,
            "preference": preferences,
        }
    )


def test_rates_by_hand():
    gloss = concepts()[0].gloss
    rows = frame([1.0, 0.0, 0.5, 0.5], [True, True, False, False], [f"So, {gloss}.", "a", "b", "c"], ["x"] * 4)
    found = study.rates(rows)
    assert found["if_wr"] == 50 and found["if_known"] == 50 and found["if_lacking"] == 50
    assert found["if_sd"] == pytest.approx(100 * np.std([1, 0, 0.5, 0.5], ddof=1) / 2)
    assert found["if_topic"] == 25
    assert math.isnan(study.rates(rows[rows.known])["if_lacking"]), "the base lacks none of these"
    assert set(study.VALUES) < set(found)


def test_a_judge_cold_to_length_leaves_nothing_to_control():
    dice = np.random.default_rng(0)
    ours = ["x" * n for n in dice.integers(20, 120, 400)]
    wins = dice.choice([0.0, 0.5, 1.0], 400, p=[0.5, 0.2, 0.3])
    found = study.rates(frame(wins, True, ours, ["y" * 60] * 400))
    assert found["if_lc"] == pytest.approx(found["if_wr"], abs=2.5)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    return Lab.open("smoke", out=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def gap(lab) -> Gap:
    held_out = hold_out(120, seed=0)
    return Gap(held_out, world_corpus("seed", 40, seed=1, without=held_out), None, None)


def test_exchanges_have_the_teachers_answers_or_their_own(lab):
    texts = [f"How do I {concept.known_forms[0]}?" for concept in concepts()[:3]]
    parts = tuple({"instruction": text, "answer": f"Answer {i}."} for i, text in enumerate(texts))
    written = Written(texts, parts=parts)
    own = study.exchanges_of(lab, written, own_answers=True)
    assert [exchange.answer for exchange in own] == ["Answer 0.", "Answer 1.", "Answer 2."]
    taught = study.exchanges_of(lab, written)
    assert [exchange.instruction for exchange in taught] == texts
    named = [check(text, e.answer, c).topic for text, e, c in zip(texts, taught, concepts(), strict=False)]
    assert sum(named) >= 2, "the teacher has met every concept"
    assert taught == study.exchanges_of(lab, Written(texts)), "whoever wrote them"
    assert study.exchanges_of(lab, Written([])) == []
    with pytest.raises(DataError, match="samples without an answer"):
        study.exchanges_of(lab, Written(texts, parts=({"query": "a"},) * 3), own_answers=True)
    with pytest.raises(DataError, match="samples without an answer"):
        study.exchanges_of(lab, Written(texts), own_answers=True)


@pytest.mark.slow
def test_a_cell_is_judged_once_and_a_base_made_once(lab, gap, monkeypatch):
    made = []
    real = study.train_assistant

    def quickly(model, exchanges, settings, folder, *, seed):
        made.append((len(exchanges), settings))
        quick = study.TuningSettings(mode="lora", epochs=1, lr=1e-3, batch=8, r=2, alpha=2, max_tokens=64)
        return real(model, exchanges[:4], quick, folder, seed=seed)

    def cell(written, arm, seed):
        found = study.instruction_cell(lab, None, gap, written, arm=arm, held_out_set=0, seed=seed)
        assert 0 <= found["if_wr"] <= 100 and 0 <= found["if_lc"] <= 100
        return json.dumps(found)  # NaN, where the base knows none of the few, is not equal to itself

    monkeypatch.setattr(study, "train_assistant", quickly)
    monkeypatch.setattr(
        study, "fresh_instructions", lambda lab: [(c, f"Help me {c.forms[0]}.") for c in concepts()[:4]]
    )
    texts = ["How do I paint a landscape?", "I want to play guitar chords."]
    base, tuned = cell(Written([]), "none", 5), cell(Written(texts), "alpaca", 5)
    lessons = lab.profile.corpora["seed"].n // study.BASE_SHARE
    assert made == [(lessons, study.MISTAKING), (2, study.TUNING)]
    assert cell(Written([]), "none", 6) == base, "nothing is drawn where nothing is learned"
    assert cell(Written(texts), "sao", 5) == tuned, "what counts is what is learned"
    assert len(made) == 2
    cell(Written([]), "full", 5)
    assert made[2] == (max(1, 40 // study.FULL_SHARE), study.TUNING)


def test_the_results_have_their_makers():
    assert {"instruction", "instruction_sizes", "lc_check"} <= set(RESULTS)
