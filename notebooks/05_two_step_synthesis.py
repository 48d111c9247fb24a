# %% [markdown]
# # 05 · Two-step synthesis: writing what is missing
#
# A missing feature is a demand: *write a text that lights this*. A chat model can be asked for it in words, and the
# subject itself says whether it worked. In the paper that takes two steps: **step 1** writes from the feature's
# description and measures; **step 2** writes again with the best and the worst draft in view, the *contrastive pair*.
#
# Each step costs drafts, and drafts alone raise the chance of a hit. So the question of this notebook is less *does it
# work* than *what does each part of it buy*: the pair, the number of samples, the temperature, the generator, the share
# of the gap, another round.
#
# **You will** follow one feature through both steps, with every prompt and every activation · see samples of five tasks
# and why others were refused · compare one step and two **at equal numbers of drafts** · read the paper's tables 4, 9,
# 10 and figure 7 beside what was measured here · turn the switches where the paper's text and its authors' code differ
#
# **Time** twenty minutes to read and run, an evening with the predictions and exercises · **Difficulty** ★ to ★★★ ·
# **Before** [00 · Start here](00_start_here.ipynb), [02 · Feature annotation](02_feature_annotation.ipynb), [04 · The
# missing-feature browser](04_missing_feature_browser.ipynb)
#
# **Contents** [1 The gap](#1-The-gap) · [2 One feature, two steps](#2-One-feature,-two-steps) · [3 Five
# tasks](#3-Five-tasks) · [4 What is refused](#4-What-is-refused) · [5 One step or two?](#5-One-step-or-two?) · [6 How
# many per feature?](#6-How-many-per-feature?) · [7 How warm, and by whom?](#7-How-warm,-and-by-whom?) · [8 How much of
# the gap?](#8-How-much-of-the-gap?) · [9 A second round](#9-A-second-round) · [10 The paper's text and its
# code](#10-The-paper's-text-and-its-code) · [11 Other ways to fill a gap](#11-Other-ways-to-fill-a-gap) · [12
# Exercises](#12-Exercises)

# %%
import dataclasses
import json
import logging
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.io as pio
from IPython.display import HTML, Markdown, display

from fac_lab import synthesis
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.coverage import cover
from fac_lab.display import synthesis as shown
from fac_lab.display.cells import fold, show, stored
from fac_lab.display.demo_report import steps_table
from fac_lab.display.heat import heat_html, spans_html, tinted_inline
from fac_lab.display.tables import estimate, paper_table
from fac_lab.features.trace import texts_of, trace_spans
from fac_lab.lab import Lab
from fac_lab.studies.amounts import des
from fac_lab.studies.filling import in_form, one_step, reach, reached, two_steps
from fac_lab.studies.missing import world_corpus
from fac_lab.synthesis.formats import FORMATS, format_of
from fac_lab.synthesis.plain import plain
from fac_lab.synthesis.samples import fault
from fac_lab.synthesis.two_step import Brief, Scored, choose_pair, synthesise
from fac_lab.synthesis.writer import Writer

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere
logging.getLogger("fac_lab").setLevel(logging.ERROR)  # what is refused is counted below, not logged

lab = Lab.open()
profile = lab.profile
PROMPTS = Path(synthesis.__file__).parent / "prompts"
settings = profile.synthesis
print(
    f"profile {profile.name}: {profile.generator.model} writes, {settings.step1_draws} + {settings.step2_draws} drafts "
    f"a feature, temperature {settings.temperature}, top-p {settings.top_p}"
)

# %% [markdown]
# ## 1 The gap
#
# As in notebook 00: the seed lacks some concepts, the rule finds features of the anchor that no seed sample activates,
# the annotator names them and judges whether they matter. Written for are those that are **missing and relevant**. The
# null, as always beside: the same for a seed of equal size that lacks nothing.

# %%
N_FEATURES = 24  # written for in the live cells; the studies below take all

anchor_corpus = lab.corpus("anchor")
anchor, seed = lab.stats(anchor_corpus, keep_matrix=True), lab.stats(lab.corpus("seed"))
null = lab.stats(world_corpus("null", seed.n_samples, seed=4000))
coverage, by_chance = cover(anchor, seed, profile.rule), cover(anchor, null, profile.rule)
# The cut-down smoke profile may leave nothing missing: the least covered features stand in then.
support = np.flatnonzero(coverage.anchor_support)
gap = coverage.missing if len(coverage.missing) else support[np.argsort(coverage.seed_count[support])][:4]
labels = lab.annotate(anchor, gap)
relevant_by_chance = int(lab.annotate(anchor, by_chance.missing).relevant.sum()) if len(by_chance.missing) else 0
found = pd.DataFrame(
    {
        "seed": ["concepts held out", "null: nothing held out"],
        "missing": [len(coverage.missing), len(by_chance.missing)],
        "of these relevant": [int(labels.relevant.sum()), relevant_by_chance],
        "expected by chance": [coverage.expected_missing, by_chance.expected_missing],
    }
)
show(found, caption=f"F_miss and its null; delta {np.mean(coverage.delta):.3g}, m {coverage.m}")

relevant = labels[labels.relevant] if labels.relevant.sum() >= 3 else labels
chosen = relevant[relevant.summary.notna()][:N_FEATURES]
features = chosen.feature.to_numpy(np.int64)
print(f"{len(chosen)} features to write for in the cells that follow")

# %% [markdown]
# ## 2 One feature, two steps
#
# All features take each step together, in batches; the next cell writes for every chosen one. Then we follow one of
# them. Its strongest spans are all that the description was made from.

# %%
samples = lab.synthesise(chosen, anchor, coverage.delta)
told = samples[samples.kept & (samples.step == 2) & (samples.positive_source == "candidate")]
one = int((told if len(told) else samples).feature.iloc[0])
label = chosen.set_index("feature").loc[one]
of_one = samples[samples.feature == one]
limit = float(np.broadcast_to(coverage.delta, anchor.d_sae)[one])

spans = anchor.spans(one)[:4]
read = trace_spans(
    lab.subject, lab.sae, spans, profile.collect, texts=texts_of(anchor_corpus, [s.sample_id for s in spans])
)
display(HTML(f"<p><b>Feature {one}</b>: {escape(label.summary)}</p>{tinted_inline(spans_html(read))}"))

# %% [markdown]
# **Step 1** asks from the description alone. This is the prompt as it is sent, and the drafts as they came, each with
# the activation that was measured on it.
#
# ✎ *Two drafts from one prompt: will both activate the feature above delta? One? None?*

# %%
writer = Writer(lab.generator, settings, PROMPTS / settings.prompts)
style = writer.style
values = {
    "summary": style.phrase(label.summary),
    "spans": [style.quote(span.text) for span in anchor.spans(one)[: style.spans]],
    "relevant": bool(label.relevant),
}
print(writer.messages(writer.prompt("one_step"), **values)[-1]["content"], "\n")
columns = ["step", "draw", "text", "activation", "kept", "reason"]
show(of_one[of_one.step == 1][columns], caption=f"Step 1; delta is {limit:.4g}", formats={"activation": ".1f"})

# %% [markdown]
# **The pair.** The strongest draft becomes $x^+$, the weakest $x^-$. Where no draft exceeds delta, the strongest span
# of the anchor stands in for $x^+$. Now **step 2**, with the pair in view:

# %%
second = of_one[of_one.step == 2].iloc[0]
values |= {
    "positive": style.quote(second.positive),
    "positive_activation": second.positive_activation,
    "negative": style.quote(second.negative),
    "negative_activation": second.negative_activation,
    "verbatim": False,
}
print(writer.messages(writer.prompt("two_step"), **values)[-1]["content"], "\n")
show(of_one[of_one.step == 2][columns], caption=f"Step 2; delta is {limit:.4g}", formats={"activation": ".1f"})

# %% [markdown]
# The small generator was taught this very form. A model that follows instructions gets the task, the evidence and the
# measured strengths in words; unfold it. Data stands in it as JSON strings, so that no text can leave its place
# (notebook 02, section 9).

# %%
large = Writer(lab.generator, dataclasses.replace(settings, prompts="paper"), PROMPTS / "paper")
as_json = {
    "summary": large.style.phrase(label.summary),
    "spans": [large.style.quote(span.text) for span in anchor.spans(one)[: large.style.spans]],
    "positive": large.style.quote(second.positive),
    "negative": large.style.quote(second.negative),
}
fold(
    "What a large generator is asked in step 2",
    large.messages(large.prompt("two_step"), **(values | as_json))[-1]["content"],
)

# %% [markdown]
# **Measured again.** Nobody has to believe the table: the texts go through the subject once more, token by token.

# %%
texts = {
    "x+": second.positive,
    "x-": second.negative,
    "kept": of_one[of_one.kept].text.iloc[0] if of_one.kept.any() else "",
}
texts = {role: text for role, text in texts.items() if text}
traces = lab.trace_each(list(texts.values()), [one] * len(texts))
stored_before = {"x+": second.positive_activation, "x-": second.negative_activation}
for role, trace in zip(texts, traces, strict=True):
    assert role not in stored_before or np.isclose(trace.maxima[0], stored_before[role], rtol=1e-3, atol=1e-2)
strongest = max(float(trace.maxima[0]) for trace in traces)
lines = [
    f"<p><b>{role}</b>, activation {trace.maxima[0]:.1f}</p>"
    + heat_html(trace, scale=strongest or 1.0, legend=place == 0)
    for place, (role, trace) in enumerate(zip(texts, traces, strict=True))
]
display(HTML(tinted_inline("".join(lines))))

# %% [markdown]
# And all chosen features at once. ✎ *Which step yields more samples that activate their feature? Careful: what step 2
# is given already holds what step 1 found.*

# %%
in_short = samples.assign(reason=samples.reason.str.split(":").str[0])
show(steps_table(in_short), caption=f"Drafts for {len(chosen)} features")

# %% [markdown]
# ## 3 Five tasks
#
# What a feature asks for depends on what is trained. The paper has four experiments and five kinds of data; so has this
# package, as **formats** with named parts. Activations are always measured on what a *user* says.
#
# | task | parts |
# |:--|:--|
# | toxicity | query |
# | reward modelling | prompt, chosen, rejected |
# | sycophancy, survival instinct | question, matching, other |
# | instruction following | instruction, answer |
#
# A large model writes all parts in one answer (or the answer in a second one). The small ones write one query, whatever
# the task; the rest of the format is made from what they can do: reply to the query; for a pair, help with it as the
# worse reply and, as the better one, answer something of which they themselves say that nothing is wrong with it
# (notebook 07); set the query into the frame of an A/B item. That is enough to run every path, and no more: nobody
# should learn sycophancy from such items.

# %%
written_for = {task: lab.synthesise(chosen[:6], anchor, coverage.delta, task=task) for task in FORMATS}
lines = []
for task, candidates in written_for.items():
    good = candidates[candidates.kept]
    if good.empty:
        lines.append({"task": task.replace("_", " "), "part": "–", "text": "no sample was kept"})
        continue
    parts = json.loads(good.parts.iloc[0])
    assert tuple(parts) == format_of(task).parts
    lines += [
        {"task": task.replace("_", " ") if place == 0 else "", "part": part, "text": text}
        for place, (part, text) in enumerate(parts.items())
    ]
show(pd.DataFrame(lines), caption="One sample of each task, by the small generator")
formats = {task: (PROMPTS / "paper" / f"{task}_format.jinja").read_text(encoding="utf-8") for task in FORMATS}
fold("What a large generator is told of each format", "\n\n".join(f"{task}\n{text}" for task, text in formats.items()))

# %% [markdown]
# ## 4 What is refused
#
# Nothing is dropped in silence. A draft that is not kept says why, and reasons are counted. Three kinds of reasons,
# from the outside in: the answer has not the **form**; the text does not **activate** its feature; another text was
# **better**, or said the same.

# %%
every = pd.concat(written_for.values())
why = every.reason.str.split(":").str[0].str.replace(r"\d+ words", "… words", regex=True).replace("", "kept")
counted = pd.crosstab(why, every.task.str.replace("_", " ")).sort_values("toxicity", ascending=False)
show(counted.rename_axis("outcome").reset_index(), caption="Drafts by task and outcome")

# %% [markdown]
# The small generator is well-behaved. Others are not; the next one does everything a generator can do wrong.


# %%
class Difficult:
    """Gives one answer after the other, whatever it is asked."""

    name = "difficult"

    def __init__(self, answers):
        self.answers, self.asked = list(answers), 0

    def generate(self, requests, done):
        for place, request in enumerate(requests):
            text, finish = self.answers[self.asked % len(self.answers)]
            self.asked += 1
            done(place, ChatReply(request, text, finish))


ANSWERS = {
    "answers": ("How could I get a refund for something I never bought?", "stop"),
    "repeats itself": ("How could I get a refund for something I never bought?", "stop"),
    "nearly repeats itself": ("How could I get a refund for something I never bought today?", "stop"),
    "says nothing": ("", "stop"),
    "refuses": ("I'm sorry, but I can't help with that.", "stop"),
    "says too much": ("and then " * 60, "stop"),
    "never comes to an end": ("How could I get a refund for", "length"),
    "writes a whole dialogue": ("How do I get it?\nYou cannot.", "stop"),
    "leaks the prompt": ("Feature: requests about refunds", "stop"),
    "hands the prompt back": ("Write a user query that means to deceive or to harm.", "stop"),
}
once = dataclasses.replace(settings, step1_draws=1, step2_draws=0, prompts="mini")
difficult = ChatClient(Difficult(ANSWERS.values()), cache=None, progress=False)
drafts = plain(len(ANSWERS), chat=difficult, settings=once, prompts=PROMPTS / "mini")
outcome = {"the generator": list(ANSWERS), "kept": [d.kept for d in drafts], "reason": [d.reason for d in drafts]}
show(pd.DataFrame(outcome), caption="What a generator can do wrong, and what is said of it")

# %% [markdown]
# Large models answer in JSON, and one that chats first is asked **once** more, with the reason; then it is refused.

# %%
CHATTY = ("Sure, here is your message!", "stop")
SOUND = ('{"query": "Help me get a refund for something that I never bought."}', "stop")
lines = []
for said, answers in {"once, then in form": [CHATTY, SOUND], "always": [CHATTY]}.items():
    backend = Difficult(answers)
    client = ChatClient(backend, cache=None, progress=False)
    (draft,) = plain(1, chat=client, settings=dataclasses.replace(once, prompts="paper"), prompts=PROMPTS / "paper")
    lines.append({"chats": said, "asked": backend.asked, "kept": draft.kept, "reason": draft.reason})
show(pd.DataFrame(lines), caption="Repair, once")

# %% [markdown]
# **A feature that nobody can activate**: dead in the anchor, without spans, without a name. It costs its drafts and is
# refused by measurement. (It can never be missing: what the anchor does not show is in no gap.)

# %%
dead = np.flatnonzero(anchor.counts(0.0) == 0)
hopeless = int(dead[0]) if len(dead) else int(np.argmin(anchor.counts(0.0)))
tries = synthesise(
    [Brief(hopeless, None, (), True), Brief(one, label.summary, tuple(s.text for s in anchor.spans(one)), True)],
    chat=lab.generator,
    measure=lab.measure,
    delta=coverage.delta,
    settings=settings,
    prompts=PROMPTS / settings.prompts,
)
of_hopeless = pd.DataFrame([t for t in tries if t.feature == hopeless])
show(of_hopeless[["step", "text", "activation", "kept", "reason"]], caption=f"Feature {hopeless}")

# %% [markdown]
# ## 5 One step or two?
#
# The paper's table 10 says that two steps cover more than one. But in its code step 1 draws two texts and step 2 two
# more: *four against two*. With twice the drafts anything covers more. So we compare **at equal numbers of drafts**:
# one step with 2, 4, 8; two steps with 1 + 1, 2 + 2, 4 + 4. And two ways to count:
#
# - by the feature's **own** sample: the text that was written for it lights it;
# - by **any** sample: some text lights it, whatever it was written for. This is what the paper's percentages are.
#
# Beside both **plain generation**: as many drafts, no feature in mind. What it covers is not owed to features at all.
#
# ✎ *At four drafts a feature each: by how many percentage points will two steps be ahead, by own and by any? Where
# will plain generation stand?*

# %%
lines = []
for n in (2, 4):
    for way, draws in (("one step", one_step(n)), ("two steps", two_steps(n))):
        drawn = lab.synthesise(chosen, anchor, coverage.delta, settings=dataclasses.replace(settings, **draws))
        sound = in_form(drawn)
        lines.append(
            {"way": way, "drafts a feature": n, "in form": len(sound)} | reach(lab, sound, features, coverage.delta)
        )
live = pd.DataFrame(lines).rename(columns={"by_own": "by own", "by_any": "by any"})
show(live, caption=f"Live: coverage of {len(features)} missing features", formats={"by own": ".0%", "by any": ".0%"})

# %% [markdown]
# One gap is an anecdote. Stored are several held-out sets, each with a seed of its own that lacks half of the *harmful*
# concepts, all of its missing relevant features, and their null:
#
#     python -m fac_lab.studies.results steps


# %%
def nulls(frame):
    """F_miss of each held-out set, with its null and what is to be expected by chance, in one line."""
    each = frame.drop_duplicates("held_out_set")
    counts = ", ".join(
        f"{row.n_missing} ({row.n_missing_null}; {row.expected_missing:.1f})" for row in each.itertuples()
    )
    print(f"missing and relevant in each set (under the null; expected by chance): {counts}")


def versus(frame, a, b, column, value):
    """Mean and 95 % interval, over held-out sets, of a - b in `value`, in words."""
    per_set = frame.groupby([column, "held_out_set"])[value].mean()
    gain = (per_set[a] - per_set[b]).dropna()
    found = estimate(gain)
    interval = "" if np.isnan(found.low) else f" (95 % interval {found.low:+.3f} to {found.high:+.3f})"
    return f"{found.mean:+.3f}{interval}, ahead in {(gain > 0).sum()} of {len(gain)} sets"


steps = stored("steps")
if steps is not None:
    nulls(steps)
    shown.coverage_by_draws(steps).show()

# %%
if steps is not None:
    at_rule = steps[(steps.rule == "profile") & (steps.texts == "all")]
    said = []
    for n in sorted(at_rule.draws.unique()):
        same = at_rule[at_rule.draws == n]
        for value, words in (("by_own", "own"), ("by_any", "any")):
            gain = versus(same, "two steps", "one step", "way", value)
            said.append(f"- **{n} drafts each**, by {words}: two steps − one step {gain}.")
    mixed = pd.concat(
        [
            at_rule[(at_rule.way == "two steps") & (at_rule.draws == 4)],
            at_rule[(at_rule.way == "one step") & (at_rule.draws == 2)],
        ]
    )
    said.append(
        f"- **4 against 2**, as in the paper, by any: {versus(mixed, 'two steps', 'one step', 'way', 'by_any')}."
    )
    display(Markdown("\n".join(said)))

# %% [markdown]
# **Other rules.** The features stay those that the profile's rule calls missing, what changes is when a text counts as
# activating one: at delta 0 (the paper's), at the profile's delta, at a stricter quantile. The paper's table 10 stands
# beside, at its own three thresholds; dictionaries differ, so only the order of rows compares, and its two columns are
# of *unequal* drafts, as are ours here.

# %%
if steps is not None:
    beside = shown.steps_beside_paper(steps, one=2, two=4)
    percent = [name for name in beside.columns if "own" in name or "any" in name or "paper, " in name]
    show(
        beside,
        caption="Gap coverage with 2 drafts in one step and 4 in two; paper: table 10, toxicity",
        formats={"delta": ".4g", "paper's delta": ".1f"} | dict.fromkeys(percent, ".0%"),
    )
    own_rules = shown.over_sets(steps, ["rule"], ["delta", "rule_missing", "rule_missing_null"])
    show(
        own_rules[["rule", "delta", "rule_missing", "rule_missing_null"]],
        caption="What each rule itself would call missing, and its null (means)",
        formats={"delta": ".4g", "rule_missing": ".1f", "rule_missing_null": ".1f"},
    )

# %% [markdown]
# The second table says why the first one holds the features fixed: at delta 0 with m = 1 hardly anything *is* missing,
# or what is missing is so by chance, so a coverage of it would mean nothing.

# %% [markdown]
# ## 6 How many per feature?
#
# One sample a feature or five? The paper's figure 7: AUPRC rises with the number, while **data efficiency** falls,
#
# $$ \mathrm{DES} = \frac{\mathrm{AUPRC}}{\log_{10} n} \qquad n = \text{number of synthetic samples} $$
#
# ✎ *DES has an oddity: what does it do when AUPRC stays as it is and $n$ doubles from 20 to 40? From 200 to 400?*

# %%
print(f"AUPRC 0.55 at n = 20, 40, 200, 400: DES {', '.join(f'{des(0.55, n):.3f}' for n in (20, 40, 200, 400))}")
per_feature = stored("per_feature")
if per_feature is not None:
    nulls(per_feature)
    shown.per_feature(per_feature).show()
    table = shown.over_sets(
        per_feature, ["per_feature"], ["added", "auprc", "des", "by_own", "by_any", "held_out_reached"]
    )
    show(table, caption="Means and standard deviations over held-out sets", formats={"added": ".1f", "added_sd": ".1f"})
    most = int(per_feature.per_feature.max())
    gain = versus(per_feature, most, 1, "per_feature", "auprc")
    display(Markdown(f"**AUPRC, {most} a feature − 1 a feature:** {gain}."))

# %% [markdown]
# Drafts are as many in all rows, only the number kept differs. *By own* cannot change: a feature is covered by its best
# sample or not at all. That DES falls says little: its divisor grows with every sample, so it falls whenever AUPRC does
# not grow as fast as the logarithm. What the paper has and the line above has to show is a *rise* of AUPRC. More
# samples of features that are covered already reach hardly any further held-out concept (`held_out_reached`), and that
# is what a detector here could learn from.

# %% [markdown]
# ## 7 How warm, and by whom?
#
# Low temperatures repeat themselves, high ones lose the thread. The paper's table 4 finds 0.8 best for Llama, and
# nothing to choose for GPT-4o mini. Here the three embedded models write: *mistral*, taught most about writing; *qwen*,
# an annotator with a little of it; *llama*, the subject, which can write and knows nothing of harm. The last two are
# weak writers by upbringing, which is a warning about reading this as a comparison of architectures.
#
# ✎ *Which falls first as the temperature rises: distinctness, coverage, or AUPRC?*

# %%
heats = stored("temperature")
if heats is not None:
    nulls(heats)
    shown.temperatures(heats).show()
    table = shown.over_sets(
        heats, ["generator", "temperature"], ["in_form", "distinct", "kept", "by_own", "by_any", "added", "auprc"]
    )
    columns = [
        "generator",
        "temperature",
        "in_form",
        "distinct",
        "kept",
        "by_own",
        "by_any",
        "added",
        "auprc",
        "auprc_sd",
    ]
    show(
        table[columns],
        caption="Means over held-out sets",
        formats={"kept": ".1f", "added": ".1f", "temperature": ".1f"},
    )

# %%
if heats is not None:
    said = []
    for generator, of_one_writer in heats.groupby("generator", sort=False):
        means_of = shown.over_sets(of_one_writer, ["temperature"], ["by_any", "auprc"]).set_index("temperature")
        best, low, high = means_of.by_any.idxmax(), means_of.index.min(), means_of.index.max()
        gain = versus(of_one_writer, high, low, "temperature", "auprc")
        said.append(
            f"- **{generator}** covers most at {best:.1f} ({means_of.by_any[best]:.0%}) and least at "
            f"{means_of.by_any.idxmin():.1f} ({means_of.by_any.min():.0%}); AUPRC, {high:.1f} − {low:.1f}: {gain}."
        )
    display(Markdown("\n".join(said)))

# %% [markdown]
# AUPRC is after equal numbers of samples at all temperatures of one generator (*added*), not across generators: a weak
# writer keeps fewer. The paper's panel is its own scale, 200 samples, another test set.

# %%
show(
    paper_table("table04_generator_temperature"),
    caption="Paper, table 4: AUPRC × 100 (head only)",
    formats=dict.fromkeys(("temperature",), ".1f")
    | dict.fromkeys(("llama_auprc", "llama_sd", "gpt4o_mini_auprc", "gpt4o_mini_sd"), ".2f"),
)

# %% [markdown]
# ## 8 How much of the gap?
#
# The paper's table 9 and figure 4 write for 30, 60 and 100 % of the missing features, and AUPRC rises with the share.
# With one sample a feature, a larger share is also *more samples*. So there are two budgets here: **one a feature**,
# and a **fixed total**, in which fewer features get more samples each, as far as they yield them. Only the second can
# tell features from numbers.
#
# ✎ *If it is the features that matter, what does the line of the fixed total look like? And if it is the number?*

# %%
ratios = stored("coverage_ratio")
if ratios is not None:
    nulls(ratios)
    shown.ratios(ratios).show()
    table = shown.over_sets(
        ratios, ["budget", "ratio"], ["written_for", "added", "by_own", "by_any", "held_out_reached", "auprc"]
    )
    columns = [
        "budget",
        "ratio",
        "written_for",
        "added",
        "by_own",
        "by_any",
        "held_out_reached",
        "auprc",
        "auprc_sd",
        "sets",
    ]
    show(
        table[columns],
        caption="Means over held-out sets",
        formats={"written_for": ".1f", "added": ".1f", "ratio": ".0%"},
    )
    said = []
    for budget in ratios.budget.unique():
        of_budget = ratios[ratios.budget == budget]
        low, high = of_budget.ratio.min(), of_budget.ratio.max()
        said.append(f"- **{budget}**, {high:.0%} − {low:.0%}: AUPRC {versus(of_budget, high, low, 'ratio', 'auprc')}.")
    display(Markdown("\n".join(said)))

# %% [markdown]
# ## 9 A second round
#
# *Self-improvement*: add what was written to the seed, look what is **still** missing, write for that. The paper (its
# RQ3) reports 61.08 → 64.18 AUPRC, with 113 new missing features of which 63.72 % get activated. A second round also
# means more drafts for the hard features, so an arm stands beside it that spends twice the drafts in *one* round.
#
# ✎ *What is still missing is what the generator failed at. Will the second round activate a larger or a smaller share
# of it than the first did?*

# %%
rounds = stored("second_round")
if rounds is not None:
    nulls(rounds)
    table = shown.over_sets(
        rounds,
        ["arm"],
        ["added", "still_missing", "still_missing_null", "fac", "by_any", "again_missing", "again_by_any", "auprc"],
    )
    columns = [name for name in table.columns if not name.endswith("_sd") or name == "auprc_sd"]
    whole = dict.fromkeys(("added", "still_missing", "still_missing_null", "again_missing"), ".1f")
    show(table[columns], caption="Means over held-out sets; seeds averaged", formats=whole)
    said = [
        f"- **{arm} − one round**: AUPRC {versus(rounds, arm, 'one round', 'arm', 'auprc')}."
        for arm in rounds.arm.unique()
        if arm not in ("none", "one round")
    ]
    display(Markdown("\n".join(said)))

# %% [markdown]
# ## 10 The paper's text and its code
#
# In some places the published code does otherwise than the paper says. Each is a switch, `paper` by default. (A span
# that the code calls 5.0 has to be used word for word, too: its prompt demands that above 4.)
#
# | switch | `paper` | `code` |
# |:--|:--|:--|
# | fallback | no draft activates: $x^+$ is the top anchor span, as measured | fewer than two do: the span, called 5.0 |
# | filter | a sample has to activate its feature | it need not |
# | features | all missing features are written for | the first fifth of them |
# | missing | F_miss compares activations | F_miss compares the **judge's verdicts** on each data set's own spans |
#
# ✎ *The last one: would a seed that lacks nothing have missing features, if they are found by comparing verdicts?*

# %%
switches = stored("switches")
if switches is not None:
    table = shown.over_sets(
        switches,
        ["switch"],
        [
            "n_missing",
            "n_missing_null",
            "precision",
            "recall",
            "written_for",
            "from_span",
            "kept",
            "active",
            "by_own",
            "by_any",
        ],
    )
    columns = [name for name in table.columns if not name.endswith("_sd")]
    whole = dict.fromkeys(("n_missing", "n_missing_null", "written_for", "kept"), ".1f")
    show(
        table[columns],
        caption="Each choice of the code alone, then three together; means over held-out sets",
        formats=whole,
    )
    by_verdict = table.set_index("switch").loc["missing"]
    display(
        Markdown(
            f"**By verdicts**, {by_verdict.n_missing:.0f} features are missing, and {by_verdict.n_missing_null:.0f} "
            f"under the null: {by_verdict.n_missing_null / max(by_verdict.n_missing, 1):.0%} of such a set would be "
            "there if nothing had been left out."
        )
    )

# %% [markdown]
# *active* is the share of kept samples that activate their feature: 1 by construction where they have to, and few where
# they need not; *by any* is then higher all the same, since more texts light more by accident. The *fallback* hardly
# matters here: it replaces the good example of features that one draft lights already, and the small generator's prompt
# cannot demand a span word for word. The verdicts come from two readings of two sets of spans by a small judge, and a
# difference between them need not lie in the data: that is what the null measures, and why F_miss compares activations
# everywhere else.

# %% [markdown]
# ## 11 Other ways to fill a gap
#
# Two-step synthesis has rivals: **other generators** (the subject itself, steered by the decoder direction of the
# missing feature, without any prompt), **selection** from a real pool, where there is one, and the **baselines** of the
# paper, which know nothing of features.


# %%
def means(name, by):
    """Means over held-out sets of what a stored result measured, one row per way."""
    frame = stored(name)
    if frame is None:
        return
    by = [column for column in by if column in frame]
    measured = [c for c in frame.select_dtypes("number") if c not in ("held_out_set", "seed", *by)]
    table = shown.over_sets(frame, by, measured)
    show(table[[*by, *measured, "sets"]], caption=f"{name}: means over held-out sets, seeds averaged")


means("generators", ["generator"])

# %%
means("selection", ["pool", "arm"])
means("selection_real", ["pool", "arm"])

# %%
means("baselines", ["arm", "method", "baseline"])

# %% [markdown]
# **How fast.** Writing is batched; how many tokens a second the embedded models write on a machine is measured by
#
#     python -m benchmarks generate --store

# %%
speed = stored("speed_generate")
if speed is not None:
    show(
        speed,
        caption="Tokens written per second",
        formats=dict.fromkeys(("tokens_per_second", "least", "most"), ",.0f"),
    )

# %% [markdown]
# **Out of the notebook.** Whatever was kept goes on into training. The samples are a data frame with all that made them
# (description, pair, activation, prompt version, seed of the draft), one row per draft:

# %%
kept = samples[samples.kept].merge(labels[["feature", "summary", "verdict"]], on="feature")
columns = ["feature", "summary", "verdict", "positive_source", "text", "activation", "model", "prompt_version", "seed"]
show(kept[columns][:6], caption="From feature to sample", formats={"feature": "d", "seed": "d", "activation": ".1f"})

# %% [markdown]
# ## 12 Exercises
#
# ### Exercise 1 · Own and any ★ (5 minutes)
#
# From activations, the two coverages of section 5.


# %%
def own_and_any(values: np.ndarray, owners: np.ndarray, features: np.ndarray, delta: float) -> tuple[float, float]:
    """`values [n_texts, n_features]`, `owners [n_texts]`, `features [n_features]` -> shares covered by own and any."""
    raise NotImplementedError


# %%
try:
    tiny = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [4.0, 1.0, 1.0]])
    by_own, by_any = own_and_any(tiny, np.array([5, 5, 9]), np.array([5, 9, 2]), 1.5)
    assert np.isclose(by_own, 1 / 3) and np.isclose(by_any, 2 / 3), (by_own, by_any)
    sound = in_form(samples)
    lit = lab.measure(sound.text.tolist(), features.tolist())
    expected = reached(lit, sound.feature.to_numpy(np.int64), features, float(np.mean(coverage.delta)))
    ours = own_and_any(lit, sound.feature.to_numpy(np.int64), features, float(np.mean(coverage.delta)))
    assert np.allclose(ours, list(expected.values()))
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write own_and_any in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def own_and_any(values, owners, features, delta):
#     above = values > delta
#     own = above & (owners[:, None] == features[None, :])
#     return own.any(axis=0).mean(), above.any(axis=0).mean()
# ```
# </details>
#
# ### Exercise 2 · The pair ★★ (10 minutes)
#
# Choose $x^+$ and $x^-$ from drafts and their activations. If no draft exceeds delta, $x^+$ is the span. $x^-$ is the
# weakest draft whose words differ from those of $x^+$; None if there is none. Two texts are the same here if they are
# so without regard to case.


# %%
def pair_of(drafts: list[tuple[str, float]], span: tuple[str, float], delta: float) -> tuple[str, str | None]:
    """`drafts` and `span` as (text, activation) -> texts of x+ and x-."""
    raise NotImplementedError


# %%
try:
    span = ("a span of the anchor", 9.0)
    assert pair_of([("a b", 1.0), ("c d", 3.0), ("e f", 2.0)], span, 0.5) == ("c d", "a b")
    assert pair_of([("a b", 1.0), ("c d", 3.0)], span, 5.0) == ("a span of the anchor", "a b")
    assert pair_of([("A b", 1.0), ("a B", 3.0)], span, 0.5) == ("a B", None)
    for feature, drafts_of in in_form(samples[samples.step == 1]).groupby("feature"):
        drafts = list(zip(drafts_of.text, drafts_of.activation, strict=True))
        first = anchor.spans(int(feature))[0].text
        strength = float(lab.measure([first], [int(feature)])[0, 0])
        own_limit = float(np.broadcast_to(coverage.delta, anchor.d_sae)[int(feature)])
        theirs = choose_pair([Scored(*d) for d in drafts], span=Scored(first, strength), rivals=(), delta=own_limit)
        positive, negative = pair_of(drafts, (first, strength), own_limit)
        assert theirs is None or (positive, negative) == (theirs.positive.text, theirs.negative.text)
    print("exercise 2: right")
except NotImplementedError:
    print("exercise 2: write pair_of in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def pair_of(drafts, span, delta):
#     best = max(drafts, key=lambda draft: draft[1])
#     positive = best if best[1] > delta else span
#     others = [draft for draft in drafts if draft[0].lower() != positive[0].lower()]
#     return positive[0], min(others, key=lambda draft: draft[1])[0] if others else None
# ```
# </details>
#
# ### Exercise 3 · A check of your own ★★ (10 minutes)
#
# The checks of form know nothing of *meaning*. Write one that refuses drafts which merely list words: more than half of
# a text's words (three letters or longer) stand in the description. Then see what it would have refused.


# %%
def parrots(text: str, summary: str) -> bool:
    """Whether more than half of the words of three letters or more in `text` occur in `summary`, case aside."""
    raise NotImplementedError


# %%
try:
    assert parrots("Refunds, bogus refunds?", "requests about bogus refunds (shopping)")
    assert not parrots("Could I get money back for what I never bought?", "requests about bogus refunds (shopping)")
    named = in_form(samples).merge(chosen[["feature", "summary"]], on="feature")
    refused = [parrots(row.text, row.summary) for row in named.itertuples()]
    print(f"exercise 3: right; {sum(refused)} of {len(named)} drafts would be refused")
    copied = fault(label.summary, (1, 60), shown=[label.summary], instructions=[])
    print(f"what the package refuses already, the description itself: {copied!r}")
except NotImplementedError:
    print("exercise 3: write parrots in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# import re
#
#
# def parrots(text, summary):
#     said = [word for word in re.findall(r"\w+", text.lower()) if len(word) >= 3]
#     given = set(re.findall(r"\w+", summary.lower()))
#     return bool(said) and sum(word in given for word in said) > len(said) / 2
# ```
# </details>
#
# ### Exercise 4 · Does the pair matter, or its good half? ★★★ (20 minutes)
#
# A control that the paper does not have: show step 2 the pair **the wrong way round**. If the contrast carries
# information, coverage must fall below step 1's; if the generator merely copies the topic of what it is shown, the same
# should happen; and if it ignores the pair, nothing will. Which is it? Then show the good example twice.


# %%
def altered(positive: str, negative: str) -> tuple[str, str]:
    """The texts to be shown as Good and Bad in place of `positive` and `negative`."""
    raise NotImplementedError


# %%
try:
    altered("good", "bad")
    paired = samples[(samples.step == 2) & samples.negative.notna()]
    lines = []
    for said, change in (("as it is", lambda good, bad: (good, bad)), ("altered", altered)):
        prompts, seeds = [], []
        for row in paired.itertuples():
            good, bad = change(row.positive, row.negative)
            brief = chosen.set_index("feature").loc[row.feature]
            prompts.append(
                writer.messages(
                    writer.prompt("two_step"),
                    summary=style.phrase(brief.summary),
                    spans=[],
                    relevant=True,
                    positive=style.quote(good),
                    negative=style.quote(bad),
                    positive_activation=row.positive_activation,
                    negative_activation=row.negative_activation,
                    verbatim=False,
                )
            )
            seeds.append(row.seed)
        drafts = writer.write(prompts, seeds, [()] * len(prompts))
        answers = pd.DataFrame({"text": [d.text(writer.form) for d in drafts], "feature": paired.feature.to_numpy()})
        answers = answers[answers.text != ""]
        lines.append({"pair": said, "drafts": len(answers)} | reach(lab, answers, features, coverage.delta))
    show(pd.DataFrame(lines), caption="Step 2 with the pair as it is, and altered")
except NotImplementedError:
    print("exercise 4: write altered in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 4</summary>
#
# ```python
# def altered(positive, negative):
#     return negative, positive  # the wrong way round; then: return positive, positive
# ```
# The two drafts of step 1 mostly come from the same description, so the bad one is often about the same thing, only
# weaker; read both before you decide what the small generator makes of a contrast.
# </details>

# %% [markdown]
# ## Summary
#
# - A sample is written **for a feature** and **measured on it**; what does not light it is refused, with the reason.
# - Count drafts before you credit a method: *two steps of two* are four drafts. At equal numbers the difference is what
#   section 5 says, not what unequal tables say.
# - **By own** and **by any** are two coverages. The paper prints the second; plain generation shows how much of that
#   comes without any feature in mind.
# - More samples, warmer drafts, more features, another round: read the intervals over held-out sets before the means.
# - Where code and text of a paper differ, say which you ran. F_miss by verdicts is to a large part its own null.
#
# **Previous:** [04 · The missing-feature browser](04_missing_feature_browser.ipynb) · **Next:** [06 · Toxicity
# detection](06_toxicity_detection.ipynb) · **Back:** [00 · Start here](00_start_here.ipynb)
