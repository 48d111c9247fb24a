"""Numbers with their spread and sample size, and frames as HTML with every cell escaped."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.errors import ArtifactError, DataError
from fac_lab.profile import project_root

BOOTSTRAP_DRAWS = 10_000


class Estimate(NamedTuple):
    """A mean with its spread and a confidence interval for it."""

    mean: float
    sd: float
    """Sample standard deviation (n - 1); NaN for one value."""
    low: float
    high: float
    """Ends of the interval; NaN where the values say nothing about their spread (n < 2)."""
    n: int

    def __str__(self) -> str:
        return mean_sd(self.mean, self.sd, self.n)


def estimate(values: Sequence[float], *, level: float = 0.95, method: str = "t") -> Estimate:
    """Mean of independent values with a two-sided interval.

    "t": Student's t, right for few values that are roughly normal. "bootstrap": percentiles of resampled
    means (10,000 draws, fixed seed), for skewed values; too narrow below about ten of them. Raises DataError
    where there is no value, or NaN among them.
    """
    values = np.asarray(values, float)
    n = len(values)
    if n == 0 or np.isnan(values).any():
        raise DataError(f"a mean of {n} values, NaN among them or none at all: drop missing values first")
    mean, sd = float(values.mean()), float(values.std(ddof=1)) if n > 1 else math.nan
    if method == "t":
        # Imported here: it takes a second, and most who show tables show no interval.
        from scipy.stats import t

        half = t.ppf(0.5 + level / 2, n - 1) * sd / math.sqrt(n) if n > 1 else math.nan
        return Estimate(mean, sd, mean - half, mean + half, n)
    if method == "bootstrap":
        if n == 1:
            return Estimate(mean, sd, math.nan, math.nan, n)
        draws = np.random.default_rng(0).choice(values, (BOOTSTRAP_DRAWS, n)).mean(axis=1)
        low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
        return Estimate(mean, sd, float(low), float(high), n)
    raise DataError(f'an interval is made by "t" or "bootstrap", not by {method!r}')


def mean_sd(mean: float, sd: float, n: int, *, digits: int = 3) -> str:
    """ "0.512 ± 0.031 (n = 15)"; without the ± where there is one value."""
    spread = "" if math.isnan(sd) else f" ± {sd:.{digits}f}"
    return f"{mean:.{digits}f}{spread} (n = {n})"


def summarise_arms(runs: pd.DataFrame, *, value: str = "auprc") -> pd.DataFrame:
    """One row per arm, in order of appearance: `arm`, `mean`, `sd`, `n` over all runs."""
    rows = []
    for arm, group in runs.groupby("arm", sort=False):
        found = estimate(group[value])
        rows.append({"arm": arm, "mean": found.mean, "sd": found.sd, "n": found.n})
    return pd.DataFrame(rows)


def paired_differences(
    runs: pd.DataFrame,
    baseline: str,
    *,
    value: str = "auprc",
    unit: str = "held_out_set",
    level: float = 0.95,
    method: str = "t",
) -> pd.DataFrame:
    """Each arm minus `baseline`, paired by `unit` and `seed`.

    Training seeds of one held-out set share its data, so they are averaged first and the interval is one over
    units: taking every run as independent would make it too narrow. Columns: `arm`, `mean`, `sd`, `low`,
    `high`, `n` (units), `better` (units in which the arm was ahead). DataError where a run lacks its partner.
    """
    table = runs.pivot(index=[unit, "seed"], columns="arm", values=value)
    if baseline not in table:
        raise DataError(f"no run of the baseline {baseline!r}; arms: {', '.join(map(str, table.columns))}")
    if table.isna().any(axis=None):
        gaps = table.isna().any(axis=1)
        first, seed = gaps.idxmax()
        raise DataError(f"{gaps.sum()} of {len(gaps)} pairs lack an arm, first {unit} {first}, seed {seed}: run them")
    rows = []
    for arm in [arm for arm in runs["arm"].unique() if arm != baseline]:
        per_unit = (table[arm] - table[baseline]).groupby(level=0).mean()
        found = estimate(per_unit, level=level, method=method)
        rows.append({"arm": arm, **found._asdict(), "better": int((per_unit > 0).sum())})
    return pd.DataFrame(rows, columns=["arm", "mean", "sd", "low", "high", "n", "better"])


def to_html(
    frame: pd.DataFrame,
    *,
    caption: str | None = None,
    formats: Mapping[str, Callable[[Any], str] | str] | None = None,
) -> str:
    """An HTML table without the index; every header, cell and the caption escaped.

    `formats` maps a column to a format such as ".3f", or to a function of the cell. Other floats get three
    decimals, integers thousands separators, missing values a dash. Columns of numbers are aligned right.
    """
    formats = formats or {}
    numeric = {name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])}
    # Written at the cell, because notebooks align all cells right and drop style sheets they do not trust.
    start = ' dir="auto" style="text-align: left"'
    align = {name: ' class="number"' if name in numeric else start for name in frame.columns}
    head = "".join(f"<th{align[name]}>{escape(str(name))}</th>" for name in frame.columns)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{align[name]}>{escape(_cell(value, formats.get(name)))}</td>"
            for name, value in zip(frame.columns, row, strict=True)
        )
        + "</tr>\n"
        for row in frame.itertuples(index=False, name=None)
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="fac-lab">{title}<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>'


def _cell(value: Any, how: Callable[[Any], str] | str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return "–"
    if callable(how):
        return how(value)
    if how is not None:
        return format(value, how)
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, (float, np.floating)) else str(value)


def paper_table(name: str, folder: Path | None = None) -> pd.DataFrame:
    """What the paper printed, from `data/paper/<name>.csv`: the only source of numbers labelled "paper"."""
    folder = project_root() / "data" / "paper" if folder is None else folder
    path = folder / f"{name}.csv"
    if not path.is_file():
        there = ", ".join(sorted(found.stem for found in folder.glob("*.csv"))) or "none"
        raise ArtifactError(f"the paper's table {name!r} is not in {folder}; there: {there}")
    return pd.read_csv(path)


def beside_paper(ours: pd.DataFrame, paper: pd.DataFrame, *, on: str, column: str) -> pd.DataFrame:
    """`ours` with the paper's `column` added as "paper", matched by the key `on`; NaN where it has none."""
    printed = paper[[on, column]].rename(columns={column: "paper"})
    return ours.merge(printed, on=on, how="left", validate="many_to_one")
