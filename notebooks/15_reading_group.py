# %% [markdown]
# # 15 · Reading group: four sessions, and what the paper leaves open
#
# For a group that reads *Less is Enough: Synthesizing Diverse Data in Feature Space of LLMs* (arXiv 2602.10388)
# together, and wants to turn its claims into things that can be run. Four sessions of ninety minutes, three to eight
# people, one laptop that has run `make install`. No GPU, no network, no key.
#
# **You will** lead a session with roles and a clock · speak of features, gaps and coverages with one word for each ·
# name every place where the paper leaves a choice, what was chosen here and what it changed · ask questions that an
# experiment can answer
#
# **Time** four times ninety minutes · **Difficulty** ★ to ★★★ · **Before** nothing; [00 · Start
# here](00_start_here.ipynb) is the first session's reading
#
# **Contents** [1 How a session runs](#1-How-a-session-runs) · [2 Syllabus](#2-Syllabus) · [3 Questions to talk
# about](#3-Questions-to-talk-about) · [4 Glossary](#4-Glossary) · [5 What the paper leaves open and what we
# chose](#5-What-the-paper-leaves-open-and-what-we-chose) · [6 Quiz](#6-Quiz) · [7 Exercises](#7-Exercises)

# %%
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from fac_lab.display.cells import show
from fac_lab.display.choices import CHOICES, as_markdown
from fac_lab.display.glossary import ELSEWHERE, glossary, look_up
from fac_lab.display.tables import estimate, paired_differences
from fac_lab.errors import ArtifactError
from fac_lab.profile import load_profile, project_root
from fac_lab.studies.stored import read_result

profile = load_profile()
print(f"profile {profile.name}")

# %% [markdown]
# ## 1 How a session runs
#
# | minutes | what | who |
# |--:|:--|:--|
# | 10 | the claim of the day, in one sentence on the board | **advocate**: argues for the paper |
# | 15 | predictions: a number of everyone's for each ✎ | **clerk**: collects them, shows them later |
# | 30 | the notebook on one screen; stop at every ✎ | **driver**: runs, does not explain |
# | 20 | why numbers differ: from predictions, from the paper's | **sceptic**: asks for null, n, spread |
# | 10 | one exercise, in pairs | all |
# | 5 | what would change your mind? One experiment | **clerk** writes it down |
#
# Roles rotate. Two rules: **no number without its null and its n**, and **predictions are never wiped off**. Who was
# wrong has learned most.

# %% [markdown]
# ## 2 Syllabus
#
# ### 1 · Features and gaps: what does a data set leave out, and how would we know?
#
# - Read before (40 minutes): [00](00_start_here.ipynb), sections 1 to 5; the paper's introduction and its definitions
#   of features, FAC and F_miss
# - In the session: [00](00_start_here.ipynb) 6 (20 minutes), [01](01_sae_loading.ipynb) 1 and 2 (15),
#   [04](04_missing_feature_browser.ipynb), everyone finds one missing feature that surprises (25)
# - Afterwards (45): [02](02_feature_annotation.ipynb)
#
# ### 2 · Does it predict? What goes with performance, and what else does?
#
# - Read before (30): [03](03_fac_and_performance.ipynb), sections 1 to 3; the paper's RQ1, table 8, theorem 4.1
# - In the session: [03](03_fac_and_performance.ipynb) 4 to 8 (35), [14](14_theory.ipynb) 2 to 5 (30)
# - Afterwards (40): the exercises of [14](14_theory.ipynb)
#
# ### 3 · Writing what is missing: which part of the method does the work?
#
# - Read before (40): [05](05_two_step_synthesis.ipynb), sections 1 to 4; the paper's synthesis in two steps, tables
#   4, 9, 10
# - In the session: [05](05_two_step_synthesis.ipynb) 5 to 10 (45), [11](11_sensitivity.ipynb) (20)
# - Afterwards (20): rate 20 items each on the sheet of [13](13_human_evaluation.ipynb)
#
# ### 4 · Does it help, and where? Four tasks and one table: what is proven?
#
# - Read before (45): one of [06](06_toxicity_detection.ipynb), [07](07_reward_modelling.ipynb),
#   [08](08_behaviour_steering.ipynb), [09](09_instruction_following.ipynb), each by another part of the group; the
#   paper's tables 1, 3, 13, 14
# - In the session: [10](10_main_table.ipynb) (35), [12](12_transfer.ipynb) (20), the group's own agreement in
#   [13](13_human_evaluation.ipynb) (10)
# - Afterwards (30): [16](16_paper_scale.ipynb), what a rerun at scale would cost
#
# **Shorter:** two sessions, 1 and 4, with section 5 below as the bridge. **Longer:** each task's notebook is an evening
# of its own.

# %% [markdown]
# ## 3 Questions to talk about
#
# **Session 1**
#
# 1. A feature is missing if the seed never lights it. How many features would be missing if anchor and seed were two
#    halves of one data set? (Then open 00, section 6: it is not none.)
# 2. The paper's default threshold is 0 and one activating sample is enough. What has to be true of texts, features and
#    K so that this works? What do the paper's 20 features a token times 178 tokens a text come to?
# 3. Who decides which features *matter*? What would the result be if somebody else decided?
#
# **Session 2**
#
# 4. In notebook 03 one design makes any coverage correlate with AUPRC. What is circular in it, and is the paper's
#    design of this kind? What would you have to know to tell?
# 5. Two data sets of the same size and FAC. Give a reason why one trains a better detector.
# 6. A bound above 1 is true. Is it evidence? What would evidence for the *theory*, not for the method, look like?
#
# **Session 3**
#
# 7. Four drafts cover more than two. Is *two steps beat one step* a claim about steps? Design the comparison.
# 8. Coverage by the feature's *own* sample or by *any* sample: which one would you print, and why did the paper print
#    the other?
# 9. The best-scoring sample is chosen by the same SAE that defined the gap. What can go wrong, and how would you see
#    it?
#
# **Session 4**
#
# 10. Each task has another anchor, judge and metric. Does one method win in four tasks, or do four methods share a
#     name?
# 11. An independent rerun saw no gain over plain generation on toxicity. Which of the choices in section 5 would you
#     turn first to find out why?
# 12. What would you need to measure to use this on your own data next month? Which of it can you not afford?

# %% [markdown]
# ## 4 Glossary
#
# One word for each thing, in the code, in the tables and here. The last column is where the word is code: the next cell
# looks every one of them up, so that this list cannot go stale.

# %%
words = glossary()
for path in words["in code"]:
    assert path == ELSEWHERE or look_up(path) is not None
show(words, caption=f"{len(words)} words")

# %% [markdown]
# **Two that are mixed up most.** *FAC* has the whole support below the line, *gap coverage* only what was missing. A
# data set that covers 95 % of the support has FAC .95; if samples then light 60 % of the missing features, gap coverage
# is .60 and FAC rises to .98. The percentages that the paper prints are of the second kind.

# %% [markdown]
# ## 5 What the paper leaves open and what we chose
#
# Seven points, from reading the paper, its appendices, its authors' code and their answers to readers. For each: what
# is open, what is chosen here, the **setting** that turns it, where to see it, and **what it was measured to change**.
# The measured lines are worked out by the next cell from the stored results; where not said otherwise they are of the
# mini world. None is typed in.
#
# ✎ *Before you read on: which single choice would you expect to change the set of missing features most?*

# %%
POINTS = {
    1: "Anchor, seed and threshold",
    2: "What *red-team* means",
    3: "Which rows of ToxicChat",
    4: "*Baseline* and *Full Dataset*",
    5: "Printed numbers that do not agree",
    6: "Where the code does otherwise than the text",
    7: "A rerun that saw no gain",
}
assert set(POINTS) == {choice.point for choice in CHOICES}
display(Markdown("\n\n".join(f"### {point} · {title}\n\n{as_markdown(point)}" for point, title in POINTS.items())))

# %% [markdown]
# Settings stand in the profile: `fac-lab profile mini` shows all of them, a YAML file of your own says `extends: mini`
# and what it changes. Two data protocols are compared by `fac-lab data NAME --diff OTHER`.
#
# **Which were turned?** A list of switches is worth what was measured on it:

# %%
measured = pd.DataFrame([(c.point, c.setting, c.measured()) for c in CHOICES], columns=["point", "setting", "effect"])
quiet = measured.effect.str.contains("not measured|not stored")
print(f"{(~quiet).sum()} of {len(measured)} choices have a stored effect; without one:")
for row in measured[quiet].itertuples():
    print(f"  point {row.point}: {row.setting}")

# %% [markdown]
# ## 6 Quiz
#
# One question per session; answer aloud, then unfold.
#
# **1.** An anchor of 4,000 and a seed of 6,000 samples from *the same* source. A feature is in 2 anchor samples and
# in no
# seed sample. Is it missing?
#
# <details><summary>Answer 1</summary>
#
# At m = 1 it is called missing, and wrongly. If a random sample lights it with the probability 2 / 4,000, then 6,000 of
# them all fail to with probability about $e^{-3}$, 5 %: among a thousand such features fifty are "missing" by luck.
# With
# alpha = 0.01 the rule asks for $m = \lceil 4.6 \cdot 4000/6000 \rceil = 4$ samples.
# </details>
#
# **2.** Somebody adds 300 copies of one row to a data set, and FAC stays at 0.71 while AUPRC falls. Does this
# contradict
# the paper?
#
# <details><summary>Answer 2</summary>
#
# Not the definition: FAC counts presence, and copies add none. It does contradict reading FAC as *all* there is about a
# data set: mass, size and noise are seen by other measures, and the theorem is about distributions, not supports
# (notebook 14).
# </details>
#
# **3.** A generator is asked for 4 drafts per feature, plain generation writes as many drafts without any feature, and
# covers 60 % of the gap. Feature-guided synthesis covers 90 %. How much is owed to features?
#
# <details><summary>Answer 3</summary>
#
# At most 30 percentage points *of coverage by any*. Look at the coverage by the feature's own sample for what was
# aimed, and at AUPRC for whether any of it matters.
# </details>
#
# **4.** Table 1 has ten methods, five tasks' columns and three seeds. FAC Synthesis is first in every column. How would
# you test whether that can be luck?
#
# <details><summary>Answer 4</summary>
#
# Pair by held-out set and seed, take the difference from each method, correct for the many comparisons (Holm), and say
# the n. Seeds of the training alone share one data set: they are no substitute for other gaps.
# </details>

# %% [markdown]
# And one with numbers. `answer` is a guess of yours in every line; the cell compares it with what was stored.

# %%
answer = {
    "AUPRC of FAC minus plain generation": 0.05,
    "share of samples that activate their feature if nothing filters (0 to 1)": 0.9,
    "missing features by the judge's verdicts where nothing is missing": 5,
}


# %%
def stored(name):
    """A stored result; None where there is none."""
    try:
        return read_result(name)[0]
    except ArtifactError:
        return None


arms, turned = stored("arms"), stored("switches")
if arms is not None and turned is not None:
    gain = paired_differences(arms, "plain").set_index("arm")["mean"]["fac"]
    active = turned[turned.switch == "filter"].active
    by_verdicts = turned[turned.switch == "missing"].n_missing_null
    truth = dict(zip(answer, (gain, estimate(active).mean, estimate(by_verdicts).mean), strict=True))
    lines = [
        {"question": question, "your guess": guess, "measured": truth[question]} for question, guess in answer.items()
    ]
    show(pd.DataFrame(lines), caption="In the mini world", formats={"your guess": ".3g", "measured": ".3g"})

# %% [markdown]
# ## 7 Exercises
#
# ### Exercise 1 · FAC from gap coverage ★ (5 minutes)
#
# From FAC before and the gap coverage of what was added, FAC after.


# %%
def fac_after(fac_before: float, gap_coverage: float) -> float:
    """Share of the anchor's support that seed and added samples cover together."""
    raise NotImplementedError


# %%
try:
    assert np.isclose(fac_after(0.95, 0.6), 0.98) and fac_after(0.7, 0) == 0.7 and np.isclose(fac_after(0.2, 1), 1)
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write fac_after in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def fac_after(fac_before, gap_coverage):
#     return fac_before + (1 - fac_before) * gap_coverage
# ```
# </details>
#
# ### Exercise 2 · Is a difference one? ★★ (15 minutes)
#
# Stored are AUPRCs of several arms over held-out sets and training seeds. Write the test that the sceptic asks for: the
# smallest number of held-out sets, of those there are, in which an arm has to be ahead of another for a two-sided sign
# test at 5 %. Return None where even all of them are not enough.


# %%
def sets_needed(n_sets: int) -> int | None:
    """Least number of wins of `n_sets` with a two-sided sign test below 5 %; None where there is none."""
    raise NotImplementedError


# %%
try:
    assert sets_needed(5) is None and sets_needed(6) == 6 and sets_needed(9) == 8 and sets_needed(20) == 15
    if arms is not None:
        n = arms.held_out_set.nunique()
        wins = paired_differences(arms, "plain").set_index("arm").better.to_dict()
        print(f"exercise 2: right; with {n} sets an arm needs {sets_needed(n)} wins over plain; they have {wins}")
except NotImplementedError:
    print("exercise 2: write sets_needed in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# from math import comb
#
#
# def sets_needed(n_sets):
#     for wins in range(n_sets // 2 + 1, n_sets + 1):
#         tail = sum(comb(n_sets, k) for k in range(wins, n_sets + 1)) / 2**n_sets
#         if 2 * tail < 0.05:
#             return wins
#     return None
# ```
# With five sets no result of a sign test is significant, however clear: count your held-out sets before the study.
# </details>
#
# ### Exercise 3 · A choice of your own ★★★ (30 minutes)
#
# Take one line of section 5 whose effect is not stored. Write down what you expect, the profile that turns the setting
# (`extends: mini`, two lines of YAML), the study you would run, its null, and how many held-out sets you need for the
# effect you expect. Then run it: `FAC_LAB_PROFILE=mine.yaml python -m fac_lab.studies.results switches --out
# elsewhere`.
#
# <details><summary>Solution 3</summary>
#
# There is none; here is what a good answer holds. A number that was written down *before*. One setting changed, not
# two. The same held-out sets as the stored result, so that differences are paired. The null of the *changed* rule,
# since
# a rule that calls more features missing has another null. And a sentence that says what result would have made you
# drop the idea.
# </details>

# %%
folder = project_root() / "notebooks"
series = sorted(path.stem for path in folder.glob("[0-9][0-9]_*.py")) if folder.is_dir() else []
print(f"{len(series)} notebooks: " + ", ".join(series))

# %% [markdown]
# ## Summary
#
# - Four sessions: gaps, prediction, writing, use. Predictions first; roles rotate; no number without its null and n.
# - One word per thing. FAC and gap coverage are two numbers.
# - Everything the paper leaves open is a setting here, and most settings have a measured effect beside them. The
#   threshold, the support and the comparison of verdicts change what is *missing* more than anything that follows.
# - What is not measured is listed as such. Take one of those home.
#
# **Previous:** [14 · Theory](14_theory.ipynb) · **Next:** [16 · Paper
# scale](16_paper_scale.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
