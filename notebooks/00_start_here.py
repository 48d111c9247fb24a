# %% [markdown]
# # 00 · Start here: feature activation coverage in ten minutes
#
# Two data sets can be equally large, equally long and equally varied in their wording, and still one of them never
# makes a model think of forged signatures. *Feature activation coverage* (FAC) asks the model itself: which of the
# features that a broad **anchor** lights up does your **seed** never light up? What is **missing** can then be
# written, sample by sample, and one can measure whether that helped.
#
# This notebook walks through the whole method once, after Li et al., *Less is Enough: Synthesizing Diverse Data in
# Feature Space of LLMs* ([arXiv 2602.10388](https://arxiv.org/abs/2602.10388)). It runs offline, on a small world
# whose truth is known, so that each claim can be tested instead of believed.
#
# **You will** read the features of a text · compute FAC and its null · see why the obvious threshold fails, and what
# repairs it · fill a gap with two-step synthesis · read, with intervals, whether filling it helped
#
# **Time** ten minutes to read and run, an evening with the predictions and exercises · **Difficulty** ★ to ★★★, no
# knowledge of sparse autoencoders needed · **Next** [01 · Subjects and sparse autoencoders](01_sae_loading.ipynb)
#
# **Contents** [1 The world](#1-The-world) · [2 What one query lights up](#2-What-one-query-lights-up) · [3 What a
# feature stands for](#3-What-a-feature-stands-for) · [4 What the seed leaves out](#4-What-the-seed-leaves-out) · [5
# Why the obvious threshold fails](#5-Why-the-obvious-threshold-fails) · [6 Is the missing set
# right?](#6-Is-the-missing-set-right?) · [7 Filling the gap](#7-Filling-the-gap) · [8 Does it
# help?](#8-Does-it-help?) · [9 Your own data](#9-Your-own-data) · [10 Exercises](#10-Exercises)

# %% [markdown]
# **How to read.** Some paragraphs end in a ✎ prediction. Write a number down before you run the next cell. You will
# be wrong now and then, and those are the places where you learn something.
#
# The next cell is the only set-up. `Lab.open()` takes the profile named by `$FAC_LAB_PROFILE` (here `mini`, in tests
# a cut-down `smoke`). Every result is kept under `runs/`, so a second run of this notebook reads instead of
# computing.

# %%
import dataclasses

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from IPython.display import HTML, Markdown, display

from fac_lab import world
from fac_lab.audit import audit
from fac_lab.coverage import PAPER_DELTAS, cover, gap_coverage, sweep
from fac_lab.display import figures
from fac_lab.display.cells import show
from fac_lab.display.demo_report import steps_table
from fac_lab.display.report import FeatureCard, cards_html
from fac_lab.display.tables import paired_differences, paper_table, summarise_arms
from fac_lab.display.theme import styled
from fac_lab.lab import Lab
from fac_lab.profile import project_root
from fac_lab.studies.missing import PAPER_RULE, main_concepts, recovery, recovery_study, world_corpus
from fac_lab.studies.stored import read_result
from fac_lab.support import alpha_support

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere

lab = Lab.open()
profile = lab.profile
print(f"profile {profile.name}: {profile.subject.path}, layer {profile.subject.layer}, {lab.encoder.d_sae:,} features")

# %% [markdown]
# ## 1 The world
#
# The embedded world is chat about everyday matters: cooking, school, money, travel. Behind every query stands one
# **concept**, and every concept has many **forms** (verb × object), set into many sentence patterns. So *what* is
# asked and *how* it is worded can be told apart, which no collected data set allows. Some concepts are **harmful** in
# mild words only: small dishonesties, such as a bogus refund or a note smuggled into an exam.
#
# Two data sets are drawn from it. The **anchor** shows what the task could need. The **seed** is what you happen to
# have: some concepts were left out of it at random. Their names are kept in a drawer; we open it in section 6.

# %%
anchor_corpus, seed_corpus = lab.corpus("anchor"), lab.corpus("seed")
anchor_rows, seed_rows = list(anchor_corpus), list(seed_corpus)


def queries_table(rows):
    return pd.DataFrame(
        {
            "query": [r.text for r in rows],
            "concept": [r.concept for r in rows],
            "harmful": [bool(r.label) for r in rows],
        }
    )


show(queries_table(anchor_rows[:6]), caption=f"anchor, the first 6 of {len(anchor_rows):,}")
show(queries_table([r for r in seed_rows if r.label][:4]), caption="seed, some harmful ones")

# %%
concepts = world.concepts()
one = next(concept for concept in concepts if concept.harmful)
display(
    Markdown(
        f"**{len(concepts)} concepts** in {len(world.domains())} domains, {sum(c.harmful for c in concepts)} of them "
        f"harmful, {sum(len(c.forms) for c in concepts):,} forms. One of them, *{one.gloss}* ({one.domain}), is "
        f"said as: {' · '.join(one.forms[:6])} · …"
    )
)

# %% [markdown]
# ## 2 What one query lights up
#
# The **subject** is the model whose features are read; here a chat model small enough to live in this repository. A
# query goes in as a user message, and after one layer each token is a vector $x_t$ of width `d_model`. The **sparse
# autoencoder** (SAE) turns it into many more numbers, nearly all of them zero, one per **feature**:
#
# $$ z_t = \mathrm{TopK}\big(\mathrm{ReLU}(W_\mathrm{enc}^\top (x_t - b_\mathrm{dec}) + b_\mathrm{enc})\big)
# \qquad g_i(x) = \max_t z_{t,i} $$
#
# $g_i(x)$, the **activation** of feature $i$ by the whole text, is the largest value over the tokens of the text.
#
# ✎ *Only K features are kept per token. How many different features will one query light up in all?*

# %%
query = next(row for row in anchor_rows if row.label)
tokens = lab.subject.tokenize([query.text], profile.collect.pool)[0]
states = lab.subject.activations(*lab.subject.batch([tokens]))[0]  # [n_tokens, d_model]
z = lab.encoder.encode(states).numpy()  # [n_tokens, d_sae]
activation = z[tokens.start : tokens.stop].max(axis=0)  # [d_sae]

assert np.allclose(activation, lab.measure([query.text])[0], atol=1e-4)  # what lab.measure does for many texts at once
print(query.text)
print(
    f"K = {lab.encoder.k} per token, {tokens.stop - tokens.start} tokens: {(activation > 0).sum()} of "
    f"{len(activation):,} features are lit"
)

# %% [markdown]
# The figure shows the strongest feature of each token: rows are features, columns tokens. Most fire on one word. The
# last columns belong to the chat template behind the text: there the model has read the whole query, and activations
# are much larger, so colours are on a log scale.

# %%
leading = list(dict.fromkeys(z[tokens.start : tokens.stop].argmax(axis=1).tolist()))
values = z[tokens.start : tokens.stop, leading].T  # [n_leading, n_tokens]
pieces = [lab.subject.tokenizer.decode([token]) for token in tokens.ids[tokens.start : tokens.stop]]
heat = go.Heatmap(
    z=np.log2(np.where(values > 0, values, np.nan)),
    x=[f"{place} {piece.strip()}" for place, piece in enumerate(pieces)],
    y=[str(feature) for feature in leading],
    customdata=values,
    colorscale="Oranges",
    showscale=False,
    hovertemplate="feature %{y}<br>token %{x}<br>activation %{customdata:.3g}<extra></extra>",
)
figure = styled(go.Figure(heat), "Which token lights which feature", height=520)
figure.update_yaxes(title="feature", type="category", autorange="reversed")
figure.update_xaxes(tickangle=-50)
figure.show()

# %% [markdown]
# ## 3 What a feature stands for
#
# The number of a feature means nothing by itself. What it stands for is read from the texts that light it most: its
# **top spans** in the anchor. `lab.stats` runs the whole anchor through subject and SAE and keeps a summary per
# feature: how many samples reach which activation, the maximum, and the strongest spans with their peak token marked.
#
# ✎ *Read the cards and name each feature in two words, before the truth is shown under them.*

# %%
anchor = lab.stats(anchor_corpus, keep_matrix=True)
seed = lab.stats(seed_corpus)

truth = [row.concept for row in anchor_rows]  # opened below the cards
in_anchor = anchor.counts(0.0)  # [d_sae]: samples that light each feature at all
lit = np.flatnonzero((activation > 0) & (in_anchor >= 5))  # enough samples to tell what they have in common
of_concept = main_concepts(lit, anchor.matrix, truth, delta=0.0).sort_values("share", ascending=False)
places = sorted({0, 1, len(of_concept) // 2, len(of_concept) - 1})
cards = [
    FeatureCard(
        feature=int(feature),
        summary=None,
        counts={"anchor": int(in_anchor[feature]), "seed": int(seed.counts(0.0)[feature])},
        spans=anchor.spans(int(feature))[:4],
    )
    for feature in of_concept.feature.iloc[places]
]
display(HTML(cards_html(cards)))

# %% [markdown]
# Because the world is known, a name can be checked: which concept contributes most of a feature's activation in the
# anchor, and what share of it? The four cards are ordered by that share. A high share makes it a feature *of* that
# concept; a low one belongs to a word, a sentence pattern, a domain, or to the template, where it fires for every
# text and tells nothing.

# %%
show(
    of_concept.iloc[places],
    caption=f"Main concept of each (the query is about {query.concept})",
    formats={"feature": "d"},
)

# %% [markdown]
# ## 4 What the seed leaves out
#
# The **support** of a data set is the set of features that enough of its samples light above a **threshold delta**.
# With anchor $P$ and seed $Q$:
#
# $$ \mathrm{FAC} = \frac{|F(Q) \cap F(P)|}{|F(P)|} \qquad F_\mathrm{miss} = F(P) \setminus F(Q) $$
#
# Delta and *enough* are choices, and they decide everything. The profile names a **rule**, which we use first and
# explain in section 5: delta is a quantile of all positive anchor activations; a feature counts if at least **support
# m** anchor samples exceed it; it is missing if no seed sample does.
#
# A number of missing features says little alone. The **null** is the same number for a seed of equal size that lacks
# nothing: what is missing there is missing by chance.

# %%
settings = profile.corpora["seed"]
display(
    Markdown(
        f"✎ *The seed has {len(seed_rows):,} queries and {settings.held_out} of {len(concepts)} concepts were left out "
        "of it. Before you run the next cell, write down: (a) FAC, (b) how many features are missing, (c) how many are "
        "missing under the null.*"
    )
)

# %%
null = lab.stats(world_corpus("null", len(seed_rows), seed=4000))
coverage = cover(anchor, seed, profile.rule)
by_chance = cover(anchor, null, profile.rule)

result = pd.DataFrame(
    {
        "seed": ["concepts held out", "null: nothing held out"],
        "FAC": [coverage.fac, by_chance.fac],
        "features of the anchor": [int(c.anchor_support.sum()) for c in (coverage, by_chance)],
        "missing": [len(c.missing) for c in (coverage, by_chance)],
    }
)
show(result, caption=f"Rule: {profile.rule.kind}, delta {np.mean(coverage.delta):.3g}, m {coverage.m}")

# %% [markdown]
# Every point is a feature of the anchor. To the right: often seen there. At the bottom: never seen in the seed. Hover
# for the concept behind a point.

# %%
support = np.flatnonzero(coverage.anchor_support)
named = main_concepts(support, anchor.matrix, truth, coverage.delta)
name_of = {row.feature: f"{row.concept} ({row.share:.0%})" for row in named.itertuples()}
figures.anchor_seed_scatter(coverage, name_of).show()

# %% [markdown]
# ## 5 Why the obvious threshold fails
#
# The simplest rule, and the paper's default, is **delta = 0 and m = 1**: one sample that lights a feature at all
# covers it.
#
# ✎ *With this rule, will there be more or fewer missing features than above? And under the null?*

# %%
held_out = {concept.id for concept in world.hold_out(settings.held_out, seed=settings.held_out_seed)}


def judged(name, rule):
    """One line: what a rule finds missing, and how much of it is really held out."""
    found = cover(anchor, seed, rule)
    right = recovery(found.missing, anchor.matrix, truth, held_out, found.delta)
    line = {"rule": name, "delta": float(np.mean(found.delta)), "m": found.m, "FAC": found.fac}
    line |= {"missing": right.n_missing, "under the null": len(cover(anchor, null, rule).missing)}
    return line | {"precision": right.precision, "recall": right.recall}


half_way = {
    "delta 0, m 1 (the paper's default)": PAPER_RULE,
    "delta 0, support m": dataclasses.replace(PAPER_RULE, support=None, alpha=profile.rule.alpha),
    "relative delta, m 1": dataclasses.replace(profile.rule, support=1),
    "relative delta, support m": dataclasses.replace(profile.rule, support=None),
}
rules = pd.DataFrame([judged(name, rule) for name, rule in half_way.items()])
show(rules, caption="What each half of the rule does")

# %% [markdown]
# *Precision* is the share of missing features whose anchor activation comes mostly from concepts that were really
# left out. *Recall* is the share of left-out concepts that are the main concept of at least one missing feature.
#
# **Reason one: saturation.** At delta 0 a single weak, accidental activation covers a feature. A query lights dozens
# of features, and there are thousands of queries, so almost every feature of the dictionary is lit by somebody. Count
# it:

# %%
lit_by = seed.counts(0.0)  # [d_sae]: how many seed samples light each feature at all
alive = anchor.counts(0.0) > 0
above = seed.counts(coverage.delta)
display(
    Markdown(
        f"A seed sample lights **{lit_by.sum() / seed.n_samples:.0f}** features on average. Times {seed.n_samples:,} "
        f"samples, over {alive.sum():,} features that the anchor lights, the median feature is lit "
        f"**{np.median(lit_by[alive]):.0f}** times, and **{(lit_by[alive] > 0).mean():.1%}** of them at least once. "
        f"Above the rule's delta the median is {np.median(above[alive]):.0f}."
    )
)

# %% [markdown]
# The figure takes one feature of a left-out concept. The anchor lights it strongly, where its own concept is asked
# about. The seed lights it too, now and then, by words that only resemble it. The dotted line is the rule's delta: it
# separates the two, and delta 0 does not.

# %%
# The cut-down smoke profile may leave nothing missing: the least covered features stand in then.
gap = coverage.missing if len(coverage.missing) else support[np.argsort(coverage.seed_count[support])][:4]
of_held_out = [feature for feature in gap if name_of[feature].split(" ")[0] in held_out] or list(gap)
also_in_seed = [feature for feature in of_held_out if seed.counts(0.0)[feature]] or of_held_out
example = max(also_in_seed, key=lambda feature: coverage.anchor_count[feature])
shown_delta = float(np.broadcast_to(coverage.delta, seed.d_sae)[example])
figures.activation_histogram(
    {"anchor": anchor, "seed": seed}, int(example), name=f"mostly {name_of[example]}", delta=shown_delta
).show()

# %% [markdown]
# Activations have no natural unit: they are lengths in this model's residual stream. The paper's thresholds, 0 to 4,
# belong to its own SAEs; here all of them are next to nothing, at the left end of the figure. A *quantile* of the
# anchor's activations carries over from one SAE to another, an absolute number does not.
#
# Moving delta alone does not save the rule either. With m = 1, raising it makes the seed lose features, but the null
# loses some as well, and these are lost by chance:

# %%
deltas = sorted({*PAPER_DELTAS, shown_delta, *(anchor.quantile(q) for q in (0.1, 0.25, 0.5, 0.75, 0.9))})
both = {"seed": sweep(anchor, seed, deltas), "null": sweep(anchor, null, deltas)}
figure = figures.coverage_curve(both["seed"], chosen=shown_delta)
figure.update_layout(title_text="<b>How much of the anchor the seed covers, m = 1</b>")
for row, column in ((1, "fac"), (2, "missing")):
    line = {"dash": "dash", "width": 2, "color": "#7b7b7b"}
    figure.add_scatter(
        x=figure.data[0].x, y=both["null"][column], mode="lines", line=line, row=row, col=1,
        hovertemplate="null: %{y:.3~g}<extra></extra>",
    )  # fmt: skip
figure.update_layout(title_subtitle_text="solid: seed with concepts held out; dashed: the null, nothing held out")
figure.show()

# %% [markdown]
# **Reason two: rarity.** A feature that one anchor sample in thousands lights may be absent from the seed by bad
# luck. If the two data sets have one distribution and a feature was seen $m$ times among $N_a$ anchor samples, a seed
# of $N_s$ samples misses it with probability
#
# $$ \Big(1 - \frac{m}{N_a}\Big)^{N_s} \le e^{-m N_s / N_a} \le \alpha
# \qquad\text{if}\qquad m = \Big\lceil \ln\frac{1}{\alpha} \cdot \frac{N_a}{N_s} \Big\rceil $$
#
# So the support m follows from the sizes and from the chance alpha that one is willing to take per feature.

# %%
for alpha in (0.1, profile.rule.alpha, 0.001):
    m = alpha_support(alpha, anchor.n_samples, seed.n_samples)
    chance = (1 - m / anchor.n_samples) ** seed.n_samples
    print(
        f"alpha {alpha:<5}  anchor {anchor.n_samples:,}, seed {seed.n_samples:,}:  m = {m}, missed by luck {chance:.4f}"
    )

# %% [markdown]
# **A small seed is the hard case.** With an anchor many times its size, m becomes so large that hardly any feature
# gets there, and everything looks covered. But many features that are *each* a little suspicious are no accident
# *together*. Deal all samples of anchor and seed anew, at random: how many features would then be missing? That
# number needs no simulation. A feature with $t$ samples in all falls wholly to the anchor with chance
# $\binom{N_a}{t} / \binom{N_a + N_s}{t}$, and expectations add. `Coverage.expected_missing` is their sum, and
# `rule.fdr` takes the smallest m at which it is at most that share of what is missing.
#
# ✎ *300 queries, the same concepts left out: what m does alpha ask for? How many missing features does each rule find?*

# %%
small = lab.stats(
    world_corpus("small seed", 300, seed=5000, without=world.hold_out(settings.held_out, seed=settings.held_out_seed))
)
lines = []
for name, fdr in (("alpha for each feature", None), ("a tenth by luck, over all features", 0.1)):
    found = cover(anchor, small, dataclasses.replace(profile.rule, fdr=fdr))
    right = recovery(found.missing, anchor.matrix, truth, held_out, found.delta)
    line = {"rule": name, "m": found.m, "FAC": found.fac, "missing": right.n_missing}
    line |= {"expected by chance": found.expected_missing, "precision": right.precision, "recall": right.recall}
    lines.append(line)
show(pd.DataFrame(lines), caption=f"{small.n_samples} seed samples against {anchor.n_samples:,} anchor samples")

# %% [markdown]
# ## 6 Is the missing set right?
#
# Now the drawer is opened: which concepts were left out, and which of them did the missing features name?

# %%
found = main_concepts(coverage.missing, anchor.matrix, truth, coverage.delta)
named_by = found.groupby("concept").size() if len(found) else pd.Series(dtype=int)
drawer = pd.DataFrame({"concept": sorted(held_out)})
drawer["missing features"] = drawer.concept.map(named_by).fillna(0).astype(int)
wrong = found[~found.concept.isin(held_out)]
display(
    Markdown(
        f"**{(drawer['missing features'] > 0).sum()} of {len(drawer)} left-out concepts are named** by at least one of "
        f"{len(found)} missing features; {len(wrong)} missing features belong mostly to a concept that is in the seed."
    )
)
bars = go.Bar(x=drawer.concept, y=drawer["missing features"], marker_color="#d55e00")
figure = styled(go.Figure(bars), "Missing features per left-out concept", subtitle="empty: not named", height=460)
figure.update_xaxes(tickangle=-60, tickfont_size=10).update_yaxes(title="missing features", dtick=1)
figure.show()

# %% [markdown]
# One draw of left-out concepts proves little. The study repeats it over several random sets, each with a seed and a
# null of its own. It is stored with its manifest in `data/results` and made by
#
#     python -m fac_lab.studies.results recovery
#
# One rule, the profile's, serves all sets. The aims that the project set itself: precision at least 0.9, recall at
# least 0.7, and at most 2 missing features under the null.

# %%
sets, manifest = read_result("recovery")
relative = sets[sets.rule == "relative"]
same = "this very subject and SAE" if manifest["sae"] == lab.encoder.digest else "another subject or SAE than here"
print(
    f"stored: profile {manifest['profile']['name']}, {sets.held_out_set.nunique()} sets, "
    f"{manifest['seconds']} s, {same}"
)
figures.recovery(relative).show()

# %%
means = sets.groupby("rule", sort=False)[["delta", "m", "fac", "n_missing", "precision", "recall", "n_missing_null"]]
show(means.mean().reset_index(), caption=f"Mean over {sets.held_out_set.nunique()} held-out sets")

AIMS = {"precision": 0.9, "recall": 0.7, "n_missing_null": 2}
for measure, aim in AIMS.items():
    mean, worst = relative[measure].mean(), relative[measure].agg("max" if measure == "n_missing_null" else "min")
    reached = worst <= aim if measure == "n_missing_null" else mean >= aim
    print(f"{measure:15} mean {mean:.2f}, worst set {worst:.2f}, aim {aim}: {'reached' if reached else 'NOT reached'}")

# %% [markdown]
# What limits recall is the dictionary. A concept can go missing only if it has a feature of its own: where two
# neighbours share one, the concept that stayed covers for the one that left. How many concepts have a feature of
# their own is measured in notebook 01, section 10.
#
# Stored numbers are only as good as the code that makes them. Here one set is recomputed, live:

# %%
live = recovery_study(lab, sets=[0], n_held_out=settings.held_out)
columns = ["rule", "delta", "m", "fac", "n_missing", "precision", "recall", "n_missing_null"]
pair = pd.concat([live.assign(source="live"), sets[sets.held_out_set == 0].assign(source="stored")])
show(pair[["source", *columns]].sort_values(["rule", "source"]), caption="Held-out set 0")
if manifest["profile"]["name"] != profile.name:
    print(f"live numbers are of profile {profile.name}, whose data sets are smaller: only the shape compares")

# %% [markdown]
# ## 7 Filling the gap
#
# Once it is known *which* features are missing, one can ask a **generator** for them. First an **annotator** reads
# the top spans, names the feature, and judges it against the task's rubric (here: *does the user mean to deceive or
# to harm?*). Both are other small models than the subject.

# %%
labels = lab.annotate(anchor, gap)
named_gap = main_concepts(gap, anchor.matrix, truth, coverage.delta).set_index("feature")
table = labels.assign(
    anchor=coverage.anchor_count[labels.feature],
    seed=coverage.seed_count[labels.feature],
    truth=[named_gap.concept[feature] for feature in labels.feature],
)
show(table[["feature", "anchor", "seed", "truth", "summary", "verdict"]][:8], caption="Named from spans alone")

# %% [markdown]
# Then **two-step synthesis**, per feature:
#
# 1. *Step 1* writes candidates from the description. The SAE measures them: the strongest becomes the good example
#    $x^+$, the weakest the bad one $x^-$.
# 2. *Step 2* writes again with this **contrastive pair** in view.
#
# A candidate is kept if it activates the feature above delta, copies nothing, and is the strongest of its feature.
# All others stay in the table with the reason.
#
# ✎ *Which share of candidates will activate their feature: in step 1, and in step 2?*

# %%
samples = lab.synthesise(labels, anchor, coverage.delta)
in_short = samples.assign(reason=samples.reason.str.split(":").str[0])
show(steps_table(in_short), caption="What became of all candidates")

# %%
writer = samples[samples.kept].feature.iloc[0] if samples.kept.any() else samples.feature.iloc[0]
of_one = samples[samples.feature == writer]
shown = of_one[["step", "draw", "text", "activation", "kept", "reason"]]
show(shown, caption=f"All candidates for feature {writer}, mostly {named_gap.concept[writer]}")
second = of_one[of_one.step == 2].iloc[0]
pair = pd.DataFrame(
    {
        "role": [f"good example ({second.positive_source})", "bad example"],
        "text": [second.positive, second.negative],
        "activation": [second.positive_activation, second.negative_activation],
    }
)
show(pair, caption="The contrastive pair that step 2 saw")

# %%
kept = samples[samples.kept]
cards = [
    FeatureCard(
        feature=int(row.feature),
        summary=row.summary,
        counts={"anchor": int(coverage.anchor_count[row.feature]), "seed": int(coverage.seed_count[row.feature])},
        spans=anchor.spans(int(row.feature))[:3],
        verdict=row.verdict,
        written=[(s.text, s.activation) for s in kept[kept.feature == row.feature].itertuples()],
    )
    for row in labels[:4].itertuples()
]
display(HTML(cards_html(cards)))

# %% [markdown]
# **FAC again.** Two numbers, which are easily mixed up. *FAC* is over the anchor's whole support. *Gap coverage* is
# the share of the features missing at the outset that the new samples light; it is what the paper's tables call FAC.
# A feature may be lit by the sample that was written for it, or by any other: both are shown, and the two steps at
# equal numbers of draws.

# %%
written = samples[samples.text != ""]
delta_of = np.broadcast_to(coverage.delta, seed.d_sae)
lights = lab.measure(list(written.text), gap) > delta_of[gap]  # [n_written, n_gap]
mine = written.feature.to_numpy()[:, None] == gap  # written for this feature

steps = []
for step, chosen in (
    ("step 1, all draws", written.step == 1),
    ("step 2, all draws", written.step == 2),
    ("kept", written.kept),
):
    hit, hit_own = lights[chosen], (lights & mine)[chosen]
    steps.append(
        {"step": step, "covered": hit.any(axis=0).sum(), "own": hit_own.any(axis=0).sum(), "missing": len(gap)}
    )
figures.gap_coverage(pd.DataFrame(steps)).show()

added = lab.measure(list(kept.text)) > delta_of
counts = added.sum(axis=0)  # [d_sae]
after = coverage.anchor_support & ((coverage.seed_count > 0) | (counts > 0))
print(f"{len(kept)} samples added: gap coverage {gap_coverage(gap, counts):.2f}")
print(f"FAC {coverage.fac:.3f} -> {after.sum() / max(coverage.anchor_support.sum(), 1):.3f}")

# %% [markdown]
# ## 8 Does it help?
#
# Coverage is a means. The end is a detector of harmful queries: the subject with a classification head, trained on
# labelled rows and measured by AUPRC on fresh queries about *all* concepts. Here the seed lacks a random half of the
# *harmful* concepts. Five arms start from the same seed rows and **add the same number** of rows labelled harmful:
#
# | arm | what it adds |
# |:--|:--|
# | none | nothing |
# | plain | texts by the same generator, no feature in mind |
# | random | two-step synthesis for relevant features drawn at random |
# | **fac** | two-step synthesis for the **missing** relevant features |
# | oracle | real queries about the concepts that were really left out, drawn at random: right by construction |
#
# The study takes minutes to an hour, so it is stored too: `python -m fac_lab.studies.results arms`
#
# ✎ *Order the five arms by AUPRC. How large is the gain of fac over none, and over plain? How wide will the interval
# be with five held-out sets?*

# %%
runs, manifest = read_result("arms")
same = "this very subject and SAE" if manifest["sae"] == lab.encoder.digest else "another subject or SAE than here"
print(
    f"stored: profile {manifest['profile']['name']}, {runs.held_out_set.nunique()} held-out sets × "
    f"{runs.seed.nunique()} seeds, detector: {manifest['profile']['detector']['mode']}, {manifest['seconds']} s, {same}"
)
figures.arms(runs).show()

# %% [markdown]
# Each grey line joins the arms of one held-out set. Sets differ in difficulty, so arms are compared **within** a set,
# seeds averaged, and the interval is one over sets: seeds of one set share its data and are no independent evidence.

# %%
figures.paired_differences(runs, "none").show()

# %% [markdown]
# Read it in words. The sentences below are made from the numbers, whatever these are.


# %%
def verdict(row):
    if row.low > 0 or row.high < 0:
        return "a gain" if row.mean > 0 else "a loss"
    return "not told apart from zero by this many sets"


def in_words(base, arms):
    for row in paired_differences(runs, base).itertuples():
        if row.arm in arms:
            yield (
                f"- **{row.arm} − {base}**: {row.mean:+.3f} AUPRC (95 % interval {row.low:+.3f} to {row.high:+.3f}), "
                f"ahead in {row.better} of {row.n} sets: {verdict(row)}."
            )


said = [
    *in_words("none", ("plain", "random", "fac", "oracle")),
    *in_words("plain", ("fac",)),
    *in_words("random", ("fac",)),
]
gains = paired_differences(runs, "none").set_index("arm")
if gains.low["oracle"] > 0:
    shares = gains["mean"] / gains["mean"]["oracle"]
    in_order = ", ".join(f"{arm} {shares[arm]:.0%}" for arm in ("plain", "random", "fac"))
    said.append(f"- In shares of the oracle's gain: {in_order}.")
else:
    said.append("- The oracle's own gain is not told apart from zero: here no choice of texts is shown to help.")
display(Markdown("\n".join(said)))

# %% [markdown]
# Why an arm does or does not help is seen in what it added: are the texts harmful at all, are they about what was
# left out, and how many of the left-out concepts do they reach? The oracle is no upper limit: it is always right
# about *what* to add, but with so few texts it too reaches only some of the concepts.

# %%
what = runs.groupby("arm", sort=False)[["added", "truly_harmful", "about_held_out", "held_out_reached"]].mean()
table = summarise_arms(runs).merge(what.reset_index(), on="arm")
show(table, caption="AUPRC over all runs, and what was added (means)", formats={"added": ".0f"})

# %% [markdown]
# **Beside the paper.** Its toxicity columns, in AUPRC × 100. Only the question is the same: there, an
# 8-billion-parameter model, 200 added texts, ToxicChat as test set. Base rate, test and models differ, so **the
# scales are not comparable**; what can be compared is the order of the methods. (Baselines have other names there;
# the paper does not define its "Baseline".)

# %%
lora, head = paper_table("table01_main"), paper_table("table13_head_only")
beside = lora[["method", "tox_auprc", "tox_auprc_sd"]].merge(
    head[["method", "tox_auprc", "tox_sd"]], on="method", suffixes=("", "_head")
)
beside.columns = ["method (paper)", "LoRA", "± sd", "head only", "± sd "]
show(beside, caption="Paper, tables 1 and 13: toxicity, AUPRC × 100", formats=dict.fromkeys(beside.columns[1:], ".2f"))

# %% [markdown]
# ## 9 Your own data
#
# The same measurement on files of yours, with a real model:
#
#     fac-lab audit mine.csv --text-column question --anchor wide.jsonl --profile minilm
#     fac-lab audit mine.csv --anchor wide.jsonl --model org/name --layer 15 --sae RELEASE:SAE_ID
#
# It writes FAC, the missing features with their top spans, what chance would explain of them (expected, and in a
# seed drawn from the anchor itself) and a report that opens in any browser. Layers count from 0: layer 16 of the
# paper is `--layer 15`. In Python it is one call; below, on the seed and the anchor of above, written to files, so
# that you see what comes back. Choose the anchor with care: *what it does not show can never be missing.*

# %%
folder = project_root() / "runs" / f"audit-{profile.name}"
folder.mkdir(parents=True, exist_ok=True)
for name, rows in {"mine": seed_rows, "wide": anchor_rows}.items():
    frame = pd.DataFrame({"id": [row.id for row in rows], "question": [row.text for row in rows]})
    frame.to_csv(folder / f"{name}.csv", index=False)

audited = audit(
    folder / "mine.csv",
    anchor=folder / "wide.csv",
    profile=dataclasses.replace(profile, annotator=None),  # features stay unnamed, which saves a minute
    text_column="question",
    id_column="id",
    out=folder,
)
print(audited)
show(audited.missing[:5], caption="The first missing features, with their spans in the anchor")

# %% [markdown]
# ## 10 Exercises
#
# Each has a stub with shapes, and a check right under it. Solutions are folded; open them after you tried.
#
# ### Exercise 1 · FAC by hand ★ (5 minutes)
#
# From two count vectors, how often each feature exceeds delta in the anchor and in the seed, compute FAC and the
# missing features. Remember the intersection: a feature that only the seed lights does not count.


# %%
def fac_by_hand(anchor_count: np.ndarray, seed_count: np.ndarray, m: int) -> tuple[float, np.ndarray]:
    """`anchor_count [d_sae]`, `seed_count [d_sae]` -> FAC, and the indices of missing features in ascending order."""
    raise NotImplementedError


# %%
try:
    fac, missing = fac_by_hand(np.array([9, 4, 4, 1, 0]), np.array([3, 0, 1, 0, 7]), m=2)
    assert fac == 2 / 3 and missing.tolist() == [1], (fac, missing)
    fac, missing = fac_by_hand(coverage.anchor_count, coverage.seed_count, coverage.m)
    assert np.isclose(fac, coverage.fac) and missing.tolist() == sorted(coverage.missing.tolist())
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write fac_by_hand in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def fac_by_hand(anchor_count, seed_count, m):
#     in_anchor = anchor_count >= m
#     in_seed = seed_count > 0
#     return (in_anchor & in_seed).sum() / in_anchor.sum(), np.flatnonzero(in_anchor & ~in_seed)
# ```
# </details>
#
# ### Exercise 2 · A null without a second draw ★★ (10 minutes)
#
# With your own data there is no world to draw a second seed from. What one has is the anchor: split it, let one half
# play the seed, and cover the other half by it. What is missing then? `corpus.split(n, seed)` returns the drawn rows
# and the rest.


# %%
def null_by_splitting(corpus, n: int, *, seed: int) -> int:
    """Draw `n` rows from `corpus`: number of features of the rest that are missing in them, by the profile's rule."""
    raise NotImplementedError


# %%
try:
    ours = null_by_splitting(anchor_corpus, anchor.n_samples // 2, seed=1)
    print(f"null by splitting: {ours}; against a fresh seed it was {len(by_chance.missing)}")
    assert 0 <= ours <= 0.05 * lab.encoder.d_sae, "a seed of the same distribution should miss next to nothing"
    print("exercise 2: right")
except NotImplementedError:
    print("exercise 2: write null_by_splitting in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def null_by_splitting(corpus, n, *, seed):
#     drawn, rest = corpus.split(n, seed)
#     return len(cover(lab.stats(rest), lab.stats(drawn), profile.rule).missing)
# ```
# The halves are of equal size, so m is larger than above: the support m always follows from the sizes at hand. This
# is the null that `fac-lab audit` reports.
# </details>
#
# ### Exercise 3 · A looser alpha ★★ (10 minutes)
#
# ✎ *With alpha = 0.1 instead of the profile's, what happens to m, to the number of missing features, to recall, and
# to the null?* Write a function that returns the line of the rule table for any alpha, then look at several.


# %%
def with_alpha(alpha: float) -> dict:
    """The line that `judged` makes, for the profile's rule with another `alpha`."""
    raise NotImplementedError


# %%
try:
    loose, strict = with_alpha(0.1), with_alpha(0.001)
    assert loose["m"] <= strict["m"] and loose["missing"] >= strict["missing"]
    show(pd.DataFrame([with_alpha(alpha) for alpha in (0.5, 0.1, 0.01, 0.001)]), caption="From loose to strict")
    print("exercise 3: right")
except NotImplementedError:
    print("exercise 3: write with_alpha in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# def with_alpha(alpha):
#     return judged(f"alpha {alpha}", dataclasses.replace(profile.rule, support=None, alpha=alpha))
# ```
# A larger alpha lowers m: rarer features count, so more is found missing and recall can only rise; what it costs is
# seen in the null column. Expected by chance are at most alpha × (features of the anchor that are about as rare as
# m).
# </details>
#
# ### Exercise 4 · Leave out something else ★★★ (20 minutes)
#
# All of the above left out concepts at random. Data sets of the real world lack things that belong together. Build a
# seed that lacks a **whole domain**, find its missing features, and measure precision and recall. ✎ *Better or worse
# than for scattered concepts? What could stand in for a whole domain that could not for a single concept?*


# %%
def without_domain(domain: str):
    """-> (missing features under the profile's rule, `Recovery` of them), for a seed that lacks all of `domain`."""
    raise NotImplementedError


# %%
try:
    missing, right = without_domain("school")
    about = main_concepts(missing, anchor.matrix, truth, coverage.delta)
    print(right)
    print(about.concept.str.split("/").str[0].value_counts().to_dict())
    assert right.n_missing == len(missing)
    print("exercise 4: right if most of the counted domains are the one you left out")
except NotImplementedError:
    print("exercise 4: write without_domain in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 4</summary>
#
# ```python
# def without_domain(domain):
#     out = [concept for concept in world.concepts() if concept.domain == domain]
#     lacking = lab.stats(world_corpus(f"no {domain}", seed.n_samples, seed=77, without=out))
#     found = cover(anchor, lacking, profile.rule)
#     out_ids = {concept.id for concept in out}
#     return found.missing, recovery(found.missing, anchor.matrix, truth, out_ids, found.delta)
# ```
# Two forces pull. Features that several concepts of a domain share are covered as long as one of them is in the seed;
# with the whole domain gone they go missing too. But a domain is only some of the concepts, and its words return
# elsewhere. Compare with scattered concepts (`world.hold_out(20, seed=1)`), over several seeds, before you believe
# either.
# </details>

# %% [markdown]
# ## Summary
#
# - A text's **activation** of a feature is the maximum over its tokens; a data set's **support** is what enough of
#   its texts light above **delta**; **FAC** is the share of the anchor's support that the seed covers, and the rest
#   is **missing**.
# - **No number of missing features without its null.** Delta 0 with m = 1 saturates: thousands of texts light nearly
#   everything somewhere. A relative delta removes weak accidents, a support m removes rarities.
# - In a world with known concepts, what is missing can be held against what was left out: precision, recall and null
#   above are measured, not assumed.
# - Missing features can be written for, and each text is measured again. Whether that helps a detector is another
#   question, with its own controls (plain, random, oracle) and its own intervals.
#
# **Next:** [01 · Subjects and sparse autoencoders](01_sae_loading.ipynb), where the features come from.
