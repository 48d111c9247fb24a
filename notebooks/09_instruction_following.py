# %% [markdown]
# # 09 · Instruction following: who wins, and who says so
#
# The last column of the paper's main table asks the loosest question: *is this model's answer the better one?* No label
# says so. A **judge** does, in pairs: our answer beside a strong model's, 805 times; the share of wins is the **win
# rate**. Two things can be wrong with such a judge before any model is: it may like a **place** (the first answer), and
# it may like **length**. This notebook takes the measure apart before it believes it, and then looks at what written
# instructions are worth to a base model.
#
# **You will** judge pairs in both orders and see a taste for places cancel · build a judge that loves length, watch it
# move the win rate, and take the effect out again with AlpacaEval 2's formula · check that formula against a published
# leaderboard · read the paper's LC, WR and SD for ten methods beside ours · see what fewer samples are worth (figure 1)
#
# **Time** fifteen minutes to read and run, an hour with predictions and exercises · **Difficulty** ★ to ★★ ·
# **Before** [00 · Start here](00_start_here.ipynb), [05 · Two-step synthesis](05_two_step_synthesis.ipynb)
#
# **Contents** [1 Answers](#1-Answers) · [2 A judge, and its two orders](#2-A-judge,-and-its-two-orders) · [3 When
# something is lacking](#3-When-something-is-lacking) · [4 A judge that loves
# length](#4-A-judge-that-loves-length) · [5 The published numbers](#5-The-published-numbers) · [6 A base that lacks
# something](#6-A-base-that-lacks-something) · [7 Ten methods](#7-Ten-methods) · [8 How many
# samples?](#8-How-many-samples?) · [9 What it costs
# elsewhere](#9-What-it-costs-elsewhere) · [10 Exercises](#10-Exercises)

# %%
import logging

import numpy as np
import pandas as pd
import plotly.io as pio
from IPython.display import Markdown, display
from scipy.special import expit

from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.display import instruction as shown
from fac_lab.display.cells import show, stored
from fac_lab.display.saving import save_figure
from fac_lab.display.tables import paired_differences, paper_table
from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.mini.checker import check, prefer
from fac_lab.studies.instruction import (
    ANSWER_TOKENS,
    MOST,
    OURS,
    OWN_ANSWERS,
    TUNING,
    fresh_instructions,
    reference_answers,
    stand_ins,
)
from fac_lab.studies.methods import METHODS
from fac_lab.tasks.instruction import Exchange, answers, compare, compare_by_chat, train_assistant
from fac_lab.tasks.win_rates import length_controlled_win_rate, length_effect, raw_win_rate
from fac_lab.world import Dice, concepts, hold_out
from fac_lab.world.concepts import patterns

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere
logging.getLogger("fac_lab").setLevel(logging.ERROR)

lab = Lab.open()
profile = lab.profile
N_LIVE = 120  # instructions in the live cells; AlpacaEval has 805
print(f"profile {profile.name}; subject {profile.subject.path}")

# %% [markdown]
# ## 1 Answers
#
# Three small chat models answer the same instructions. The subject was taught to chat most of all; the other two spend
# most of what they know on writing queries and on judging features. Their answers are what we judge first.

# %%
test = fresh_instructions(lab)[:N_LIVE]
asked = [query for _, query in test]
replies = {
    "subject": reference_answers(lab, asked),
    "generator": answers(lab.generator, asked, max_tokens=ANSWER_TOKENS),
    "annotator": answers(lab.annotator, asked, max_tokens=ANSWER_TOKENS),
}
sample = pd.DataFrame({"instruction": asked[:4], **{name: given[:4] for name, given in replies.items()}})
show(sample, caption="The first four instructions and what each model answers")

# %% [markdown]
# The judge of the mini world is a **checker**: it asks nobody, it reads off the world what an answer has to hold. Does
# it name what was asked about? Does it give one of its first steps, and one of its second steps? Is it a finished
# sentence? The answer that passes more of the four wins. Think of IFEval's verifiable instructions, with the truth of
# a world that we wrote.
#
# ✎ *Which check will all three pass? Which will hardly any?*

# %%
passed = [
    {"answers of": name}
    | pd.DataFrame([check(q, given, c) for (c, q), given in zip(test, said, strict=True)]).mean().to_dict()
    for name, said in replies.items()
]
columns = {"topic": "names the topic", "first": "a first step", "then": "a second step", "finished": "finished"}
percent = dict.fromkeys(columns.values(), ".0%")
show(pd.DataFrame(passed).rename(columns=columns), caption="Share of answers that pass each check", formats=percent)

# %% [markdown]
# ## 2 A judge, and its two orders
#
# A judge sees *instruction, first answer, second answer* and says which is better. Ask it twice, with the answers
# swapped: what it says of the first **place**, whoever stands there, cancels. What is left is about the answers.
#
# Take the checker and spoil it: with some probability it does not read, and says "first".
#
# ✎ *A judge that says "first" in four of ten cases: what does it make of a true win rate of 30 % if our answer always
# stands first? And in both orders?*


# %%
def careless(laziness, seed=0):
    """The checker, which with probability `laziness` says "first" unread."""
    dice = np.random.default_rng(seed)
    return lambda query, first, second: 1.0 if dice.random() < laziness else prefer(query, first, second)


lines = []
for laziness in (0.0, 0.2, 0.4, 0.8):
    judge = careless(laziness)
    one_order = np.array([judge(*pair) for pair in zip(asked, replies["generator"], replies["subject"], strict=True)])
    both = compare(asked, replies["generator"], replies["subject"], careless(laziness))
    lines.append(
        {
            "says first unread": laziness,
            "ours always first": raw_win_rate(one_order).percent,
            "both orders": raw_win_rate(both.preferences).percent,
            "verdicts for the first place": both.by_place,
        }
    )
formats = {"says first unread": ".0%", "ours always first": ".1f", "both orders": ".1f"}
formats["verdicts for the first place"] = ".0%"
show(pd.DataFrame(lines), caption="Win rate of the generator against the subject, in %", formats=formats)

# %% [markdown]
# Two orders take out a taste for places *on average over the pair*. They do not bring back what an unread pair would
# have said: it counts as a tie, and pulls every win rate towards 50. So the share of verdicts for the first place
# belongs beside a win rate: at 50 % the judge is cold to places; far above, half of what it says is noise.
#
# A **chat model** as a judge answers in JSON, `{"better": "first"}`. Where it talks instead, it is asked once more;
# then the verdict is missing, which is not a tie.

# %%
SAYINGS = {
    "in form": '{"better": "second"}',
    "a tie, in its own word": '{"better": "tie"}',
    "talks": "Both answers have their strengths.",
    "nothing": "",
}


class Says:
    """A judge that says the same of everything."""

    name = "says"

    def __init__(self, text):
        self.text, self.asked = text, 0

    def generate(self, requests, done):
        for place, request in enumerate(requests):
            self.asked += 1
            done(place, ChatReply(request, self.text, "stop"))


lines = []
for kind, text in SAYINGS.items():
    backend = Says(text)
    found = compare_by_chat(["q"], ["our answer"], ["theirs"], ChatClient(backend, cache=None, progress=False))
    lines.append(
        {"the judge": kind, "requests": backend.asked, "preference": found.preferences[0], "unread": found.unread}
    )
show(pd.DataFrame(lines), caption="One pair in both orders; without any verdict there is no preference")

# %% [markdown]
# ## 3 When something is lacking
#
# What must not pass in silence, each with what happens:

# %%
spotless = compare(["q"] * 3, ["", "the same", "  "], ["an answer", "the same", ""], judge=None)
names = ["no answer", "the same answer", "neither answers"]
show(pd.DataFrame({"ours against theirs": names, "preference": spotless.preferences}), caption="No judge is asked")

no_verdict = np.full(3, np.nan)
refused = {
    "a response is lacking": lambda: train_assistant("unused", [Exchange("a", "Hello", " ")], TUNING, None, seed=0),
    "fewer answers than instructions": lambda: compare(["q", "r"], ["a"], ["b", "c"], prefer),
    "no verdict at all": lambda: raw_win_rate(no_verdict),
    "preferences from 1 to 2": lambda: raw_win_rate(np.array([1.2, 1.9])),
}
for kind, attempt in refused.items():
    try:
        attempt()
        raise AssertionError(f"{kind}: passed")
    except DataError as error:
        print(f"{kind}: {error}")

# %% [markdown]
# ## 4 A judge that loves length
#
# Large judges like long answers. AlpacaEval's authors asked one model to be brief and to be wordy, and its raw win rate
# went from far below its own to far above. So AlpacaEval 2 reports a **length-controlled** rate: fit
#
# $$P(\text{we win on } x) = \sigma\Big(\theta + \phi \tanh\frac{\Delta\ell(x)}{s} + \psi\,\gamma_x\Big)$$
#
# ($\Delta\ell$ is how much longer our answer is, $s$ the spread of that, $\gamma_x$ how hard the instruction is), set
# the length term to zero, and average the predictions. What $\phi$ explains is the judge's taste; what is left in
# $\theta$ is the model. Without $\gamma_x$, which AlpacaEval keeps in a file of its own, it is the *minimal* formula;
# that is the one here.
#
# Below, one model's answers three times: as they are, **cut** to their first sentence, and **padded** with up to four
# kind words at the end that say nothing. A judge reads them with more and more love of length.
#
# ✎ *Sketch six lines before you run it: raw and controlled, for each of the three.*


# %%
def length_lover(love):
    """The checker's taste in log-odds, plus `love` for being longer by far."""
    return lambda query, first, second: expit(
        (check(query, first).score - check(query, second).score) + love * np.tanh((len(first) - len(second)) / 40)
    )


dice = Dice(5)
closers = patterns()["closers"]
forms = {
    "as they are": replies["generator"],
    "cut": [text.split(". ")[0].rstrip(".") + "." for text in replies["generator"]],
    "padded": [" ".join([text, *dice.several(closers, dice.choose(range(5)))]) for text in replies["generator"]],
}
lines = []
for love in (0.0, 0.5, 1.0, 2.0, 3.0):
    for name, ours in forms.items():
        wins = compare(asked, ours, replies["annotator"], length_lover(love)).preferences
        lengths = [np.array([len(text) for text in side]) for side in (ours, replies["annotator"])]
        controlled = length_controlled_win_rate(wins, *lengths, n_bootstrap=2)
        lines.append({"love": love, "answers": name, "raw": raw_win_rate(wins).percent, "lc": controlled.percent})
taste = pd.DataFrame(lines)
figure = shown.taste_for_length(taste)
save_figure(figure, "if_taste_for_length")
figure.show()

# %%
moved = taste.pivot(index="love", columns="answers")
spread = {value: moved[value].iloc[-1].max() - moved[value].iloc[-1].min() for value in ("raw", "lc")}
at_rest = moved["raw"].iloc[0].max() - moved["raw"].iloc[0].min()
display(
    Markdown(
        f"With a judge that is cold to length the three differ by {at_rest:.1f} points: what cutting loses in "
        f"substance. With the one that loves it most they differ by **{spread['raw']:.1f}** points raw and "
        f"**{spread['lc']:.1f}** controlled. The model did not change; the wrapping did. Where all answers of one side "
        "are longer, length and side cannot be told apart, and no formula can: the control works as far as lengths "
        "overlap."
    )
)

# %% [markdown]
# ## 5 The published numbers
#
# Is this AlpacaEval's number, or one of ours under its name? On the leaderboard's own annotations (805 instructions,
# five models) both can be computed:
#
#     FAC_LAB_DATA=… python -m fac_lab.studies.results lc_check
#
# The raw rate has to agree to the last digit. The controlled one lacks $\gamma_x$. (Where the package `alpaca_eval` is
# installed, its own `length_controlled_v1` can be run on the same annotations; it fetches the difficulties from its
# hub, and needs `setuptools<81`. Nothing here depends on it.)
#
# ✎ *How far off will the minimal formula be? Will the order of the five models survive?*


# %%
lc = stored("lc_check")
if lc is not None:
    ratio = lc.length / lc.baseline_length
    table = lc.assign(ratio=ratio)[
        ["model", "published_wr", "wr", "wr_error", "published_lc", "lc", "lc_error", "phi", "ratio"]
    ]
    named = ["model", "WR published", "WR ours", "± SE", "LC published", "LC ours", "± SE (bootstrap)", "φ", "length ×"]
    table.columns = named
    show(
        table,
        caption="AlpacaEval 2, five models",
        formats=dict.fromkeys(named[1:7], ".2f") | {"φ": ".2f", "length ×": ".2f"},
    )
    off = (lc.lc - lc.published_lc).abs().max()
    order = lc.sort_values("lc").model.tolist() == lc.sort_values("published_lc").model.tolist()
    exact = (lc.wr - lc.published_wr).abs().max()
    same = "the same order" if order else "another order"
    print(f"raw: off by at most {exact:.1g}; controlled: by at most {off:.2f} points, in {same}")

# %% [markdown]
# ## 6 A base that lacks something
#
# Now the experiment. The paper tunes a *base* model (Llama-3-8B, LoRA r 8, Alpaca template) on the instructions of each
# method, 2,000 of them, and lets GPT-4-Turbo's answers be the reference. What does a base lack? In the paper: nearly
# everything that makes an assistant. In the mini world all chat models have met every concept, so one is **made to
# lack** half of them, for each held-out set anew:
#
# - a **seed** data set lacks half of all concepts; its missing features are found as always. Every request is a matter
#   of instructions, so all features that can be named are relevant: F is all that was named;
# - the **base** is the subject after a spell of wrong lessons: each held-out concept passes for its neighbour in the
#   same domain. It still chats; it takes fixing a tap for hanging a door. The others it knows as before;
# - each **method** writes instructions, the same number; the same **teacher**, the subject as it was, answers them; the
#   base is tuned on the pairs with LoRA;
# - the **test** is a fresh instruction about every concept, the **judge** the checker, the **reference** the subject as
#   it was. Whoever answers as it does ties, so 50 % is as good as the reference.
#
# Truth enters in three places only: the base, the test, the judge. No method sees it.
#
# One doubt to keep: wrong lessons may *hide* what a model knew rather than erase it.

# %%
held_out = hold_out(round(profile.study.held_out_share * len(concepts())), seed=0)
taken_for = stand_ins(held_out)
pairs = [{"asked about": c.gloss, "domain": c.domain, "taken for": taken_for[c.id].gloss} for c in held_out[:6]]
show(pd.DataFrame(pairs), caption=f"Wrong lessons of held-out set 0: six of its {len(held_out)} concepts")
print(
    f"tuning: LoRA r {TUNING.r}, alpha {TUNING.alpha}, {TUNING.epochs:g} epochs, rate {TUNING.lr:g}; "
    f"at most {MOST} samples a method"
)

# %% [markdown]
# ## 7 Ten methods
#
# ✎ *Before you look: rank them. Who will win on concepts that the base lacks, who on those that it knows? Will "Full
# Dataset", the seed's own rows, help at all? And what happens if our instructions are answered by the small generator,
# the poor teacher, in place of the subject?*

# %%
runs = stored("instruction")
if runs is not None:
    figure = shown.kinds(runs, METHODS)
    save_figure(figure, "if_known_and_lacking")
    figure.show()

# %%
if runs is not None:
    table = shown.methods_table(runs, METHODS)
    formats = dict.fromkeys(table.columns.drop(["method", "added", "about what it lacks"]), ".1f")
    formats |= {"added": ".0f", "about what it lacks": ".0%"}
    formats |= dict.fromkeys(["paper LC", "paper WR", "paper SD"], ".2f")
    n_seeds = runs.seed.nunique()
    caption = (
        f"Table 1, instruction following, in %: ours in the mini world ({runs.held_out_set.nunique()} held-out sets × "
        f"{n_seeds} seeds; SD over the sets) beside the paper's"
    )
    show(table, caption=caption, formats=formats)

# %% [markdown]
# Our SE and the paper's SD are the same kind of number: the standard error of a win rate over instructions (805 there).
# It says how sure one *model's* rate is. How sure a *method* is, is another question: other held-out concepts, other
# seeds of the tuning. The next table asks that one, paired, against our method.

# %%
if runs is not None:
    differences = paired_differences(runs, OURS, value="if_wr")
    lacking = paired_differences(runs, OURS, value="if_lacking")[["arm", "mean"]]
    told = differences.merge(lacking.rename(columns={"mean": "on what the base lacks"}), on="arm")
    told["arm"] = told.arm.map(
        {arm: name for name, arm in METHODS.items()} | {OWN_ANSWERS: "ours, own answers"}
    ).fillna(told.arm)
    caption = "Raw win rate minus that of FAC Synthesis, points; interval over held-out sets"
    show(told, caption=caption, formats=dict.fromkeys(["mean", "sd", "low", "high", "on what the base lacks"], ".1f"))
    mean = runs.groupby("arm").if_wr.mean()
    ours, rest = (
        mean[OURS],
        mean.drop([OURS, "none", "oracle", OWN_ANSWERS, "random_features", "plain"], errors="ignore"),
    )
    names = {arm: name for name, arm in METHODS.items()}
    apart = (runs.if_lc - runs.if_wr).abs()
    said = [
        f"- The base wins **{mean['none']:.1f} %**, ours **{ours:.1f} %**; the best of the other methods is "
        f"{names[rest.idxmax()]} with **{rest.max():.1f} %**."
    ]
    for arm, words in (
        ("random_features", "Written for features drawn by chance, missing or not"),
        ("oracle", "Real queries about what was held out, which no method can know"),
        (OWN_ANSWERS, "Our instructions with the small generator's answers"),
    ):
        if arm in mean:
            said.append(f"- {words}: **{mean[arm]:.1f} %**.")
    said.append(
        f"- LC and raw differ by {apart.mean():.1f} points on average, {apart.max():.1f} at most: the checker does not "
        "look at length, so there is little to take out."
    )
    display(Markdown("\n".join(said)))

# %% [markdown]
# Does it matter what the instructions are *about*? If it does, arms that ask about what the base lacks should win more
# there than arms that ask about what it knows.

# %%
if runs is not None:
    learned = runs[runs.arm != "none"].groupby("arm")[["about_held_out", "if_lacking", "if_known"]].mean()
    base = runs[runs.arm == "none"][["if_known", "if_lacking"]].mean()
    groups = {
        "mostly what it knows": learned.about_held_out < 0.5,
        "mostly what it lacks": learned.about_held_out >= 0.5,
    }
    lines = [
        {
            "instructions about": words,
            "arms": int(chosen.sum()),
            "gain on what it lacks": (learned.if_lacking[chosen] - base.if_lacking).mean(),
            "gain on what it knows": (learned.if_known[chosen] - base.if_known).mean(),
        }
        for words, chosen in groups.items()
    ]
    formats = {"gain on what it lacks": "+.1f", "gain on what it knows": "+.1f"}
    show(pd.DataFrame(lines), caption="Raw win rate over that of the base, points, mean over arms", formats=formats)
    r = learned.about_held_out.corr(learned.if_lacking)
    print(f"over {len(learned)} arms, share about what is lacking against win rate there: r = {r:+.2f}")

# %% [markdown]
# **Why ours and the paper's differ.** *The levels*: their base has no assistant's manner and their reference is far
# stronger than any arm, so all rates are low; ours lacks half of the topics and nothing else, and the reference can be
# reached. *The judge*: theirs has a taste, ours none. *The cause*: where both lines of the last table are alike, the
# instructions' topics hardly mattered. We meant a base that lacks concepts; a few hundred wrong lessons **hide** what a
# model knew, and clean exchanges about *anything* bring it back. A base that never met the concepts would have to be
# trained without them, ten minutes for each held-out set. The same doubt may be put to any base model, the paper's too:
# how much of what tuning "teaches" was there before? What methods then differ in is not what they cover.

# %% [markdown]
# ## 8 How many samples?
#
# The paper's figure 1 puts 2,000 samples beside data sets of hundreds of thousands. (Those bars are numbers published
# by others, from another recipe; only the three points of its own method share one.) Ours: the first quarter, half,
# all.
#
#     python -m fac_lab.studies.results instruction_sizes
#
# ✎ *Will a quarter of our samples beat all of another method's?*

# %%
sizes = stored("instruction_sizes")
if sizes is not None:
    figure = shown.efficiency(sizes)
    save_figure(figure, "if_efficiency")
    figure.show()
    by_size = sizes[sizes.arm != "none"].groupby(["arm", "share"]).agg(samples=("size", "mean"), wr=("if_wr", "mean"))
    least = by_size.loc[OURS].iloc[0]
    others = by_size.drop(OURS).groupby("arm").wr.last()
    words = ", ".join(f"{ {m: n for n, m in METHODS.items()}[arm] } {value:.1f} %" for arm, value in others.items())
    print(f"ours with {least.samples:.0f} samples: {least.wr:.1f} %; others with all of theirs: {words}")

# %% [markdown]
# ## 9 What it costs elsewhere
#
# Does a model that was tuned on FAC's instructions still reason? The paper's table 15 has GSM8K and LiveCodeBench,
# before and after. A model of a million parameters solves neither, so this table is the paper's alone; section 8 of
# [08](08_behaviour_steering.ipynb#8-What-it-costs-elsewhere) measures a side effect at our scale. For a tuned model of
# the paper's size, which `train_assistant` leaves in FOLDER:
#
#     pip install "lm_eval[hf]"
#     lm_eval run --model hf --model_args pretrained=FOLDER --tasks gsm8k --apply_chat_template
#
# ✎ *GSM8K has 1,319 test problems. How many of them is a gain of 0.75 points? How many answers may have changed at all
# if that is to be more than luck?*

# %%
reasoning = paper_table("table15_reasoning").set_index("benchmark")


def problems(values, largest=2000):
    """Smallest test set of which all of these percentages, with their two decimals, can be shares."""
    return next(n for n in range(1, largest) if all(abs(round(v * n / 100) / n - v / 100) < 6e-5 for v in values))


lines = []
for benchmark in reasoning.index:
    n = problems(reasoning.loc[benchmark])
    for model in ("llama", "mistral", "qwen2"):
        before, after = (reasoning.loc[benchmark, f"{model}_{when}"] for when in ("before", "after"))
        net = round((after - before) * n / 100)
        # Of c answers that changed, in either direction alike, the net has a standard deviation of sqrt(c).
        lines.append((benchmark, model, before, after, n, net, int((net / 1.96) ** 2)))
columns = ["benchmark", "model", "before, paper", "after, paper", "problems", "net gain", "stands if changed at most"]
show(
    pd.DataFrame(lines, columns=columns),
    caption="Table 15, in problems; the last column: answers that may have changed at all for |z| > 1.96",
    formats=dict.fromkeys(("before, paper", "after, paper"), ".2f"),
)

# %% [markdown]
# The sizes were found from the decimals: the smallest set that all six percentages fit. For GSM8K that is the size of
# its test split; LiveCodeBench's is not printed, and there a gain is one problem or two. "No harm" is what one hopes
# for here, and a difference within luck is what no harm looks like. For a *gain* one would have to know how many
# answers changed, which only the answers tell.

# %% [markdown]
# ## 10 Exercises
#
# ### Exercise 1 · A win rate by hand ★ (5 minutes)
#
# From both orders of verdicts on the **first** place to one win rate, unread verdicts (NaN) left out pair by pair.


# %%
def win_rate(straight: np.ndarray, swapped: np.ndarray) -> float:
    """`straight`: verdicts with ours in the first place; `swapped`: in the second; 1 means the first place won, NaN is
    unread. Percent of wins."""
    raise NotImplementedError


# %%
try:
    assert np.isclose(win_rate(np.array([1.0, 1.0]), np.array([1.0, 0.0])), 75)
    assert np.isclose(win_rate(np.array([1.0, np.nan, np.nan]), np.array([np.nan, 1.0, np.nan])), 50)
    pairs = list(zip(asked, replies["generator"], replies["subject"], strict=True))
    one = np.array([prefer(q, a, b) for q, a, b in pairs])
    two = np.array([prefer(q, b, a) for q, a, b in pairs])
    whole = compare(asked, replies["generator"], replies["subject"], prefer)
    assert np.isclose(win_rate(one, two), raw_win_rate(whole.preferences).percent)
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write win_rate in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# import warnings
#
#
# def win_rate(straight, swapped):
#     with warnings.catch_warnings():
#         warnings.simplefilter("ignore")  # a pair without any verdict
#         per_pair = np.nanmean([straight, 1 - swapped], axis=0)
#     return 100 * np.nanmean(per_pair)
# ```
# </details>
#
# ### Exercise 2 · A constraint of your own ★★ (10 minutes)
#
# IFEval's idea: a constraint that code can verify. Write one that the checker lacks: *the answer gives its steps in
# order*, that is, some word of order ("first", "begin", "start") stands before another one ("then", "next",
# "after"). Which of the three models keeps to it most often?


# %%
def in_order(answer: str) -> bool:
    """Whether a word for the first step stands before one for the next."""
    raise NotImplementedError


# %%
try:
    assert in_order("First check the frame, then clean it.")
    assert not in_order("Then clean it, but first check the frame.") and not in_order("Good luck!")
    kept = {name: np.mean([in_order(text) for text in said]) for name, said in replies.items()}
    print("exercise 2: right;", ", ".join(f"{name} {share:.0%}" for name, share in kept.items()))
except NotImplementedError:
    print("exercise 2: write in_order in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# import re
#
#
# def in_order(answer):
#     start = re.search(r"\b(first|begin|start)\b", answer.lower())
#     go_on = re.search(r"\b(then|next|after)\b", answer.lower())
#     return bool(start and go_on) and start.start() < go_on.start()
# ```
# </details>
#
# ### Exercise 3 · What the formula cannot do ★★ (15 minutes)
#
# Write lengths and preferences of a model that is **better because it is longer**: its long answers hold what its short
# ones lack, and the judge, cold to length as such, rewards that. What does length control make of it? Return 400
# preferences with our lengths and theirs, so that the raw rate is above 60 % and the controlled one below 55 %.


# %%
def better_because_longer() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Preferences [400] in [0, 1], our lengths, their lengths."""
    raise NotImplementedError


# %%
try:
    wins, ours_long, theirs_long = better_because_longer()
    raw, lc_rate = raw_win_rate(wins), length_controlled_win_rate(wins, ours_long, theirs_long)
    assert len(wins) == 400 and raw.percent > 60 and lc_rate.percent < 55, (raw.percent, lc_rate.percent)
    phi = length_effect(wins, ours_long, theirs_long)
    print(f"exercise 3: right; raw {raw.percent:.0f}, controlled {lc_rate.percent:.0f}, phi {phi:.1f}")
except NotImplementedError:
    print("exercise 3: write better_because_longer in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# def better_because_longer():
#     dice = np.random.default_rng(0)
#     theirs = dice.normal(1000, 200, 400)
#     ours = theirs + dice.normal(200, 300, 400)
#     return expit((ours - theirs) / 150), ours, theirs
# ```
# The formula sees preferences and lengths, never a reason. What length carries, it takes away.
# </details>
#
# ## Summary
#
# - A win rate is a judge's word. **Both orders** cancel a taste for places; report the share of verdicts for the first
#   place, and what could not be read.
# - Length control takes out what length explains, *taste or merit*. The minimal formula is within a point of the
#   published numbers on the five models where that can be checked.
# - No answer loses; the same answer ties; no verdict is not a tie; a prompt without a response is not learned from.
# - Read in section 7 what each method's instructions were *about*, and whether that mattered, before you credit one.
#
# **Previous:** [08 · Behaviour steering](08_behaviour_steering.ipynb) · **Next:** [10 · Main
# table](10_main_table.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
