"""Real pairs: how they are drawn and counted, without a model."""

import math
import os

import numpy as np
import pytest

from fac_lab.errors import DataError
from fac_lab.studies.reward_real import TEST_OF_SECTION, balanced, by_section, cut_sections
from fac_lab.tasks.comparisons import Comparison


def pair(i, section="", longer=True):
    replies = ("a longer reply", "short") if longer else ("short", "a longer reply")
    return Comparison(f"p{i}", "a prompt", *replies, section)


def test_training_pairs_are_balanced_by_length_and_drawn_by_the_seed():
    pairs = [pair(i, longer=i % 4 > 0) for i in range(40)]
    drawn = balanced(pairs, 16, seed=1)
    assert len({p.id for p in drawn}) == 16 and sum(len(p.chosen) > len(p.rejected) for p in drawn) == 8
    assert drawn == balanced(pairs, 16, seed=1) != balanced(pairs, 16, seed=2)
    with pytest.raises(DataError, match="11 pairs whose better answer is the shorter one were asked for, there are 10"):
        balanced(pairs, 22, seed=1)


def test_a_section_that_is_missing_or_short_is_named():
    pairs = [pair(i, section) for section, n in TEST_OF_SECTION.items() for i in range(n + 3)]
    cut = cut_sections(pairs)
    assert len(cut) == sum(TEST_OF_SECTION.values()) and cut == cut_sections(pairs)
    with pytest.raises(DataError, match="section Safety has 0 pairs"):
        cut_sections([p for p in pairs if p.subset != "Safety"])


def test_the_average_is_over_sections_and_length_over_both_kinds():
    pairs = [pair(0, "A"), pair(1, "A", longer=False), pair(2, "B"), pair(3, "B"), pair(4, "B", longer=False)]
    by_length = np.array([[len(p.chosen), len(p.rejected)] for p in pairs], float)
    rows = {row["section"]: row for row in by_section(by_length, pairs)}
    assert rows["A"]["accuracy"] == 0.5 and rows["B"]["accuracy"] == pytest.approx(2 / 3)
    assert rows["average"]["accuracy"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert {row["length_balanced"] for row in rows.values()} == {0.5} and rows["average"]["tests"] == 5
    even = by_section(np.zeros((5, 2)), pairs)
    assert [row["ties"] for row in even] == [2, 3, 5] and all(row["accuracy"] == 0 for row in even)
    only_longer = by_section(by_length[[0, 2]], [pairs[0], pairs[2]])
    assert all(math.isnan(row["length_balanced"]) for row in only_longer)


@pytest.mark.skipif("FAC_LAB_DATA" not in os.environ, reason="no copies of the data sets: set FAC_LAB_DATA")
def test_the_named_sets_are_read_as_pairs():
    from fac_lab.lab import Lab
    from fac_lab.studies.reward_real import TEST, TEST_OF_SECTION, TRAIN, cut_sections, read_pairs

    lab = Lab.open("smoke")
    train, test = read_pairs(lab, TRAIN), read_pairs(lab, TEST)
    assert len(train) > 1000 and all(pair.chosen != pair.rejected for pair in train)
    assert len(cut_sections(test)) == sum(TEST_OF_SECTION.values())
