"""What each choice was measured to change, in words: one function a choice, by its name in `choices.yaml`.

Worked out from stored results (`data/results`) and from what the paper printed (`data/paper`); no measured number is
typed in. ArtifactError where a result is not stored.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from fac_lab.correlation import correlate
from fac_lab.display.tables import estimate, paired_differences, paper_table
from fac_lab.recipes.catalogue import catalogue
from fac_lab.recipes.protocols import diff_protocols
from fac_lab.studies.stored import read_result


def anchors() -> str:
    frame, _ = read_result("correlation_real_variants")
    means = frame[frame.design == "mixed"].groupby("anchor")["report"].mean().sort_values(ascending=False)
    n = len(diff_protocols("toxicity_appendix_j", "toxicity_issue_4"))
    said = ", ".join(f"{anchor} {value:.2f}" for anchor, value in means.items())
    return (
        f"{_times(n, 'difference')} between appendix J's reading and issue 4's. On real data, r of FAC with AUPRC by "
        f"anchor, mean over all ways of counting: {said}"
    )


def rules() -> str:
    found, _ = read_result("recovery")
    by_rule = found.groupby("rule")[["precision", "recall", "n_missing", "n_missing_null"]].mean()
    return "; ".join(
        f"{name}: {line.n_missing:.0f} missing (null {line.n_missing_null:.0f}), precision "
        f"{'undefined' if np.isnan(line.precision) else format(line.precision, '.2f')}, recall {line.recall:.2f}"
        for name, line in ((name, by_rule.loc[key]) for name, key in (("ours", "relative"), ("the paper's", "paper")))
    )


def scrutiny() -> str:
    frame, _ = read_result("scrutiny")
    judged = frame[(frame.what == "threshold") & (frame.relevant == "judge")].set_index(["name", "m"])
    ours, theirs = judged.loc[("quantile 0.8", 4)], judged.loc[("delta 0", 1)]
    return (
        f"r of FAC with AUPRC over {ours.n:.0f} data sets: {ours.pearson:.2f} at the anchor's 0.8 quantile with m = 4, "
        f"{theirs.pearson:.2f} at delta 0 with m = 1"
    )


def red_team() -> str:
    n = len(diff_protocols("toxicity_issue_4", "toxicity_issue_4_attempts"))
    return f"{_times(n, 'difference')} between the two recipes; its effect on a detector was not measured here"


def base_rate() -> str:
    rows = {name: catalogue().recipes[name].rows for name in ("toxicchat_test", "toxicchat_all")}
    return (
        f"{rows['toxicchat_test']:,} test rows against {rows['toxicchat_all']:,} in all. A random ranking's AUPRC is "
        "the base rate, so numbers from the two do not compare"
    )


def baseline() -> str:
    arms, _ = read_result("arms")
    means = arms.groupby("arm").auprc.mean()
    head, lora = (paper_table(name).set_index("method") for name in ("table13_head_only", "table14_reward_lora"))
    column = "avg_printed" if "avg_printed" in lora else "rm_avg"
    main = paper_table("table01_main").set_index("method").rm_acc["Full Dataset"]
    return (
        f"our AUPRC with none {means['none']:.3f}, with the oracle's rows {means['oracle']:.3f}. The paper prints the "
        f"reward of Full Dataset as {main:.2f} in table 1, {head.rm_avg['Full Dataset']:.2f} in table 13 and "
        f"{lora.loc['Full Dataset', column]:.2f} in table 14"
    )


def points_of_r() -> str:
    frame, _ = read_result("correlation")
    free = frame[frame.design != "concepts only"]
    ours = correlate(free.fac_relative_m_judge, free.auprc)
    printed = paper_table("table08_fac_correlation").set_index("statistic").tox_auprc["pearson"]
    return (
        f"ours r = {ours.value:.2f} ({ours.low:.2f} to {ours.high:.2f}, {ours.n} data sets, not made to agree); "
        f"the paper's table 8 prints {printed:.2f} without a number of points"
    )


def averages() -> str:
    table = paper_table("table14_reward_lora").set_index("method")
    sections = table[["chat", "chat_hard", "safety", "reasoning"]].mean(axis=1)
    off = (sections - table.avg_printed)[lambda gap: gap.abs() > 0.1]
    said = ", ".join(
        f"{method} {sections[method]:.2f} (printed {table.avg_printed[method]:.2f})" for method in off.index
    )
    return f"table 14's averages that its own sections do not give: {said or 'none'}"


def switch(name: str) -> str:
    frame, _ = read_result("switches")
    means = frame.groupby("switch")[["kept", "active", "by_own", "by_any"]].mean()
    a, b = means.loc["paper"], means.loc[name]
    return (
        f"samples kept {a.kept:.0f} → {b.kept:.0f}, of them active {a.active:.0%} → {b.active:.0%}; gap coverage "
        f"by any {a.by_any:.2f} → {b.by_any:.2f}, by own {a.by_own:.2f} → {b.by_own:.2f}"
    )


def verdicts() -> str:
    frame, _ = read_result("switches")
    means = frame.groupby("switch")[["n_missing", "n_missing_null", "precision"]].mean()
    return "; ".join(
        f"{said}: {line.n_missing:.0f} missing (null {line.n_missing_null:.0f}), precision {line.precision:.2f}"
        for said, line in (("by activations", means.loc["paper"]), ("by verdicts", means.loc["missing"]))
    )


def protocol() -> str:
    frame, _ = read_result("protocols")
    ours = frame[frame.rule == "profile"].set_index("variant")
    return "; ".join(
        f"{said}: {line.active:.0f} active features in the median text, {line.silent:.0%} of texts without any, "
        f"{line.n_missing:.0f} missing (null {line.n_missing_null:.0f}), of these and the paper's "
        f"{line.jaccard:.0%} in common"
        for said, line in (
            ("paper", ours.loc["paper"]),
            ("without Top-K", ours.loc["top_k"]),
            ("31 tokens dropped", ours.loc["prefix"]),
            ("all of the code's", ours.loc["code"]),
        )
    )


def answer() -> str:
    frame, _ = read_result("steering_switches")
    scr = frame.groupby(["switch", "behaviour"]).scr.mean()
    asked = frame[(frame.switch == "answer at") & (frame.value == "code")].groupby("behaviour").scr.mean()
    return "SCR at the letter and behind the token: " + ", ".join(
        f"{behaviour} {scr['as in the tables', behaviour]:.0f} % and {value:.0f} %"
        for behaviour, value in asked.items()
    )


def draws() -> str:
    frame, _ = read_result("steps")
    rows = frame[(frame.rule == "profile") & (frame.texts == "all")]
    means = rows.groupby(["way", "draws", "held_out_set"]).by_any.mean()
    equal = estimate(means["two steps", 4] - means["one step", 4])
    unequal = estimate(means["two steps", 4] - means["one step", 2])
    return (
        f"two steps − one, gap coverage by any: {unequal.mean:+.3f} with 4 drafts against 2, {equal.mean:+.3f} "
        f"({equal.low:+.3f} to {equal.high:+.3f}, {equal.n} sets) with 4 against 4"
    )


def by_chance() -> str:
    frame, _ = read_result("steps")
    each = frame.drop_duplicates("held_out_set")
    return (
        f"|F_miss| {each.n_missing.mean():.0f}, its null {each.n_missing_null.mean():.1f} ({len(each)} held-out sets)"
    )


def against_plain() -> str:
    arms, _ = read_result("arms")
    gain = paired_differences(arms, "plain").set_index("arm").loc["fac"]
    return (
        f"AUPRC, FAC − plain, as many samples each: {gain['mean']:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), ahead "
        f"in {gain.better:.0f} of {gain.n:.0f} held-out sets"
    )


def _times(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


EFFECTS: dict[str, Callable[[], str]] = {
    "anchors": anchors,
    "rules": rules,
    "scrutiny": scrutiny,
    "red_team": red_team,
    "base_rate": base_rate,
    "baseline": baseline,
    "points_of_r": points_of_r,
    "averages": averages,
    "verdicts": verdicts,
    "protocol": protocol,
    "answer": answer,
    "draws": draws,
    "by_chance": by_chance,
    "against_plain": against_plain,
    "features": partial(switch, "features"),
    "filter": partial(switch, "filter"),
    "fallback": partial(switch, "fallback"),
}
