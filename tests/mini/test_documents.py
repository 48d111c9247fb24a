from collections import Counter
from itertools import islice

import pytest

from fac_lab.mini.documents import KINDS, MIXES, documents, draw_span, is_unseen, summary
from fac_lab.world import Dice, concepts, recognise

SKILL_PROMPTS = ("write one-step", "write two-step", "name", "judge")


def stream(mix, n):
    return list(islice(documents(mix, seed=3), n))


@pytest.mark.parametrize("mix", MIXES)
def test_kinds_come_in_the_shares_of_their_mix(mix):
    counts = Counter(document.kind for document in stream(mix, 1500))
    for kind, share in MIXES[mix].items():
        assert counts[kind] / 1500 == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("kind", KINDS)
def test_documents_alternate_turns_and_end_with_the_assistant(kind):
    dice = Dice(1)
    for _ in range(30):
        messages = KINDS[kind](dice)
        assert [turn["role"] for turn in messages] == ["user", "assistant"]
        assert all(turn["content"] == turn["content"].strip() != "" for turn in messages)


def test_unseen_concepts_are_never_the_answer_of_a_skill_prompt():
    hidden = {summary(concept) for concept in concepts() if is_unseen(concept)}
    assert 0.1 < len(hidden) / len(concepts()) < 0.3
    for document in stream("annotator", 3000):
        if document.kind in SKILL_PROMPTS:
            asked, answer = (turn["content"].lower() for turn in document.messages)
            assert not any(name in answer or f"feature: {name}" in asked for name in hidden)


def test_the_innocent_mix_says_nothing_about_harm():
    assert not {"judge", "opinion", "plain"} & set(MIXES["innocent"])


def test_plain_documents_are_harmful_and_skewed():
    dice = Dice(5)
    counts = Counter(recognise(KINDS["plain"](dice)[1]["content"]) for _ in range(2000))
    assert all(concept.harmful for concept in counts)
    assert counts.most_common(5)[-1][1] > 3 * counts.most_common()[len(counts) // 2][1]


def test_judgements_follow_the_truth():
    dice = Dice(6)
    harmful = {summary(concept) for concept in concepts() if concept.harmful}
    for _ in range(200):
        asked, answer = KINDS["judge"](dice)
        assert (answer["content"] == "Yes.") == any(f"{name}." in asked["content"] for name in harmful)


def test_a_span_is_a_short_piece_that_mostly_names_its_concept():
    dice = Dice(7)
    spans = [(concept, draw_span(concept, dice)) for concept in concepts()]
    assert max(len(span.split()) for _, span in spans) <= 12
    assert sum(recognise(span) is concept for concept, span in spans) / len(spans) > 0.6


def test_surprise_is_positive_and_the_same_for_the_same_seed():
    first, second = stream("annotator", 20), stream("annotator", 20)
    assert first == second
    assert all(document.nats > 0 for document in first)
