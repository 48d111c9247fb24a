# %% [markdown]
# # 16 · Paper scale: profiles, data recipes, protocols, speed
#
# Everything so far ran on a model of two million parameters. The same code runs the paper's: Llama-3.1-8B, Mistral-7B
# and Qwen2-7B with SAEs of 65,536 features. This notebook is about what changes on the way: settings, data, money and
# time. Nothing in it needs a network or a GPU.
#
# **You will** compare profiles as data · read a plan before paying for it · see how many readings the paper's data
# have, as a diff · see what its published code does differently · read how fast collection is, and against what ·
# size a run of a hundred million samples
#
# **Time** half an hour · **Difficulty** ★★ · **Before** [00 · Start here](00_start_here.ipynb), [01 · Subjects and
# sparse autoencoders](01_sae_loading.ipynb)
#
# **Contents** [1 A profile is data](#1-A-profile-is-data) · [2 A plan before the
# bill](#2-A-plan-before-the-bill) · [3 Data recipes](#3-Data-recipes) · [4 Two protocols](#4-Two-protocols) · [5 The
# floor](#5-The-floor) · [6 What changes with size](#6-What-changes-with-size) · [7 A hundred million
# samples](#7-A-hundred-million-samples) · [8 Exercises](#8-Exercises)

# %%
import dataclasses
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

from fac_lab.collect_protocol import NAMED, CollectProtocol
from fac_lab.corpora import Corpus
from fac_lab.display.cells import show
from fac_lab.display.plan import plan_text
from fac_lab.display.theme import BLUE, GREEN, INK, ORANGE, styled
from fac_lab.features.collect import collect
from fac_lab.lab import Lab
from fac_lab.planning.plan import make_plan
from fac_lab.profile import as_dict, load_profile
from fac_lab.recipes.catalogue import catalogue
from fac_lab.recipes.protocols import diff_protocols
from fac_lab.sizing import Rates, size
from fac_lab.studies.stored import read_result

pio.renderers.default = "plotly_mimetype"

lab = Lab.open()

# %% [markdown]
# ## 1 A profile is data
#
# A scale is a YAML file, read into frozen dataclasses. No code asks which scale it runs at.
#
# ✎ *Between the embedded world and Llama-3.1-8B, how many settings differ? And which of them change the meaning of a
# FAC, not only its cost?*

# %%
mini, llama = load_profile("mini"), load_profile("llama")


def flat(settings, prefix=""):
    """Nested settings as `a.b.c: value`."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


ours, theirs = (dict(flat(as_dict(profile))) for profile in (mini, llama))
parts = ("subject", "sae", "collect", "rule", "generator", "annotator", "detector")
rows = [
    (key, str(ours.get(key, "–")), str(theirs.get(key, "–")))
    for key in sorted(
        {*ours, *theirs}, key=lambda key: (parts.index(key.split(".")[0]) if key.split(".")[0] in parts else 9, key)
    )
    if key.split(".")[0] in parts and ours.get(key) != theirs.get(key)
]
show(pd.DataFrame(rows, columns=["setting", "mini", "llama"]), caption=f"{len(rows)} settings differ")

# %% [markdown]
# Four groups change the meaning: **subject** (model and layer; `layer: 15` is the paper's 16), **sae**, **collect**
# (which tokens count) and **rule** (when a feature counts as active, and as missing). They are recorded in every
# artifact, and statistics that differ in them are refused in one comparison.
#
# ## 2 A plan before the bill
#
# `fac-lab plan STUDY --profile NAME` works out, from public facts on models and from assumptions that it lists, what
# a study needs. It loads, downloads and asks nothing; `fac-lab check` then says what is missing on this machine.
#
# ✎ *Annotating every active feature of a 65,536-feature SAE: how many calls to a chat model is that?*

# %%
plan = make_plan(llama, "arms")
print("\n".join(plan_text(plan).splitlines()[:26]))

# %%
calls = pd.DataFrame(
    [(chat.role, chat.calls.what.replace("_", " "), chat.model, chat.calls.calls) for chat in plan.chats],
    columns=["role", "step", "model", "calls"],
)
figure = go.Figure(
    go.Bar(x=calls.calls, y=calls.role + ": " + calls.step, orientation="h", marker_color=ORANGE, text=calls.calls)
)
figure.update_xaxes(type="log", title="calls")
styled(figure, "Annotation is the bill", subtitle="calls of one comparison of arms under the profile llama, estimated")

# %% [markdown]
# ## 3 Data recipes
#
# The paper names its data sets, and leaves open which rows. A **recipe** is a public data set by name and pinned
# revision, with the shape of its rows, its licence, and, where they are known, row counts and hashes that are checked
# on reading. A **protocol** says which recipes make anchor, seed and test of a task.

# %%
known = catalogue()
recipes = pd.DataFrame(
    [
        (name, one.kind, one.rows or math.nan, one.repo or "local cut", one.licence)
        for name, one in known.recipes.items()
    ],
    columns=["recipe", "kind", "rows", "repository", "licence"],
)
show(recipes, caption=f"{len(recipes)} recipes; rows where the source states them", formats={"rows": ",.0f"})

# %% [markdown]
# Appendix J, appendix K and the authors' answer in an issue of their repository describe the toxicity data in three
# ways. Instead of choosing in silence, each reading is a protocol, and two of them can be compared.
#
# ✎ *Do they agree on the anchor? On the labels?*

# %%
names = [name for name in known.protocols if name.startswith("toxicity")]
differences = pd.DataFrame(
    [
        (f"{a} | {b}", one.key, str(one.a if one.a is not None else "–"), str(one.b if one.b is not None else "–"))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        for one in diff_protocols(a, b)
    ],
    columns=["protocols", "what", "first", "second"],
)
differences[["first", "second"]] = differences[["first", "second"]].map(lambda text: text[:60])
show(differences.head(24), caption=f"{len(differences)} differences between {len(names)} readings, the first 24")

# %% [markdown]
# The question is not which reading is right, but whether a conclusion survives all of them. `source: NAME` in a
# profile's `corpora` switches, `data_dir` reads local copies instead of the hub, and what was read is saved beside
# the result.
#
# ## 4 Two protocols
#
# The published collection script differs from the paper's text. Each difference is a switch.

# %%
switches = pd.DataFrame(
    [(name, str(NAMED["paper"][name]), str(NAMED["code"][name])) for name in NAMED["paper"]],
    columns=["switch", "paper", "code"],
)
show(switches, caption="collect.protocol: what the paper says, and what its code does")

# %% [markdown]
# ✎ *The code leaves out the selection of the K largest: every positive pre-activation counts. What happens to the
# number of active features of a text, and what to FAC at threshold 0?*

# %%
n = 300 if lab.profile.name == "mini" else 40
texts = Corpus.from_rows("queries", [row for _, row in zip(range(n), lab.corpus("anchor"), strict=False)])
active = {}
for name, protocol in {
    "paper": CollectProtocol(),
    "without Top-K": CollectProtocol(top_k=False),
    "code": CollectProtocol(name="code"),
}.items():
    settings = dataclasses.replace(lab.profile.collect, protocol=protocol)
    stats = collect(lab.subject, lab.sae, texts, settings, keep_matrix=True, progress=False)
    per_text = np.diff(stats.matrix.indptr)
    active[name] = (float(np.median(per_text)), int((stats.counts(0.0) > 0).sum()))
show(
    pd.DataFrame([(name, *found) for name, found in active.items()], columns=["protocol", "per text", "in any text"]),
    caption=f"Active features at threshold 0, {n} queries, of {lab.encoder.d_sae:,}",
    formats={"per text": ",.0f"},
)

# %% [markdown]
# Without Top-K, a few hundred texts light everything at threshold 0, and coverage says nothing: one more reason why
# the rule is part of the number. And with the code's fixed prefix half of our queries light nothing at all: it drops
# 31 tokens, which is about what the paper's models need for their template, and more than a whole query has here.
#
# ## 5 The floor
#
# How fast can collection be? The **floor** is what nobody can avoid: the model's forward pass up to the layer and one
# product with the encoder, on the same batches, tokens being there already, nothing kept. The **reference's way** is
# one text at a time, with a full sort of all features per token, the decoder's product, and loops over features.
#
# ✎ *Tokenizing, the K largest, maxima per text, histograms, ten spans per feature: how much more than the floor
# would you expect?*

# %%
speed, made = read_result("speed_collect")
speed["over the floor"] = [
    f"{r.over_floor:.2f} ({r.over_floor_least:.2f} to {r.over_floor_most:.2f})" for r in speed.itertuples()
]
speed["over the reference"] = [
    f"{r.over_reference:.1f} ({r.over_reference_least:.1f} to {r.over_reference_most:.1f})" for r in speed.itertuples()
]
show(
    speed[["setting", "top_k", "width", "features", "texts", "rounds", "ours_tokens_per_second",
           "over the floor", "over the reference"]],
    caption=f"Median (least to most) of rounds in turns; {made['cpu']}, {made['threads']} threads, load before "
    f"{made['load_before']}",
    formats={"ours_tokens_per_second": ",.0f"},
)  # fmt: skip

# %%
figure = go.Figure()
for way, colour in (("floor", INK), ("ours", BLUE), ("one", ORANGE)):
    label = {"floor": "floor", "ours": "collect", "one": "one text at a time"}[way]
    figure.add_bar(
        x=[f"{row.setting}, {'Top-K' if row.top_k else 'ReLU'}" for row in speed.itertuples()],
        y=speed[f"{way}_tokens_per_second"], name=label, marker_color=colour,
    )  # fmt: skip
figure.update_yaxes(type="log", title="tokens per second")
styled(figure, "Collection between its floor and the obvious way", subtitle="one machine, one run, ways in turns")

# %% [markdown]
# Where the rest of the gap goes, with a profiler: on the mini model, whose texts take half a millisecond each, cutting
# and ordering spans and tokenizing; with 65,536 features, next to nothing but the K largest. With Top-K off and a
# random SAE half of all features are positive in every text, so histograms and spans of millions of values are the
# work; a trained SAE lies between.
#
# What was tried and did not help: reading ahead in a second thread (slower on two threads, because it takes turns with
# the products; used on a GPU only) and scatter- or sort-based maxima of all texts together. What helped: looking for
# the K largest in groups of 64, sorting one 64-bit key instead of two columns, cutting a span only when it can win,
# and leaving characters of tokens in the tokenizer until a span needs them.
#
# ## 6 What changes with size

# %%
scaling, _ = read_result("speed_scaling")
figure = go.Figure()
for axis, colour in zip(("samples", "features", "batch"), (BLUE, ORANGE, GREEN), strict=True):
    part = scaling[scaling.axis == axis]
    figure.add_scatter(
        x=part.value, y=part.tokens_per_second, name=axis, mode="lines+markers", line_color=colour,
        error_y={"symmetric": False, "array": part.most - part.tokens_per_second,
                 "arrayminus": part.tokens_per_second - part.least},
    )  # fmt: skip
figure.update_xaxes(type="log", title="samples, features, or tokens of a batch")
figure.update_yaxes(type="log", title="tokens per second")
styled(figure, "Rate against size", subtitle="features: a random SAE on a model of width 512; the others: mini")

# %%
show(
    scaling[["axis", "value", "texts", "tokens", "tokens_per_second", "over_floor", "peak_gb"]],
    caption="Each point in a process of its own; peak_gb is the most memory it had, libraries and model included",
    formats={"value": lambda v: f"{v:,g}", "tokens_per_second": ",.0f", "over_floor": ".2f", "peak_gb": ".2f"},
)
steps, _ = read_result("speed_dictionary")
show(
    steps[["step", "seconds", "least", "most", "peak_gb"]],
    caption=f"After collection, {steps.features[0]:,} features and {steps.samples[0]:,} samples; peak_gb: so far",
    formats=dict.fromkeys(("seconds", "least", "most"), ".3f") | {"peak_gb": ".2f"},
)

# %% [markdown]
# Memory does not grow with the number of samples: statistics are histograms of fixed bins, maxima and ten spans per
# feature. From them FAC at any threshold is a sum, which is why the browser's slider is live.
#
# ## 7 A hundred million samples
#
# Shards of a corpus are collected by many workers and merged exactly (`fac-lab collect --workers N --ray ADDRESS`). A
# killed worker costs one shard. What that takes is arithmetic on a measured rate; here, that of the wide setting on
# this CPU, and of a GPU that would be a thousand times as fast (an assumption, not a measurement).

# %%
rate = float(speed[(speed.setting == "wide") & speed.top_k].ours_tokens_per_second.iloc[0])
rows = []
for hardware, factor in (("this CPU, measured", 1), ("a thousand times that, assumed", 1000)):
    for samples in (1_000_000, 100_000_000):
        for workers in (1, 64):
            one = size(samples, Rates(rate * factor, 60.0), workers=workers, rows_per_shard=100_000, d_sae=65_536)
            rows.append((hardware, samples, workers, one.shards, one.hours, one.lost_minutes, one.stats_gb))
columns = ["worker", "samples", "workers", "shards", "hours", "a kill costs, minutes", "disk at most, GB"]
show(
    pd.DataFrame(rows, columns=columns),
    caption="60 tokens a sample, 65,536 features",
    formats={"hours": ",.1f", "a kill costs, minutes": ",.1f", "disk at most, GB": ",.1f"},
)

# %% [markdown]
# ## 8 Exercises
#
# ### Exercise 1 · Which switch matters? ★★ (15 minutes)
#
# Between the protocols `paper` and `code` six switches differ. Turn one at a time from `paper` to `code` and count the
# features that the queries activate above 0, and above the 0.8 quantile under the paper's protocol. Which switch moves
# most? Which one matters at 0 only?


# %%
def by_switch(texts):
    """Numbers of features active above 0 and above the quantile, by the switch that is turned to the code's value."""
    raise NotImplementedError


try:
    counts = by_switch(texts)
    assert set(counts) <= set(NAMED["paper"]) | {"none"}
    print(counts)
except NotImplementedError:
    print("exercise 1: write by_switch in this cell, then run it again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def by_switch(texts):
#     def counted(**switches):
#         settings = dataclasses.replace(lab.profile.collect, protocol=CollectProtocol(**switches))
#         return collect(lab.subject, lab.sae, texts, settings, progress=False)
#     paper = counted()
#     delta = paper.quantile(0.8)
#     def active(stats):
#         return int((stats.counts(0.0) > 0).sum()), int((stats.counts(delta) > 0).sum())
#     found = {"none": active(paper)}
#     for name, value in NAMED["code"].items():
#         if value != NAMED["paper"][name]:
#             found[name] = active(counted(**{name: value}))
#     return found
# ```
# With 300 queries of the mini world: `prefix` moves most, at both thresholds, because most queries are shorter than 31
# tokens. `top_k` matters at 0 only: what it adds is weak. Without the generation prompt the suffix is shorter, and
# what only its last tokens activate is gone.
# </details>
#
# ### Exercise 2 · Where is your bottleneck? ★ (10 minutes)
#
# Your GPU worker reads 40,000 tokens per second and loads its model in 90 seconds; merging a shard takes half a
# second. With 64 workers and 100 million samples of 300 tokens, is merging ever what you wait for? From how many
# workers on? Use `size`.

# %%
sixty_four = size(
    100_000_000,
    Rates(40_000, 300, merge_seconds=0.5, load_seconds=90),
    workers=64,
    rows_per_shard=100_000,
    d_sae=65_536,
)
print(sixty_four)

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# A shard takes 100,000 x 300 / 40,000 = 750 s, so one worker hands in a shard every 750 s and one process merges it
# in half a second: from 1,500 workers on, merging is what you wait for. Larger shards do not change that ratio of
# work to merging in your favour for ever: a killed worker then costs more.
# </details>
#
# ## Summary
#
# - A scale is a file; subject, SAE, collect and rule decide what a FAC means and stand beside it.
# - Ask for the plan first: annotation is the bill, not the GPU.
# - Where the paper can be read in several ways, each is a named protocol, and a diff says in what they differ.
# - Collection is close to its floor, flat in memory, and exact over any number of workers.
#
# **Previous:** [15 · Reading group](15_reading_group.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
