"""The main table beside the paper's: means and spreads, paired tests against our method, the order of methods."""

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fac_lab.display.tables import paired_differences, paper_table
from fac_lab.errors import DataError

PAPER = "table01_main"
SPREAD_OF = {"if_lc": "if_sd", "if_wr": "if_sd"}
"""Columns whose spread the paper prints under another name than theirs."""


def measured(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per measure of the paper's table and method: `mean` over held-out sets of the means over seeds,
    `sd_seeds` (mean over sets of the standard deviation over seeds), `sd_sets` (of the sets' means), `sets`, `seeds`,
    `added` (mean number of samples), and what the paper printed: `paper`, `paper_sd`.

    `cells` as `studies.main_table` makes them. A spread of one value is NaN. Raises DataError for a cell without
    value: a table with holes would be read as whole.
    """
    if cells.value.isna().any():
        first = cells[cells.value.isna()].iloc[0]
        raise DataError(f"{cells.value.isna().sum()} cells have no value, first {first.method}, {first.measure}")
    printed = paper_table(PAPER).set_index("method")
    rows = []
    for (measure, method), group in cells.groupby(["measure", "method"], sort=False):
        if measure not in printed or measure == "if_sd":
            continue
        by_set = group.groupby("held_out_set").value
        spread = SPREAD_OF.get(measure, f"{measure}_sd")
        rows.append(
            {
                "measure": measure,
                "method": method,
                "mean": by_set.mean().mean(),
                "sd_seeds": by_set.std().mean(),
                "sd_sets": by_set.mean().std(),
                "sets": group.held_out_set.nunique(),
                "seeds": group.seed.nunique(),
                "added": group.added.mean(),
                "paper": printed[measure].get(method, np.nan),
                "paper_sd": printed[spread].get(method, np.nan) if spread in printed else np.nan,
            }
        )
    return pd.DataFrame(rows)


def tested(cells: pd.DataFrame, *, ours: str = "FAC Synthesis", level: float = 0.05) -> pd.DataFrame:
    """Every method minus ours in every measure, paired by held-out set and seed: `mean`, `low`, `high` (95 %), `n`
    sets, `better` (sets in which the other method was ahead), `p` of Student's t over sets, `p_holm` corrected for
    all comparisons of the table (Holm 1979), `differs` at `level`.

    Where all differences are 0 p is 1; with one set there is none (NaN), and nothing differs.
    """
    rows = []
    for measure, group in cells.rename(columns={"method": "arm"}).groupby("measure", sort=False):
        if measure not in paper_table(PAPER) or measure == "if_sd":
            continue
        found = paired_differences(group, ours, value="value")
        rows.append(found.rename(columns={"arm": "method"}).assign(measure=measure))
    frame = pd.concat(rows, ignore_index=True)
    error = frame["sd"] / np.sqrt(frame["n"])
    t = np.divide(frame["mean"].abs(), error, out=np.where(frame["mean"] == 0, 0.0, np.inf), where=error > 0)
    frame["p"] = np.where(frame["n"] > 1, 2 * stats.t.sf(t, np.maximum(frame["n"] - 1, 1)), np.nan)
    known = frame.p.notna()
    frame["p_holm"] = np.nan
    if known.any():
        frame.loc[known, "p_holm"] = multipletests(frame.p[known], alpha=level, method="holm")[1]
    frame["differs"] = frame.p_holm < level
    return frame[["measure", "method", "mean", "low", "high", "n", "better", "p", "p_holm", "differs"]]


def order(means: pd.DataFrame) -> pd.DataFrame:
    """How far our order of methods is the paper's, by measure: `spearman` (NaN where one side is all ties), `agree`
    and `pairs`, the pairs of methods that both order the same way, of those that neither ties; and the place of our
    method from the top, `place` and `paper_place`."""
    rows = []
    for measure, group in means.groupby("measure", sort=False):
        both = group.dropna(subset=["mean", "paper"])
        ours, theirs = both["mean"].to_numpy(), both["paper"].to_numpy()
        upper = np.triu_indices(len(both), 1)
        signs = np.sign(np.subtract.outer(ours, ours))[upper], np.sign(np.subtract.outer(theirs, theirs))[upper]
        ordered = (signs[0] != 0) & (signs[1] != 0)
        varied = len(np.unique(ours)) > 1 and len(np.unique(theirs)) > 1
        fac = both.method.eq("FAC Synthesis").to_numpy()
        rows.append(
            {
                "measure": measure,
                "spearman": stats.spearmanr(ours, theirs).statistic if varied else np.nan,
                "agree": int((signs[0] == signs[1])[ordered].sum()),
                "pairs": int(ordered.sum()),
                "place": int((ours > ours[fac][0]).sum()) + 1 if fac.any() else pd.NA,
                "paper_place": int((theirs > theirs[fac][0]).sum()) + 1 if fac.any() else pd.NA,
            }
        )
    return pd.DataFrame(rows)


def wide(means: pd.DataFrame) -> pd.DataFrame:
    """The table as the paper lays it out, a row per method, ours beside the paper's, as text: mean and the spread over
    seeds; of the paper what it printed."""
    frame = pd.DataFrame({"method": means.method.drop_duplicates()})
    for measure, group in means.groupby("measure", sort=False):
        rows = group.set_index("method").loc[frame.method]
        frame[measure] = [_number(mean, sd) for mean, sd in zip(rows["mean"], rows.sd_seeds, strict=True)]
        frame[f"{measure}, paper"] = [_number(mean, sd) for mean, sd in zip(rows.paper, rows.paper_sd, strict=True)]
    return frame


def _number(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.1f}" if np.isnan(sd) else f"{mean:.1f} ± {sd:.1f}"
