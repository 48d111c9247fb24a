"""The methods, without asking or training anything."""

from types import SimpleNamespace

import pytest

from fac_lab.display.tables import paper_table
from fac_lab.errors import SettingsError
from fac_lab.studies.baselines import MEASURE_OF_SIZE
from fac_lab.studies.methods import ARMS, METHODS, Written, from_samples, write
from fac_lab.synthesis.baselines import BASELINES
from fac_lab.synthesis.samples import Sample
from fac_lab.world import hold_out, recognise


def sample(text, reason=""):
    return Sample(None, text, 1, 1, 0, kept=not reason, reason=reason, parts='{"query": "a"}')


def test_the_arms_are_those_of_the_issue():
    assert list(ARMS)[0] == "none" and list(ARMS)[-1] == "oracle" and MEASURE_OF_SIZE in ARMS
    assert set(BASELINES) < set(ARMS) and len(ARMS) == 7 + 6 + 4


def test_reasons_are_counted_without_their_numbers():
    samples = [sample("a"), sample("b", "2 words, not 3 to 60"), sample("c", "61 words, not 3 to 60"), sample("d", "x")]
    assert from_samples(samples) == Written(["a"], 4, "2 x N words, not N to N; 1 x x", ({"query": "a"},))
    rouge = [sample("b", f"not new: ROUGE-L 0.{i} with one of the pool") for i in range(71, 80)]
    assert from_samples(rouge) == Written([], 9, "9 x not new: ROUGE-L N with one of the pool")
    assert from_samples([]) == Written([], 0, "")


def test_the_oracle_knows_what_was_held_out_and_none_adds_nothing():
    gap = SimpleNamespace(held_out=hold_out(5, seed=3, harmful=True))
    made = ARMS["oracle"](None, None, gap, 12, 0, task="toxicity")
    assert len(made.texts) == 12 and {recognise(text) for text in made.texts} <= set(gap.held_out)
    assert ARMS["none"](None, None, gap, 12, 0, task="toxicity") == Written([])


def test_the_methods_are_the_rows_of_the_papers_table_and_each_has_its_arm():
    assert list(METHODS) == paper_table("table01_main").method.tolist()
    assert set(METHODS.values()) - set(ARMS) == {"full"}


def test_write_names_what_it_does_not_know_and_full_writes_nothing():
    assert write(None, None, None, "full", 5, 0) == write(None, None, None, "none", 5, 0) == Written([])
    with pytest.raises(SettingsError, match="no arm 'magpi'.*magpie"):
        write(None, None, None, "magpi", 5, 0)
