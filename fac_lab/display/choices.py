"""What the paper leaves open, what this workbench chose, and what each choice was measured to change.

The questions are facts about the paper and its authors' code, read in both. What a choice changes is worked out here
from stored results (`data/results`) and from what the paper printed (`data/paper`); no measured number is typed in.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fac_lab.correlation import correlate
from fac_lab.display.tables import estimate, paired_differences, paper_table
from fac_lab.errors import ArtifactError
from fac_lab.recipes.catalogue import catalogue
from fac_lab.recipes.protocols import diff_protocols
from fac_lab.studies.stored import read_result


class Choice(NamedTuple):
    """One thing that was open."""

    point: int
    """Which of the seven points it belongs to."""
    question: str
    """What is open, contradictory or broken."""
    chosen: str
    """What we do unless told otherwise."""
    setting: str
    """The profile setting, data protocol or argument that decides it."""
    notebook: str
    """Where it is looked at: stem of a notebook, and a section."""
    effect: Callable[[], str]
    """What it was measured to change, in words."""

    def measured(self) -> str:
        """`effect`, or how to measure it where its result is not stored."""
        try:
            return self.effect()
        except ArtifactError as error:
            return f"not stored here: {str(error).rpartition('; ')[2]}"


def _anchors() -> str:
    frame, _ = read_result("correlation_real_variants")
    means = frame[frame.design == "mixed"].groupby("anchor")["report"].mean().sort_values(ascending=False)
    n = len(diff_protocols("toxicity_appendix_j", "toxicity_issue_4"))
    said = ", ".join(f"{anchor} {value:.2f}" for anchor, value in means.items())
    return (
        f"{_times(n, 'difference')} between appendix J's reading and issue 4's. On real data, r of FAC with AUPRC by "
        f"anchor, mean over all ways of counting: {said}"
    )


def _rules() -> str:
    found, _ = read_result("recovery")
    by_rule = found.groupby("rule")[["precision", "recall", "n_missing", "n_missing_null"]].mean()
    return "; ".join(
        f"{name}: {line.n_missing:.0f} missing (null {line.n_missing_null:.0f}), precision "
        f"{'undefined' if np.isnan(line.precision) else format(line.precision, '.2f')}, recall {line.recall:.2f}"
        for name, line in ((name, by_rule.loc[key]) for name, key in (("ours", "relative"), ("the paper's", "paper")))
    )


def _scrutiny() -> str:
    frame, _ = read_result("scrutiny")
    judged = frame[(frame.what == "threshold") & (frame.relevant == "judge")].set_index(["name", "m"])
    ours, theirs = judged.loc[("quantile 0.8", 4)], judged.loc[("delta 0", 1)]
    return (
        f"r of FAC with AUPRC over {ours.n:.0f} data sets: {ours.pearson:.2f} at the anchor's 0.8 quantile with m = 4, "
        f"{theirs.pearson:.2f} at delta 0 with m = 1"
    )


def _red_team() -> str:
    n = len(diff_protocols("toxicity_issue_4", "toxicity_issue_4_attempts"))
    return f"{_times(n, 'difference')} between the two recipes; its effect on a detector was not measured here"


def _base_rate() -> str:
    rows = {name: catalogue().recipes[name].rows for name in ("toxicchat_test", "toxicchat_all")}
    return (
        f"{rows['toxicchat_test']:,} test rows against {rows['toxicchat_all']:,} in all. A random ranking's AUPRC is "
        "the base rate, so numbers from the two do not compare"
    )


def _baseline() -> str:
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


def _points_of_r() -> str:
    frame, _ = read_result("correlation")
    free = frame[frame.design != "concepts only"]
    ours = correlate(free.fac_relative_m_judge, free.auprc)
    printed = paper_table("table08_fac_correlation").set_index("statistic").tox_auprc["pearson"]
    return (
        f"ours r = {ours.value:.2f} ({ours.low:.2f} to {ours.high:.2f}, {ours.n} data sets, not made to agree); "
        f"the paper's table 8 prints {printed:.2f} without a number of points"
    )


def _averages() -> str:
    table = paper_table("table14_reward_lora").set_index("method")
    sections = table[["chat", "chat_hard", "safety", "reasoning"]].mean(axis=1)
    off = (sections - table.avg_printed)[lambda gap: gap.abs() > 0.1]
    said = ", ".join(
        f"{method} {sections[method]:.2f} (printed {table.avg_printed[method]:.2f})" for method in off.index
    )
    return f"table 14's averages that its own sections do not give: {said or 'none'}"


def _switch(name: str, *, beside: str = "paper") -> Callable[[], str]:
    def effect() -> str:
        frame, _ = read_result("switches")
        means = frame.groupby("switch")[["kept", "active", "by_own", "by_any"]].mean()
        a, b = means.loc[beside], means.loc[name]
        return (
            f"samples kept {a.kept:.0f} → {b.kept:.0f}, of them active {a.active:.0%} → {b.active:.0%}; gap coverage "
            f"by any {a.by_any:.2f} → {b.by_any:.2f}, by own {a.by_own:.2f} → {b.by_own:.2f}"
        )

    return effect


def _verdicts() -> str:
    frame, _ = read_result("switches")
    means = frame.groupby("switch")[["n_missing", "n_missing_null", "precision"]].mean()
    return "; ".join(
        f"{said}: {line.n_missing:.0f} missing (null {line.n_missing_null:.0f}), precision {line.precision:.2f}"
        for said, line in (("by activations", means.loc["paper"]), ("by verdicts", means.loc["missing"]))
    )


def _protocol() -> str:
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


def _answer() -> str:
    frame, _ = read_result("steering_switches")
    scr = frame.groupby(["switch", "behaviour"]).scr.mean()
    asked = frame[(frame.switch == "answer at") & (frame.value == "code")].groupby("behaviour").scr.mean()
    return "SCR at the letter and behind the token: " + ", ".join(
        f"{behaviour} {scr['as in the tables', behaviour]:.0f} % and {value:.0f} %"
        for behaviour, value in asked.items()
    )


def _draws() -> str:
    frame, _ = read_result("steps")
    rows = frame[(frame.rule == "profile") & (frame.texts == "all")]
    means = rows.groupby(["way", "draws", "held_out_set"]).by_any.mean()
    equal = estimate(means["two steps", 4] - means["one step", 4])
    unequal = estimate(means["two steps", 4] - means["one step", 2])
    return (
        f"two steps − one, gap coverage by any: {unequal.mean:+.3f} with 4 drafts against 2, {equal.mean:+.3f} "
        f"({equal.low:+.3f} to {equal.high:+.3f}, {equal.n} sets) with 4 against 4"
    )


def _null() -> str:
    frame, _ = read_result("steps")
    each = frame.drop_duplicates("held_out_set")
    return (
        f"|F_miss| {each.n_missing.mean():.0f}, its null {each.n_missing_null.mean():.1f} ({len(each)} held-out sets)"
    )


def _against_plain() -> str:
    arms, _ = read_result("arms")
    gain = paired_differences(arms, "plain").set_index("arm").loc["fac"]
    return (
        f"AUPRC, FAC − plain, as many samples each: {gain['mean']:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), ahead "
        f"in {gain.better:.0f} of {gain.n:.0f} held-out sets"
    )


def _times(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def link(notebook: str) -> str:
    """Markdown that leads to a notebook from one beside it: "05_two_step_synthesis 10" -> 05, section 10."""
    stem, _, section = notebook.partition(" ")
    number, _, words = stem.partition("_")
    where = f", section {section}" if section else ""
    return f"[{number} · {words.replace('_', ' ')}{where}]({stem}.ipynb)"


def as_markdown(point: int) -> str:
    """The choices of one point as a list: what is open, what was chosen, the setting, where to look, what changed."""
    lines = []
    for choice in CHOICES:
        if choice.point == point:
            lines += [
                f"- **{choice.question}**",
                f"    - chosen: {choice.chosen}",
                f"    - setting: `{choice.setting}` · {link(choice.notebook)}",
                f"    - measured: {choice.measured()}",
            ]
    return "\n".join(lines)


CHOICES = (
    Choice(
        1,
        "Which data are the anchor, which the seed? Two appendices and an answer of the authors disagree",
        "explicit in every profile, saved with every number; three readings of the paper have names",
        "corpora.anchor, corpora.seed; protocols toxicity_appendix_j, toxicity_appendix_k, toxicity_issue_4",
        "16_paper_scale 3",
        _anchors,
    ),
    Choice(
        1,
        "At which threshold is a feature active, and in how many samples does it have to be?",
        "one quantile of the anchor's activations, and a support m that rules out chance",
        "rule.kind, rule.delta, rule.quantile, rule.support, rule.alpha",
        "00_start_here 6",
        _rules,
    ),
    Choice(
        1,
        "And what does the threshold do to FAC as a predictor?",
        "as above; the paper's six thresholds stand beside",
        "rule.kind, rule.delta, rule.support",
        "03_fac_and_performance 6",
        _scrutiny,
    ),
    Choice(
        2,
        'Is the "red-team" part the prompts of harmless-base, or the subset of red-team attempts?',
        "harmless-base, which gives the stated 8,637 rows as a tenth",
        "protocols toxicity_issue_4, toxicity_issue_4_attempts",
        "16_paper_scale 3",
        _red_team,
    ),
    Choice(
        3,
        "ToxicChat: the stated share of toxic rows fits all rows, not the human-annotated test rows",
        "the human-annotated test rows, with their own base rate",
        "protocols toxicity_issue_4, toxicity_issue_4_all_rows",
        "16_paper_scale 3",
        _base_rate,
    ),
    Choice(
        4,
        '"Baseline" and "Full Dataset" are not defined; one number is printed in two values',
        "none: the starting rows alone; full: all that the seed holds",
        "arms none and full; study.seed_samples, study.safe_samples",
        "00_start_here 8",
        _baseline,
    ),
    Choice(
        5,
        "Over how many points is r, and why is it 0.95 in one place and 0.93 in another?",
        "every r with its interval, its n, and the design of its data sets",
        "study correlation",
        "03_fac_and_performance 4",
        _points_of_r,
    ),
    Choice(
        5,
        "Some printed averages are not the averages of what stands beside them",
        "printed values are shown as printed, and worked out again",
        "data/paper",
        "10_main_table",
        _averages,
    ),
    Choice(
        6,
        "The code compares the judge's verdicts on each data set's own spans, never activations",
        "activations are compared (paper)",
        "studies.switches.missing_by_verdicts",
        "05_two_step_synthesis 10",
        _verdicts,
    ),
    Choice(
        6,
        "The code reads features without Top-K, drops 31 tokens, ends spans before the peak, adds a second BOS",
        "paper: Top-K on, the template's own prefix, the peak inside its span, one BOS",
        "collect.protocol (top_k, prefix, span, second_bos, generation_prompt, cut)",
        "16_paper_scale 4",
        _protocol,
    ),
    Choice(
        6,
        "The code's step 1 silently keeps a fifth of the features",
        "all features are written for (paper)",
        "synthesis.features",
        "05_two_step_synthesis 10",
        _switch("features"),
    ),
    Choice(
        6,
        "No code filters step 2 by activation",
        "a sample has to activate its feature (paper)",
        "synthesis.filter",
        "05_two_step_synthesis 10",
        _switch("filter"),
    ),
    Choice(
        6,
        "The code takes a span of the anchor as x+, with score 5.0, wherever fewer than two candidates activate",
        "only where none does, with its measured activation (paper)",
        "synthesis.fallback",
        "05_two_step_synthesis 10",
        _switch("fallback"),
    ),
    Choice(
        6,
        "The code reads the answer to an A/B question behind an end-of-turn token",
        "at the letter itself (paper)",
        "tasks.steering, answer_at",
        "08_behaviour_steering",
        _answer,
    ),
    Choice(
        6,
        "Two steps are compared with one at unequal numbers of draws",
        "at equal numbers, and at the paper's beside",
        "synthesis.step1_draws, synthesis.step2_draws",
        "05_two_step_synthesis 5",
        _draws,
    ),
    Choice(
        6,
        "F_miss has no null",
        "every F_miss stands beside that of a seed of the same size that lacks nothing",
        "every study",
        "00_start_here 6",
        _null,
    ),
    Choice(
        7,
        "An independent rerun saw no gain of writing for features over plain generation",
        "plain generation is an arm everywhere; gain or none is shown with its interval",
        "arms plain and fac",
        "00_start_here 8",
        _against_plain,
    ),
)
