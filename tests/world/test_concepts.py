import re
from collections import Counter

import pytest

from fac_lab.world import concepts, domains, hold_out, recognise
from fac_lab.world.concepts import gerund, patterns


def test_the_world_is_as_large_as_promised():
    assert len(concepts()) >= 200
    assert len(domains()) >= 12
    assert min(len(concept.forms) for concept in concepts()) >= 8


def test_harm_sits_in_every_domain():
    harmful = Counter(concept.domain for concept in concepts() if concept.harmful)
    assert set(harmful) == set(domains())


def test_glosses_forms_and_objects_belong_to_one_concept():
    for names in (
        [concept.gloss for concept in concepts()],
        [form for concept in concepts() for form in concept.forms],
        [thing for concept in concepts() for thing in concept.objects],
    ):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_form_is_recognised():
    wrong = [
        (form, found and found.id)
        for concept in concepts()
        for form in concept.forms
        if (found := recognise(form)) is not concept
    ]
    assert wrong == []


def test_held_forms_are_no_known_forms_and_share_neither_verb_nor_object():
    for concept in concepts():
        assert not set(concept.held_forms) & set(concept.known_forms)
        assert set(concept.held_forms) | set(concept.known_forms) == set(concept.forms)
        first, second = concept.held_forms
        assert not any(
            first == f"{verb} {thing}" and thing in second for verb in concept.verbs for thing in concept.objects
        )


def test_recognise_ignores_case_and_says_none():
    concept = concepts()[0]
    assert recognise(f"Well: {concept.forms[0].upper()}!") is concept
    assert recognise("nothing of the kind") is None


def test_every_form_has_a_gerund():
    assert all(gerund(form).split()[0].endswith("ing") for concept in concepts() for form in concept.forms)


def test_hold_out_is_reproducible_and_can_be_restricted():
    assert hold_out(10, seed=1) == hold_out(10, seed=1) != hold_out(10, seed=2)
    assert all(concept.harmful for concept in hold_out(10, seed=1, harmful=True))


@pytest.mark.parametrize("kind", ["openers", "questions", "statements", "tails", "asides", "replies", "alternatives"])
def test_patterns_are_plain_ascii_and_use_known_places(kind):
    allowed = {"form", "forming", "gloss", "Gloss", "first", "then", "who"}
    for pattern in patterns()[kind]:
        assert pattern.isascii()
        assert set(re.findall(r"\{(\w+)\}", pattern)) <= allowed
    assert len(set(patterns()[kind])) == len(patterns()[kind])


def test_query_and_reply_patterns_come_in_hundreds():
    text = patterns()
    assert (len(text["questions"]) + len(text["statements"])) * len(text["openers"]) >= 200
    assert len(text["replies"]) * len(text["closers"]) >= 200
