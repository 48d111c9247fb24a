"""Part-of-speech tags by HanTa, dependency relations by whatever parser is given."""

import importlib.util
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_lab.diversity.syntax import dependency_entropy, pos_distinct, pos_tags, spacy_parser
from fac_lab.errors import ModelError

without_spacy = pytest.mark.skipif(importlib.util.find_spec("spacy") is not None, reason="spaCy is installed")


def test_tags_of_a_sentence():
    (tags, none) = pos_tags(["The dog quickly eats seven bones.", ""])
    assert tags == ["AT0", "NN1", "AV0", "VVZ", "CRD", "NN2", "PUN"]
    assert none == []


def test_patterns_count_and_words_do_not():
    """Six sentences of one pattern are as diverse as one of them: its bigrams, seen six times."""
    one = ["The dog sees a house ."]
    many = [f"The {a} sees a {b} ." for a in ("dog", "girl") for b in ("house", "tree", "river")]
    assert pos_distinct(many) == pytest.approx(pos_distinct(one) / 6)
    assert pos_distinct([*many[:5], "Where did they quickly run , and why ?"]) > pos_distinct(many)
    assert pos_distinct(one * 2) == pytest.approx(pos_distinct(one) / 2)
    assert pos_distinct(many[::-1]) == pos_distinct(many)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_text_can_be_tagged(texts):
    value = pos_distinct(texts)
    assert math.isnan(value) or 0 < value <= 1


def test_long_strings_cost_no_more_than_words():
    (tags,) = pos_tags(["see https://example.org/" + "a1b2" * 5000])
    assert len(tags) < 12


def test_nothing_to_tag():
    assert pos_distinct([]).reason == pos_distinct(["", "x"]).reason == "no text holds 2 words or punctuation marks"


def test_relations_of_a_given_parser():
    """Four relations, one of them twice."""
    table = {"a": ["nsubj", "root"], "b": ["det", "nsubj"], "": []}
    value = dependency_entropy(["a", "b", ""], lambda texts: (table[text] for text in texts))
    assert value == pytest.approx(-(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25)))
    assert dependency_entropy(["", ""], lambda texts: ([] for _ in texts)).reason == "no text holds a word"


@without_spacy
def test_without_a_parser_there_is_no_number():
    value = dependency_entropy(["a b c"])
    assert (
        math.isnan(value) and value.reason.startswith("not available: no dependency parser") and "pip" in value.reason
    )
    with pytest.raises(ModelError, match="pip install spacy"):
        spacy_parser("en_core_web_sm")
