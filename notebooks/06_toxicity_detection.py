# %% [markdown]
# # 06 · Toxicity detection: did the filling help?
#
# Everything so far ends in texts. Whether they are worth anything shows where they are used: a **detector** is trained
# to tell toxic queries from safe ones, with and without what a method wrote, and meets queries it has never seen. This
# is the first column of the paper's main table (with LoRA), its table 13 (the head alone) and its figure 12 (how much
# of the model is trained).
#
# **You will** see why the score is AUPRC and not accuracy · train two detectors, head alone and with LoRA, and look at
# every threshold at once · read our toxicity columns beside the paper's, with controls that the paper does not have ·
# ask what *parameter efficiency* rewards · meet the paper's own test set, ToxicChat, and a base rate that is not what
# the paper says
#
# **Time** fifteen minutes to read and run, an hour with predictions and exercises · **Difficulty** ★ to ★★ ·
# **Before** [00 · Start here](00_start_here.ipynb), [05 · Two-step synthesis](05_two_step_synthesis.ipynb)
#
# **Contents** [1 The question](#1-The-question) · [2 Why AUPRC](#2-Why-AUPRC) · [3 Two detectors,
# live](#3-Two-detectors,-live) · [4 Tables 1 and 13](#4-Tables-1-and-13) · [5 How much of the
# model?](#5-How-much-of-the-model?) · [6 Real queries](#6-Real-queries) · [7 Why ours differ](#7-Why-ours-differ) · [8
# Exercises](#8-Exercises)

# %%
import logging

import numpy as np
import pandas as pd
import plotly.io as pio
from IPython.display import Markdown, display
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from fac_lab.corpora import Row
from fac_lab.coverage import cover
from fac_lab.display import detection as shown
from fac_lab.display.cells import show, stored
from fac_lab.display.saving import save_figure
from fac_lab.display.synthesis import over_sets
from fac_lab.display.tables import paired_differences, paper_table
from fac_lab.lab import Lab
from fac_lab.studies.detection import CONTROLS, OTHER_MODE, best_trial, settings_for
from fac_lab.studies.methods import METHODS
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.toxicity import TOXIC_SHARE, Gap, kept_texts, starting_rows, test_rows
from fac_lab.studies.toxicity_real import bootstrap_auprc
from fac_lab.studies.training_scale import SIZES, count_trainable, pes, size_settings
from fac_lab.tasks.toxicity import train_detector
from fac_lab.world import concepts, hold_out

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere
logging.getLogger("fac_lab").setLevel(logging.ERROR)

lab = Lab.open()
profile = lab.profile
print(f"profile {profile.name}: detectors on {profile.subject.path}, by default mode {profile.detector.mode!r}")

# %% [markdown]
# ## 1 The question
#
# The seed knows half of the harmful concepts: it was collected where the other half does not occur. The anchor knows
# them all, unlabelled. We look for features of the anchor that the seed never lights, keep those that the annotator
# calls relevant to harm, and write a text for each. Every detector starts from the **same** few labelled rows of the
# seed. One of them gets the written texts too, labelled toxic. The test asks about *all* concepts.

# %%
N_FEATURES = 48  # written for in this live part; the stored results take all missing features

harmful = sum(concept.harmful for concept in concepts())
held_out = hold_out(round(profile.study.held_out_share * harmful), seed=0, harmful=True)
n_seed = profile.corpora["seed"].n
seed = world_corpus("seed", n_seed, seed=1000, without=held_out)
anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
coverage = cover(anchor, lab.stats(seed), profile.rule)
by_chance = cover(anchor, lab.stats(world_corpus("null", n_seed, seed=4000)), profile.rule)
# The cut-down smoke profile may leave nothing missing: some features of the anchor stand in then.
gap = coverage.missing if len(coverage.missing) else np.flatnonzero(coverage.anchor_support)[:4]
labels = lab.annotate(anchor, gap)
relevant = labels[labels.relevant] if labels.relevant.any() else labels
samples = lab.synthesise(relevant[:N_FEATURES], anchor, coverage.delta)
written = kept_texts(samples)
print(
    f"{len(coverage.missing)} features missing ({len(by_chance.missing)} under the null, where nothing was held out), "
    f"{int(labels.relevant.sum())} of them relevant; {len(written)} texts kept for {len(relevant[:N_FEATURES])}"
)
show(pd.DataFrame({"written for a missing feature": written[:5]}), caption="What one of the two detectors gets more of")

# %% [markdown]
# ## 2 Why AUPRC
#
# A detector gives each query a number; someone else sets the threshold. In the paper's test set about one query in
# eight is toxic, and so it is in ours.
#
# ✎ *A "detector" that lets everything pass: what is its accuracy at a base rate of 0.127? And what is the AUPRC of one
# that gives every query the same score?*

# %%
test = test_rows(n=profile.corpora["test"].n)
truth = np.array([row.label for row in test])
dice = np.random.default_rng(0)
random_scores = [average_precision_score(truth, dice.random(len(truth))) for _ in range(200)]
answers = {
    "base rate of the test rows": truth.mean(),
    "accuracy of letting everything pass": 1 - truth.mean(),
    "AUPRC of equal scores": average_precision_score(truth, np.zeros(len(truth))),
    "AUPRC of random scores, mean of 200": np.mean(random_scores),
    "the same, 95th percentile": np.quantile(random_scores, 0.95),
}
show(pd.DataFrame({"measure": list(answers), "value": list(answers.values())}), caption=f"{len(test):,} test queries")

# %% [markdown]
# So accuracy flatters idleness, and AUPRC has a floor that is **not** 0 and not 0.5 but the *base rate*: AUPRCs of test
# sets with other base rates do not compare. What it is: go down the ranking; each time a toxic query turns up, note the
# share of toxic ones among all so far (precision); average the notes.
#
# ## 3 Two detectors, live
#
# *Head only*: the model stays as it is, a linear layer of two outputs reads its last state. *LoRA*: adapters beside
# every projection learn as well. Rate and epochs of LoRA were chosen once, on held-out sets and test rows that no
# result below uses, with arms that are none of ours (nothing added; real queries):

# %%
trials = stored("toxicity_trial")
if trials is not None:
    columns = ["mode", "batch", "lr", "epochs"]
    means = trials.groupby(columns).auprc.mean().reset_index()
    best = [best_trial(means, mode) for mode in means["mode"]]
    means["chosen"] = [
        all(row[key] == value for key, value in chosen.items())
        for (_, row), chosen in zip(means.iterrows(), best, strict=True)
    ]
    show(means, caption="The trial of settings: mean AUPRC", formats={"lr": "g", "epochs": "g", "batch": "d"})
    assert all(best_trial(trials, mode) == OTHER_MODE[mode] for mode in ("lora", "full"))

# %% [markdown]
# ✎ *Before you run the next cell: which will differ more, the two arms (nothing added, written texts added) or the two
# modes? By how many points of AUPRC?*

# %%
live_gap = Gap(held_out, seed, coverage, labels)
start = starting_rows(live_gap, n_safe=profile.study.safe_samples, n_toxic=profile.study.seed_samples)
ARMS = {"none": start, "FAC": start + [Row(f"fac-{i}", text, 1) for i, text in enumerate(written)]}
live, scores = [], {}
for mode in ("head", "lora"):
    for arm, rows in ARMS.items():
        settings = settings_for(lab, mode)
        run = train_detector(lab.backbone, rows, test, settings, seed=profile.seeds[0], progress=False)
        scores[f"{arm}, {shown.MODES[mode]}"] = run.scores
        low, high = bootstrap_auprc(truth, run.scores, draws=300)
        facts = {"mode": shown.MODES[mode], "arm": arm, "training rows": run.n_train, "toxic": run.n_positive}
        live.append(facts | {"trained parameters": run.n_trainable, "AUPRC": run.auprc, "from": low, "to": high})
show(
    pd.DataFrame(live),
    caption=f"One held-out set, one seed, {len(test):,} test queries; 95 % interval over resampled test queries",
)

# %%
shown.precision_recall(truth, scores).show()

# %% [markdown]
# Move the slider: at each share flagged, what becomes of the test queries. ✎ *At which share is accuracy highest? Would
# you run that detector?*

# %%
shown.flagged_figure(truth, scores["FAC, LoRA"]).show()

# %% [markdown]
# ## 4 Tables 1 and 13
#
# One set and one seed say little. Stored: every method of the paper's table, and **controls** beside them, on several
# held-out sets. Every arm adds as many texts as two-step synthesis kept for the missing features, or what it has where
# that is less (`added`); *Full Dataset*, which the paper does not define, is here every toxic row of the seed.
#
#     python -m fac_lab.studies.results toxicity_lora toxicity_head
#
# The controls: *plain* (the generator, no feature in mind), *random features* (two-step synthesis for relevant features
# drawn by chance), *pool random* and *pool greedy* (real harmful rows, drawn or chosen by coverage), *oracle* (real
# queries about what was held out).
#
# ✎ *Put in order of AUPRC, before you look: Baseline, Full Dataset (all toxic rows of the seed, about as many as you
# will never label), Magpie, FAC, random features, oracle.*

# %%
found = [frame for frame in (stored("toxicity_lora"), stored("toxicity_head")) if frame is not None]
runs = pd.concat(found, ignore_index=True) if found else None
if runs is not None:
    table = shown.beside_paper(runs)
    sets = runs.held_out_set.nunique()
    numbers = [name for name in table.columns if "ours" in name or "paper" in name]
    show(
        table,
        caption=f"Toxicity, AUPRC × 100: ours in the mini world (± over {sets} held-out sets, seeds averaged) beside "
        "the paper's (± over 3 seeds)",
        formats=dict.fromkeys(numbers, ".1f") | {"added": ".0f", "gap coverage": ".2f", "held-out reached": ".2f"},
    )
    figure = shown.methods_figure(runs)
    figure.show()
    save_figure(figure, "table_01_toxicity")

# %% [markdown]
# Scales do not compare: another model, other texts, another number of added samples. **Orders** do, and differences
# within one side. Sets differ in difficulty, so arms are compared within a set, seeds averaged, with the interval over
# sets; it is wide, because there are few.

# %%
FAC = METHODS["FAC Synthesis"]


def in_words(frame, against):
    """FAC minus other arms, paired by held-out set, in words that follow from the numbers."""
    gains = paired_differences(frame, FAC).set_index("arm")
    for arm in against:
        row = gains.loc[arm]
        clear = "" if np.isnan(row.low) or row.low <= 0 <= row.high else ", told apart from zero"
        interval = f"95 % interval {-100 * row.high:+.1f} to {-100 * row.low:+.1f}, " if row.n > 1 else ""
        yield (
            f"FAC − {shown.name_of(arm)} {-100 * row['mean']:+.1f} points ({interval}ahead in "
            f"{int(row.n - row.better)} of {int(row.n)} sets{clear})"
        )


if runs is not None:
    said = []
    methods = [arm for arm in METHODS.values() if arm != FAC]
    for mode, frame in runs.groupby("mode"):
        ours = over_sets(frame, ["arm"], ["auprc"]).set_index("arm").auprc
        theirs = shown.printed(mode).set_index("arm").auprc
        rank = spearmanr(ours[list(METHODS.values())], theirs[list(METHODS.values())])
        first = ours[list(METHODS.values())].rank(ascending=False).astype(int)
        said.append(
            f"**{shown.MODES[mode]}.** Among the paper's ten rows FAC is number {first[FAC]} here and number 1 there; "
            f"rank correlation of all ten {rank.statistic:+.2f} (p {rank.pvalue:.2f}). "
            + "; ".join(in_words(frame, ["none", "full", *CONTROLS]))
            + "."
        )
    both = {mode: over_sets(frame, ["arm"], ["auprc"]).set_index("arm").auprc for mode, frame in runs.groupby("mode")}
    if len(both) == 2:
        gain = 100 * (both["lora"] - both["head"])
        paper_gain = 100 * (shown.printed("lora").auprc - shown.printed("head").auprc)
        said.append(
            f"**LoRA minus head only**: {gain.mean():+.1f} points on average over our arms ({gain.min():+.1f} to "
            f"{gain.max():+.1f}); in the paper {paper_gain.mean():+.1f} ({paper_gain.min():+.1f} to "
            f"{paper_gain.max():+.1f}; its Baseline is the same number in both tables)."
        )
    display(Markdown("\n\n".join(said)))

# %% [markdown]
# Why an arm does what it does is seen in what it added (`held_out_reached`: share of the held-out concepts that at
# least one added text is about; known only because this world's truth is). The baselines start from rows of the seed
# and stay near what the seed knows. *Full Dataset* is the cleanest case: the largest by far, and nothing in it is about
# a held-out concept; whatever it gains, it gains on what the seed knows, and half of the toxic test queries are about
# that.
#
# With so few runs one that goes wrong shows in a mean. LoRA's rate is close to where training breaks down (the trial
# of section 3 has the next one up), so the lowest run of each mode stands here, too:

# %%
if runs is not None:
    what = over_sets(runs, ["arm"], ["added", "truly_harmful", "about_held_out", "held_out_reached", "gap_coverage"])
    what = what.assign(arm=what.arm.map(shown.name_of)).drop(columns=[c for c in what if c.endswith("_sd")])
    shares = ["truly_harmful", "about_held_out", "held_out_reached", "gap_coverage"]
    show(
        what.rename(columns={"arm": "method"}),
        caption="What was added, means over held-out sets",
        formats={"added": ".0f"} | dict.fromkeys(shares, ".2f"),
    )
    lowest = runs.loc[runs.groupby("mode").auprc.idxmin(), ["mode", "arm", "held_out_set", "seed", "auprc"]]
    show(lowest, caption="The lowest run of each mode", formats={"held_out_set": "d", "seed": "d"})

# %% [markdown]
# ## 5 How much of the model?
#
# The paper's figure 12 trains more and more of the model and reports **parameter efficiency** beside AUPRC:
#
# $$ \mathrm{PES} = \frac{\mathrm{AUPRC}}{\log_{10}(\text{trainable parameters})} $$
#
# ✎ *Our head has a few hundred parameters, all weights are over a million. By what factor must AUPRC rise so that PES
# stays as it is?*

# %%
counts = {size: count_trainable(lab, size_settings(lab, size)) for size in SIZES}
smallest = np.log10(counts["head"])
sizes = pd.DataFrame(
    {
        "trained": list(counts),
        "parameters": list(counts.values()),
        "log10": np.log10(list(counts.values())),
        "AUPRC must rise by a factor of": np.log10(list(counts.values())) / smallest,
    }
)
show(sizes, caption="Trainable parameters, counted in the network", formats={"log10": ".2f", sizes.columns[3]: ".2f"})

# %%
scale = stored("training_scale")
if scale is not None:
    figure = shown.scale_figure(scale)
    figure.show()
    save_figure(figure, "figure_12")
    table = over_sets(scale, ["arm", "size", "n_trainable"], ["auprc", "pes"])
    show(
        table.assign(arm=table.arm.map(shown.name_of)),
        caption="Means and standard deviations over held-out sets",
    )

# %%
if scale is not None:
    means = over_sets(scale, ["size", "arm"], ["auprc", "pes"]).set_index(["arm", "size"])
    theirs = shown.paper_sizes().set_index(["arm", "mode"])
    ours_best = {value: means[value][FAC].idxmax() for value in ("auprc", "pes")}
    gains = 100 * (means.auprc[FAC] - means.auprc["none"])
    display(
        Markdown(
            f"With FAC's texts, AUPRC is highest for *{ours_best['auprc']}*, PES for *{ours_best['pes']}*. What the "
            f"texts add, in points of AUPRC: {', '.join(f'{size} {gain:+.1f}' for size, gain in gains.items())}. In "
            "the paper (its two sizes, parameters counted by us from the model's shape) FAC's AUPRC goes from "
            f"{100 * theirs.auprc[FAC, 'head']:.1f} to {100 * theirs.auprc[FAC, 'lora']:.1f} while PES goes from "
            f"{100 * theirs.pes[FAC, 'head']:.1f} to {100 * theirs.pes[FAC, 'lora']:.1f} (with AUPRC × 100)."
        )
    )

# %% [markdown]
# The rate of LoRA was chosen for rank 8 alone and is the same for all ranks. An AUPRC near the base rate is therefore a
# training that broke down at this rate, not a size that cannot detect.
#
# PES is a ratio with a logarithm below: it prefers the head alone unless more parameters pay by the factor in the table
# above, whatever the texts are. It ranks *sizes*, not data; to compare data, hold the size.
#
# ## 6 Real queries
#
# The paper tests on ToxicChat: queries that people sent to a chat service, labelled by hand. Here a real but small
# encoder (all-MiniLM-L6-v2, 22 million parameters) is trained on rows of its **train** split, those that are also in
# the test split left out, and tested on the paper's test rows:
#
#     FAC_LAB_DATA=FOLDER python -m fac_lab.studies.results toxicity_real --profile minilm
#
# **A contradiction at the source.** The paper says that 7.33 % of its 2,853 test rows are toxic. In the
# human-annotated part of the test split, which has exactly 2,853 rows, the share is the dotted line below; 7.33 % fits
# the whole data set, train split and automatic labels included. A random ranking scores the share that is really
# there, so the paper's *Baseline* is further from useless, or nearer to it, depending on which is true.

# %%
real = stored("toxicity_real")
if real is not None:
    shown.real_figure(real).show()
    per_size = real.groupby(["mode", "n_toxic", "n_safe"], sort=False).agg(
        auprc=("auprc", "mean"), sd=("auprc", "std"), seeds=("seed", "nunique"), low=("low", "mean"),
        high=("high", "mean"), parameters=("n_trainable", "first"), seconds=("seconds", "mean"),
    )  # fmt: skip
    show(
        per_size.reset_index(),
        caption=f"ToxicChat, {int(real.n_test.iloc[0]):,} test rows; sd over seeds, low and high: mean ends of the "
        "95 % intervals over test rows",
        formats={"seconds": ".0f"},
    )
    baseline = paper_table("table01_main").set_index("method").tox_auprc["Baseline"] / 100
    base, stated = real.base_rate.iloc[0], 0.0733
    display(
        Markdown(
            f"Base rate {base:.3f}, {base / stated:.2f} times the stated one. The paper's Baseline, {baseline:.3f}, is "
            f"{baseline / base:.1f} times a random ranking at the former, {baseline / stated:.1f} times at the latter. "
            f"The widest interval over test rows has {100 * (real.high - real.low).max():.0f} points: differences of "
            "a few points between methods need paired tests, not two error bars."
        )
    )

# %% [markdown]
# No arm of the paper is compared here: without a chat model nothing is written. What real rows chosen by coverage are
# worth on this very data is in notebook 05, section 11 (`selection_real`).
#
# ## 7 Why ours differ
#
# - **The model.** Ours has 1.4 million parameters and has read nothing but the mini world; the paper's has 8 billion
#   and knows what harm is before it sees a label. Where a model knows it, a few labels suffice, and *what* they are
#   about matters less.
# - **The gap is ours by construction.** Half of the harmful concepts are absent from the seed altogether. In the paper
#   nobody knows what the seed lacks, nor what of it the test asks for.
# - **The baselines are stronger there.** A large generator has its own ideas of harm; the small one writes what it was
#   taught to write. *Plain* and the seven baselines share that handicap, FAC has a description to start from.
# - **"Full Dataset"** is whatever one makes of it: ours lacks the held-out concepts, so more of it says nothing about
#   them.
# - **Spread.** The paper's ± is over three training seeds of one data set. Ours is over held-out sets: it includes how
#   much the *data* vary, which seeds cannot show.
# - **Rates.** The paper's 5e-5 and 8e-5 would leave so small a model untrained; ours were chosen as section 3 says.
#
# ## 8 Exercises
#
# ### Exercise 1 · AUPRC by hand ★ (10 minutes)
#
# Without a library: the mean, over the toxic rows, of the precision at the rank where each is found. Rows with equal
# scores share one rank, the last of them: who cannot tell them apart must flag them together.


# %%
def auprc_by_hand(labels: np.ndarray, scores: np.ndarray) -> float:
    """`labels [n]` 0 or 1, `scores [n]` -> average precision."""
    raise NotImplementedError


# %%
try:
    assert np.isclose(auprc_by_hand(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0])), (1 + 2 / 3) / 2)
    assert np.isclose(auprc_by_hand(np.array([1, 0, 0, 0]), np.zeros(4)), 0.25)
    for ranked in scores.values():
        assert np.isclose(auprc_by_hand(truth, ranked), average_precision_score(truth, ranked))
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write auprc_by_hand in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def auprc_by_hand(labels, scores):
#     return np.mean([labels[scores >= score].mean() for score in scores[labels == 1]])
# ```
# </details>
#
# ### Exercise 2 · How to win at PES ★ (5 minutes)
#
# Find a number of trainable parameters at which a detector that learned *nothing*, its AUPRC being the base rate 0.127,
# has a higher PES than the paper's best one (AUPRC 0.626 with LoRA).


# %%
def winning_parameters() -> int:
    """A number of trainable parameters, at least 2."""
    raise NotImplementedError


# %%
try:
    few = winning_parameters()
    theirs = shown.paper_sizes().set_index(["arm", "mode"]).pes[FAC, "lora"]
    assert few >= 2 and pes(TOXIC_SHARE, few) > theirs, (pes(TOXIC_SHARE, few), theirs)
    print(f"exercise 2: right; PES {pes(TOXIC_SHARE, few):.3f} of a useless detector, {theirs:.3f} of the paper's best")
except NotImplementedError:
    print("exercise 2: write winning_parameters in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def winning_parameters():
#     return 2  # any number below 10 ** (0.127 / 0.0855), about 30
# ```
# </details>
#
# ### Exercise 3 · Paired or not ★★ (15 minutes)
#
# Two detectors, the same test rows. Resample the rows **once per draw for both** and look at the difference, instead of
# at two intervals. Which is narrower: the interval of the difference, or what you would have guessed from the two?


# %%
def difference_interval(labels: np.ndarray, a: np.ndarray, b: np.ndarray, draws: int = 300) -> tuple[float, float]:
    """Ends of the 95 % interval of AUPRC(a) - AUPRC(b) over resampled rows; `labels`, `a` and `b` are `[n]`."""
    raise NotImplementedError


# %%
try:
    a, b = scores["FAC, LoRA"], scores["none, LoRA"]
    assert difference_interval(truth, a, a) == (0.0, 0.0)
    low, high = difference_interval(truth, a, b)
    alone = [bootstrap_auprc(truth, ranked, draws=300) for ranked in (a, b)]
    apart = np.sqrt(sum((top - bottom) ** 2 for bottom, top in alone))
    assert low < average_precision_score(truth, a) - average_precision_score(truth, b) < high
    print(f"exercise 3: right; paired {high - low:.3f} wide, as if of two test sets {apart:.3f}")
except NotImplementedError:
    print("exercise 3: write difference_interval in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# def difference_interval(labels, a, b, draws=300):
#     dice, found = np.random.default_rng(0), []
#     while len(found) < draws:
#         rows = dice.integers(len(labels), size=len(labels))
#         if 0 < labels[rows].sum() < len(rows):
#             gain = average_precision_score(labels[rows], a[rows]) - average_precision_score(labels[rows], b[rows])
#             found.append(gain)
#     low, high = np.quantile(found, [0.025, 0.975])
#     return float(low), float(high)
# ```
# </details>
#
# ### Exercise 4 · Your arm ★★ (20 minutes)
#
# Add texts of your own making: return a list of strings, and the detector is trained with them in place of FAC's. Can
# you beat it with as many hand-written ones, knowing the names of the held-out concepts?


# %%
def my_texts(n: int) -> list[str]:
    """At most `n` queries about what the seed lacks; `held_out` holds the concepts."""
    raise NotImplementedError


# %%
try:
    mine = my_texts(len(written))[: len(written)]
    rows = start + [Row(f"mine-{i}", text, 1) for i, text in enumerate(mine)]
    run = train_detector(lab.backbone, rows, test, settings_for(lab, "head"), seed=profile.seeds[0], progress=False)
    print(f"exercise 4: head only, yours {run.auprc:.3f} with {len(mine)} texts; the table of section 3 has FAC's")
except NotImplementedError:
    print("exercise 4: write my_texts in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 4</summary>
#
# ```python
# from fac_lab.world import queries
#
#
# def my_texts(n):
#     return [query for _, query in queries(n, seed=7, among=held_out)]  # the oracle's way
# ```
# </details>

# %% [markdown]
# ## Summary
#
# - AUPRC averages precision over the toxic rows. Its floor is the base rate: say it beside every number.
# - Compare arms within a held-out set and at the same number of samples; a spread over seeds alone is too small.
# - Next to the paper's methods belong *plain*, *random features* and the oracle: only they say what the features
#   themselves are worth.
# - PES ranks sizes of models, and being small comes first. It says nothing about data.
# - ToxicChat's base rate is a fact that can be counted; 7.33 % is not what its human-annotated test rows hold.
#
# **Previous:** [05 · Two-step synthesis](05_two_step_synthesis.ipynb) · **Next:** [07 · Reward
# modelling](07_reward_modelling.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
