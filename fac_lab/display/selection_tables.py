"""Tables of the studies of selection: arms of each pool, and what they gained over random choice, with intervals."""

import pandas as pd

from fac_lab.display.tables import estimate, paired_differences


def selection_table(runs: pd.DataFrame, baseline: str = "random", *, value: str = "auprc") -> pd.DataFrame:
    """Arms of `studies.selection` or `studies.selection_real`, one row per pool and arm.

    Seeds of one held-out set (or repeat) are averaged first: `mean`, `sd` and `n` are over sets, and so is the paired
    difference against the baseline (`gain`) with its 95 % interval (`low`, `high`; Student's t) and the number of sets
    in which the arm was ahead (`better`); NaN for the baseline itself. `toxic` and `gap_coverage` are means.
    """
    rows = []
    for pool, part in runs.groupby("pool", sort=False):
        gains = paired_differences(part, baseline, value=value).set_index("arm")
        for arm, group in part.groupby("arm", sort=False):
            found = estimate(group.groupby("held_out_set")[value].mean())
            facts = {"pool": pool, "arm": arm, "mean": found.mean, "sd": found.sd, "n": found.n}
            gain = gains.loc[arm] if arm in gains.index else pd.Series(dtype=float)
            facts |= {"gain": gain.get("mean"), **{name: gain.get(name) for name in ("low", "high", "better")}}
            rows.append(facts | {name: group[name].mean() for name in ("toxic", "gap_coverage")})
    columns = ["pool", "arm", "mean", "sd", "n", "gain", "low", "high", "better", "toxic", "gap_coverage"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({name: float for name in ("gain", "low", "high", "better")})
