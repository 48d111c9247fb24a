"""What the study on real data comes to: which variant of FAC is chosen, and how closely AUPRC can be followed.

The functions take the frames of `real_correlation.Study`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fac_lab.errors import DataError

NAMES = ["anchor", "rule", "relevance", "weight"]
PAPER = ("train", "delta 0", "log odds", "feature")
"""Delta 0, one sample is enough, relevant features only: the paper's FAC, with labels in the place of its judge."""
Variant = tuple[str, str, str, str]


def variants(sets: pd.DataFrame, runs: pd.DataFrame, grid: pd.DataFrame) -> pd.DataFrame:
    """Every variant of FAC with its Pearson correlations with AUPRC, one row per variant and design.

    Columns: `anchor`, `rule`, `relevance`, `weight`, `design`; `choice`: over the block `choice`, on the first half of
    the test rows; `report` and `report_b`: over the block `report`, on all of them and on the other half; `mean` and
    `sd` of the FAC there. NaN where FAC is constant.
    """
    halves = runs.groupby("data_set")[["auprc", "auprc_a", "auprc_b"]].mean().loc[sets.data_set]
    parts = []
    for design in sets.design.unique():
        part = grid.columns.to_frame(index=False)[NAMES]
        part["design"] = design
        for name, block, outcome in (
            ("choice", "choice", "auprc_a"),
            ("report", "report", "auprc"),
            ("report_b", "report", "auprc_b"),
        ):
            inside = ((sets.design == design) & (sets.block == block)).to_numpy()
            part[name] = pearson(grid[inside].to_numpy(), halves[outcome].to_numpy()[inside])
        part["mean"], part["sd"] = grid[inside].mean().to_numpy(), grid[inside].std().to_numpy()
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def choose(table: pd.DataFrame, *, designs: Sequence[str] | None = None) -> Variant:
    """The variant of a table of `variants` that does best on the block `choice`: the largest mean over the designs
    (all if None) of Fisher's z. Random features take no part. Raises DataError where no variant has a correlation in
    all designs."""
    among = table[~table.relevance.str.startswith("random")]
    if designs is not None:
        among = among[among.design.isin(designs)]
    z = np.arctanh(among.choice.clip(-0.999999, 0.999999))
    mean = z.groupby([among[name] for name in NAMES], sort=False).agg(lambda part: part.mean(skipna=False))
    if not mean.notna().any():
        raise DataError("no variant of FAC varies over the data sets of every design: draw more of them")
    return mean.idxmax()


def named_variants(table: pd.DataFrame) -> dict[str, Variant]:
    """The variants that are told by name, those of them that the table has; one that is several goes by the first name.

    `fac_chosen`, and with other features in its place `fac_chosen_all`, `_log_odds`, `_probe` and `_random_1` to 5;
    `fac_paper`, and with all features `fac_paper_all`; `fac_equal`, the best that counts features alike; `fac_foreign`,
    the best with an anchor of another source; `fac_delta_...`, the paper's sweep.
    """
    anchor, rule, _, weight = chosen = choose(table)
    named = {"fac_chosen": chosen}
    for relevance in ("all", "log odds", "probe", *(f"random {i}" for i in range(1, 6))):
        named[f"fac_chosen_{relevance.replace(' ', '_')}"] = (anchor, rule, relevance, weight)
    named |= {"fac_paper": PAPER, "fac_paper_all": (PAPER[0], PAPER[1], "all", PAPER[3])}
    for delta in ("0.5", "1", "1.5", "2", "4"):
        named[f"fac_delta_{delta}"] = (PAPER[0], f"delta {delta}", *PAPER[2:])
    for name, part in (("equal", table[table.weight == "feature"]), ("foreign", table[table.anchor == "foreign"])):
        if len(part):
            named[f"fac_{name}"] = choose(part)
    present = set(table[NAMES].itertuples(index=False, name=None))
    told: dict[str, Variant] = {}
    for name, variant in named.items():
        if variant in present and variant not in told.values():
            told[name] = variant
    return told


def ceilings(runs: pd.DataFrame) -> pd.DataFrame:
    """How closely AUPRC can be followed at all, one row per design of the block `report`.

    `n`, `auprc`, `sd` over data sets; `seeds`: reliability of the mean over training seeds (see `reliability`);
    `halves`: correlation of AUPRC on two halves of the test rows, stepped up to the whole (Spearman and Brown). No
    measure can be expected to correlate by more than the square root of these.
    """
    rows = []
    told = runs[runs.block == "report"]
    for design, part in told.groupby("design", sort=False):
        scores = part.pivot(index="data_set", columns="seed", values="auprc")
        of_halves = part.groupby("data_set")[["auprc_a", "auprc_b"]].mean().to_numpy()
        r = pearson(of_halves[:, :1], of_halves[:, 1])[0]
        mean = scores.mean(axis=1)
        facts = {"design": design, "n": len(scores), "auprc": mean.mean(), "sd": mean.std()}
        rows.append(facts | {"seeds": reliability(scores.to_numpy()), "halves": 2 * r / (1 + r)})
    return pd.DataFrame(rows)


def reliability(scores: np.ndarray) -> float:
    """Share of the variance of row means of `scores [n, k]` that is no noise, where columns may differ in their mean:
    ICC(3, k) of Shrout and Fleiss (1979). NaN for fewer than two rows or columns, or where no row differs."""
    n, k = scores.shape
    if min(n, k) < 2:
        return float("nan")
    between = k * scores.mean(axis=1).var(ddof=1)
    rest = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    within = (rest**2).sum() / ((n - 1) * (k - 1))
    return float(1 - within / between) if between > 0 else float("nan")


def pearson(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation of each of `columns [n, k]` with `y [n]`; NaN for constant columns and those with a NaN."""
    if len(y) < 3:
        return np.full(columns.shape[1], np.nan)
    x, y = columns - columns.mean(axis=0), y - y.mean()
    below = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    varies = np.sqrt((x**2).mean(axis=0)) > 1e-12
    return np.where(varies, y @ x / np.where(varies, below, 1.0), np.nan)
