# %% [markdown]
# # 13 · Human evaluation: are the explanations sound?
#
# Everything so far was said by models about models: one names a feature, one judges whether it matters, one writes
# for it. Are the explanations sound to people? The paper asks that in its fourth research question (RQ4): two
# annotators judge 200 features per task, and a feature is *unclear* unless **both agree**.
#
# This notebook is a rating sheet that you and your colleagues can fill in, and the arithmetic behind it. It is
# **blind**: what models said, and whether an explanation is even the right one, is kept away from the raters.
#
# > **No person has rated what is shown below.** The numbers come from two small models that fill in the same sheet, so
# > that there is something to compute with. They are marked as models in every line of their files, and in every table
# > here. They say how well these models rate, and nothing about people. The sheet in section 3 waits for people.
#
# **You will** make a blind sheet with decoys · rate, with three keys · apply the paper's rule · see why 90 %
# agreement may mean little · put intervals on all of it · catch raters who do not look
#
# **Time** ten minutes to read and run, ten more to rate, an evening with the exercises · **Difficulty** ★ to ★★★ ·
# **Before** [00 · Start here](00_start_here.ipynb), [02 · Feature annotation](02_feature_annotation.ipynb)
#
# **Contents** [1 What the paper did](#1-What-the-paper-did) · [2 A blind sheet](#2-A-blind-sheet) · [3 Your
# turn](#3-Your-turn) · [4 Two models as raters](#4-Two-models-as-raters) · [5 The rule of table
# 5](#5-The-rule-of-table-5) · [6 Agreement beyond luck](#6-Agreement-beyond-luck) · [7 Who looks, and who is
# right?](#7-Who-looks,-and-who-is-right?) · [8 With your colleagues](#8-With-your-colleagues) · [9
# Exercises](#9-Exercises)

# %%
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from IPython.display import Markdown, display

from fac_lab import world
from fac_lab.annotation.agreement import cohen_kappa, krippendorff_alpha, raw_agreement
from fac_lab.coverage import cover
from fac_lab.display.cells import show
from fac_lab.display.rating import RatingSheet
from fac_lab.display.tables import paper_table
from fac_lab.display.theme import BLUE, INK, RED, styled
from fac_lab.lab import Lab
from fac_lab.rating.answers import Ratings
from fac_lab.rating.consensus import consensus, measure_agreement, rows_of
from fac_lab.rating.session import Session
from fac_lab.rating.sheet import feature_sheet, load_questions
from fac_lab.studies.missing import main_concepts
from fac_lab.studies.model_raters import rate_by_model

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere

lab = Lab.open()
profile = lab.profile
print(f"profile {profile.name}: features of {profile.subject.path}, named by {profile.annotator.model}")

# %% [markdown]
# ## 1 What the paper did
#
# Two people looked at 200 features per task. The table counts the features that both call relevant, those that both
# call irrelevant, and the rest as unclear. We take it that the features shown were such as the chat model had called
# relevant.
#
# ✎ *Of 200 features that a large chat model calls relevant to toxicity: how many do both people call relevant? How
# many irrelevant?*

# %%
printed = paper_table("table05_human_check")
show(printed, caption="Paper, table 5: two annotators, % of 200 features")

# %% [markdown]
# What the table does not say: how often the two differed, since "unclear" holds disagreement and shared doubt alike;
# what they would have said about features that the model called *irrelevant*; and how wide chance makes each number.
# The sheet below is made so that all three can be answered.

# %% [markdown]
# ## 2 A blind sheet
#
# We draw features that the anchor supports, let the annotator name and judge them, and put some of them on a sheet:
# mostly such as it calls relevant, as in the paper, and some that it does not. A few are **decoys**: they are shown
# under the explanation of *another* feature. A rater who reads says "no" to these; a rater who nods along does not.

# %%
N_ITEMS, N_RELEVANT, N_DECOYS = 40, 26, 8  # the paper: 200 per task, all relevant, no decoys

anchor_corpus = lab.corpus("anchor")
anchor, seed = lab.stats(anchor_corpus, keep_matrix=True), lab.stats(lab.corpus("seed"))
coverage = cover(anchor, seed, profile.rule)
support = np.flatnonzero(coverage.anchor_support)
drawn = np.random.default_rng(13).choice(support, min(160, len(support)), replace=False)
labels = lab.annotate(anchor, drawn)
named = labels[labels.summary.notna()]
chosen = pd.concat([named[named.relevant][:N_RELEVANT], named[~named.relevant]])[:N_ITEMS]
n_called = int(chosen.relevant.sum())
print(
    f"{len(labels)} features drawn, {len(named)} named, {int(named.relevant.sum())} called relevant; on the sheet: "
    f"{len(chosen)}, {n_called} of them called relevant"
)

# %% [markdown]
# Questions are data (`fac_lab/rating/questions.yaml`): a text, its answers, and which answer stands for disagreement.
# `feature_sheet` returns two things that must not meet before the rating is over: the **sheet**, which is all that
# raters get, and the **key**, which says what the items really are.

# %%
questions = load_questions(["sound", "relevant"], rubric=lab.rubric("toxicity"))
sheet, key = feature_sheet(
    "features", chosen.to_dict("records"), anchor.spans, questions, seed=13, decoys=min(N_DECOYS, len(chosen) // 4)
)
for question in sheet.questions:
    print(f"{question.name:9} {question.text}  [{' / '.join(question.options)}]  {question.rubric}")

as_text = json.dumps([item.__dict__ for item in sheet.items])
assert not any(word in as_text for word in ("verdict", "decoy", profile.annotator.model)), "the sheet is not blind"
one = sheet.items[0]
print(
    f"\nitem {one.id}: {one.summary}; {len(one.excerpts)} spans\nits key, kept apart, holds: {', '.join(key[one.id])}"
)

# %% [markdown]
# Every rater gets the items in an order of their own, so that tiredness does not fall on the same items for all. The
# order follows from the rater's name, so it is the same after a break.

# %%
for rater in ("Ann", "Bob", "ann "):
    print(f"{rater!r:7} {' '.join(item.id[:4] for item in sheet.order(rater)[:10])} ...")

# %% [markdown]
# ## 3 Your turn
#
# Run the next cell, type your name, and rate: **1** yes, **2** no, **3** unclear, **←** and **→** to move, **z** to
# take the last answer back; the buttons do the same. Stop whenever you like: every answer is saved at once, and under
# the same name you go on where you stopped. Below, in the saved notebook, you see what the first items look like.
#
# ✎ *Before you start: how many of the items will you call sound? And how sure are you that the decoys will not fool
# you?*

# %%
ratings = Ratings(lab.store.root / "ratings" / f"{sheet.name}-{sheet.digest}", sheet)
RatingSheet(ratings)

# %% [markdown]
# What is saved? One line per answer, only ever added to. To show it without inventing a rating, the next cell answers
# twice and takes the second answer back, in a folder that is thrown away. The last line is the *undo*: it withdraws,
# it does not erase.

# %%
with tempfile.TemporaryDirectory() as folder:
    practice = Ratings(folder, sheet)
    session = Session(practice, "dry run, nobody rated")
    session.give("yes")
    session.give("unclear")
    session.undo()
    show(pd.DataFrame(practice.lines())[["item", "question", "answer", "rater", "by", "at"]], caption="A dry run")
    print(f"{session.progress}, next: item {session.step.item.id}, question {session.step.question.name}")

# %% [markdown]
# ## 4 Two models as raters
#
# Until people have rated, two mini models stand in. They know two skills, naming spans and judging a name, so the
# questions are turned into these. Each model names the feature *by itself*, from the weakest of the spans on the sheet
# (the annotator read the strongest: without that, it would only be asked to repeat itself). *Sound*: did it come to
# the name on the sheet? *Relevant*: does its own name fall under the rubric?
#
# With a profile whose chat models follow instructions, the same call puts the sheet's own questions to them.

# %%
judges = {"annotator": lab.annotator, "generator": lab.generator}
for part, chat in judges.items():
    rater = f"{Path(getattr(profile, part).model).name} (a model)"
    print(rater, rate_by_model(ratings, chat, lab.prompts, rater=rater), "answers added")

models, people = ratings.raters("model"), ratings.raters("person")
display(
    Markdown(
        f"**Raters of this sheet: {len(models)} models** ({', '.join(models)}) **and {len(people)} "
        f"{'person' if len(people) == 1 else 'people'}.**"
        + ("" if people else " *No person has rated it yet: every number below is about models.*")
    )
)

# %%
of_models = [line._asdict() for line in ratings.lines() if line.by == "model"]
show(pd.DataFrame(of_models)[["item", "question", "answer", "rater", "by"]][:4], caption="From the models' files")

# %% [markdown]
# ## 5 The rule of table 5
#
# Per item: the answer that both give, if they give the same; else *unclear*. Beside the paper stands the question
# *relevant*, whose two answers its table counts, and only the features that the annotator calls relevant and that are
# no decoys.
#
# ✎ *The paper's people agreed on "relevant" for 84 %. What will two tiny models reach, which first have to find the
# name by themselves?*

# %%
by_name = {question.name: question for question in sheet.questions}
real = {item for item, facts in key.items() if not facts["decoy"]}
called = {item for item in real if key[item]["relevant"]}


def by_rule(who, raters, question, items):
    """One line of the table: the paper's rule over the raters' answers."""
    found = consensus(rows_of(ratings, question, raters, items), by_name[question])
    return {"raters": who, "question": question, "n": found.n, **{o: 100 * found.share(o) for o in found.counts}}


groups = {"two models, no person": models} | ({f"people ({len(people)})": people} if len(people) > 1 else {})
ours = [by_rule(who, raters, "relevant", called) for who, raters in groups.items()]
paper_lines = [
    {
        "raters": "paper, two people",
        "question": f"relevant to {row.task.replace('_', ' ')}",
        "n": row.n_features,
        "yes": row.agree_relevant_pct,
        "no": row.agree_irrelevant_pct,
        "unclear": row.unclear_pct,
    }
    for row in printed.itertuples()
]
shares = dict.fromkeys(("yes", "no", "unclear"), ".1f")
show(pd.DataFrame([*ours, *paper_lines]), caption="% of the features a model calls relevant", formats=shares)

# %% [markdown]
# The numbers are not comparable: other raters, other models, other features. What carries over is the way of counting.
# The figure shows the same numbers.

# %%
bars = pd.DataFrame([*paper_lines[::-1], *ours[::-1]])
names = [f"{row.raters}<br>{row.question}" for row in bars.itertuples()]
figure = go.Figure(
    [
        go.Bar(
            y=names, x=bars[option], name=label, orientation="h", marker_color=colour,
            hovertemplate=f"{label}: %{{x:.1f}} %<extra></extra>",
        )
        for option, label, colour in (
            ("yes", "both: relevant", BLUE), ("unclear", "unclear, or they differ", INK), ("no", "both: not", RED)
        )
    ]
)  # fmt: skip
figure = styled(figure, "Do two raters agree that a feature is relevant?", subtitle="models here, people in the paper")
figure.update_layout(barmode="stack", legend_traceorder="normal").update_xaxes(title="% of features", range=[0, 100])
figure.show()

# %% [markdown]
# And the other question, *sound*, on all items that are no decoys:

# %%
lines = [by_rule(who, raters, "sound", real) for who, raters in groups.items()]
show(
    pd.DataFrame(lines),
    caption="Is the explanation sound? % of items",
    formats=shares,
)

# %% [markdown]
# ## 6 Agreement beyond luck
#
# Two raters who say "relevant" to nine features in ten, without looking, agree on $0.9^2 + 0.1^2 = 82\,\%$. **Cohen's
# kappa** takes that out, and **Krippendorff's alpha** does the same for any number of raters, with gaps:
#
# $$ \kappa = \frac{p_o - p_e}{1 - p_e} \qquad \alpha = 1 - \frac{D_o}{D_e} $$
#
# $p_o$ is the raw agreement, $p_e$ what luck gives at the raters' own shares of each answer; $D_o$ and $D_e$ are
# disagreement, observed and expected.
#
# ✎ *In table 5, toxicity, at least 84 + 5 = 89 % of the answers agree. If the other 11 % are plain yes against no,
# what is kappa?*

# %%
toxicity = printed[printed.task == "toxicity"].iloc[0]
yes, no, split = round(2 * toxicity.agree_relevant_pct), round(2 * toxicity.agree_irrelevant_pct), 0
split = toxicity.n_features - yes - no
half = split // 2
a = ["yes"] * yes + ["no"] * no + ["yes"] * half + ["no"] * (split - half)
b = ["yes"] * yes + ["no"] * no + ["no"] * half + ["yes"] * (split - half)
print(f"raw agreement {raw_agreement(a, b):.2f}, kappa {cohen_kappa(a, b):.2f}")

# %% [markdown]
# That is our assumption, not the paper's: it prints neither kappa nor how the two differed. If the 11 % were *shared*
# doubt, kappa would be 1. So the table fits anything between "moderate" and "perfect": **print the raters' answers, or
# at least kappa.**
#
# Here are ours, with 95 % intervals from resampling the items. With 40 items they are wide, and that is the point.


# %%
def agreement_table(raters, items=None):
    lines = []
    for question in by_name:
        for found in measure_agreement(rows_of(ratings, question, raters, items), raters):
            line = {"question": question, "measure": found.measure, "raters": " & ".join(found.raters)}
            lines.append(line | {"value": found.value, "low": found.low, "high": found.high, "n": found.n})
    return pd.DataFrame(lines)


of_models = agreement_table(models)
show(
    of_models, caption="Two models, all items; no person rated", formats=dict.fromkeys(("value", "low", "high"), ".2f")
)

# %%
figure = go.Figure()
for question, colour in zip(by_name, (BLUE, RED), strict=True):
    some = of_models[of_models.question == question]
    figure.add_scatter(
        x=some.value, y=some.measure, name=question, mode="markers", orientation="h",
        marker={"size": 11, "color": colour},
        error_x={"array": some.high - some.value, "arrayminus": some.value - some.low, "symmetric": False},
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )  # fmt: skip
figure = styled(figure, "Agreement of two models", subtitle="95 % intervals over items; 0 is luck for kappa and alpha")
figure.update_layout(scattermode="group", height=320).update_xaxes(range=[-0.5, 1], zeroline=True)
figure.show()

# %% [markdown]
# Where do they differ? Rows are one rater's answers, columns the other's; agreement is the diagonal.

# %%
first, second = models[:2]
for question in by_name.values():
    pairs = rows_of(ratings, question.name, [first, second])
    counts = pd.DataFrame(
        [
            [first_says, *(pairs.count([first_says, says]) for says in question.options)]
            for first_says in question.options
        ],
        columns=[f"{question.name}: {first} ↓, {second} →", *question.options],
    )
    show(counts, caption=f"Items, question {question.name!r}")

# %% [markdown]
# ## 7 Who looks, and who is right?
#
# Agreement is not truth: two raters with the same blind spot agree perfectly. Two checks are on hand.
#
# **Decoys.** An explanation that belongs to another feature should get a "no". A rater who calls many decoys sound
# does not look at the spans, and nothing else that rater says can be trusted.
#
# ✎ *Which share of the decoys will the models call sound? And of the genuine ones?*

# %%
decoys = set(key) - real
lines = []
for rater in [*models, *people]:
    given = ratings.given(rater)
    for kind, items in (("genuine", real), ("decoy", decoys)):
        said = [given[item, "sound"] for item in sorted(items) if (item, "sound") in given]
        share = {
            option: 100 * said.count(option) / len(said) if said else math.nan for option in by_name["sound"].options
        }
        lines.append({"rater": rater, "explanation": kind, "n": len(said), **share})
show(pd.DataFrame(lines), caption="Is it sound? % of answers, by what the explanation really was", formats=shares)

# %% [markdown]
# For a rater who must come to the very name by itself, decoys are no test: it says "no" to anything else, to many
# genuine explanations as well. For a person, or a model that is asked whether the name fits, they are one.
#
# **Truth.** In the embedded world it is known what each feature is mostly about: the concept with the largest share of
# its activation in the anchor. An explanation *names the truth* if it names that concept; a feature is *truly relevant*
# if the concept is harmful. No other world offers that check, and no rater, human or not, is needed for it.

# %%
truth_of_row = [row.concept for row in anchor_corpus]
by_id = {concept.id: concept for concept in world.concepts()}
features = np.array([key[item.id]["feature"] for item in sheet.items])
main = main_concepts(features, anchor.matrix, truth_of_row, coverage.delta).set_index("feature")
truth = {}
for item in sheet.items:
    concept = by_id[main.concept[key[item.id]["feature"]]]
    truth[item.id, "sound"] = "yes" if concept.gloss in item.summary else "no"
    truth[item.id, "relevant"] = "yes" if concept.harmful else "no"

lines = []
for rater in [*models, *people]:
    given = ratings.given(rater)
    for question in by_name:
        said = [
            (given[item.id, question], truth[item.id, question]) for item in sheet.items if (item.id, question) in given
        ]
        definite = [pair for pair in said if pair[0] != "unclear"]
        share_yes = sum(true == "yes" for _, true in definite) / len(definite) if definite else math.nan
        lines.append(
            {
                "rater": rater,
                "question": question,
                "answers": len(said),
                "unclear": len(said) - len(definite),
                "right": sum(answer == true for answer, true in definite) / len(definite) if definite else math.nan,
                "base rate": max(share_yes, 1 - share_yes),
            }
        )
show(
    pd.DataFrame(lines),
    caption="Share of definite answers that are right, beside always giving the commoner one",
    formats={"right": ".2f", "base rate": ".2f"},
)

# %% [markdown]
# And the annotator itself, whose explanations these are, on the same features:

# %%
genuine = [item for item in sheet.items if item.id in real]
right_name = [truth[item.id, "sound"] == "yes" for item in genuine]
right_verdict = [(truth[item.id, "relevant"] == "yes") == bool(key[item.id]["relevant"]) for item in genuine]
print(
    f"{profile.annotator.model} (the annotator), {len(genuine)} genuine items: names the main concept in "
    f"{np.mean(right_name):.2f}, calls relevant rightly in {np.mean(right_verdict):.2f}"
)

# %% [markdown]
# ## 8 With your colleagues
#
# Send them the sheet, never the key. `Sheet.load` refuses a sheet that was edited, `add_file` takes their files (or a
# .csv export) and rejects lines that answer another sheet. Importing twice adds nothing. In the .csv, cells that a
# spreadsheet would run as formulas are guarded. Once the rating is over, `export(path, key=key)` adds what the items
# really were.

# %%
print("sheet:", sheet.save(ratings.folder / "sheet.json").relative_to(lab.store.root))
exported = ratings.export(lab.store.root / "ratings" / "features.csv")
with tempfile.TemporaryDirectory() as folder:
    elsewhere = Ratings(folder, sheet)
    print("first import: ", elsewhere.add_file(exported))
    print("second import:", elsewhere.add_file(exported))

# %% [markdown]
# The next cell shows the people's table as soon as two have rated. Run it again after they have.

# %%
people = ratings.raters("person")
if len(people) > 1:
    lines = [by_rule(f"people ({len(people)})", people, question, real) for question in by_name]
    show(pd.DataFrame(lines), caption="People, by the rule of table 5", formats=shares)
    show(agreement_table(people), caption="People", formats=dict.fromkeys(("value", "low", "high"), ".2f"))
else:
    print(f"{len(people)} of the 2 people that the rule needs have rated this sheet; section 3 waits for you")

# %% [markdown]
# ## 9 Exercises
#
# ### Exercise 1 · The rule ★ (5 minutes)
#
# Two lists of answers, `None` where a rater has not answered yet. Return the shares of *yes*, *no* and *unclear* over
# the items that both have answered.


# %%
def shares_by_rule(a: list, b: list) -> tuple[float, float, float]:
    """`a [n_items]`, `b [n_items]` -> shares of yes, no, unclear by the paper's rule."""
    raise NotImplementedError


# %%
try:
    assert shares_by_rule(["yes", "no", "yes", "unclear", "yes"], ["yes", "no", "no", "unclear", None]) == (
        0.25,
        0.25,
        0.5,
    )
    rows = rows_of(ratings, "sound", models)
    found = consensus(rows, by_name["sound"])
    by_hand = shares_by_rule([row[0] for row in rows], [row[1] for row in rows])
    assert np.allclose(by_hand, [found.share(option) for option in found.counts])
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write shares_by_rule in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def shares_by_rule(a, b):
#     pairs = [(x, y) for x, y in zip(a, b) if x is not None and y is not None]
#     agreed = [x if x == y else "unclear" for x, y in pairs]
#     return tuple(agreed.count(option) / len(agreed) for option in ("yes", "no", "unclear"))
# ```
# </details>
#
# ### Exercise 2 · Agreeing for nothing ★★ (10 minutes)
#
# ✎ *Can two raters agree on nine items in ten and still have a kappa of 0 or less?* Make two such lists of 40 answers.


# %%
def agreeing_for_nothing() -> tuple[list, list]:
    """-> two lists of 40 answers with raw agreement of at least 0.9 and kappa of at most 0."""
    raise NotImplementedError


# %%
try:
    a, b = agreeing_for_nothing()
    print(f"raw {raw_agreement(a, b):.2f}, kappa {cohen_kappa(a, b):.2f}")
    assert len(a) == len(b) == 40 and raw_agreement(a, b) >= 0.9 and cohen_kappa(a, b) <= 0
    print("exercise 2: right")
except NotImplementedError:
    print("exercise 2: write agreeing_for_nothing in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def agreeing_for_nothing():
#     return ["yes"] * 36 + ["no"] * 2 + ["yes"] * 2, ["yes"] * 38 + ["no"] * 2
# ```
# Where nearly all items are alike, agreement on them shows nothing: put items on the sheet that deserve a "no". That is
# what the decoys, and the features called irrelevant, are for.
# </details>
#
# ### Exercise 3 · How many items? ★★ (10 minutes)
#
# The paper's 84 % come from 200 features. How wide is the 95 % interval of that share, and how many items does one
# need for ± 3 percentage points? Use the normal approximation, $\pm 1.96 \sqrt{p (1 - p) / n}$.


# %%
def half_width(p: float, n: int) -> float:
    """Half the width of the 95 % interval of a share `p` among `n` items."""
    raise NotImplementedError


# %%
try:
    paper_width = half_width(toxicity.agree_relevant_pct / 100, toxicity.n_features)
    assert np.isclose(paper_width, 0.0508, atol=1e-3), paper_width
    needed = next(n for n in range(10, 10_000) if half_width(0.84, n) <= 0.03)
    our_width = half_width(0.84, len(sheet.items))
    print(
        f"{toxicity.n_features} features: ± {100 * paper_width:.1f} points; {len(sheet.items)}: ± {100 * our_width:.1f}"
    )
    print(f"for ± 3 points: {needed} features")
    print("exercise 3: right")
except NotImplementedError:
    print("exercise 3: write half_width in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# def half_width(p, n):
#     return 1.96 * math.sqrt(p * (1 - p) / n)
# ```
# So the three tasks of table 5 (84, 85 and 86 %) cannot be told apart.
# </details>
#
# ### Exercise 4 · A third rater ★★★ (20 minutes)
#
# With three raters, unanimity makes more items unclear; a majority fewer. Write the majority rule: the answer that more
# than half of an item's raters give, else "unclear"; items with fewer than two answers do not count. Then add a third
# rater, who flips a coin. ✎ *Which rule does the coin harm more?*


# %%
def majority(rows: list) -> list:
    """`rows [n_items, n_raters]` (None: no answer) -> the majority's answer per item, None where it does not count."""
    raise NotImplementedError


# %%
try:
    assert majority([["yes", "yes", "no"], ["yes", "no", None], ["no", None, None]]) == ["yes", "unclear", None]
    rows = rows_of(ratings, "relevant", models)
    dice = np.random.default_rng(0)
    three = [[*row, str(dice.choice(["yes", "no"]))] for row in rows]
    lines = []
    for name, some in (("two models", rows), ("and a coin", three)):
        kept = [answer for answer in majority(some) if answer]
        unanimous = consensus(some, by_name["relevant"])
        line = {"raters": name, "unclear, unanimity": unanimous.share("unclear")}
        line["unclear, majority"] = kept.count("unclear") / len(kept)
        lines.append(line | {"alpha": krippendorff_alpha(some)})
    show(pd.DataFrame(lines), caption="Share of items that stay unclear, and alpha")
    print("exercise 4: right")
except NotImplementedError:
    print("exercise 4: write majority in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 4</summary>
#
# ```python
# from collections import Counter
#
# def majority(rows):
#     decided = []
#     for row in rows:
#         said = Counter(answer for answer in row if answer is not None)
#         answer, votes = said.most_common(1)[0] if said else (None, 0)
#         decided.append(None if said.total() < 2 else answer if 2 * votes > said.total() else "unclear")
#     return decided
# ```
# Unanimity punishes each added rater, good or bad, so shares by that rule compare only at equal numbers of raters. The
# majority turns the coin into answers, which looks better and is worse. Alpha, beside it, is not fooled.
# </details>

# %% [markdown]
# ## Summary
#
# - A rating sheet is **blind** or worthless: what models said stays in the key, items come in an order per rater, and
#   decoys show who looks.
# - The paper's rule, **unclear unless both agree**, mixes doubt with disagreement. Beside it belong kappa or alpha,
#   with intervals over items: high raw agreement can be luck.
# - **Agreement is not truth.** Where the truth is known, check against it, beside the base rate.
# - All ratings above are by **models**, and marked so. What people say about these features is not known until people
#   have rated them.
#
# **Previous:** [12 · Transfer](12_transfer.ipynb) · **Next:** [14 · Theory](14_theory.ipynb) · **Back:** [00 · Start
# here](00_start_here.ipynb)
