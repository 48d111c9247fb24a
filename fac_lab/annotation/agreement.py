"""How far raters agree: raw agreement, Cohen's kappa, Krippendorff's alpha, for categories without an order.

A rating is any hashable value; None and NaN are missing. Raw agreement is high by luck alone where nearly every
answer is the same, so that it never stands without what luck gives (`Agreement.by_chance`) or without kappa.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from fac_lab.errors import DataError


class Agreement(NamedTuple):
    """Two raters over the items that both of them rated."""

    n: int
    """Items that both rated."""
    raw: float
    """Share of these on which they agree."""
    by_chance: float
    """Share on which they would agree if each dealt out the same answers at random."""
    kappa: float
    """Cohen's kappa."""
    alpha: float
    """Krippendorff's alpha, nominal."""


def agreement(a: Sequence[Hashable], b: Sequence[Hashable]) -> Agreement:
    """All measures of two raters at once; numbers that do not exist are NaN (see the functions below)."""
    pairs = _pairs(a, b)
    return Agreement(len(pairs), raw_agreement(a, b), _by_chance(pairs), cohen_kappa(a, b), krippendorff_alpha(pairs))


def raw_agreement(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Share of the items rated by both on which the two say the same, in [0, 1]; NaN where there is no such item.

    `a[i]` and `b[i]` rate item i. Raises DataError where they are of different lengths.
    """
    pairs = _pairs(a, b)
    return sum(x == y for x, y in pairs) / len(pairs) if pairs else float("nan")


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Cohen's kappa `(p_o - p_e) / (1 - p_e)` over the items rated by both (Cohen 1960), at most 1.

    `p_o` is the raw agreement, `p_e` that of two raters who keep their shares of each answer and answer at random.
    NaN where no item is rated by both, or where both give one and the same answer throughout: then luck explains
    all, and there is nothing to correct. Raises DataError where they are of different lengths.
    """
    pairs = _pairs(a, b)
    by_chance = _by_chance(pairs)
    if not pairs or by_chance == 1:
        return float("nan")
    return (raw_agreement(a, b) - by_chance) / (1 - by_chance)


def krippendorff_alpha(ratings: Sequence[Sequence[Hashable]]) -> float:
    """Krippendorff's alpha for nominal ratings, any number of raters, with gaps (Krippendorff 2011), at most 1.

    `ratings` is `[n_items, n_raters]`, a list of lists or an array of objects; None or NaN is a missing rating.
    Items with fewer than two ratings say nothing and are left out. With `m` ratings of an item, each ordered pair of
    them counts `1 / (m - 1)`; alpha is `1 - D_o / D_e`, where `D_o` is the share of unequal pairs among these and
    `D_e` that among all pairs of ratings, whatever their item. NaN where no item has two ratings, or where all
    ratings are the same. Raises DataError where items have different numbers of places for ratings.
    """
    rows = [list(row) for row in ratings]
    if len({len(row) for row in rows}) > 1:
        raise DataError(
            f"items have {min(map(len, rows))} to {max(map(len, rows))} ratings; give every rater a place in each "
            "item, None where it did not rate it"
        )
    counted = [Counter(rating for rating in row if not _missing(rating)) for row in rows]
    counted = [counts for counts in counted if counts.total() > 1]
    totals = sum(counted, Counter())
    if len(totals) < 2:
        return float("nan")
    observed = sum(_unequal_pairs(counts) / (counts.total() - 1) for counts in counted)
    expected = _unequal_pairs(totals) / (totals.total() - 1)
    return 1 - observed / expected


def _unequal_pairs(counts: Counter) -> int:
    """Ordered pairs of two different values."""
    return counts.total() ** 2 - sum(count * count for count in counts.values())


def _by_chance(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    if not pairs:
        return float("nan")
    first, second = Counter(x for x, _ in pairs), Counter(y for _, y in pairs)
    # Integers until the end: two raters who say one thing throughout agree by chance in exactly 1.
    return sum(count * second[value] for value, count in first.items()) / len(pairs) ** 2


def _pairs(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[Hashable, Hashable]]:
    if len(a) != len(b):
        raise DataError(f"one rater has {len(a)} ratings and the other {len(b)}: give both a rating, or None, per item")
    return [(x, y) for x, y in zip(a, b, strict=True) if not (_missing(x) or _missing(y))]


def _missing(rating: Any) -> bool:
    return rating is None or rating != rating
