"""Which setting moves the result by how much, and is that more than luck moves it?

Every study of a setting trained the same detector from the same starting rows, over the same held-out sets and seeds,
only the setting's level changed. `LEVELS` says where each study is stored and what its levels are, the one in use
first; `reach_of` compares how far the means of the levels lie apart with how far they would if the levels meant
nothing: within each held-out set their runs are dealt anew among them.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations, product
from math import factorial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.errors import DataError

MOST_DEALS = 20_000
"""Deals are enumerated up to here, and drawn beyond."""
DRAWN_DEALS = 4_000


class Setting(NamedTuple):
    """Where the runs of one setting are, and what the paper printed for its levels."""

    result: str
    """Stored result."""
    by: str
    """Its column that tells the levels apart."""
    own: Any
    """The level in use elsewhere, from which differences are taken."""
    where: Mapping[str, Sequence[Any]] = {}
    """Rows to look at: allowed values by column."""
    paper: str | None = None
    """The paper's table in data/paper, where it prints AUPRC."""
    paper_value: str = "auprc"
    """Column of that table."""
    paper_by: str = ""
    """Its column of levels."""
    paper_own: Any = None
    """The level of it from which differences are taken."""
    paper_where: Mapping[str, Sequence[Any]] = {}
    """Its rows to look at."""


SETTINGS: dict[str, Setting] = {
    "what is written for": Setting(
        "representation", "arm", "missing features",
        where={"arm": ("missing features", "random features", "dense clusters", "plain")},
        paper="table12_representation", paper_by="representation", paper_own="sae_fac",
        paper_where={"representation": ("dense_clusters_coverage", "sae_random_features", "sae_fac")},
    ),
    "threshold delta, a quantile": Setting("threshold_sweep", "value", 0.8, where={"kind": ("quantile",)}),
    "threshold delta, the paper's": Setting("threshold_sweep", "value", 0.0, where={"kind": ("paper",)}),
    "dictionary width": Setting(
        "sae_sensitivity", "d_sae", 4096, where={"k": (3,), "share_trained": ("a quarter",)},
        paper="table07_sae_sensitivity", paper_by="dictionary_size", paper_own=65536, paper_where={"top_k": (20,)},
    ),
    "dictionary K": Setting(
        "sae_sensitivity", "k", 3, where={"d_sae": (4096,), "share_trained": ("a quarter",)},
        paper="table07_sae_sensitivity", paper_by="top_k", paper_own=20, paper_where={"dictionary_size": (65536,)},
    ),
    "dictionary's training": Setting(
        "sae_sensitivity", "share_trained", "all", where={"d_sae": (4096,), "k": (3,)}
    ),
    "layer": Setting("layer_sweep", "layer", 1, where={"name": ("layer 0", "layer 1", "layer 2")}),
    "share of the gap": Setting(
        "coverage_ratio", "ratio", 1.0, where={"budget": ("fixed total",)},
        paper="table09_coverage_ratio", paper_value="tox_auprc", paper_by="ratio_pct", paper_own=100,
    ),
    "samples a feature": Setting("per_feature", "per_feature", 1),
    "weights of FAC": Setting(
        "fac_variants", "variant", "binary", where={"budget": ("a share",), "order": ("most weight",)},
        paper="table11_fac_variants", paper_by="variant", paper_own="binary",
    ),
    "annotation errors": Setting(
        "label_noise", "level", "original 0",
        paper="table06_annotation_noise", paper_by="level", paper_own="original 0",
    ),
    "temperature": Setting(
        "temperature", "temperature", 0.8, where={"generator": ("mistral",)},
        paper="table04_generator_temperature", paper_value="llama_auprc", paper_by="temperature", paper_own=0.8,
    ),
    "one step or two": Setting(
        "baselines", "arm", "fac_two_step", where={"arm": ("fac_one_step", "fac_two_step"), "matched": ("samples",)}
    ),
}  # fmt: skip
"""By what is varied. Only levels of one study are compared, never levels of two."""


class Reach(NamedTuple):
    """How far a setting's levels lie apart."""

    levels: int
    sets: int
    """Held-out sets."""
    seeds: int
    """Training seeds of each."""
    low: float
    """Mean of the lowest level minus that of the one in use, over held-out sets, seeds averaged."""
    high: float
    """The same of the highest level."""
    low_level: str
    high_level: str
    by_chance: float
    """Range (high - low) that 95 % of deals of the runs among the levels do not exceed."""
    p: float
    """Share of deals with a range at least as large as that which was measured."""
    seed_sd: float
    """Standard deviation over training seeds, root mean square over sets and levels."""
    set_sd: float
    """Standard deviation over held-out sets of the level in use; NaN for one set."""

    @property
    def range(self) -> float:
        """From the lowest to the highest level."""
        return self.high - self.low


def runs_of(setting: Setting, frame: pd.DataFrame, value: str = "auprc") -> pd.DataFrame:
    """The setting's runs: `level`, `held_out_set`, `seed`, `value` (another column of `frame` in place of AUPRC), the
    level in use first. DataError where that level is absent."""
    frame = with_levels(frame)
    for column, allowed in setting.where.items():
        frame = frame[frame[column].isin(allowed)]
    runs = frame.assign(level=frame[setting.by], value=frame[value])[["level", "held_out_set", "seed", "value"]]
    if setting.own not in set(runs.level):
        raise DataError(f"result {setting.result} has no run at {setting.by} = {setting.own!r}: make it again")
    first = runs.level == setting.own
    return pd.concat([runs[first], runs[~first].sort_values("level", kind="stable")], ignore_index=True)


def with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """A stored result with the levels that two of its columns make: of annotation errors, kind and share; of
    dictionaries, how much of the profile's training they had. The paper's table of errors likewise."""
    if {"setting", "noise_pct"} <= set(frame.columns):
        frame = frame.assign(level=frame.setting + " " + frame.noise_pct.astype(int).astype(str))
    if "tokens" in frame:
        part = np.where(frame.tokens == frame.tokens.max(), "all", "a quarter")
        frame = frame.assign(share_trained=np.where(frame.tokens.isna(), "", part))
    return frame


def reach_of(runs: pd.DataFrame) -> Reach:
    """How far the levels of `runs` (`level`, `held_out_set`, `seed`, `value`; the level in use first) lie apart.

    Runs of one held-out set share its data, so that only their mean over seeds is dealt among its levels; all deals
    of the first set alike, because only the others' relative to it matter. Raises DataError for a level without one of
    the sets.
    """
    levels = runs.level.drop_duplicates().tolist()
    table = runs.groupby(["held_out_set", "level"])["value"].mean().unstack("level")[levels]
    if table.isna().any(axis=None) or len(levels) < 2:
        raise DataError(f"{len(levels)} levels, not all of them in every held-out set: their means do not compare")
    means = table.mean()
    spans = _dealt_ranges(table.to_numpy())
    measured = means.max() - means.min()
    within = runs.groupby(["held_out_set", "level"])["value"].var()
    return Reach(
        levels=len(levels),
        sets=len(table),
        seeds=runs.seed.nunique(),
        low=float(means.min() - means.iloc[0]),
        high=float(means.max() - means.iloc[0]),
        low_level=said(means.idxmin()),
        high_level=said(means.idxmax()),
        by_chance=float(np.quantile(spans, 0.95, method="higher")),
        p=float((spans >= measured - 1e-12).mean()),
        seed_sd=float(np.sqrt(within.mean())),
        set_sd=float(table.iloc[:, 0].std()),
    )


def said(level: Any) -> str:
    """A level as text: numbers without needless zeros."""
    return f"{level:g}" if isinstance(level, (int, float, np.number)) else str(level)


def _dealt_ranges(table: np.ndarray) -> np.ndarray:
    """Ranges of the means over sets when each set's values `[n_sets, n_levels]` are dealt anew among the levels."""
    first, others = table[0], table[1:]
    if factorial(table.shape[1]) ** len(others) <= MOST_DEALS:
        orders = [list(order) for order in permutations(range(table.shape[1]))]
        sums = [
            first + sum(row[order] for row, order in zip(others, deal, strict=True))
            for deal in product(orders, repeat=len(others))
        ]
    else:
        dice = np.random.default_rng(0)
        sums = [first + dice.permuted(others, axis=1).sum(axis=0) for _ in range(DRAWN_DEALS)]
    return np.ptp(np.array(sums), axis=1) / len(table)


def paper_levels(setting: Setting, printed: pd.DataFrame) -> pd.Series:
    """The paper's AUPRC by level, in [0, 1], the level in use first."""
    printed = with_levels(printed)
    for column, allowed in setting.paper_where.items():
        printed = printed[printed[column].isin(allowed)]
    values = printed.set_index(setting.paper_by)[setting.paper_value] / 100
    return values.reindex([setting.paper_own, *(level for level in values.index if level != setting.paper_own)])
