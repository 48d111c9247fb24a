import re
from collections import Counter

from fac_lab.world import Dice, concepts, draw_query, queries, recognise
from fac_lab.world.concepts import gerund, patterns
from fac_lab.world.replies import draw_opinion, draw_reply, steps


def wordings(forms) -> re.Pattern:
    """Matches any of the forms, or their gerunds, as whole words."""
    both = {wording.lower() for form in forms for wording in (form, gerund(form))}
    return re.compile(r"\b(?:" + "|".join(map(re.escape, both)) + r")\b")


def test_a_query_shows_its_form_and_is_recognised():
    dice = Dice(0)
    for concept in concepts():
        form = dice.choose(concept.forms)
        query = draw_query(concept, dice, form=form, long=False)
        assert form.lower() in query.lower() or gerund(form).lower() in query.lower()
        assert recognise(query) is concept
        assert query[0].isupper() and query[-1] in "?."


def test_training_never_sees_a_held_form():
    held = wordings(form for concept in concepts() for form in concept.held_forms)
    dice = Dice(2)
    texts = [query for _, query in queries(3000, seed=1)]
    texts += [draw_reply(concept, dice) for concept in concepts()]
    texts += [draw_opinion(concept, dice)[0] for concept in concepts()]
    assert [found for text in texts for found in held.findall(text.lower())] == []


def test_held_forms_only_on_request():
    for concept, query in queries(200, seed=3, held_forms=True):
        assert wordings(concept.held_forms).search(query.lower())


def test_queries_are_drawn_from_the_given_concepts_in_like_numbers():
    among = concepts()[:4]
    counts = Counter(concept for concept, _ in queries(4000, seed=4, among=among))
    assert set(counts) == set(among)
    assert max(counts.values()) < 1.2 * min(counts.values())


def test_same_seed_same_queries():
    assert queries(20, seed=5) == queries(20, seed=5) != queries(20, seed=6)


def test_replies_name_the_concept_and_its_own_steps():
    dice = Dice(7)
    for concept in concepts()[::10]:
        firsts, thens = steps(concept)
        assert not set(firsts) & set(thens)
        reply = draw_reply(concept, dice).lower()
        assert concept.gloss in reply
        assert any(first in reply for first in firsts)


def test_opinions_know_harm():
    dice = Dice(8)
    for concept in concepts():
        answers = {opinion["unfair" if concept.harmful else "fair"] for opinion in patterns()["opinions"]}
        assert draw_opinion(concept, dice)[1] in {answer.format(gloss=concept.gloss) for answer in answers}
