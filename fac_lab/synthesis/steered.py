"""Synthesis without prompts: the subject writes users' queries while a missing feature is added to its stream.

What is added is what the SAE's decoder writes for an activation of the feature, the *strength*, in the same units as
delta. Too little changes nothing, too much and the text falls apart; between them the strength is looked for by
bisection, per feature, from one text each: all features take each step together, so a run is as many batches of
writing and of measuring as a feature has draws. Texts are written by the steered subject and measured in the
unsteered one, and every text of the search is a candidate. Adding a feature's direction to change what a model
writes follows Turner et al. 2023, "Activation addition: steering language models without optimization". It asks more
of a feature than prompts do: one that stands for what was read need not, when it is added, make the model write that.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from fac_lab.annotation.styles import Style
from fac_lab.digests import digest
from fac_lab.errors import DataError, ModelError
from fac_lab.features.perplexity import perplexity
from fac_lab.features.stats import EDGES, FeatureStats, snap
from fac_lab.features.subject import Subject
from fac_lab.settings import SteeringSynthesisSettings, SynthesisSettings
from fac_lab.synthesis.formats import QUERY, said_fault
from fac_lab.synthesis.samples import Sample, choose, kept
from fac_lab.synthesis.steering import Writer, directions

log = logging.getLogger(__name__)

CLOSE = 1.1
"""Bisection ends where a strength that is too small and one that is too large differ by this factor or less."""
_MEASURED_AT_ONCE = 256
_TINY = 1e-8

Measure = Callable[[Sequence[str], Sequence[int]], np.ndarray]
"""Texts and features -> pooled activations `[n_texts, n_features]`."""


class Goal(NamedTuple):
    """A feature to write for."""

    feature: int
    """Feature index."""
    relevant: bool
    """Whether it matters to the task: the label of what is written for it."""
    delta: float
    """Activation that a sample has to exceed."""
    usual: float
    """Its mean activation over the anchor texts that it is active in; NaN where there is none."""


def goals_for(
    features: Sequence[int], relevant: Sequence[bool], stats: FeatureStats, delta: float | np.ndarray
) -> list[Goal]:
    """The goals of some features: `stats` are the anchor's, `delta` is one threshold or `[d_sae]`."""
    asked = np.asarray(features, np.int64)
    if len(asked) and not 0 <= asked.min() <= asked.max() < stats.d_sae:
        raise DataError(f"features lie in 0 to {stats.d_sae - 1}, but {asked.min()} to {asked.max()} were asked for")
    deltas = np.broadcast_to(np.asarray(delta, np.float64), (stats.d_sae,))[asked]
    usual = mean_above(stats, asked, deltas)
    return [
        Goal(int(feature), bool(is_relevant), float(limit), float(mean))
        for feature, is_relevant, limit, mean in zip(asked, relevant, deltas, usual, strict=True)
    ]


def mean_above(stats: FeatureStats, features: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Mean pooled activation over the samples in which it exceeds `delta [n]`, float64 `[n]`; NaN where none does.

    As in `FeatureStats.mean_activation`, a value counts as its bin's geometric centre, the open bin at the top as
    its edge; thresholds are those at `snap(delta)`.
    """
    edges = EDGES.astype(np.float64)
    centres = np.append(np.sqrt(edges[:-1] * edges[1:]), edges[-1])
    centres[0] = edges[1] / 2
    counts = stats.histogram[features] * (edges >= np.asarray(snap(delta))[:, None])
    n = counts.sum(axis=1)
    return np.where(n > 0, counts @ centres / np.maximum(n, 1), np.nan)


class Search:
    """The strengths of `n` features, each looked for between one that is too small and one that is too large.

    Begins at `first`; doubles up to `most` while nothing is too large, halves while nothing is too small, then takes
    the geometric mean of both.
    """

    def __init__(self, first: np.ndarray, most: np.ndarray) -> None:
        self.strength = np.array(first, np.float64)
        """What to try next, `[n]`."""
        self.open = np.ones(len(self.strength), bool)
        """Features that are still looked for, `[n]`."""
        self._low = np.zeros(len(self.strength))
        self._high = np.full(len(self.strength), np.inf)
        self._most = np.asarray(most, np.float64)
        self._doubted = np.zeros(len(self.strength), bool)

    def close(self, rows: np.ndarray) -> None:
        """These features need no further text."""
        self.open[rows] = False

    def learn(self, rows: np.ndarray, too_large: np.ndarray, unclear: np.ndarray | None = None) -> None:
        """The last strength of features `rows` was too large, or else too small (bool `[n_rows]`).

        Where that is `unclear` (bool `[n_rows]`) it is tried once more; unclear twice running is too large. Closes
        features whose two bounds have met, and those for which the largest strength is too small.
        """
        unclear = np.zeros(len(rows), bool) if unclear is None else unclear & ~too_large
        too_large = too_large | (unclear & self._doubted[rows])
        self._doubted[rows] = unclear & ~too_large
        rows, too_large = rows[~self._doubted[rows]], too_large[~self._doubted[rows]]
        tried = self.strength[rows]
        self._high[rows] = np.where(too_large, np.minimum(tried, self._high[rows]), self._high[rows])
        self._low[rows] = np.where(too_large, self._low[rows], np.maximum(tried, self._low[rows]))
        low, high, most = self._low[rows], self._high[rows], self._most[rows]
        between = np.where(low > 0, np.sqrt(low * np.where(np.isfinite(high), high, 1.0)), high / 2)
        self.strength[rows] = np.where(np.isfinite(high), between, np.minimum(2 * low, most))
        met = (high <= CLOSE * low) | (~np.isfinite(high) & (low >= most))
        self.open[rows[met]] = False


def steer(
    goals: Sequence[Goal],
    *,
    subject: Subject,
    sae: Any,
    measure: Measure,
    settings: SteeringSynthesisSettings,
    sampling: SynthesisSettings,
    style: Style,
) -> list[Sample]:
    """All candidates of all goals, by goal and draw; kept ones flagged, the others with their reason.

    A feature is done with once a sound text of it reaches `settings.target` times its usual activation and exceeds
    its delta; else it is given up after `settings.draws` texts, or sooner where no strength is left to try. One that
    cannot be steered (no direction, or no anchor text that activates it) takes no draw: a single candidate without a
    text says why. A strength is too large where its text is less likely than `settings.perplexity_limit` allows;
    where the text is unsound for another reason, which may be chance, it is tried once more; else it is too small.
    Temperature, top-p, length and number of kept samples are those of `sampling`.

    Raises DataError for two goals of one feature; ModelError for a subject that cannot write, or that writes nothing
    even unsteered.
    """
    repeated = [feature for feature, n in Counter(goal.feature for goal in goals).items() if n > 1]
    if repeated:
        raise DataError(f"feature {repeated[0]} has more than one goal: pass each feature once")
    if not goals:
        return []
    writer = Writer(subject, sampling, prompt=settings.prompt, batch=settings.batch)
    run = _Run(goals, writer, directions(sae, [goal.feature for goal in goals]), measure, settings, style)
    samples = run.refused()
    if len(samples) < len(goals):
        limit = settings.perplexity_limit * usual_perplexity(writer, settings.unsteered_draws)
        for draw in range(settings.draws):
            samples += run.draw(draw, limit)
    place: dict[int | None, int] = {goal.feature: i for i, goal in enumerate(goals)}
    samples.sort(key=lambda sample: (place[sample.feature], sample.draw))
    samples = choose(samples, per_group=sampling.per_feature)
    reasons = Counter(sample.reason.split(":")[0] for sample in samples if not sample.kept)
    log.info("%d steered samples for %d features; others: %s", len(kept(samples)), len(goals), dict(reasons) or "none")
    return samples


def unsteered(n: int, *, writer: Writer, style: Style, label: int = 1, seed: int = 0) -> list[Sample]:
    """`n` candidates that the subject writes when it is left alone: the null of `steer`, nothing measured or chosen."""
    seeds = [_seed(writer.sampling, "unsteered", seed, draw) for draw in range(n)]
    samples = []
    for draw, (seed, draft) in enumerate(zip(seeds, writer.write(seeds), strict=True)):
        text = "" if draft.reason else draft.text
        made_by = {"model": _name(writer.subject), "seed": seed, "strength": 0.0, **_as_query(text)}
        reason = draft.reason or said_fault(text, QUERY, style, shown=(), instructions=())
        samples.append(Sample(None, text, label, step=0, draw=draw, reason=reason, **made_by))
    return samples


def usual_perplexity(writer: Writer, n: int) -> float:
    """Median perplexity of `n` texts that the subject writes unsteered.

    Raises ModelError where there is no text among them.
    """
    drafts = writer.write([_seed(writer.sampling, "unsteered", 0, draw) for draw in range(n)])
    found = perplexity(writer.subject, [draft.text for draft in drafts])
    if not np.isfinite(found).any():
        reasons = dict(Counter(draft.reason or "no token of its own" for draft in drafts))
        raise ModelError(
            f"{writer.subject.name} writes nothing by itself ({n} texts: {reasons}), so it cannot be steered to: set "
            "steered.prompt to a message that asks it for a query, raise synthesis.max_tokens, or fill the gap by "
            "prompts or from a pool"
        )
    return float(np.nanmedian(found))


class _Run:
    """Goals with their directions and the search for their strengths."""

    def __init__(
        self,
        goals: Sequence[Goal],
        writer: Writer,
        directions: torch.Tensor,
        measure: Measure,
        settings: SteeringSynthesisSettings,
        style: Style,
    ) -> None:
        self.goals = list(goals)
        self.writer, self.measure, self.style = writer, measure, style
        self.directions = directions
        usual = np.array([goal.usual for goal in goals])
        self.target = np.maximum(settings.target * usual, [goal.delta for goal in goals])
        self.search = Search(settings.start * usual, settings.most * usual)
        has_direction = directions.norm(dim=-1).cpu().numpy() > _TINY
        self._refusals = np.select(
            [~has_direction, ~(usual > 0)],
            ["cannot be steered: its row of the decoder is zero", "cannot be steered: no anchor text activates it"],
            "",
        )
        self.search.close(np.flatnonzero(self._refusals != ""))

    def refused(self) -> list[Sample]:
        """One candidate without a text for each goal that cannot be steered."""
        return [
            self._sample(row, "", draw=0, reason=str(self._refusals[row]))
            for row in np.flatnonzero(self._refusals != "").tolist()
        ]

    def draw(self, draw: int, limit: float) -> list[Sample]:
        """One text for each goal that is still open, measured and judged."""
        rows = np.flatnonzero(self.search.open)
        if not len(rows):
            return []
        strengths = self.search.strength[rows]
        vectors = self.directions[rows] * torch.from_numpy(strengths).to(self.directions)[:, None]
        seeds = [_seed(self.writer.sampling, self.goals[row].feature, draw) for row in rows]
        drafts = self.writer.write(seeds, vectors)
        surprise = perplexity(self.writer.subject, [draft.text for draft in drafts])
        texts = ["" if draft.reason else draft.text for draft in drafts]
        activations = self._activations(rows, texts)
        samples, unsound = [], np.zeros(len(rows), bool)
        for i, (row, draft) in enumerate(zip(rows.tolist(), drafts, strict=True)):
            reason = draft.reason or said_fault(texts[i], QUERY, self.style, shown=(), instructions=())
            if not reason and not surprise[i] <= limit:
                reason = f"unlikely: perplexity {surprise[i]:.4g} is above {limit:.4g}"
            unsound[i] = bool(reason)
            delta = self.goals[row].delta
            if not reason and not activations[i] > delta:
                reason = f"does not activate: {activations[i]:.4g} is not above {delta:.4g}"
            facts = {"seed": seeds[i], "strength": float(strengths[i]), "perplexity": float(surprise[i])}
            samples.append(
                self._sample(row, texts[i], draw=draw, reason=reason, activation=float(activations[i]), **facts)
            )
        reached = np.array([not sample.reason for sample in samples]) & (activations >= self.target[rows])
        self.search.close(rows[reached])
        self.search.learn(rows[~reached], surprise[~reached] > limit, unsound[~reached])
        return samples

    def _activations(self, rows: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Activation of each goal's own feature on its text, float64 `[n_rows]`; NaN of an empty text."""
        found = np.full(len(rows), np.nan)
        filled = np.flatnonzero([bool(text) for text in texts])
        for start in range(0, len(filled), _MEASURED_AT_ONCE):
            part: list[int] = filled[start : start + _MEASURED_AT_ONCE].tolist()
            features = [self.goals[row].feature for row in rows[part]]
            found[part] = np.diagonal(self.measure([texts[i] for i in part], features))
        return found

    def _sample(self, row: int, text: str, **facts: Any) -> Sample:
        goal = self.goals[row]
        made_by = {"model": _name(self.writer.subject), **_as_query(text)}
        return Sample(goal.feature, text, int(goal.relevant), step=0, **made_by, **facts)


def _as_query(text: str) -> dict[str, str]:
    return {"method": "steered", "parts": json.dumps({"query": text} if text else {}, ensure_ascii=False)}


def _name(subject: Subject) -> str:
    return f"{subject.name} ({subject.digest[:12]}), steered"


def _seed(sampling: SynthesisSettings, *what: Any) -> int:
    return int(digest("steered", sampling.seed, *what), 16) % 2**31
