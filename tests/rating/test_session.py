"""A rater's way through a sheet."""

import pytest

from fac_lab.errors import DataError
from fac_lab.rating.session import Session


def answer_all(session):
    while session.step:
        session.give("yes")


def test_whoever_stopped_goes_on_from_there(ratings):
    session = Session(ratings, "Ann")
    first = session.step
    for answer in ("yes", "no", "unclear"):
        session.give(answer)
    again = Session(ratings, "ann ")
    assert again.position == 3 and again.step == session.step != first
    assert again.progress == (2, 6, 3, 12)
    answer_all(again)
    assert again.progress == (6, 6, 12, 12) and again.step is None
    assert Session(ratings, "Ann").step is None


def test_a_changed_answer_is_a_new_line(ratings):
    session = Session(ratings, "Ann")
    session.give("yes")
    session.back()
    assert session.answer == "yes"
    session.give("no")
    assert [line.answer for line in ratings.lines()] == ["yes", "no"]
    session.back()
    assert session.answer == "no"


def test_undo_restores_what_stood_before_by_a_new_line(ratings):
    session = Session(ratings, "Ann")
    start = session.step
    session.give("yes")
    session.back()
    session.give("no")
    session.undo()
    assert session.step == start and session.answer == "yes"
    session.undo()
    assert session.answer is None and not session.can_undo
    session.undo()
    assert [line.answer for line in ratings.lines()] == ["yes", "no", "yes", None]


def test_skipped_questions_come_back_before_the_end(ratings):
    session = Session(ratings, "Ann")
    skipped = session.step
    session.forward()
    while session.step != skipped:
        session.give("yes")
    session.give("no")
    assert session.step is None and session.progress.answered == 12


def test_moves_stop_at_both_ends(ratings):
    session = Session(ratings, "Ann")
    session.back()
    assert session.position == 0
    answer_all(session)
    session.forward()
    session.give("yes")
    assert session.step is None and len(ratings.lines()) == 12
    session.back()
    assert session.answer == "yes"


def test_answers_of_another_window_are_seen(ratings):
    here, there = Session(ratings, "Ann"), Session(ratings, "Ann")
    here.give("yes")
    there.forward()
    there.give("no")
    assert there.progress.answered == 2


def test_nothing_moves_where_saving_fails(ratings):
    session = Session(ratings, "Ann")
    with pytest.raises(DataError):
        session.give("perhaps")
    assert session.position == 0 and not session.can_undo


def test_a_session_needs_a_name(ratings):
    with pytest.raises(DataError):
        Session(ratings, " ")
