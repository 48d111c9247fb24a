# %% [markdown]
# # 10 · The main table: every method in every column
#
# The paper's table 1 is its claim in one page: ten ways to make training data, four experiments, and one of the ways
# ahead in all of them. This notebook rebuilds that page at our scale. Nothing is read off the paper but what is marked
# as the paper's, and each of our numbers can be made again, cell by cell.
#
# **You will** see the table with two kinds of spread · compare our order of methods with the paper's · test every
# difference and correct for having tested so many · make a piece of the table again, live
#
# **Time** half an hour to read, an evening with the exercises · **Difficulty** ★★ · **Before** the notebooks of the
# four experiments: [06 toxicity](06_toxicity_detection.ipynb), [07 reward models](07_reward_modelling.ipynb), [08
# steering](08_behaviour_steering.ipynb), [09 instructions](09_instruction_following.ipynb)
#
# **Contents** [1 What is compared](#1-What-is-compared) · [2 The table](#2-The-table) · [3 Ours over the
# paper's](#3-Ours-over-the-paper's) · [4 Which differences stand?](#4-Which-differences-stand?) · [5 A column made
# again](#5-A-column-made-again) · [6 Exercises](#6-Exercises)

# %%
import logging

import numpy as np
import pandas as pd
import plotly.io as pio
from IPython.display import Markdown, display

from fac_lab.display.cells import show
from fac_lab.display.main_figures import TITLES, beside_paper, differences
from fac_lab.display.main_table import measured, order, tested, wide
from fac_lab.display.saving import save_figure
from fac_lab.lab import Lab
from fac_lab.studies.main_table import COLUMNS, main_table
from fac_lab.studies.methods import OURS
from fac_lab.studies.stored import read_result

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere
logging.getLogger("fac_lab").setLevel(logging.ERROR)

lab = Lab.open()
cells, manifest = read_result("main_table")
scale = manifest["profile"]["name"]
print(
    f"stored: main_table, profile {scale}, {cells.held_out_set.nunique()} held-out sets x {cells.seed.nunique()} "
    f"training seeds, {manifest['made'][:10]}"
)

# %% [markdown]
# ## 1 What is compared
#
# All methods start from the same seed data, which lack a share of the mini world's concepts, and write samples for it.
# In each column they may write as many as FAC Synthesis keeps, from as many drafts. *Baseline* adds nothing. *Full
# Dataset* is not defined in the paper; here it is everything that the seed data set holds, in place of the small part
# that the others start from: more rows, no wider.

# %%
scales = {
    "tox_auprc": "detector with LoRA on the 1.4 M-parameter subject",
    "rm_acc": "reward model with LoRA on the same, mean of four sections",
    "sycophancy_scr": "CAA vectors in a copy of the subject that knows personas",
    "survival_scr": "the same",
    "if_lc": "supervised fine-tuning with LoRA, the world's own checker as judge",
    "if_wr": "the same, length not controlled",
}
means = measured(cells)
facts = means[means.method == OURS].set_index("measure")
show(
    pd.DataFrame(
        {
            "column": [TITLES[name] for name in facts.index],
            "what is trained": [scales[name] for name in facts.index],
            "samples added": facts.added.tolist(),
            "held-out sets": facts.sets.tolist(),
            "seeds": facts.seeds.tolist(),
        }
    ),
    caption=f"Our scale: profile {scale}, the mini world",
    formats={"samples added": ".0f"},
)

# %% [markdown]
# ## 2 The table
#
# ✎ *Write down before you scroll: in which columns will FAC Synthesis lead at this scale? Where will the spread be
# larger than the differences? Which method does well in the paper for a reason that cannot exist here?*

# %%
table = wide(means)
both = {title: table[name] + " (" + table[f"{name}, paper"] + ")" for name, title in TITLES.items()}
show(
    pd.DataFrame({"method": table.method} | both),
    caption="Mean ± standard deviation over seeds, in percent; in brackets the paper's",
)

# %% [markdown]
# The ± of this table, like the paper's, is over *seeds of one data set*. What a new user of a method wants to know is
# another spread: how much it would vary on **other data**. In the mini world there can be as many other data sets as
# one likes, each lacking other concepts:

# %%
spreads = means.groupby("measure", sort=False)[["sd_seeds", "sd_sets"]].mean().reset_index()
spreads["measure"] = spreads.measure.map(TITLES)
spreads["sets over seeds"] = spreads.sd_sets / spreads.sd_seeds.replace(0, np.nan)
show(
    spreads,
    caption="Mean standard deviation over seeds, and over held-out sets, in percentage points",
    formats={"sd_seeds": ".2f", "sd_sets": ".2f", "sets over seeds": ".1f"},
)

# %% [markdown]
# ## 3 Ours over the paper's
#
# If scale did not matter, the points of each panel would lie on a rising line.

# %%
figure = beside_paper(means)
save_figure(figure, "table_01")
display(figure)

# %%
agreement = order(means)
agreement["measure"] = agreement.measure.map(TITLES)
show(
    agreement,
    caption="Does our order of the ten methods agree with the paper's? Spearman's rho, pairs ordered alike, and the "
    "place of FAC Synthesis",
    formats={"spearman": "+.2f"},
)
n_first = int((agreement.place == 1).sum())
display(
    Markdown(
        f"**Read off:** FAC Synthesis is first in {n_first} of {len(agreement)} columns here, and in "
        f"{int((agreement.paper_place == 1).sum())} in the paper. {int(agreement.agree.sum())} of "
        f"{int(agreement.pairs.sum())} pairs of methods are ordered as in the paper (half would be by luck)."
    )
)

# %% [markdown]
# ## 4 Which differences stand?
#
# Nine methods in six columns are fifty-four comparisons: at 5 % some three would come out by luck alone. The paper
# tests none. Here each method is paired with FAC Synthesis on the same held-out set, seeds averaged first (they share
# the set's data), with Student's t over sets and Holm's correction over the whole table. With so few sets only large,
# steady differences can stand: that is the price of counting honestly, and a reason to run more sets.
#
# ✎ *How many red points do you expect?*

# %%
tests = tested(cells)
figure = differences(tests)
save_figure(figure, "table_01_differences")
display(figure)

# %%
standing = tests[tests.differs].assign(measure=lambda found: found.measure.map(TITLES))
if len(standing):
    show(standing, caption="Differences that stand after correction", formats={"p": ".2g", "p_holm": ".2g"})
by_luck = (tests.p < 0.05).sum()
display(
    Markdown(
        f"**Read off:** {int(by_luck)} of {len(tests)} comparisons have p < 0.05 uncorrected, {len(standing)} stand. "
        f"In {int((tests['mean'] > 0).sum())} of {len(tests)} the other method's mean is above that of FAC Synthesis."
    )
)

# %% [markdown]
# **Why it differs from the paper.** Its models have thousands of times the parameters, and data in which what is
# missing is missing in kind; ours lack concepts drawn at random from a small world, and a writer that knows those
# concepts. In such a world filling a gap by name is easy, and so is missing what the name does not say. Notebook 03
# shows that coverage goes with performance here about as far as the paper's own threshold analysis would let one
# expect; notebook 05 that two steps activate what they are asked for; this table what that was worth to a trained
# model. A method that is ahead here by less than the spread over sets is not ahead.

# %% [markdown]
# ## 5 A column made again
#
# The same call that made the stored table makes any piece of it. What was computed before is read, and a run that is
# killed goes on in the cell where it was:
#
#     python -m fac_lab.studies.main_table --only reward --only "FAC Synthesis"
#
# Live, two methods of one column on one held-out set:

# %%
PIECE = ["toxicity", "Baseline", OURS]
anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
again = main_table(lab, anchor, sets=[0], columns=COLUMNS, only=PIECE)
keys = ["column", "method", "held_out_set", "seed", "measure"]
both = again.merge(cells, on=keys, suffixes=(" now", " stored"))
show(both[[*keys[1:4], "measure", "value now", "value stored"]], caption="Made now, and as it was stored")
if lab.profile.name == scale:
    apart = float((both["value now"] - both["value stored"]).abs().max())
    print(f"largest difference: {apart:.2g} percentage points")

# %% [markdown]
# ## 6 Exercises
#
# ### Exercise 1 · Holm by hand ★ (10 minutes)
#
# Sort the p values; the smallest is multiplied by their number, the next by one less, and so on; none may fall below
# the one before it, and none exceed 1.


# %%
def holm(p: list[float]) -> list[float]:
    """p values, corrected, in their own order."""
    raise NotImplementedError


# %%
try:
    assert np.allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    known = tests.p.notna()
    assert np.allclose(holm(tests.p[known].tolist()), tests.p_holm[known])
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write holm in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def holm(p):
#     order = np.argsort(p)
#     scaled = np.array(p)[order] * (len(p) - np.arange(len(p)))
#     corrected = np.empty(len(p))
#     corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
#     return corrected.tolist()
# ```
# </details>
#
# ### Exercise 2 · What pairing buys ★★ (15 minutes)
#
# Of one column, compare the interval of the *paired* difference between two methods with that of two independent
# means. Return the standard error of the mean difference over sets, paired and unpaired (seeds averaged first).


# %%
def errors(of_one: pd.DataFrame, a: str, b: str) -> tuple[float, float]:
    """`of_one`: cells of one measure -> standard errors of mean(a) - mean(b): paired by set, and unpaired."""
    raise NotImplementedError


# %%
try:
    one = cells[cells.measure == "tox_auprc"]
    paired, unpaired = errors(one, "SynAlign", OURS)
    row = tests[(tests.measure == "tox_auprc") & (tests.method == "SynAlign")].iloc[0]
    n = int(row["n"])
    if n > 1:
        from scipy import stats

        assert np.isclose(paired * stats.t.ppf(0.975, n - 1), row.high - row["mean"])
    print(f"exercise 2: right; paired {paired:.2f}, unpaired {unpaired:.2f} percentage points")
except NotImplementedError:
    print("exercise 2: write errors in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def errors(of_one, a, b):
#     by_set = of_one.groupby(["held_out_set", "method"]).value.mean().unstack()
#     n = len(by_set)
#     paired = (by_set[a] - by_set[b]).std() / n**0.5
#     unpaired = ((by_set[a].var() + by_set[b].var()) / n) ** 0.5
#     return paired, unpaired
# ```
# </details>
#
# ### Exercise 3 · For discussion ★★★
#
# The paper's table says ± and does not say over what. Which two readings are possible, and which would make the claim
# stronger? What would you ask the authors to release?
#
# <details><summary>Solution 3</summary>
#
# Over seeds that train on *one* synthetic data set, it tells how noisy training is. Over seeds that write the data anew
# as well, it tells how noisy the method is, which is what a reader wants; the text names three seeds and no more. The
# synthetic sets of each seed, and the scores row by row, would let anybody pair the methods and test them.
# </details>
#
# **Previous:** [09 · Instruction following](09_instruction_following.ipynb) · **Next:** [11 ·
# Sensitivity](11_sensitivity.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
