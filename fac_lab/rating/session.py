"""One rater's way through a sheet: where they are, what is answered, back and undo. No widgets here."""

from typing import NamedTuple

from fac_lab.rating.answers import Given, Ratings
from fac_lab.rating.sheet import Item, Question, rater_id


class Step(NamedTuple):
    """One question about one item."""

    item: Item
    question: Question


class Progress(NamedTuple):
    """How far a rater has come."""

    item: int
    """Number of the item on the screen in this rater's order, from 1; the last one's at the end."""
    n_items: int
    answered: int
    """Questions answered, over all items."""
    n_steps: int


class Session:
    """A rater at a sheet. Begins at the first unanswered question, so whoever stopped goes on from there."""

    def __init__(self, ratings: Ratings, rater: str) -> None:
        rater_id(rater)
        self.ratings, self.rater = ratings, rater
        self.steps = [
            Step(item, question) for item in ratings.sheet.order(rater) for question in ratings.sheet.questions
        ]
        self._given: Given = ratings.given(rater)
        self._done: list[tuple[int, str | None]] = []
        self.position = self._first_open()

    @property
    def step(self) -> Step | None:
        """What is on the screen; None at the end."""
        return self.steps[self.position] if self.position < len(self.steps) else None

    @property
    def answer(self) -> str | None:
        """The standing answer to what is on the screen."""
        return self._standing(self.position) if self.step else None

    @property
    def progress(self) -> Progress:
        n_questions = len(self.ratings.sheet.questions)
        n_items = len(self.ratings.sheet.items)
        answered = sum(self._standing(position) is not None for position in range(len(self.steps)))
        return Progress(min(self.position // n_questions + 1, n_items), n_items, answered, len(self.steps))

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    def give(self, answer: str) -> None:
        """Save an answer to what is on the screen and go on: from a changed answer to the next question, from a new
        one to the next that is open. Nothing moves where saving fails."""
        if self.step is None:
            return
        before = self.answer
        self._save(self.position, answer)
        self._done.append((self.position, before))
        if before is None:
            self.position = self._first_open(self.position)
        else:
            self.forward()

    def undo(self) -> None:
        """Take back the last answer of this sitting, by a new line that restores what stood before."""
        if not self._done:
            return
        position, before = self._done[-1]
        self._save(position, before)
        self._done.pop()
        self.position = position

    def back(self) -> None:
        """To the question before."""
        self.position = max(0, self.position - 1)

    def forward(self) -> None:
        """To the next question, answered or not; from the last one to the first that is open, or to the end."""
        last = self.position >= len(self.steps) - 1
        self.position = self._first_open() if last else self.position + 1

    def _standing(self, position: int) -> str | None:
        item, question = self.steps[position]
        return self._given.get((item.id, question.name))

    def _first_open(self, start: int = 0) -> int:
        """The first open question from `start` on, and round to it; the end where none is."""
        n = len(self.steps)
        return next((i % n for i in range(start, start + n) if self._standing(i % n) is None), n)

    def _save(self, position: int, answer: str | None) -> None:
        item, question = self.steps[position]
        self.ratings.record(self.rater, item.id, question.name, answer)
        # Read back, because the same rater may be answering in another window.
        self._given = self.ratings.given(self.rater)
