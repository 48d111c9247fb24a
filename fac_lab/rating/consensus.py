"""What several raters say together: the paper's rule of table 5, and their agreement with its uncertainty."""

import math
from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from fac_lab.annotation.agreement import cohen_kappa, krippendorff_alpha, raw_agreement
from fac_lab.rating.answers import Ratings
from fac_lab.rating.sheet import Question

BOOTSTRAP_DRAWS = 400

Rows = Sequence[Sequence[str | None]]
"""Answers to one question, `[n_items, n_raters]`; None where a rater did not answer."""


class Consensus(NamedTuple):
    """How many items got which answer by the rule."""

    counts: dict[str, int]
    """By option, in the question's order."""
    n: int
    """Items with at least two answers: those that count."""
    waiting: int
    """Items with fewer."""

    def share(self, option: str) -> float:
        """Share of the items that count; NaN without any."""
        return self.counts[option] / self.n if self.n else math.nan


class Measured(NamedTuple):
    """A measure of agreement with its 95 % interval."""

    measure: str
    raters: tuple[str, ...]
    value: float
    low: float
    high: float
    """NaN where the measure does not exist."""
    n: int
    """Items that two or more of these raters answered."""


def rows_of(ratings: Ratings, question: str, raters: Sequence[str], items: Collection[str] | None = None) -> Rows:
    """The raters' standing answers to a question, `[n_items, n_raters]`, in the sheet's order.

    `items` are the ids to count, all where it is None.
    """
    ratings.sheet.question(question)
    given = [ratings.given(rater) for rater in raters]
    kept = [item.id for item in ratings.sheet.items if items is None or item.id in items]
    return [[answers.get((item, question)) for answers in given] for item in kept]


def verdict(answers: Sequence[str | None], question: Question) -> str | None:
    """Table 5's rule for one item: the answer that all give, else `question.otherwise`; None below two answers."""
    said = [answer for answer in answers if answer is not None]
    if len(said) < 2:
        return None
    return said[0] if len(set(said)) == 1 else question.otherwise


def consensus(rows: Rows, question: Question) -> Consensus:
    """The rule over all items. With more than two raters, one dissenting voice makes an item unclear."""
    verdicts = [verdict(row, question) for row in rows]
    counts = {option: verdicts.count(option) for option in question.options}
    return Consensus(counts, sum(counts.values()), verdicts.count(None))


def measure_agreement(rows: Rows, raters: Sequence[str], *, draws: int = BOOTSTRAP_DRAWS) -> list[Measured]:
    """Raw agreement and Cohen's kappa of every pair of raters, Krippendorff's alpha of all of them.

    Intervals are percentiles over `draws` resamplings of the items (seed 0). A resampling in which a measure does not
    exist, because all its answers are the same, is left out; at the edge (every item agreed on) the interval has no
    width, which is a limit of the method, not certainty.
    """
    found = []
    for a, b in combinations(range(len(raters)), 2):
        pairs = [(row[a], row[b]) for row in rows if row[a] is not None and row[b] is not None]
        both = (raters[a], raters[b])
        for name, measure in (("raw agreement", raw_agreement), ("Cohen's kappa", cohen_kappa)):
            found.append(_measured(name, both, pairs, lambda some, m=measure: m(*_columns(some)), draws))
    counted = [row for row in rows if sum(answer is not None for answer in row) > 1]
    found.append(_measured("Krippendorff's alpha", tuple(raters), counted, krippendorff_alpha, draws))
    return found


def _columns(rows: Rows) -> tuple[list, list]:
    return [row[0] for row in rows], [row[1] for row in rows]


def _measured(name: str, raters: tuple[str, ...], rows: Rows, measure: Callable[[Rows], float], draws: int) -> Measured:
    value = measure(rows)
    if not rows or math.isnan(value):
        return Measured(name, raters, math.nan, math.nan, math.nan, len(rows))
    dice = np.random.default_rng(0)
    drawn = [measure([rows[i] for i in dice.integers(len(rows), size=len(rows))]) for _ in range(draws)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Measured(name, raters, value, float(low), float(high), len(rows))
