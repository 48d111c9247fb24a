# %% [markdown]
# # 14 · Theory: what the bound says, and what it is worth
#
# Why should covering features make a detector better? The paper answers with a chain of inequalities: a risk is
# bounded by the *distance* between two distributions of texts, that by a divergence of their *features*, and that
# divergence falls with every missing feature that is filled. Every link is a theorem. A theorem can be true and say
# nothing: a bound of 1.3 on an error rate is true of every detector there is.
#
# In the mini world the concepts are known, and so are both distributions. So every term of the chain can be computed,
# or estimated and compared with the truth. That is what this notebook does.
#
# **You will** see what a missing feature costs in nats, and who sets the price · turn nats into a distance and watch it
# exceed 1 · compare a distance that is known with what four witnesses see of it · take the bound apart on trained
# detectors · ask whether it moves as the error does · bound the rest with information theory, in vain and not
#
# **Time** fifteen minutes to read and run, an evening with the exercises · **Difficulty** ★★ to ★★★ · **Before**
# [00 · Start here](00_start_here.ipynb), [03 · FAC and performance](03_fac_and_performance.ipynb)
#
# **Contents** [1 The chain](#1-The-chain) · [2 A missing feature in nats](#2-A-missing-feature-in-nats) · [3 From nats
# to a distance](#3-From-nats-to-a-distance) · [4 The distance itself](#4-The-distance-itself) · [5 The bound, term by
# term](#5-The-bound,-term-by-term) · [6 Does it move as the error
# does?](#6-Does-it-move-as-the-error-does?) · [7 The sampling term](#7-The-sampling-term) · [8 All sliders at
# once](#8-All-sliders-at-once) · [9 What the paper measured](#9-What-the-paper-measured) · [10
# Exercises](#10-Exercises)

# %%
import math

import numpy as np
import pandas as pd
import plotly.io as pio
from IPython.display import Markdown, display

from fac_lab import bounds
from fac_lab.corpora import Corpus
from fac_lab.correlation import correlate
from fac_lab.coverage import cover
from fac_lab.display import theory as shown
from fac_lab.display.cells import show, stored
from fac_lab.display.saving import save_figure
from fac_lab.display.tables import paper_table
from fac_lab.lab import Lab
from fac_lab.studies import theory
from fac_lab.studies.coverage_grid import above
from fac_lab.studies.missing import world_corpus
from fac_lab.world import concepts

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere

lab = Lab.open()
profile = lab.profile
print(f"profile {profile.name}, subject {profile.subject.path}")

# %% [markdown]
# ## 1 The chain
#
# $D$ is the distribution of the texts that a detector will meet, $D_{gen}$ that of its training texts, the loss lies
# in $[0, C]$ (for error rates $C = 1$). $R$ is the risk on $D$, $R_{gen}$ that on $D_{gen}$, $\hat R_{gen}$ that on the
# training rows. Features are $Z$; $P_Z$ their distribution under $D$, $Q_Z$ that under $D_{gen}$.
#
# | link | what it says | where it stands in the paper |
# |:--|:--|:--|
# | risk ≤ distance | $R - \hat R_{gen} \le 2C\,TV(D, D_{gen}) + (R_{gen} - \hat R_{gen})$ | theorem 4.1 |
# | distance ≤ divergence | $TV \le \sqrt{KL(P_Z \Vert Q_Z)/2 + \epsilon_{cond}}$ | Pinsker's inequality |
# | divergence → coverage | missing part $= \frac{m}{s}\log\frac{f}{\epsilon\,s}$ | eq. 3, smoothed |
# | the rest | $E[R - \hat R] \le \sqrt{2\sigma^2 I(S;W)/n} + \frac{c}{n} I(S;W)$, $I(S;W) \le H(S)$ | lemma 6.1 |
#
# In the third line $m$ is the number of missing features, $s$ that of features in the anchor's support $F(P)$, $f$ that
# of all relevant ones, $F$.
#
# Two remarks before any number. With $TV = \frac12\sum|p-q|$ the mean of a loss in $[0, C]$ moves by $C\,TV$ at most:
# **half** of what the theorem allows. We show both. And $\epsilon_{cond}$, what features leave out of a text, is
# unknown; we set it to 0, which favours the bound, and check whether what comes out is still one.
#
# Where the theorem's left side is written as *Err* we read the gap $R - \hat R_{gen}$: a bound on $R$ itself would need
# the training error on the right.

# %% [markdown]
# ## 2 A missing feature in nats
#
# Take the seed of notebook 00, which lacks some concepts, and fill its missing features with real queries about those,
# one after the other. Three numbers go along:
#
# - the **surrogate**: what the missing features contribute, if both distributions are uniform over their supports;
# - **KL of the uniform distributions**, which has a second part, from the features that both have;
# - **KL of the shares of activations**: how often each feature fires, not whether it ever does.
#
# All are smoothed by $\epsilon$: the seed is taken to show every feature with probability $\epsilon/|F|$ at least.
#
# ✎ *As features are filled one by one, which of the three falls along a straight line? Which falls least? And what
# happens to each if $\epsilon$ becomes a thousand times smaller?*

# %%
N_FILLING = 400 if profile.name != "smoke" else 40
GRID = (1e-6, 1e-4, 1e-3, 1e-2, 0.1, 0.5)

anchor_corpus, seed_corpus = lab.corpus("anchor"), lab.corpus("seed")
anchor, seed = lab.stats(anchor_corpus, keep_matrix=True), lab.stats(seed_corpus)
coverage = cover(anchor, seed, profile.rule)
present = {row.concept for row in seed_corpus}
filling = world_corpus("filling", N_FILLING, seed=7000, without=[c for c in concepts() if c.id in present])
filling_stats = lab.stats(filling, keep_matrix=True)
path = theory.filling_path(coverage, filling_stats.matrix, GRID)
null = cover(anchor, lab.stats(world_corpus("null", seed.n_samples, seed=4000)), profile.rule)
print(
    f"{len(coverage.missing)} missing of {int(coverage.anchor_support.sum())} features (null: {len(null.missing)}), "
    f"{path.filled.max()} of them filled by {path.rows.max()} of {N_FILLING} real queries; FAC {coverage.fac:.3f}"
)
figure = shown.divergences(path, start=0.01)
save_figure(figure, "theory_divergences")
figure.show()

# %%
of_eps = path.set_index(["eps", "filled"])
first, last = path.filled.min(), path.filled.max()
lines = []
for eps in GRID:
    before, after = of_eps.loc[(eps, first)], of_eps.loc[(eps, last)]
    lines.append({"eps": eps} | {kind: after[kind] - before[kind] for kind in shown.DIVERGENCES})
change = pd.DataFrame(lines)
show(
    change.rename(columns={kind: name for kind, (name, _) in shown.DIVERGENCES.items()}),
    caption=f"Change in nats as {last} missing features are filled, by eps",
    formats={"eps": ".0e"},
)
middle = change.set_index("eps").loc[0.01]
display(
    Markdown(
        f"At eps = 0.01 the surrogate falls by **{-middle.surrogate:.3f}** nats, KL of the uniform distributions by "
        f"**{-middle.kl_uniform:.3f}**, KL of the shares of activations by **{-middle.kl_frequency:.3f}**. "
        f"From eps = {GRID[-1]} to {GRID[0]:.0e} the surrogate's fall grows "
        f"{change.surrogate.iloc[0] / change.surrogate.iloc[-1]:.1f}-fold."
        if last > first
        else "Nothing was filled here: the smoke profile is too small to have a gap."
    )
)

# %% [markdown]
# The surrogate falls by the same amount for every feature, whatever the feature is and however often it fires; how much
# that is, $\epsilon$ decides, and $\epsilon$ is **chosen**, not measured. At $\epsilon \to 0$ a single missing feature
# costs infinitely much. KL of the shares says how much of the anchor's *activity* is made up for. A few hundred
# queries among thousands cover nearly all features and leave them rare, so that this curve falls far less than
# coverage rises:
# **FAC counts presence, a distribution counts mass.**

# %% [markdown]
# ## 3 From nats to a distance
#
# Pinsker's inequality turns nats into a distance. A total variation is never above 1, so a root above 1 says nothing,
# and the theorem doubles it: above 0.5 its bound is vacuous already.
#
# ✎ *How much KL makes Pinsker's root 1? How much makes the theorem's bound vacuous?*

# %%
print(f"root = 1 at {2.0:.1f} nats; twice the root = 1 at {2 * 0.5**2:.1f} nats")
lines = []
for eps in GRID:
    for said, filled in (("the seed", first), ("all that was filled", last)):
        roots = {kind: bounds.pinsker(max(of_eps.loc[(eps, filled), kind], 0.0)) for kind in shown.DIVERGENCES}
        lines.append({"eps": eps, "data": said} | roots)
roots = pd.DataFrame(lines)
show(
    roots.rename(columns={kind: name for kind, (name, _) in shown.DIVERGENCES.items()}),
    caption="Pinsker's root, eps_cond = 0",
    formats={"eps": ".0e"},
)
vacuous = {kind: (2 * roots[kind] >= bounds.VACUOUS).sum() for kind in shown.DIVERGENCES}
everywhere = np.array([1 / len(concepts())] * len(concepts()))
absent = np.array([c.id not in present for c in concepts()])
true = {}
for said, added in (("the seed", 0), ("all that was filled", path.rows.max())):
    mass = np.where(absent, added / max(absent.sum(), 1), seed.n_samples / (~absent).sum())
    true[said] = bounds.total_variation(everywhere, mass / mass.sum())
below = {kind: (roots[kind] < roots.data.map(true)).sum() for kind in shown.DIVERGENCES}
lines = [
    f"- {name}: **vacuous** (twice the root is 1 or more) in {vacuous[kind]} of {len(roots)} rows, **below the true "
    f"total variation**, and so no bound of it, in {below[kind]}"
    for kind, (name, _) in shown.DIVERGENCES.items()
]
lines.append(
    "- the true total variation from the anchor's distribution, whatever eps is: "
    + ", ".join(f"{said} {value:.3f}" for said, value in true.items())
)
display(Markdown("\n".join(lines)))

# %% [markdown]
# A root below the truth is no contradiction of Pinsker's inequality: the surrogate leaves out what both supports have
# in common, histograms of features leave out which features come together, and $\epsilon_{cond}$ was set to 0. All the
# same, what one can compute is not what bounds.

# %% [markdown]
# ## 4 The distance itself
#
# Given its concept, a query is written alike in every data set of the mini world, and a query tells its concept. So the
# total variation between two distributions of texts equals that between their distributions of *concepts*, which is a
# sum of 240 terms. Elsewhere nobody knows it. What one can do with two samples is to look for an event that is more
# likely in one of them; every event, and every classifier, gives a **lower** bound:
#
# $$ TV \ge 2\,a - 1, \qquad a = \text{balanced accuracy on held-out rows} $$
#
# The study below builds training sets of one size whose held-out harmful concepts have been filled to 0, 25, 50, 75 and
# 100 %, and sends four witnesses: the truth; naive Bayes on which features are active; nearest neighbours among the
# subject's vectors; and the simplest event there is, *the text lights a feature that the training set lacks*.
#
#     python -m fac_lab.studies.results theory
#
# ✎ *Which of the three will come closest to the truth? What will they say at 100 %, where the truth is 0?*

# %%
rows = stored("theory")
if rows is not None:
    rows = theory.with_bounds(rows)
    figure = shown.witnesses(rows)
    save_figure(figure, "theory_witnesses")
    figure.show()

# %%
if rows is not None:
    known = rows.dropna(subset=["tv_missing"]).drop_duplicates(["held_out_set", "filled", "n"])
    table = known.groupby("filled")[list(shown.WITNESSES)].agg(["mean", "std"])
    lines = [
        {"filled": share}
        | {
            name: f"{line[column, 'mean']:.3f} ± {line[column, 'std']:.3f}"
            for column, (name, _) in shown.WITNESSES.items()
        }
        for share, line in table.iterrows()
    ]
    show(
        pd.DataFrame(lines),
        caption=f"Total variation from D, n = {known.n.iloc[0]:,}; mean ± SD over {known.held_out_set.nunique()} sets",
        formats={"filled": ".0%"},
    )
    empty = table.loc[table.index.min()]
    share = {column: empty[column, "mean"] / empty["tv", "mean"] for column in list(shown.WITNESSES)[1:]}
    best = max(share, key=share.get)
    display(
        Markdown(
            f"With nothing filled the best witness, *{shown.WITNESSES[best][0]}*, sees **{share[best]:.0%}** of the "
            "distance; "
            + ", ".join(f"*{shown.WITNESSES[c][0]}* {part:.0%}" for c, part in share.items() if c != best)
            + "."
        )
    )

# %% [markdown]
# This is the theory's good side. A data set that lacks concepts differs from $D$ by *events that never happen in it*,
# and features that it never lights are such events, already in words. A missing feature is a witness of the distance:
# its share of the anchor, which the gap's table shows, bounds the total variation from below without any $\epsilon$.
# It is a witness, and no more: two data sets with the same support may be far apart in mass, and this witness is blind
# to that.

# %% [markdown]
# ## 5 The bound, term by term
#
# For each of these training sets a detector (head only, on the mini world's Llama) and its error rates: on fresh
# queries of $D$, which are about all concepts alike; the same errors weighed by the training distribution; and on the
# training rows. The first two weigh one set of test queries by concept, so their difference has no sampling noise of
# its own.
#
# ✎ *The training sets lack 15 % of D's mass if nothing is filled. How large is the theorem's bound at least? How large
# do you expect the error to be?*

# %%
if rows is not None:
    figure = shown.terms(rows)
    save_figure(figure, "theory_terms")
    figure.show()
    kinds = {
        "bound_tight": "C TV, exact",
        "bound": "2 C TV, exact (theorem 4.1)",
        "bound_kl_frequency": "Pinsker, shares of activations",
        "bound_kl_uniform": "Pinsker, uniform over supports",
        "bound_surrogate": "Pinsker, surrogate",
    }
    lines = []
    for column, name in kinds.items():
        lines.append(
            {
                "in place of TV": name,
                "bound, mean": rows[column].mean(),
                "least": rows[column].min(),
                "largest": rows[column].max(),
                "vacuous": float((rows[column] >= bounds.VACUOUS).mean()),
                "violated": float((rows.error > rows[column] + 1e-12).mean()),
            }
        )
    share = {name: ".0%" for name in ("vacuous", "violated")}
    show(pd.DataFrame(lines), caption=f"Bounds on R − R̂_gen; {len(rows)} detectors; eps = {theory.EPS}", formats=share)
    low, high = rows.error.min(), rows.error.max()
    print(f"measured: R - Rhat_gen has mean {rows.error.mean():.3f}, from {low:.3f} to {high:.3f}")

# %%
if rows is not None:
    said = []
    for n, of_size in rows.groupby("n"):
        none, whole = (of_size[of_size.filled == share] for share in (of_size.filled.min(), of_size.filled.max()))
        per_set = (
            none.groupby("held_out_set")[["risk", "shift"]].mean()
            - whole.groupby("held_out_set")[["risk", "shift"]].mean()
        )
        said.append(
            f"- **n = {n:,}**: risk {none.risk.mean():.3f} with nothing filled, {whole.risk.mean():.3f} with all; the "
            f"fall is {per_set.risk.mean():.3f} ± {per_set.risk.std():.3f} over {len(per_set)} sets. With nothing "
            f"filled the shift R − R_gen is {none['shift'].mean() / none.tv.mean():.0%} of C TV."
        )
    dead = [name for column, name in kinds.items() if (rows[column] >= bounds.VACUOUS).all()]
    never = [name for column, name in kinds.items() if not (rows[column] >= bounds.VACUOUS).any()]
    said.append(f"- **Vacuous for every detector here:** {', '.join(dead) or 'none of them'}.")
    said.append(f"- **Never vacuous here:** {', '.join(never) or 'none of them'}.")
    display(Markdown("\n".join(said)))

# %% [markdown]
# With the *exact* distance the theorem says something, and could say twice as much. Through Pinsker and a divergence of
# features it depends on what stands in for the divergence; the table above says which of them say anything at all. That
# a row is never *violated* is guaranteed only for the first two: the others put $\epsilon_{cond} = 0$ and a histogram
# of features in place of their joint distribution, and nothing says that they bound what they are called a bound of.

# %% [markdown]
# ## 6 Does it move as the error does?
#
# A vacuous bound may still be a good guide, if it falls when the error falls. Rank correlations over held-out sets and
# shares filled, training seeds averaged. Careful: *bound* and *error* share the sampling term by construction, so the
# honest comparison is each distance with the **shift** $R - R_{gen}$, and with the risk itself.
#
# ✎ *Exact distance, witnesses, surrogate, KL of shares: whose ranks follow the risk best at the largest n?*

# %%
if rows is not None:
    figure = shown.moves(rows)
    save_figure(figure, "theory_moves")
    figure.show()
    terms = ["tv", *list(shown.WITNESSES)[1:], "surrogate", "kl_uniform", "kl_frequency", "sampling", "bound"]
    found = shown.rank_correlations(rows, terms, outcomes=["shift", "risk", "error"])
    names = {column: name for column, (name, _) in (shown.WITNESSES | shown.DIVERGENCES).items()}
    names |= {"tv": "TV, exact", "sampling": "sampling term", "bound": "bound (theorem 4.1)"}
    show(
        found.assign(term=found.term.map(names)).rename(
            columns={"shift": "R − R_gen", "risk": "R", "error": "R − R̂_gen"}
        ),
        caption="Spearman's rho at each n",
        formats=dict.fromkeys(("R − R_gen", "R", "R − R̂_gen"), ".2f"),
    )

# %%
if rows is not None:
    points = rows.groupby(["n", "filled", "held_out_set"], as_index=False)[
        ["tv", "risk", "shift", "error", "bound"]
    ].mean()
    over_all = {
        pair: correlate(points[pair[0]], points[pair[1]], "spearman") for pair in (("bound", "error"), ("tv", "risk"))
    }
    at = {n: found[found.n == n].set_index("term") for n in (found.n.min(), found.n.max())}
    said = [
        f"- n = {n:,}: the exact distance goes with the risk at **{one.risk['tv']:+.2f}**, the surrogate at "
        f"**{one.risk['surrogate']:+.2f}** ({one.points['tv']:.0f} points of {rows.held_out_set.nunique()} sets)."
        for n, one in at.items()
    ]
    said.append(
        f"- All sizes together ({over_all['tv', 'risk'].n} points): the bound with R − R̂_gen "
        f"{over_all['bound', 'error'].value:+.2f}, the exact distance with R {over_all['tv', 'risk'].value:+.2f}: a "
        "distance between *distributions* knows nothing of n."
    )
    display(Markdown("\n".join(said)))

# %% [markdown]
# Read the rows of one size against each other: there only coverage differs. The surrogate is computed from the training
# rows themselves, and a small training set misses many features of concepts that it was *drawn to contain*; so its
# level mixes two things, what the distribution lacks and what n rows happen to show. And where n is small the sampling
# term is most of the error: then coverage is not what holds a detector back, and no distance can follow its risk.

# %% [markdown]
# ## 7 The sampling term
#
# $R_{gen} - \hat R_{gen}$ is overfitting. Lemma 6.1 bounds it by what the weights $W$ know about the sample $S$. For a
# loss in $[0, 1]$: $\sigma = 1/2$, $c = 0$, so the bound is $\sqrt{I/2n}$. The paper then puts $H(S)$ for $I(S;W)$.
# With independent rows $H(S) = n\,H(\text{row})$, and **$n$ cancels**. The generator of the mini world keeps account
# of its own entropy, so we know what remains.
#
# ✎ *A row has at least as many nats as its concept: $\log 240 \approx 5.5$. What is $\sqrt{I/2n}$ then, for any n?*

# %%
least, most = theory.query_entropy(200 if profile.name == "smoke" else 2000)
weights = theory.weight_entropy(lab)
flat = {"at least (concept)": least, "at most (all choices)": most}
for name, each in flat.items():
    bound = bounds.information_bound(each, 1)
    print(f"H(row) {name}: {each:.2f} nats; the bound with I = H(S) is {bound:.2f} for every n")
enough = math.ceil(weights / 2)
print(f"H(W) of the head: {weights:,.0f} nats at most; the bound with I = H(W) is below 1 from n = {enough:,} on")
if rows is not None:
    gaps = rows.groupby("n").sampling.mean()
    figure = shown.information(list(gaps.index), list(gaps), flat, weights)
    save_figure(figure, "theory_information")
    figure.show()
    for n, gap in gaps.items():
        needed = bounds.implied_information(gap, n)
        print(
            f"n = {n:,}: measured gap {gap:+.4f}; it needs I of {needed:.1f} nats at least, "
            f"H(S) is {n * least:,.0f} or more"
        )

# %% [markdown]
# $I(S;W) \le H(S)$ makes the lemma vacuous at every n, because a sample's entropy grows as fast as n. The other side,
# $I(S;W) \le H(W)$, does not: a head cannot know more than its bits, so from some n on there is a bound. It says that
# *few* trained parameters generalise, not that *synthetic* data do. What was measured stands below all of them.

# %% [markdown]
# ## 8 All sliders at once
#
# Choose $\epsilon$, the share filled and n; the bounds are worked out again from the stored counts. (This needs a
# running notebook. The sliders of the figures above move in a saved one too.)

# %%
if rows is not None:
    display(shown.ChainSliders(rows))

# %% [markdown]
# ## 9 What the paper measured
#
# The paper states the chain and proves it; it gives **no value for any term of it**. What comes nearest is its table 9:
# AUPRC as more of the missing features are filled. Beside it our detectors' error, another metric on another test set:
# only the direction compares.

# %%
table = paper_table("table09_coverage_ratio")
show(table, caption="Paper, table 9: performance by the share of missing features that are filled")
if rows is not None:
    ours = (
        rows[rows.n == rows.n.max()]
        .groupby(["filled", "held_out_set"])
        .risk.mean()
        .groupby("filled")
        .agg(["mean", "std", "size"])
    )
    show(
        ours.reset_index().rename(columns={"mean": "risk", "std": "SD over sets", "size": "sets"}),
        caption=f"Ours, in the mini world: 0/1 risk on D; n = {rows.n.max():,} in every line",
        formats={"filled": ".0%"},
    )

# %% [markdown]
# **Why they may differ.** The paper adds samples as it fills more; here every training set has as many rows, so only
# what they are about changes. Its fillings are written by a generator, ours are real queries about known concepts: the
# best that filling could be. Notebook 05, section 8 does it with written samples and both budgets.

# %% [markdown]
# ## 10 Exercises
#
# ### Exercise 1 · The price of a feature ★ (5 minutes)
#
# The surrogate from four numbers, and how many of the missing features have to be filled to bring it down to a target.


# %%
def price(n_missing: int, n_support: int, n_features: int, eps: float) -> float:
    """The surrogate in nats."""
    raise NotImplementedError


def to_fill(n_missing: int, n_support: int, n_features: int, eps: float, target: float) -> int:
    """The least number of missing features to fill so that the surrogate is at most `target`."""
    raise NotImplementedError


# %%
try:
    assert math.isclose(price(3, 5, 6, 0.1), 3 / 5 * math.log(12))
    for counts in ((77, 513, 4096), (1, 10, 10), (40, 40, 50)):
        assert math.isclose(price(*counts, 0.01), bounds.surrogate(*counts, 0.01).value)
        need = to_fill(*counts, 0.01, 0.5)
        missing, *rest = counts
        assert price(missing - need, *rest, 0.01) <= 0.5
        assert need == 0 or price(missing - need + 1, *rest, 0.01) > 0.5
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write price and to_fill in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def price(n_missing, n_support, n_features, eps):
#     return n_missing / n_support * math.log(n_features / (eps * n_support))
#
#
# def to_fill(n_missing, n_support, n_features, eps, target):
#     each = price(1, n_support, n_features, eps)
#     return max(0, n_missing - math.floor(target / each))
# ```
# </details>
#
# ### Exercise 2 · The worst loss ★★ (10 minutes)
#
# $C\,TV$ bounds how far the mean of a loss moves. Show that it cannot be improved: give, for any two distributions, a
# loss in $[0, 1]$ whose mean is larger under $p$ by exactly $TV(p, q)$. What kind of detector has that loss?


# %%
def worst_loss(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """`p`, `q` `[n_outcomes]` -> losses `[n_outcomes]` in [0, 1]."""
    raise NotImplementedError


# %%
try:
    dice = np.random.default_rng(0)
    for _ in range(100):
        p, q = dice.dirichlet(np.ones(8), 2)
        losses = worst_loss(p, q)
        assert losses.min() >= 0 and losses.max() <= 1
        assert math.isclose((p - q) @ losses, bounds.total_variation(p, q))
    print("exercise 2: right")
except NotImplementedError:
    print("exercise 2: write worst_loss in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def worst_loss(p, q):
#     return (p > q).astype(float)
# ```
# A detector that is right wherever training data are denser than $D$ and wrong wherever they are thinner: on a data set
# that lacks concepts, one that fails on all that is missing and on nothing else.
# </details>
#
# ### Exercise 3 · A witness of your own ★★★ (20 minutes)
#
# Any event gives a lower bound on the total variation: its share in one sample minus its share in the other. Features
# that the second sample never lights were one event. Find a better or a worse one, as a function of activations. Rows
# to choose the event by and rows to count it in are kept apart for you. (The two samples: the anchor, and a seed.)


# %%
def my_event(active_p: np.ndarray, active_q: np.ndarray):
    """`active_* [n, d_sae]` bool, rows to choose by -> a function of `[m, d_sae]`: for which rows it happens, `[m]`."""
    raise NotImplementedError


# %%
try:
    n = min(1500, anchor.n_samples)
    q_rows = [row for row, _ in zip(seed_corpus, range(n), strict=False)]
    q_stats = lab.stats(Corpus.from_rows("first of the seed", q_rows), keep_matrix=True)
    p, q = (above(one.matrix[:n], coverage.delta).toarray() > 0 for one in (anchor, q_stats))
    half = n // 2
    event = my_event(p[:half], q[:half])
    mine = event(p[half:]).mean() - event(q[half:]).mean()
    beside = theory.told_by_missing(anchor.matrix[:n], q_stats.matrix, coverage.delta)
    print(f"exercise 3: yours sees {mine:+.3f}, missing features {beside:+.3f}, the truth is {true['the seed']:.3f}")
except NotImplementedError:
    print("exercise 3: write my_event in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# def my_event(active_p, active_q):
#     more = active_p.mean(axis=0) > 3 * active_q.mean(axis=0) + 0.001
#     return lambda active: (active & more).any(axis=1)
# ```
# It takes features that are *much rarer* in the seed in place of those that never occur there, so one stray row does
# not rule a feature out. Move the factor: small ones let chance in, and the held-out half punishes it.
# </details>

# %% [markdown]
# ## Summary
#
# - A missing feature costs $\log(|F|/\epsilon|F(P)|)/|F(P)|$ nats, every one the same. $\epsilon$ sets the price, and
#   nobody measured $\epsilon$.
# - The distance itself is small and known here. Features that a data set never lights are good witnesses of it, without
#   any $\epsilon$.
# - With the exact distance the theorem is a bound worth having, and twice as large as it has to be. Which of its
#   stand-ins are vacuous says the table of section 5.
# - $I(S;W) \le H(S)$ cannot bound the sampling term: n cancels.
# - Coverage counts presence, a distribution counts mass. A theory that argues with the second and a method that works
#   on the first meet only where absence is what is wrong.
#
# **Previous:** [13 · Human evaluation](13_human_evaluation.ipynb) · **Next:** [15 · Reading
# group](15_reading_group.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
