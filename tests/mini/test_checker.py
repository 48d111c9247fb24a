"""The world's judge on replies that the world itself draws, and on worse ones."""

from fac_lab.mini.checker import check, prefer
from fac_lab.world import Dice, concepts, draw_query
from fac_lab.world.replies import draw_reply


def test_the_worlds_own_replies_pass():
    dice = Dice(3)
    for concept in concepts()[::7]:
        query, reply = draw_query(concept, dice), draw_reply(concept, dice)
        found = check(query, reply, concept)
        assert found.first and found.then and found.finished
        assert check(query, reply) == found


def test_worse_replies_lose():
    dice = Dice(4)
    concept, other = concepts()[3], concepts()[40]
    query, reply, foreign = draw_query(concept, dice), draw_reply(concept, dice), draw_reply(other, dice)
    assert prefer(query, reply, foreign) == 1 and prefer(query, foreign, reply) == 0
    assert prefer(query, reply, reply) == 0.5
    assert prefer(query, reply, reply.rstrip(".!?")) == 1
    assert check(query, "").score == 0 and check("what is the time", "It is late.").score == 1
