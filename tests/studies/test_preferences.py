"""Pairs whose flaw is known: what the words say, what length says, and what is refused."""

import json

import numpy as np
import pytest

from fac_lab.corpora import Row
from fac_lab.errors import DataError
from fac_lab.studies.preferences import (
    ABOUT_HARM,
    FLAWS,
    TEST_PAIRS,
    bench_pairs,
    concerns,
    draw_pair,
    pairs_about,
    pairs_from,
    spoken_of,
)
from fac_lab.tasks.reward_bench import SECTIONS, bench_score, length_balanced
from fac_lab.world import Dice, concepts, queries, recognise
from fac_lab.world.replies import steps

HARMFUL = [c for c in concepts() if c.harmful]
FAIR = [c for c in concepts() if not c.harmful]


def of(subset):
    return [pair for pair in bench_pairs() if pair.subset == subset]


def test_the_bench_has_the_sections_of_rewardbench_and_its_weights_are_its_pairs():
    assert list(TEST_PAIRS) == list(SECTIONS)
    for subsets in TEST_PAIRS.values():
        for subset, n in subsets.items():
            assert len(of(subset)) == n
    assert len({pair.id for pair in bench_pairs()}) == len(bench_pairs())
    assert bench_pairs() is bench_pairs() and bench_pairs(5) != bench_pairs()


def test_length_says_nothing_in_any_section():
    for subset in FLAWS:
        pairs = of(subset)
        longer = [len(pair.chosen) > len(pair.rejected) for pair in pairs]
        assert np.mean(longer) == 0.5
        by_length = np.array([[len(pair.chosen), len(pair.rejected)] for pair in pairs], float)
        assert length_balanced(by_length, pairs) == 0.5


@pytest.mark.parametrize("subset", FLAWS)
def test_each_worse_reply_has_its_flaw_and_each_better_one_has_not(subset):
    for pair in of(subset):
        asked, better, worse = recognise(pair.prompt), spoken_of(pair.chosen), spoken_of(pair.rejected)
        assert asked.harmful == (subset == ABOUT_HARM)
        finished = [reply.endswith((".", "!", "?")) for reply in (pair.chosen, pair.rejected)]
        assert finished == [True, subset != "breaks-off"]
        # Glosses are words of the language, too: a few replies seem to speak of another concept than they do.
        if subset == ABOUT_HARM:
            assert not better.harmful and better.domain == asked.domain and asked.gloss in pair.rejected.lower()
        else:
            assert asked.gloss in pair.chosen.lower()
        if subset == "neighbour":
            assert worse is not asked and worse.domain == asked.domain
        if subset == "step-left-out":
            firsts, thens = steps(asked)
            assert any(step in pair.chosen.lower() for step in thens)
            assert any(step in pair.rejected.lower() for step in firsts)
            assert not any(step in pair.rejected.lower() for step in set(thens) - set(firsts))


def test_pairs_are_drawn_from_a_data_set_each_row_once():
    rows = [Row(f"r{i}", text, int(c.harmful), c.id) for i, (c, text) in enumerate(queries(80, seed=1))]
    counts = {"breaks-off": 6, "neighbour": 4, ABOUT_HARM: 5}
    pairs = pairs_from(rows, counts, seed=3)
    assert [pair.subset for pair in pairs] == [s for s, n in counts.items() for _ in range(n)]
    assert len({pair.prompt for pair in pairs}) == len(pairs) == 15
    assert all(recognise(pair.prompt).harmful == (pair.subset == ABOUT_HARM) for pair in pairs)
    assert pairs == pairs_from(rows, counts, seed=3) != pairs_from(rows, counts, seed=4)
    longest_first = sum(len(pair.chosen) > len(pair.rejected) for pair in pairs[:6])
    assert longest_first == 3


def test_a_section_without_rows_is_refused_and_named():
    safe = [Row(f"r{i}", text, 0, c.id) for i, (c, text) in enumerate(queries(9, seed=1, among=FAIR))]
    with pytest.raises(DataError, match="5 pairs of help-with-harm need as many harmful queries; the data have 0"):
        pairs_from(safe, {"breaks-off": 4, ABOUT_HARM: 5}, seed=0)
    with pytest.raises(DataError, match="6 pairs of neighbour need as many harmless queries; the data have 5"):
        pairs_from(safe, {"breaks-off": 4, "neighbour": 6}, seed=0)
    kept = [pair for pair in bench_pairs() if pair.subset != ABOUT_HARM]
    with pytest.raises(DataError, match="no pair of subset 'help-with-harm'"):
        bench_score(np.zeros((len(kept), 2)), [pair.subset for pair in kept], TEST_PAIRS)
    with pytest.raises(DataError, match="no flaw 'rude'"):
        draw_pair("rude", FAIR[0], "a query", Dice(0), name="x", longer=True)


def test_which_pairs_concern_what_was_held_out():
    out = HARMFUL[:20]
    pairs = pairs_about(queries(30, seed=2, among=HARMFUL), ABOUT_HARM, seed=0)
    marked = concerns(pairs, out)
    assert 0 < sum(marked) < 30 and marked == [recognise(pair.prompt) in out for pair in pairs]
    assert json.dumps(pairs)  # plain values: a key of the store


def test_a_reply_is_about_what_it_names():
    assert spoken_of("Bread baking: first check the sauce.").gloss == "bread baking"
    assert spoken_of("You could also cook tomato soup.").gloss == "soup making"
    assert spoken_of("I hope this helps.") is None
