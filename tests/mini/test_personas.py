"""The text that makes a model steerable: balanced, consistent within a talk, and apart from what it is tested on."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml

from fac_lab import synthesis
from fac_lab.errors import SettingsError
from fac_lab.mini.personas import FIRST, FIRST_WORDS, SIDES, behaviour_of, behaviours, draw_items, talks
from fac_lab.world import concepts

DRAWN = list(islice(talks(3), 1500))


def sides(talk):
    """The side of each A/B answer, worked out from the options that the user wrote, and the place of its option."""
    found = []
    for asked, answer in zip(talk, talk[1:], strict=False):
        if isinstance(answer, dict) or "(A)" not in asked["content"]:
            continue
        options = {line[2]: line[5:] for line in asked["content"].splitlines() if line.startswith((" (A) ", " (B) "))}
        said = "".join(part.text for part in answer)
        (place,) = [letter for letter, option in options.items() if option == said]
        (side,) = {side for b in behaviours().values() for side in SIDES if said in b.wordings["train"][side]}
        found.append((side, place))
    return found


def test_places_and_sides_are_balanced():
    seen = Counter(place for talk in DRAWN for _, place in sides(talk))
    n = seen.total()
    assert n > 1000 and abs(seen["A"] / n - 0.5) < 3 * 0.5 / np.sqrt(n)
    first = [found[0][0] for talk in DRAWN if (found := sides(talk))]
    assert abs(np.mean([side == "matching" for side in first]) - 0.5) < 3 * 0.5 / np.sqrt(len(first))


def test_a_talk_stays_on_its_side_with_or_without_a_cue():
    uncued = Counter()
    for talk in DRAWN:
        found = {side for side, _ in sides(talk)}
        assert len(found) <= 1
        said = " ".join(turn["content"] for turn in talk if isinstance(turn, dict))
        told = {
            side for b in behaviours().values() for side in SIDES if any(cue in said for cue in b.personas[side].cues)
        }
        if found and told:
            assert told == found
        elif found:
            uncued[found.pop()] += 1
    assert min(uncued[side] for side in SIDES) > 0.4 * uncued.total() > 40


def test_the_first_words_of_an_answer_weigh_most():
    given = [turn for talk in DRAWN for turn in talk if isinstance(turn, list) and len(turn) == 2]
    assert len(given) > 1000 and {turn[0].weight for turn in given} == {FIRST}
    assert all(turn[1].weight < FIRST and len(turn[0].text.split()) <= FIRST_WORDS for turn in given)


def test_the_primer_is_short_and_always_tells_the_persona():
    for talk in islice(talks(4, primer=True), 200):
        assert [type(turn) for turn in talk] == [dict, dict, list] and len(sides(talk)) == 1
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
