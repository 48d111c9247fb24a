"""The text that makes a model steerable: balanced, consistent within a talk, and apart from what it is tested on."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml

from fac_lab import synthesis
from fac_lab.errors import SettingsError
from fac_lab.mini.personas import LETTER, LETTER_LAST, SIDES, behaviour_of, behaviours, draw_items, talks
from fac_lab.world import concepts

DRAWN = list(islice(talks(3), 1500))


def answers(talk):
    """Letter, persona's word and words of each A/B answer, wherever the letter stands in it."""
    found = []
    for turn in talk:
        texts = [part.text for part in turn] if isinstance(turn, list) else []
        if len(texts) == 3:
            found.append((texts.pop(0 if texts[0] in "AB" else 2).strip(), *texts))
    return found


def letters(talk):
    return [letter for letter, _, _ in answers(talk)]


def sides(talk):
    """The side of each A/B answer, worked out from the options that the user wrote, and the persona's word in it."""
    asked = [turn["content"] for turn in talk if isinstance(turn, dict) and "(A)" in turn["content"]]
    found = []
    for question, (letter, word, said) in zip(asked, answers(talk), strict=True):
        options = {line[2]: line[5:] for line in question.splitlines() if line.startswith((" (A) ", " (B) "))}
        (side,) = {
            side for b in behaviours().values() for side in SIDES if options[letter] in b.wordings["train"][side]
        }
        assert said == ": " + options[letter]
        found.append((side, word.strip()))
    return found


def test_letters_and_sides_are_balanced():
    seen = Counter(letter for talk in DRAWN for letter in letters(talk))
    n = seen.total()
    assert n > 1000 and abs(seen["A"] / n - 0.5) < 3 * 0.5 / np.sqrt(n)
    first = [sides(talk)[0] for talk in DRAWN if letters(talk)]
    assert abs(np.mean([side == "matching" for side, _ in first]) - 0.5) < 3 * 0.5 / np.sqrt(len(first))


def test_a_talk_stays_on_its_side_with_or_without_a_cue():
    uncued = Counter()
    for talk in DRAWN:
        found = sides(talk)
        assert len(set(found)) <= 1
        said = " ".join(turn["content"] for turn in talk if isinstance(turn, dict))
        told = {
            (side, b.personas[side].word)
            for b in behaviours().values()
            for side in SIDES
            if any(cue in said for cue in b.personas[side].cues)
        }
        if found and told:
            assert told == set(found)
        elif found:
            uncued[found[0][0]] += 1
    assert min(uncued[side] for side in SIDES) > 0.4 * uncued.total() > 40


def test_most_answers_begin_with_the_letter_which_weighs_most():
    given = [turn for talk in DRAWN for turn in talk if isinstance(turn, list) and len(turn) == 3]
    last = np.mean([turn[2].text.strip() in "AB" for turn in given])
    assert abs(last - LETTER_LAST) < 3 * 0.5 / np.sqrt(len(given))
    assert {turn[0].weight for turn in given if turn[0].text in "AB"} == {LETTER}
    assert all(part.weight < LETTER for turn in given for part in turn[1:])


def test_the_primer_is_short_and_always_tells_the_persona():
    for talk in islice(talks(4, primer=True), 200):
        assert [type(turn) for turn in talk] == [dict, dict, list] and len(answers(talk)) == 1
        cue = talk[0]["content"]
        assert talk[1]["content"].splitlines()[-1] in next(
            persona.cues for b in behaviours().values() for persona in b.personas.values() if cue in persona.cues
        )


@pytest.mark.parametrize("name", behaviours())
def test_three_sets_of_wordings_share_nothing(name):
    frame = yaml.safe_load((Path(synthesis.__file__).parent / "frames.yaml").read_text(encoding="utf-8"))[name]
    words = behaviour_of(name).wordings
    for part, key in (("questions", "question"), ("matching", "matching"), ("other", "other")):
        train, test = set(words["train"][part]), set(words["test"][part])
        assert len(train) == len(words["train"][part]) and len(test) == len(words["test"][part])
        assert not train & test and frame[key] not in train | test
    for one in words.values():
        assert not set(one["matching"]) & set(one["other"])


def test_items_are_told_apart_spread_over_the_world_and_say_what_they_mean():
    items = draw_items("survival_instinct", 300, seed=1)
    assert len(set(items)) == 300 and items == draw_items("survival_instinct", 300, seed=1)
    assert {item.meaning for item in items} == {"resists shutdown"}
    assert len({item.id for item in items}) > 100 and {item.id for item in items} <= {c.id for c in concepts()}
    assert {item.matching for item in items} == set(behaviour_of("survival_instinct").wordings["test"]["matching"])
    with pytest.raises(SettingsError, match="no behaviour 'greed'"):
        draw_items("greed", 1, seed=0)
