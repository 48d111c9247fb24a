"""Annotation errors made on purpose (the paper's table 6): each function returns a changed copy of a labels frame.

The frame is that of `Lab.annotate`: `feature`, `summary`, `verdict`, `relevant`, `reason`; further columns stay as
they are. `share` of the rows in question is changed, rounded to a whole number, drawn with `seed`; `among` (feature
indices) restricts the draw. The paper names the perturbations without defining them. What its numbers say of them:
the Jaccard indices it prints for mislabelling, 0.8213 and 0.6654, are 193 / 235 and 171 / 257, which is what remains
when 21 and 43 (10 and 20 %) of its 214 missing features are exchanged for as many others: `swap_relevance` among the
features that the seed lacks. Its index is 1 for damaged summaries: verdicts stay, only what synthesis reads changes.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from fac_lab.errors import SettingsError


def swap_relevance(
    labels: pd.DataFrame, share: float, *, seed: int, among: Collection[int] | None = None
) -> pd.DataFrame:
    """A share of the relevant features become irrelevant, and as many irrelevant ones relevant.

    The number of relevant features stays as it is; where there are too few irrelevant ones, all those are taken.
    """
    allowed, relevant = _allowed(labels, among), labels.relevant.to_numpy(dtype=bool)
    dice = np.random.default_rng(seed)
    lost = _draw(np.flatnonzero(allowed & relevant), share, dice)
    others = np.flatnonzero(allowed & ~relevant)
    gained = dice.permutation(others)[: len(lost)]
    return _reverse(labels, np.concatenate([lost, gained]))


def flip_relevance(
    labels: pd.DataFrame, share: float, *, seed: int, among: Collection[int] | None = None
) -> pd.DataFrame:
    """A share of all verdicts, relevant or not, becomes its opposite. The irrelevant are more, so F grows."""
    return _reverse(labels, _draw(np.flatnonzero(_allowed(labels, among)), share, np.random.default_rng(seed)))


def truncate_summaries(
    labels: pd.DataFrame, share: float, *, seed: int, among: Collection[int] | None = None, keep: float = 0.5
) -> pd.DataFrame:
    """A share of the summaries loses its end: `keep` of its words stay, rounded up; one word stays as it is."""
    if not 0 < keep < 1:
        raise SettingsError(f"keep, the share of words that stay, lies between 0 and 1, not at {keep}")
    rows = _draw(_summarised(labels, among), share, np.random.default_rng(seed))
    summaries = labels.summary.to_numpy(dtype=object, copy=True)
    for row in rows:
        words = summaries[row].split()
        summaries[row] = " ".join(words[: int(np.ceil(keep * len(words)))])
    return labels.assign(summary=summaries)


def mismatch_summaries(
    labels: pd.DataFrame, share: float, *, seed: int, among: Collection[int] | None = None
) -> pd.DataFrame:
    """A share of the features gets another one's summary: summaries move in a circle, so none stays in place.

    A share of one row has nobody to exchange with and stays as it is. Features of equal summaries may, by chance,
    exchange those.
    """
    rows = _draw(_summarised(labels, among), share, np.random.default_rng(seed))
    summaries = labels.summary.to_numpy(dtype=object, copy=True)
    summaries[rows] = summaries[np.roll(rows, 1)]
    return labels.assign(summary=summaries)


def _reverse(labels: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    relevant = labels.relevant.to_numpy(dtype=bool, copy=True)
    relevant[rows] = ~relevant[rows]
    changed = {"relevant": relevant}
    if "verdict" in labels:
        verdict = labels.verdict.to_numpy(dtype=object, copy=True)
        verdict[rows] = np.where(relevant[rows], "Yes", "No")
        changed["verdict"] = verdict
    if "reason" in labels:
        reason = labels.reason.to_numpy(dtype=object, copy=True)
        reason[rows] = "reversed on purpose"
        changed["reason"] = reason
    return labels.assign(**changed)


def _draw(rows: np.ndarray, share: float, dice: np.random.Generator) -> np.ndarray:
    """A share of the rows in random order."""
    if not 0 <= share <= 1:
        raise SettingsError(f"a share of annotations lies in [0, 1], not at {share}")
    return dice.permutation(rows)[: int(np.floor(share * len(rows) + 0.5))]


def _allowed(labels: pd.DataFrame, among: Collection[int] | None) -> np.ndarray:
    if among is None:
        return np.ones(len(labels), dtype=bool)
    return labels.feature.isin(list(among)).to_numpy()


def _summarised(labels: pd.DataFrame, among: Collection[int] | None) -> np.ndarray:
    """Rows that have a summary."""
    return np.flatnonzero(_allowed(labels, among) & labels.summary.notna().to_numpy())
