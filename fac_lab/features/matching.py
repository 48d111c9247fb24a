"""Features of two models that mean the same: matched by what they do on the same texts.

Models differ in tokens, widths and dictionaries, so that feature 7 of one has nothing to do with feature 7 of another.
What they share is texts. With pooled activations `X [n, d_a]` and `Y [n, d_b]` of the same n texts, feature i of one
and j of the other are as alike as their columns,

    correlation  sum((x - mean x)(y - mean y)) / (n sd(x) sd(y))        cosine  sum(x y) / (|x| |y|)

and a feature's match is the most alike one of the other model. Some feature of thousands is always the most alike, so
a match means something only beside its null: the same with the texts of one side shuffled.

Products are sparse and taken in blocks of features: memory goes with the pairs of one block that share a text, time
with those of all blocks, and neither [d_a, d_b] nor a loop over features is ever made. A pair that shares no text has
no positive likeness and is never a match.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from fac_lab.errors import DataError, SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.shapes import Bool, Float, Int, size

WAYS = ("correlation", "cosine")
BLOCK = 1024
"""Features of the first model whose products are held at once."""
_TINY = 1e-12


class Matches(NamedTuple):
    """The most alike feature of the other model, for every feature of both."""

    best: Int[np.ndarray, " d_a"]
    """int64 `[d_a]`: the feature of b that is most alike to each of a; -1 where none is positively."""
    likeness: Float[np.ndarray, " d_a"]
    """float64 `[d_a]`: how alike it is, in (0, 1]; 0 where there is none."""
    back: Int[np.ndarray, " d_b"]
    """int64 `[d_b]`: the same the other way round."""
    likeness_back: Float[np.ndarray, " d_b"]
    """float64 `[d_b]`."""

    @property
    def mutual(self) -> Bool[np.ndarray, " d_a"]:
        """bool `[d_a]`: features that are the best match of their own best match."""
        found = np.flatnonzero(self.best >= 0)
        mutual = np.zeros(len(self.best), bool)
        mutual[found] = self.back[self.best[found]] == found
        return mutual

    @property
    def turned(self) -> "Matches":
        """The same with a and b exchanged."""
        return Matches(self.back, self.likeness_back, self.best, self.likeness)

    def pairs(self, above: float = 0.0) -> Int[np.ndarray, "n 2"]:
        """int64 `[n, 2]`: features of a and of b that are each other's best match, more alike than `above`."""
        a = np.flatnonzero(self.mutual & (self.likeness > above))
        return np.stack([a, self.best[a]], axis=1)


def match(a: sparse.spmatrix, b: sparse.spmatrix, *, how: str = "correlation", least: int = 1) -> Matches:
    """Match the features of `a [n_texts, d_a]` with those of `b [n_texts, d_b]`, activations of the same texts.

    `least`: a feature that is active on fewer texts is nobody's match and has none: two features that fire once agree
    wholly or not at all, and by luck often enough. So with features that never fire, and (for correlation) with those
    that are equally strong on every text. Of several equally alike features the first is taken. DataError where the
    numbers of texts differ or there are fewer than two, or an activation is negative or no number.
    """
    if how not in WAYS:
        raise SettingsError(f"features are matched by {' or '.join(WAYS)}, not by {how!r}")
    a, b = _columns(a, "a"), _columns(b, "b")
    (n, d_a), (n_b, d_b) = size(a), size(b)
    if n != n_b:
        raise DataError(f"{n} texts on one side and {n_b} on the other: collect the same corpus with both models")
    if n < 2:
        raise DataError(f"features are matched over texts, two at the very least; there are {n}")
    centre = how == "correlation"
    mean_a, scale_a = _scales(a, least, centre)
    mean_b, scale_b = _scales(b, least, centre)
    rows_of_b = b.tocsr()
    forth, back = _Best(d_a), _Best(d_b)
    for start in range(0, d_a, BLOCK):
        product = (a[:, start : start + BLOCK].T.tocsr() @ rows_of_b).tocoo()
        i, j = product.row.astype(np.int64) + start, product.col.astype(np.int64)
        alike = (product.data - n * mean_a[i] * mean_b[j]) * scale_a[i] * scale_b[j]
        real = alike > _TINY
        # Rounding would let features that agree wholly differ in the last digits, and ties go astray.
        i, j, alike = i[real], j[real], np.minimum(np.round(alike[real], 12), 1.0)
        forth.take(i, j, alike)
        back.take(j, i, alike)
    return Matches(forth.index, forth.value, back.index, back.value)


def match_stats(a: FeatureStats, b: FeatureStats, *, how: str = "correlation", least: int = 1) -> Matches:
    """`match` of two models' statistics, collected with `keep_matrix`; SettingsError where texts differ."""
    require_same_texts(a, b)
    assert a.matrix is not None and b.matrix is not None
    return match(a.matrix, b.matrix, how=how, least=least)


def require_same_texts(a: FeatureStats, b: FeatureStats) -> None:
    """Raise SettingsError unless both kept their matrix, of the same texts in the same order."""
    for stats in (a, b):
        if stats.matrix is None or stats.sample_ids is None:
            raise SettingsError("features are matched by activations: collect with keep_matrix=True")
    corpora = [sorted(stats.made_by.get("corpora", {})) for stats in (a, b)]
    if a.sample_ids != b.sample_ids or corpora[0] != corpora[1]:
        raise SettingsError(
            f"the statistics are of different texts ({a.n_samples:,} and {b.n_samples:,} samples, corpora {corpora[0]} "
            f"and {corpora[1]}): collect one corpus with both models"
        )


def null_likeness(
    a: sparse.spmatrix,
    b: sparse.spmatrix,
    *,
    shuffles: int = 5,
    seed: int = 0,
    how: str = "correlation",
    least: int = 1,
    within: Sequence[Hashable] | np.ndarray | None = None,
) -> list[Matches]:
    """What is matched where nothing can be: `match`, with the texts of b shuffled, so many times.

    `within [n_texts]` shuffles texts of one kind among themselves only: what is then left of a likeness is owed to the
    kind (a concept, say) and not to the single text.
    """
    if shuffles < 1:
        raise SettingsError(f"a null of {shuffles} shuffles says nothing: at least 1")
    dice = np.random.default_rng(seed)
    n, _ = size(b)
    kinds = np.zeros(n, np.int64) if within is None else np.unique(np.asarray(within), return_inverse=True)[1]
    if len(kinds) != n:
        raise DataError(f"{len(kinds)} kinds for {n} texts: give one for each")
    b = sparse.csr_matrix(b)
    home = np.argsort(kinds, kind="stable")
    found = []
    for _ in range(shuffles):
        order = np.empty(len(kinds), np.int64)
        # Sorted by kind and then by chance: the i-th text of a kind gets a random one of the same kind.
        order[home] = np.lexsort((dice.random(len(kinds)), kinds))
        found.append(match(a, b[order], how=how, least=least))
    return found


def null_quantile(null: Sequence[Matches], q: float) -> float:
    """The likeness that the share `q` of the null's best matches of a do not exceed; their maximum at q = 1.

    Features of a that have no match count only where they could have one, that is not at all: the quantile is over
    matches. 0 where there is none.
    """
    found = np.concatenate([one.likeness[one.best >= 0] for one in null]) if null else np.zeros(0)
    return float(np.quantile(found, q)) if len(found) else 0.0


def groups(
    members: Sequence[Int[np.ndarray, " _"]], links: dict[tuple[int, int], Int[np.ndarray, "_ 2"]]
) -> list[tuple[Int[np.ndarray, " _"], ...]]:
    """Features of several models that are one: connected by links between models.

    `members`: per model the features to be grouped, int `[n_m]`, each once. `links[i, j]`: pairs `[n, 2]` of a feature
    of model i and one of model j; pairs with a feature that is no member are left out. Returns one tuple per group, in
    the order of the first member: per model its features there, none being an empty array. A feature without a link
    is a group of its own.
    """
    sizes = [len(features) for features in members]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    total = int(starts[-1])
    # Where each feature stands among all members, -1 for none; one more place than features, for those beyond.
    reach = 2 + max((int(np.max(array)) for array in [*members, *links.values()] if np.size(array)), default=0)
    place = np.full((len(members), reach), -1, np.int64)
    for model, (features, start) in enumerate(zip(members, starts[:-1], strict=True)):
        place[model, np.asarray(features, np.int64)] = start + np.arange(len(features))
    ends = [np.zeros((2, 0), np.int64)]
    for (i, j), pairs in links.items():
        f, g = np.asarray(pairs, np.int64).reshape(-1, 2).T
        both = np.stack([place[i, f], place[j, g]])
        ends.append(both[:, (both >= 0).all(axis=0)])
    row, column = np.concatenate(ends, axis=1)
    graph = sparse.coo_matrix((np.ones(len(row)), (row, column)), shape=(total, total))
    n, group = connected_components(graph, directed=False)
    first = np.full(n, total)
    np.minimum.at(first, group, np.arange(total))
    inside = [group[start:stop] for start, stop in zip(starts[:-1], starts[1:], strict=True)]
    return [
        tuple(np.asarray(features)[of == g] for features, of in zip(members, inside, strict=True))
        for g in np.argsort(first)
    ]


class _Best:
    """The largest value per index so far, and whose it is; of equal ones the smallest."""

    def __init__(self, n: int) -> None:
        self.index = np.full(n, -1, np.int64)
        self.value = np.zeros(n)

    def take(self, row: Int[np.ndarray, " n"], other: Int[np.ndarray, " n"], value: Float[np.ndarray, " n"]) -> None:
        """Further pairs of `row` and `other`; every `other` is larger than, or not of, those taken before."""
        largest = np.zeros_like(self.value)
        np.maximum.at(largest, row, value)
        first = np.full(len(self.index), np.iinfo(np.int64).max)
        hit = value == largest[row]
        np.minimum.at(first, row[hit], other[hit])
        better = largest > self.value
        self.value[better], self.index[better] = largest[better], first[better]


def _columns(matrix: sparse.spmatrix, name: str) -> sparse.csc_matrix:
    found = sparse.csc_matrix(matrix, dtype=np.float64)
    found.eliminate_zeros()
    if not np.isfinite(found.data).all() or (found.data < 0).any():
        raise DataError(f"activations of side {name} hold negative values or values that are no number")
    return found


def _scales(
    columns: sparse.csc_matrix, least: int, centre: bool
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Mean to be taken off each column (0 for the cosine), and one over its length then; 0 for columns left out."""
    n, d = size(columns)
    mean = np.asarray(columns.sum(axis=0)).ravel() / n if centre else np.zeros(d)
    square = np.asarray(columns.multiply(columns).sum(axis=0)).ravel()
    length = np.sqrt(np.maximum(square - n * mean**2, 0))
    real = (length > 1e-6 * np.sqrt(square)) & (np.diff(columns.indptr) >= max(least, 1))
    return mean, np.where(real, 1 / np.where(real, length, 1), 0.0)
