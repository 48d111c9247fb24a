"""Texts on which a summary is put to the test: held out, over the whole range of activations, with hard negatives.

After the manner of EleutherAI's delphi. None of the texts was shown to the namer. A text is a positive if it
activates the feature above the threshold, and a negative only if it does not activate it at all: what lies between
is neither.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_lab.annotation.explain import Explanation
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats

if TYPE_CHECKING:
    from fac_lab.features.trace import TokenTrace

NEIGHBOURS = 10
"""Features of the nearest decoder directions whose texts serve as hard negatives."""
POSITIVE, OTHER, NEIGHBOUR = "activating", "other", "neighbour"
RIGHT, WRONG = "right", "wrong"

TraceEach = Callable[[Sequence[str], Sequence[int]], list["TokenTrace"]]
"""Traces of `features[i]` along `texts[i]`, such as `Lab.trace_each`."""


class Case(NamedTuple):
    """One text of a test and the true answer."""

    feature: int
    kind: str
    """Detection: "activating", "other" (drawn from all texts that do not activate it) or "neighbour" (hard: it
    activates a feature of a near decoder direction). Fuzzing: "right" or "wrong"."""
    truth: bool
    """Whether the right answer is Yes."""
    sample_id: str
    value: float
    """Activation of the whole text."""
    text: str
    """The piece that is shown, `span_tokens` tokens at most."""
    mark: tuple[int, int]
    """Characters of `text` that are marked in fuzzing; of detection, where the piece was taken."""


class Draw(NamedTuple):
    """How many texts are drawn for each feature, and by which dice."""

    n: int = 5
    """Texts of each kind; fewer where there are not so many."""
    span_tokens: int = 32
    """Tokens of a piece."""
    seed: int = 0


DRAW = Draw()


def neighbours(decoder: np.ndarray, features: Sequence[int], k: int = NEIGHBOURS) -> np.ndarray:
    """The `k` features with the largest decoder cosine to each of `features`, nearest first, int64 `[n, k]`.

    `decoder` is `[d_sae, d_in]`; a feature without a direction (all zeros) is nobody's neighbour before others.
    """
    norms = np.linalg.norm(decoder, axis=1, keepdims=True)
    unit = decoder / np.maximum(norms, 1e-12)
    features = np.asarray(features, dtype=np.int64)
    cosine = unit[features] @ unit.T
    cosine[np.arange(len(features)), features] = -np.inf
    return np.argsort(-cosine, axis=1, kind="stable")[:, : min(k, len(decoder) - 1)]


class Held:
    """The texts of a data set that may test a feature's summary."""

    def __init__(self, stats: FeatureStats, texts: Mapping[str, str], delta: float | np.ndarray) -> None:
        """`texts` by sample id. Raises SettingsError where `stats` has no matrix, or texts are missing."""
        if stats.matrix is None:
            raise SettingsError("held-out texts need every text's activations: collect with keep_matrix=True")
        if absent := [sample_id for sample_id in stats.sample_ids if sample_id not in texts]:
            raise SettingsError(
                f"the data set lacks {len(absent)} texts of the statistics, e.g. {absent[0]!r}: give the corpus that "
                "they were collected from"
            )
        self._columns = stats.matrix.tocsc()
        self._ids = np.array(stats.sample_ids, dtype=object)
        self._texts = np.array([texts[sample_id] for sample_id in stats.sample_ids], dtype=object)
        self._delta = np.broadcast_to(np.asarray(delta, dtype=float), (stats.d_sae,))

    def text(self, row: int) -> str:
        """The text of a row."""
        return self._texts[row]

    def sample_id(self, row: int) -> str:
        """The id of a row."""
        return self._ids[row]

    def values(self, feature: int) -> np.ndarray:
        """The feature's activation on every text, float `[n_samples]`."""
        return self._columns[:, [feature]].toarray().ravel()

    def unseen(self, explanation: Explanation) -> np.ndarray:
        """Which rows the namer saw nothing of, bool `[n_samples]`: neither the sample nor the same text."""
        shown = np.isin(self._ids, [span.sample_id for span in explanation.spans_used])
        return ~(shown | np.isin(self._texts, self._texts[shown]))

    def activating(self, feature: int, free: np.ndarray, n: int, dice: np.random.Generator) -> np.ndarray:
        """Up to `n` rows above the threshold, one of each `n`-th part of their order, strongest part first."""
        values = self.values(feature)
        rows = np.flatnonzero(free & (values > self._delta[feature]))
        rows = rows[np.argsort(-values[rows], kind="stable")]
        return np.array([dice.choice(part) for part in np.array_split(rows, n) if len(part)], dtype=np.int64)

    def others(self, feature: int, free: np.ndarray, n: int, dice: np.random.Generator) -> np.ndarray:
        """Up to `n` rows, drawn from all that do not activate the feature."""
        rows = np.flatnonzero(free & (self.values(feature) <= 0))
        return dice.permutation(rows)[:n]

    def near(
        self, feature: int, near: Sequence[int], free: np.ndarray, n: int, dice: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Up to `n` pairs of a row and the neighbour that it activates, the feature itself being silent there.

        One row of each neighbour in turn, nearest neighbour first, until there are `n`.
        """
        free = free & (self.values(feature) <= 0)
        piles = [
            [(int(row), int(other)) for row in dice.permutation(np.flatnonzero(free & self._active(other)))[:n]]
            for other in near
        ]
        turns = [pile[turn] for turn in range(n) for pile in piles if turn < len(pile)]
        first = {row: other for row, other in reversed(turns)}
        return [(row, other) for row, other in dict.fromkeys(turns) if first[row] == other][:n]

    def _active(self, feature: int) -> np.ndarray:
        return self.values(feature) > self._delta[feature]


def detection_cases(
    explanations: Sequence[Explanation], held: Held, near: np.ndarray, trace_each: TraceEach, draw: Draw = DRAW
) -> list[Case]:
    """For each explanation with a summary: activating texts, others, and hard negatives, in random order.

    `near [n, k]` are the `neighbours` of each explanation's feature. A feature whose activating texts were all shown
    has no case. Pieces are taken at the peak; of hard negatives, at the neighbour's; of others, at a random token.
    """
    drawn: list[tuple[int, str, int, int]] = []
    for explanation, close in zip(explanations, near, strict=True):
        feature, free = explanation.feature, held.unseen(explanation)
        dice = np.random.default_rng([draw.seed, feature])
        positives = held.activating(feature, free, draw.n, dice) if explanation.summary is not None else ()
        if not len(positives):
            continue
        hard = held.near(feature, close, free, draw.n, dice)
        taken = free.copy()
        taken[[row for row, _ in hard]] = False
        found = [(feature, POSITIVE, int(row), feature) for row in positives]
        found += [(feature, NEIGHBOUR, row, other) for row, other in hard]
        found += [(feature, OTHER, int(row), feature) for row in held.others(feature, taken, draw.n, dice)]
        drawn += [found[i] for i in dice.permutation(len(found))]
    traces = trace_each([held.text(row) for _, _, row, _ in drawn], [at for *_, at in drawn])
    cases = []
    for (feature, kind, row, _), found in zip(drawn, traces, strict=True):
        place = _random_token(found, np.random.default_rng([draw.seed, feature, row])) if kind == OTHER else None
        span = found.span(draw.span_tokens, place)
        value = float(held.values(feature)[row])
        cases.append(Case(feature, kind, kind == POSITIVE, held.sample_id(row), value, span.text, span.peak))
    return cases


def fuzzing_cases(
    explanations: Sequence[Explanation], held: Held, trace_each: TraceEach, draw: Draw = DRAW
) -> list[Case]:
    """For each explanation with a summary: held-out activating texts, half with the peak marked, half another token.

    The wrong mark is a random token of the same piece at which the feature is not active. Each text occurs once.
    Texts whose peak lies in the chat template, where nothing can be marked, are left out.
    """
    drawn: list[tuple[int, int]] = []
    for explanation in explanations:
        dice = np.random.default_rng([draw.seed, explanation.feature, 1])
        if explanation.summary is not None:
            free = held.unseen(explanation)
            drawn += [
                (explanation.feature, int(row)) for row in held.activating(explanation.feature, free, 2 * draw.n, dice)
            ]
    traces = trace_each([held.text(row) for _, row in drawn], [feature for feature, _ in drawn])
    cases: list[Case] = []
    wrong: dict[int, bool] = {}
    for (feature, row), found in zip(drawn, traces, strict=True):
        # In turns down the order of activations, so that neither half has the strong ones.
        side = wrong.setdefault(feature, bool(np.random.default_rng([draw.seed, feature, 2]).integers(2)))
        case = _fuzzed(found, wrong=side, draw=draw, sample_id=held.sample_id(row), row=row)
        if case is not None:
            wrong[feature] = not side
            cases.append(case)
    order = np.random.default_rng(draw.seed).permutation(len(cases))
    return sorted((cases[i] for i in order), key=lambda case: case.feature)


def _fuzzed(found: "TokenTrace", *, wrong: bool, draw: Draw, sample_id: str, row: int) -> Case | None:
    peak = found.peak()
    if peak is None or not found.characters(peak).strip():
        return None
    span = found.span(draw.span_tokens)
    start = int(found.offsets[peak, 0]) - span.peak[0]
    mark = span.peak
    if wrong:
        silent = [(int(begin) - start, int(stop) - start) for begin, stop in found.offsets[_silent(found)]]
        inside = [place for place in silent if place[0] >= 0 and place[1] <= len(span.text)]
        if not inside:
            return None
        mark = inside[np.random.default_rng([draw.seed, span.feature, row]).integers(len(inside))]
    kind = WRONG if wrong else RIGHT
    return Case(span.feature, kind, not wrong, sample_id, span.value, span.text, mark)


def _silent(found: "TokenTrace") -> list[int]:
    """Tokens of the text, pooled and not of white space, at which the feature is not active."""
    quiet = np.flatnonzero(found.pooled & (found.values[:, 0] <= 0))
    return [token for token in quiet if found.characters(token).strip()]


def _random_token(found: "TokenTrace", dice: np.random.Generator) -> int | None:
    content = np.flatnonzero(found.pooled & (found.offsets[:, 0] < found.offsets[:, 1]))
    return int(dice.choice(content)) if len(content) else None
