"""Generators at equal draws: what is counted, by hand, and one small run of the whole comparison."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.coverage import cover
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.studies.filling import in_form
from fac_lab.studies.generators import (
    GENERATORS,
    additions,
    compare_generators,
    describe,
)
from fac_lab.studies.label_ways import as_mask
from fac_lab.studies.missing import main_concepts, world_corpus
from fac_lab.studies.results import RESULTS
from fac_lab.studies.toxicity import Gap
from fac_lab.synthesis.samples import Sample
from fac_lab.world import concepts, draw_query, hold_out
from fac_lab.world.dice import Dice


def frame(*samples: Sample) -> pd.DataFrame:
    return pd.DataFrame(samples, columns=Sample._fields)


def test_sound_texts_are_those_that_only_their_activation_or_rank_let_down():
    reasons = ["not among the 1 best", "", "duplicate of a kept sample", "1 words, not 3 to 60", "a refusal"]
    samples = frame(
        *(Sample(7, f"text {i}", 1, step=1, draw=i, reason=why, kept=not why) for i, why in enumerate(reasons))
    )
    assert in_form(samples).draw.tolist() == [0, 1, 2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    return Lab.open("smoke", out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def anchor(lab):
    return lab.stats(lab.corpus("anchor"), keep_matrix=True)


def test_what_is_counted(lab):
    """Two features, five draws: one of them unsound, one refused before it was drawn, two with equal words."""
    one, other = concepts()[0], concepts()[9]
    dice = Dice(1)
    about = [draw_query(concept, dice, long=False) for concept in (one, other, other)]
    values = lab.measure(about)
    first = int(np.argmax(values[0] - values[1:].max(axis=0)))
    second = int(np.argmax(values[1:].min(axis=0) - values[0]))
    main = pd.Series([one.id, other.id], index=[first, second])
    samples = frame(
        Sample(first, about[0], 1, step=0, draw=0, kept=True, strength=2.0),
        Sample(first, about[0].upper(), 1, step=0, draw=1, reason="duplicate of a kept sample", strength=4.0),
        Sample(second, about[0], 1, step=0, draw=0, reason="does not activate: 0 is not above 0", strength=4.0),
        Sample(second, "", 1, step=0, draw=1, reason="empty", strength=8.0),
        Sample(second, "", 1, step=0, draw=0, reason="cannot be steered: why"),
    )
    found = describe(lab, samples, main, 0.0)
    assert (found["draws"], found["sound"], found["kept"], found["strength"]) == (2.0, 0.75, 1, 2.0)
    assert (found["own"], found["any"]) == (0.5, 0.5)
    assert found["on_concept"] == pytest.approx(2 / 3) and found["distinct"] == pytest.approx(1 / 3)
    assert found["perplexity"] > 1
    # A text for the first that activates the second covers it, though not by its own text.
    crossed = frame(Sample(first, about[1], 1, step=0, draw=0, reason="does not activate: x", strength=1.0))
    found = describe(lab, crossed, main, 0.0)
    assert (found["own"], found["any"], found["on_concept"]) == (0.0, 0.5, 0.0)
    # Its gloss names a concept without a user's words for it.
    named = frame(Sample(first, f"Tell me of {one.gloss} again", 1, step=0, draw=0, reason="does not activate: x"))
    assert describe(lab, named, main, 1e9)["named"] == 1.0
    nothing = describe(lab, frame(samples_without_text(second)), main, 0.0)
    assert nothing["own"] == nothing["any"] == nothing["draws"] == 0 and np.isnan(nothing["perplexity"])


def samples_without_text(feature: int) -> Sample:
    return Sample(feature, "", 1, step=0, draw=0, reason="cannot be steered: why")


def test_arms_add_as_many_texts():
    gap = Gap(hold_out(3, seed=1, harmful=True), None, None, None)

    def drawn(n, n_kept, reason="does not activate: x"):
        texts = [f"text {n} {n_kept} number {i} of it" for i in range(n)]
        of_each = ({"kept": True} if i < n_kept else {"reason": reason} for i in range(n))
        return frame(
            *(
                Sample(i, text, 1, step=0, draw=0, **one)
                for i, (text, one) in enumerate(zip(texts, of_each, strict=True))
            )
        )

    frames = {
        "one-step": drawn(5, 5),
        "two-step": drawn(4, 3),
        "steered": drawn(6, 1),
        "unsteered": drawn(9, 0, "empty"),
    }
    texts = additions(frames, gap, held_out_set=1)
    assert {name: len(added) for name, added in texts.items()} == {
        "one-step": 3, "two-step": 3, "steered": 3, "unsteered": 0, "none": 0, "real": 3,
    }  # fmt: skip
    assert texts["steered"] == [f"text 6 1 number {i} of it" for i in range(3)]


@pytest.mark.slow
def test_the_comparison_in_small(lab, anchor):
    """Four features whose names are the true ones, so that no annotator is asked."""
    held_out = hold_out(24, seed=1, harmful=True)
    seed = world_corpus("seed", 300, seed=1, without=held_out)
    truth = [row.concept for row in lab.corpus("anchor")]
    rule = CoverageRule(kind="anchor_quantile", quantile=0.8, support=3)
    everything = cover(anchor, lab.stats(seed), rule)
    named = main_concepts(everything.missing, anchor.matrix, truth, everything.delta)
    by_id = {concept.id: concept for concept in held_out}
    named = named[named.concept.isin(by_id)].head(4)
    named["summary"] = [f"requests about {by_id[name].gloss} ({by_id[name].domain})" for name in named.concept]
    relevant = as_mask(named.feature, anchor.d_sae)
    coverage = cover(anchor, lab.stats(seed), rule, relevant=relevant)
    gap = Gap(held_out, seed, coverage, named.assign(relevant=True))
    assert len(coverage.missing) == 4

    found = compare_generators(lab, anchor, gap, list(seed)[:60], held_out_set=1, draws=2)
    assert found.generator.tolist() == [*GENERATORS, "none", "real"]
    assert found.auprc.between(0, 1).all() and (found.n_missing == 4).all()
    by = found.set_index("generator")
    assert (by.loc[list(GENERATORS), "draws"] <= 2).all() and by.loc[["none", "real"], "draws"].isna().all()
    assert (by["any"].dropna() >= by.own.dropna()).all()
    assert by.own["two-step"] > by.own["unsteered"] and by.on_concept["one-step"] > by.on_concept["unsteered"]
    assert by.added["one-step"] == by.added["two-step"] == by.added["real"] > by.added["none"] == 0
    again = compare_generators(lab, anchor, gap, list(seed)[:60], held_out_set=1, draws=2)
    pd.testing.assert_frame_equal(again, found)


def test_the_study_is_registered():
    assert "generators" in RESULTS
