# %% [markdown]
# # 07 · Reward modelling: which reply is better
#
# A reward model gives a reply one number. It learns from **pairs**: two replies to one prompt, of which somebody liked
# one better. The probability that the first is preferred is taken to be
#
# $$ P(\text{chosen} \succ \text{rejected}) = \sigma\bigl(r(\text{chosen}) - r(\text{rejected})\bigr) $$
#
# (Bradley and Terry, 1952), and training lowers its negative logarithm. What it was never shown it cannot rank: the
# paper fills the missing features of a preference data set with 300 written pairs and reports a better average on
# RewardBench than any other method's.
#
# **You will** look at pairs whose flaw is known, and at pairs that a small model wrote · train two reward models ·
# see what a bench of four sections says and what it hides · read the paper's tables 13 and 14 beside ours · catch a
# model of nothing but length
#
# **Time** fifteen minutes to read and run, an hour with the exercises · **Difficulty** ★★ · **Before** [00 · Start
# here](00_start_here.ipynb), [05 · Two-step synthesis](05_two_step_synthesis.ipynb)
#
# **Contents** [1 Pairs with a known flaw](#1-Pairs-with-a-known-flaw) · [2 Pairs that were
# written](#2-Pairs-that-were-written) · [3 Two reward models](#3-Two-reward-models) · [4 Table 14, with
# LoRA](#4-Table-14,-with-LoRA) · [5 Table 13, the head alone](#5-Table-13,-the-head-alone) · [6 Real pairs, and
# length](#6-Real-pairs,-and-length) · [7 Exercises](#7-Exercises)

# %%
import json
import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import plotly.io as pio
from IPython.display import Markdown, display

from fac_lab.display import reward as shown
from fac_lab.display.cells import show, stored
from fac_lab.display.saving import save_figure
from fac_lab.display.tables import paired_differences
from fac_lab.lab import Lab
from fac_lab.studies.methods import METHODS, Written, matched
from fac_lab.studies.preferences import ABOUT_HARM, TEST_PAIRS, bench_pairs
from fac_lab.studies.reward import TASK, added_pairs, reward_cell, settings_for, starting_pairs, truth_of_pairs
from fac_lab.studies.toxicity import harmful_gap
from fac_lab.tasks.reward import RewardModel, train_reward_model
from fac_lab.tasks.reward_bench import bench_score, length_balanced

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere
logging.getLogger("fac_lab").setLevel(logging.ERROR)

lab = Lab.open()
profile = lab.profile
print(f"profile {profile.name}: the reward model is {profile.subject.path}, pairs are written by "
      f"{profile.generator.model}")  # fmt: skip

# %% [markdown]
# ## 1 Pairs with a known flaw
#
# RewardBench has four sections: *Chat*, *Chat Hard*, *Safety*, *Reasoning*. In the mini world each gets one flaw, made
# by rule, so that the truth is beyond doubt:

# %%
test = bench_pairs()
lines = []
for section, subsets in TEST_PAIRS.items():
    for subset, n in subsets.items():
        one = next(pair for pair in test if pair.subset == subset)
        lines.append({"section": section, "flaw": subset, "pairs": n, "asked": one.prompt,
                      "better": one.chosen, "worse": one.rejected})  # fmt: skip
show(pd.DataFrame(lines), caption="The bench, in the mini world: one pair of each section")

# %% [markdown]
# Two things are settled before any model is trained. **Length**: in every second pair the better reply is the longer
# one, so that who likes long replies is right half the time. **Harm**: the worse reply in *Safety* is no ruder than the
# better one. It is a plain, helpful answer *about* something harmful, and what harm is about has to be learned concept
# by concept. That is where coverage can matter.
#
# ✎ *The better reply in Safety changes the subject. The worse one in Chat Hard changes the subject, too. What will a
# model that is trained on more and more Safety pairs do in Chat Hard?*

# %%
by_length = np.array([[len(pair.chosen), len(pair.rejected)] for pair in test], float)
of_length = bench_score(by_length, [pair.subset for pair in test], TEST_PAIRS)
balanced = length_balanced(by_length, test)
print(f"'the longer reply wins': {of_length.average:.0%} on average, balanced by length {balanced:.0%}")

# %% [markdown]
# ## 2 Pairs that were written
#
# As in notebook 05 a seed lacks half of the harmful concepts, and the generator writes harmful queries for its missing
# features. A pair needs two replies besides. A large model writes them in the same answer. The small one never learned
# to refuse, so its pair is made of what it *can* do:
#
# - **the worse reply** is its own help with the query;
# - **the better reply** answers something fair. Left alone, the model names topics; asked about each, it says whether
#   there is anything wrong with it; about one where it finds nothing wrong it writes a query and answers that.
#
# Nobody looks into the world's key for that, and the model errs. How often is something only such a world can tell.

# %%
HELD_OUT_SET = 0
anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
gap = harmful_gap(lab, anchor, held_out_set=HELD_OUT_SET)
missing = gap.coverage.missing
written = matched(lab, anchor, gap, METHODS["FAC Synthesis"], HELD_OUT_SET, task=TASK)
pairs = added_pairs(written, seed=HELD_OUT_SET)
print(f"{len(missing)} missing and relevant features, {written.draws} drafts, {len(pairs)} pairs kept")
if pairs:
    columns = {"asked": [p.prompt for p in pairs], "better": [p.chosen for p in pairs],
               "worse": [p.rejected for p in pairs]}  # fmt: skip
    show(pd.DataFrame(columns)[:4], caption="Pairs of our method, as the small generator wrote them")
    truth = truth_of_pairs(pairs, gap)
    named = {"truly_harmful": "query about something harmful", "about_held_out": "query about something held out",
             "truly_better": "better reply harmless, worse one harmful"}  # fmt: skip
    facts = pd.DataFrame({"what the world says": list(named.values()), "share of pairs": [truth[k] for k in named]})
    show(facts, caption="What these pairs really are", formats={"share of pairs": ".0%"})

# %% [markdown]
# ## 3 Two reward models
#
# A reward model here is the subject with a head of one output, read where it is about to answer: prompt and reply stand
# in one message. (Read at the end of a finished talk instead, which is what a large model is used to, this one has
# nothing to predict and knows little of what was said. `detector.reads` is the switch; exercise 2 turns it.)
#
# Both models start from the same pairs, made from the seed's own queries; the second adds what was written. Only the
# head is trained, in seconds.
#
# ✎ *Which section will gain, and which will pay?*

# %%
SEED = profile.seeds[0]
cells = {
    name: reward_cell(lab, anchor, gap, what, arm=arm, held_out_set=HELD_OUT_SET, seed=SEED, mode="head")
    for name, arm, what in (("start", "none", Written([])), ("start + written", "fac_two_step", written))
}
values = ["chat", "chat_hard", "safety", "safety_kept", "safety_held_out", "reasoning", "rm_acc", "length_balanced"]
live = pd.DataFrame([{"trained on": name, **{v.replace("_", " "): cell[v] for v in values}, "added": cell["added"]}
                     for name, cell in cells.items()])  # fmt: skip
show(live, caption=f"Live: accuracy in %, head only, one set, seed {SEED}",
     formats=dict.fromkeys([v.replace("_", " ") for v in values], ".1f"))  # fmt: skip

# %% [markdown]
# **A tie is wrong.** A model that gives all replies the same number has not ranked anything:

# %%
flat = bench_score(np.zeros((len(test), 2)), [pair.subset for pair in test], TEST_PAIRS)
print(f"all scores equal: average {flat.average:.0%}, ties {flat.ties} of {len(test)}, margin {flat.margin}")

# %% [markdown]
# **What is saved scores the same** when it is loaded again (a test does so in a fresh process, with LoRA as well).

# %%
with TemporaryDirectory() as folder:
    start = starting_pairs(lab, gap, seed=HELD_OUT_SET)
    run = train_reward_model(lab.backbone, start, test[:40], settings_for(lab, "head"), seed=SEED,
                             folder=Path(folder), progress=False)  # fmt: skip
    again = RewardModel.load(folder).score(test[:40])
    facts = json.loads((Path(folder) / "reward_model.json").read_text())
assert np.allclose(run.scores, again, atol=1e-6)
print(f"{len(start)} starting pairs; largest difference after reloading: {np.abs(run.scores - again).max():.2g}")
print({name: facts["settings"][name] for name in ("mode", "reads", "epochs", "lr")})

# %% [markdown]
# ## 4 Table 14, with LoRA
#
# Now every method of the paper, each with as many pairs as ours kept or fewer, on held-out sets and training seeds:
#
#     python -m fac_lab.studies.results reward_lora
#
# *Baseline* adds nothing. *Full Dataset* is not defined in the paper; here it is four times the starting pairs of the
# same seed. *Oracle* is no method: real queries about what was held out, with the world's replies.
#
# First the paper's own table. Its printed averages are to be the mean of four sections.

# %%
printed = shown.printed("lora")
show(printed, caption="Paper, table 14 (LoRA), %: the printed average beside the mean of its sections",
     formats=dict.fromkeys(printed.columns[1:-1], ".2f"))  # fmt: skip
off = printed[printed.differs]
each = "; ".join(
    f"{row.method} {row.average:.2f} is printed, its sections give {row['from sections']:.2f}"
    for _, row in off.iterrows()
)
display(Markdown(f"**Averages that are not the mean of their sections**: {each}. Ours are always computed from these."))


# %%
def versus_baseline(cells, value):
    """Each method minus the baseline, paired by set and seed."""
    found = paired_differences(cells.assign(arm=cells.method), "Baseline", value=value)
    return found.set_index("arm")


def said(cells, title):
    """Gains of our method over the baseline in words, and how written pairs fare against the oracle's."""
    lines = []
    named = {
        "safety_held_out": "Safety, held-out concepts",
        "safety_kept": "Safety, concepts in the seed",
        "chat_hard": "Chat Hard",
        "rm_acc": "average of sections",
    }
    for value, words in named.items():
        gains = versus_baseline(cells, value)
        best = gains.drop(index=["oracle", "Full Dataset"], errors="ignore")["mean"].idxmax()
        ours = gains.loc["FAC Synthesis"]
        interval = (
            "" if np.isnan(ours.low) else f" (95 % interval over {ours.n:.0f} sets {ours.low:+.1f} to {ours.high:+.1f})"
        )
        oracle = f"; oracle {gains['mean']['oracle']:+.1f}" if "oracle" in gains.index else ""
        lines.append(f"- **{words}**: FAC − Baseline {ours['mean']:+.1f} points{interval}; most of all methods: {best} "
                     f"{gains['mean'][best]:+.1f}{oracle}.")  # fmt: skip
    display(Markdown(f"**{title}**\n\n" + "\n".join(lines)))


lora = stored("reward_lora")
if lora is not None:
    both = shown.beside(lora, "lora")
    show(both, caption="Ours in the mini world (mean ± SD over all runs) beside the paper's table 14, %",
         formats={name: ".2f" for name in both.columns if name.startswith("paper")})  # fmt: skip
    said(lora, "LoRA, in the mini world")

# %%
if lora is not None:
    figure = shown.sections_figure(lora, title="Reward models by section, LoRA, mini world")
    save_figure(figure, "table14_reward_lora")
    figure.show()
    figure = shown.harm_figure(lora, title="Safety: concepts that the seed has, and that it lacks (LoRA)")
    save_figure(figure, "table14_reward_safety")
    figure.show()

# %% [markdown]
# **Read with care.** The sections weigh alike, so that a gain in *Safety* is divided by four; and what Safety teaches,
# to change the subject, *Chat Hard* calls a flaw. An average hides such a trade, which is why the sections stand beside
# it. In the paper, too, the order of methods is another one in every section.
#
# **Balanced by length**, and what else a cell knows:

# %%
if lora is not None:
    more = shown.measured(
        lora, ["rm_acc", "length_balanced", "margin", "ties", "added", "truly_better", "about_held_out"]
    )
    columns = [
        "method",
        "rm_acc",
        "length_balanced",
        "margin",
        "ties",
        "added",
        "about_held_out",
        "truly_better",
        "runs",
    ]
    one = dict.fromkeys(("rm_acc", "length_balanced", "ties", "added"), ".1f")
    show(more[columns], caption="LoRA: means over sets and seeds; shares of the added pairs",
         formats=one | {"margin": ".2f", "truly_better": ".2f", "about_held_out": ".2f"})  # fmt: skip

# %% [markdown]
# ## 5 Table 13, the head alone
#
# The same with the subject frozen: a head on its last layer. The paper's rows move by several points between the two
# tables, and not all in one direction.
#
# ✎ *Which of the four flaws can a linear head see at all?*

# %%
head = stored("reward_head")
if head is not None:
    both = shown.beside(head, "head")
    show(both, caption="Ours in the mini world (mean ± SD over all runs) beside the paper's table 13, %",
         formats={name: ".2f" for name in both.columns if name.startswith("paper")})  # fmt: skip
    said(head, "Head only, in the mini world")
    figure = shown.sections_figure(head, title="Reward models by section, head only, mini world")
    save_figure(figure, "table13_reward_head")
    figure.show()

# %% [markdown]
# Table 13 prints 70.09 as the *spread* of the baseline's Reasoning, next to a mean of 67.68. It is shown as printed.
#
# **Why ours differ from the paper's.** A model of a million parameters, 30 pairs instead of 300, flaws made by rule, a
# bench of which we know that no section can be won by length. And the paper starts from a reward model that it has not
# released.

# %% [markdown]
# ## 6 Real pairs, and length
#
# A real encoder (all-MiniLM-L6-v2, 22 M parameters), real prompts, answers that GPT-4 compared. In such data the longer
# answer wins three times in four, so that *the longer wins* is a model to beat. Training pairs were drawn with as many
# shorter winners as longer ones; test pairs were left as they are, and are read twice: as counted, and balanced by
# length. No text of them is stored here, only what was counted:
#
#     FAC_LAB_DATA=... python -m fac_lab.studies.results reward_real --profile minilm

# %%
real = stored("reward_real")
if real is not None:
    figure = shown.real_figure(real, title="Real pairs: accuracy against training pairs (MiniLM)")
    save_figure(figure, "reward_real")
    figure.show()
    by = real.groupby(["section", "mode", "n"], sort=False)[["accuracy", "length_balanced"]].agg(["mean", "std"])
    table = pd.DataFrame({
        "section": by.index.get_level_values(0), "model": by.index.get_level_values(1),
        "pairs": by.index.get_level_values(2), "accuracy": by[("accuracy", "mean")].values,
        "sd": by[("accuracy", "std")].values, "balanced": by[("length_balanced", "mean")].values,
        "sd, balanced": by[("length_balanced", "std")].values,
    })  # fmt: skip
    share = dict.fromkeys(("accuracy", "sd", "balanced", "sd, balanced"), ".2f")
    show(
        table,
        caption=f"Real pairs, {real.seed[real.seed > 0].nunique()} seeds; no section for Reasoning",
        formats=share,
    )
    total = table[table.section == "average"].set_index(["model", "pairs"])
    longer = total.loc["longer wins"].iloc[0]
    best = total.drop(index="longer wins").balanced.idxmax()
    display(Markdown(
        f"*Longer wins* has {longer.accuracy:.0%} as counted and {longer.balanced:.0%} balanced. The best trained "
        f"model, {best[0]} with {best[1]} pairs, has {total.accuracy[best]:.0%} and {total.balanced[best]:.0%}."
    ))  # fmt: skip

# %% [markdown]
# ## 7 Exercises
#
# ### Exercise 1 · Weights ★ (5 minutes)
#
# A section of RewardBench is weighted by its subsets' pairs, and math-prm weighs as much as all
# programming languages together. Two subsets: `easy` with 90 pairs of which 81 are right, `hard` with 10 pairs of which
# 3 are right. What is the section's accuracy, and what if both weighed alike?

# %%
right = np.r_[np.arange(90) < 81, np.arange(10) < 3]
scores = np.stack([right.astype(float), 1 - right], axis=1)
names = ["easy"] * 90 + ["hard"] * 10
my_weighted, my_even = None, None  # ← your two numbers

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# Weighted it is (81 + 3) / 100 = 0.84; alike it is (0.9 + 0.3) / 2 = 0.60. A benchmark's weights are a decision.
#
# </details>

# %%
weighted = bench_score(scores, names, {"section": {"easy": 90, "hard": 10}}).average
even = bench_score(scores, names, {"section": {"easy": 1, "hard": 1}}).average
for mine, value in ((my_weighted, weighted), (my_even, even)):
    print("not answered yet" if mine is None else "right" if np.isclose(mine, value) else "not quite")
assert np.isclose([weighted, even], [0.84, 0.60]).all()

# %% [markdown]
# ### Exercise 2 · Where to read ★★ (10 minutes)
#
# Train the head on talks read to their end (`reads="talk"`) and as one message (`"message"`),
# and compare Safety.
#
# <details><summary>Solution 2</summary>
#
# ```python
# from dataclasses import replace
# for reads in ("talk", "message"):
#     settings = replace(settings_for(lab, "head"), reads=reads)
#     run = train_reward_model(lab.backbone, start, test, settings, seed=SEED, progress=False)
#     print(reads, bench_score(run.scores, [p.subset for p in test], TEST_PAIRS).sections)
# ```
#
# The cell below does it for the Safety pairs alone. A head reads one vector. At the end of a talk nothing is left to
# say and the vector need not hold what the talk was about; before an answer it has to.
#
# </details>

# %%
harm = [pair for pair in test if pair.subset == ABOUT_HARM]
for reads in ("talk", "message"):
    settings = replace(settings_for(lab, "head"), reads=reads)
    run = train_reward_model(lab.backbone, start, harm, settings, seed=SEED, progress=False)
    print(f"{reads}: {run.accuracy:.0%} of {len(harm)} Safety pairs")

# %% [markdown]
# ### Exercise 3 · Cheat ★★★ (15 minutes)
#
# Write a `score(pair)` without any model that beats the trained ones in *Safety*, and say why it is
# worthless.
#
# <details><summary>Solution 3</summary>
#
# In Safety the better reply shares no word of substance with the query: count the words that prompt and reply share and
# prefer the reply with fewer. In Chat Hard the same rule is wrong wherever it says anything, which is how one would
# notice.
#
# </details>


# %%
def overlap(prompt, reply):
    """Words of five letters or more that both have."""
    long = [{word.strip(".,:?!").lower() for word in text.split() if len(word) > 5} for text in (prompt, reply)]
    return len(long[0] & long[1])


cheat = np.array([[-overlap(p.prompt, p.chosen), -overlap(p.prompt, p.rejected)] for p in test], float)
fooled = bench_score(cheat, [pair.subset for pair in test], TEST_PAIRS)
print({name: f"{value:.0%}" for name, value in fooled.sections.items()}, f"{fooled.ties} ties, which count as wrong")

# %% [markdown]
# ## What to take with you
#
# - A pair teaches one difference. **What the pairs never differ in is not learned**, and what they always differ in is,
#   wanted or not: length, a change of subject.
# - Ties are wrong, margins tell more than accuracies, and an average over sections hides a trade between them.
# - Beside every reward model put the model of length, and balance by it.
# - In a paper's table, recompute the averages.
#
# **Previous:** [06 · Toxicity detection](06_toxicity_detection.ipynb) · **Next:** [08 · Behaviour
# steering](08_behaviour_steering.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
