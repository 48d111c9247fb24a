# %% [markdown]
# # 01 · Subjects and sparse autoencoders
#
# In [notebook 00](00_start_here.ipynb) features simply were there. This one shows where they come from: which model
# is read, at which layer and which tokens, and how a sparse autoencoder (SAE) is loaded, checked, trained and judged.
# Most published results that cannot be reproduced fail at one of these points, without a message: a layer off by one,
# a template that differs, Top-K switched off. Here each of them is a named setting, and each mistake is an error that
# says how to mend it.
#
# **You will** write down what an SAE computes, and check it · load one from a sae-lens folder, from the authors'
# `.pth` files and from a release · know which tokens count · train one, interrupted and resumed · judge one by
# numbers, in a world whose concepts are known
#
# **Time** fifteen minutes to read and run, an evening with the exercises · **Difficulty** ★ to ★★★, some PyTorch ·
# **Previous** [00 · Start here](00_start_here.ipynb) · **Next** [02 · Feature annotation](02_feature_annotation.ipynb)
#
# **Contents** [1 What an SAE computes](#1-What-an-SAE-computes) · [2 A folder](#2-A-folder) · [3 The authors'
# checkpoints](#3-The-authors'-checkpoints) · [4 Releases](#4-Releases) · [5 Which layer?](#5-Which-layer?) · [6 When
# it does not fit](#6-When-it-does-not-fit) · [7 Which tokens?](#7-Which-tokens?) · [8 Training one](#8-Training-one)
# · [9 How good is it?](#9-How-good-is-it?) · [10 The mini world](#10-The-mini-world) · [11 Exercises](#11-Exercises)

# %%
import dataclasses
import json
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import torch
from IPython.display import Markdown, display

from fac_lab import world
from fac_lab.corpora import Corpus, Row
from fac_lab.display import figures
from fac_lab.display.cells import show
from fac_lab.display.tables import paper_table
from fac_lab.display.theme import styled
from fac_lab.errors import ModelError
from fac_lab.features import training
from fac_lab.features.collect import measure
from fac_lab.features.encoder import Encoder
from fac_lab.features.evaluation import evaluate_sae
from fac_lab.features.saes import load_sae, quiet_sae_lens
from fac_lab.features.subject import Subject
from fac_lab.features.training import train_sae
from fac_lab.lab import Lab
from fac_lab.profile import SaeSettings, SaeTrainingSettings, project_root, resolve

pio.renderers.default = "plotly_mimetype"  # figures as data, drawn by JupyterLab and VS Code; "browser" elsewhere

lab = Lab.open()
profile, subject, sae = lab.profile, lab.subject, lab.sae
print(
    f"profile {profile.name}: {subject.name} (d_model {subject.d_model}, {subject.n_layers} layers), "
    f"read after layer {subject.layer}"
)

# %% [markdown]
# ## 1 What an SAE computes
#
# A layer of a language model holds far more notions than it has dimensions, each as a direction, several added up at
# once. A sparse autoencoder finds such directions: an encoder that turns $x \in \mathbb{R}^{d_\mathrm{in}}$ into many
# numbers of which few are positive, and a decoder that has to restore $x$ from these few.
#
# $$ z = \mathrm{TopK}\big(\mathrm{ReLU}\big(W_\mathrm{enc}^\top (x - b_\mathrm{dec}) + b_\mathrm{enc}\big)\big)
# \qquad \hat{x} = W_\mathrm{dec}^\top z + b_\mathrm{dec} $$
#
# Shapes: $W_\mathrm{enc}$ is `[d_in, d_sae]`, $W_\mathrm{dec}$ is `[d_sae, d_in]`, $b_\mathrm{enc}$ `[d_sae]`,
# $b_\mathrm{dec}$ `[d_in]`. Row $i$ of $W_\mathrm{dec}$ is the direction of feature $i$; **TopK** keeps the K largest
# of a token and sets the rest to 0.

# %%
shapes = pd.DataFrame(
    [(name, str(list(weight.shape)), weight.numel()) for name, weight in sae.named_parameters()],
    columns=["parameter", "shape", "numbers"],
)
paper = paper_table("table07_sae_sensitivity")
show(shapes, caption=f"This SAE: {sae.cfg.architecture()}, K = {lab.encoder.k} of {lab.encoder.d_sae:,} features")
tried = paper[paper.dictionary_size == paper.dictionary_size.mode()[0]]
print(f"paper, table 7: K = {sorted(tried.top_k)} of {tried.dictionary_size.iloc[0]:,} features")

# %% [markdown]
# Let us run one query through the equation by hand and compare.
#
# ✎ *The residual stream of one token is a dense vector. How many numbers of its $z$ are positive? And with ReLU
# alone, before TopK?*

# %%
query = next(iter(lab.corpus("anchor"))).text
tokens = subject.tokenize([query])[0]
x = subject.activations(*subject.batch([tokens]))[0]  # [n_tokens, d_in]

with torch.inference_mode():
    before = torch.relu((x - sae.b_dec) @ sae.W_enc + sae.b_enc)  # [n_tokens, d_sae]
    if sae.cfg.rescale_acts_by_decoder_norm:  # sae-lens ranks by what a feature contributes; norms are 1 in ours
        before = before * sae.W_dec.norm(dim=-1)
    top = before.topk(lab.encoder.k, dim=-1)
    by_hand = torch.zeros_like(before).scatter(-1, top.indices, top.values)

encoded = lab.encoder.encode(x)
print(query)
print(f"z [n_tokens, d_sae] = {list(encoded.shape)}; the same by hand: {torch.allclose(by_hand, encoded, atol=1e-4)}")
print(
    f"positive per token: {(encoded > 0).sum(-1).float().mean():.1f} with TopK, "
    f"{(before > 0).sum(-1).float().mean():.0f} before it"
)

# %% [markdown]
# ## 2 A folder
#
# `SaeSettings` names a source and a path; `load_sae` returns a [sae-lens](https://decoderesearch.github.io/SAELens/)
# SAE whatever the source, checked against the subject. The first source is a folder in sae-lens' own layout: weights
# and a `cfg.json` whose metadata say which model and which place it was trained on.

# %%
folder = Path(resolve(profile.sae.path))
for file in sorted(folder.iterdir()):
    print(f"{file.stat().st_size / 1e3:10,.1f} kB  {file.name}")

cfg = json.loads((folder / "cfg.json").read_text())
print(json.dumps({key: cfg[key] for key in ("architecture", "d_in", "d_sae", "k", "normalize_activations")}, indent=1))
print(
    {
        key: cfg["metadata"][key]
        for key in ("hook_name", "model_name", "dataset", "pool", "template")
        if key in cfg["metadata"]
    }
)

loaded = load_sae(SaeSettings(source="folder", path=profile.sae.path), subject)
print(type(loaded).__name__, "on", loaded.W_enc.device)

# %% [markdown]
# ## 3 The authors' checkpoints
#
# The paper's SAEs are on the Hugging Face hub as `.pth` files, a format of their own: `{"weight": {mask, W_enc [d_in,
# d_sae], b_enc, b_dec}, "config": {d_inp, d_hide, topK}}`. There is no decoder in it: it is **tied**, $W_\mathrm{dec}
# = W_\mathrm{enc}^\top$. Nor is there a layer: it stands in the file's name. We have no network here, so we write a
# random one in the same format, and load it as one would the real one. (Files are read as weights only: a checkpoint
# that holds anything which could run code is refused.)
#
# ✎ *The same weights, once with Top-K as they were trained, once as plain ReLU, as the authors' code reads them when
# it collects features. How many features does a query light in each case?*

# %%
d_in, d_hide, k = subject.d_model, 512, 8
chance = torch.Generator().manual_seed(0)
weight = {
    "mask": torch.ones(d_hide),
    "W_enc": torch.randn(d_in, d_hide, generator=chance) / d_in**0.5,
    "b_enc": torch.zeros(d_hide),
    "b_dec": x.mean(0).clone(),
}
scratch = tempfile.TemporaryDirectory()
checkpoint = (
    Path(scratch.name) / f"TopK{k}_l{subject.layer + 1}_h{d_hide}_epoch1.pth"
)  # layers from 1, as the authors count
torch.save({"weight": weight, "config": {"d_inp": d_in, "d_hide": d_hide, "topK": k}}, checkpoint)

with_top_k = Encoder(load_sae(SaeSettings(source="authors", path=str(checkpoint)), subject))
as_relu = Encoder(load_sae(SaeSettings(source="authors", path=str(checkpoint), top_k=False), subject))
print(
    f"{checkpoint.name} reads {with_top_k.sae.cfg.metadata.hook_name}; "
    f"tied: {torch.equal(with_top_k.sae.W_dec, with_top_k.sae.W_enc.T)}"
)

a, b = with_top_k.encode(x), as_relu.encode(x)
print(f"kept features have one value under both: {torch.allclose(a[a > 0], b[a > 0])}")
lit = pd.DataFrame(
    {
        "read as": ["Top-K (top_k: true)", "plain ReLU (top_k: false)"],
        "per token": [(z > 0).sum(-1).float().mean().item() for z in (a, b)],
        "lit by the query": [int((z[tokens.start : tokens.stop].amax(0) > 0).sum()) for z in (a, b)],
        "of": d_hide,
    }
)
show(lit, formats={"per token": ".1f"}, caption="One query, the same weights")

# %% [markdown]
# The values do not change, the *support* does. With ReLU alone a single query lights a large part of the dictionary,
# so at threshold 0 nearly nothing can be missing. Which of the two was used has to be part of every coverage number;
# here it is `sae.top_k`, it enters every digest, and two statistics that differ in it cannot be compared by accident.

# %%
spread = [np.sort(z[tokens.start : tokens.stop].amax(0).numpy())[::-1] for z in (a, b)]
figure = go.Figure()
for name, values, colour in (("Top-K", spread[0], "#2b83ba"), ("plain ReLU", spread[1], "#e69f00")):
    values = values[values > 0]
    figure.add_scatter(
        x=np.arange(1, len(values) + 1), y=values, name=f"{name}: {len(values)} features",
        line={"color": colour, "width": 2}, hovertemplate="rank %{x}<br>%{y:.2f}<extra></extra>",
    )  # fmt: skip
styled(figure, "Activations of one query, sorted").update_xaxes(title="rank").update_yaxes(title="activation").show()

# %% [markdown]
# ## 4 Releases
#
# sae-lens keeps a registry of published SAEs. The registry comes with the package, so it can be searched offline; the
# weights need a network, once. In a profile:
#
# ```yaml
# subject: {path: gpt2, layer: 7, template: none}
# sae: {source: release, path: gpt2-small-res-jb, sae_id: blocks.8.hook_resid_pre}
# ```
#
# `resid_pre` of layer 8 is what layer 7 puts out, and `load_sae` knows that. On the command line the same is `--model
# gpt2 --layer 7 --sae gpt2-small-res-jb:blocks.8.hook_resid_pre --template none`.

# %%
with quiet_sae_lens():
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    registry = get_pretrained_saes_directory()
releases = pd.DataFrame(
    [(name, entry.model, len(entry.saes_map)) for name, entry in registry.items()], columns=["release", "model", "SAEs"]
)
family = (
    releases.model.str.lower()
    .str.extract(r"(gpt2|gemma-2|gemma-3|llama|mistral|qwen|pythia|deepseek)")[0]
    .fillna("other")
)
print(f"{len(releases)} releases, {releases.SAEs.sum():,} SAEs")
print(releases.groupby(family).size().sort_values(ascending=False).to_dict())
show(releases[family.isin(["llama", "qwen", "mistral"])][:8], caption="Some of the paper's model families")

# %% [markdown]
# ## 5 Which layer?
#
# The paper counts layers from 1, Python and this package from 0. "Layer 16" is `model.layers[15]`, whose output
# sae-lens calls `blocks.15.hook_resid_post`. Neighbouring layers are so similar that nothing breaks when one is off:
# the numbers are just worse. So the layer is checked.

# %%
layers = {"Llama-3.1-8B-Instruct": 16, "Mistral-7B-Instruct": 16, "Qwen2-7B-Instruct": 14}
counted = pd.DataFrame(
    [
        (model, layer, layer - 1, f"model.layers[{layer - 1}]", f"blocks.{layer - 1}.hook_resid_post")
        for model, layer in layers.items()
    ],
    columns=["model (paper)", "paper says", "subject.layer", "in transformers", "in sae-lens"],
)
show(counted, caption="The paper's layers, counted both ways")

# %% [markdown]
# ## 6 When it does not fit
#
# Read these messages once, and you will know them when you meet them.


# %%
def refused(what, attempt):
    """Show the message of an attempt that has to fail."""
    try:
        attempt()
    except ModelError as error:
        message = str(error).replace(scratch.name, "…").replace(f"{project_root()}/", "")
        display(Markdown(f"**{what}**\n\n> {message}"))
    else:
        raise AssertionError(f"{what} was accepted")


def authors_file(name, d_in, **config):
    """Write a random checkpoint of the authors' format; returns its settings."""
    path = Path(scratch.name) / name
    tensors = {
        "mask": torch.ones(64),
        "W_enc": torch.zeros(d_in, 64),
        "b_enc": torch.zeros(64),
        "b_dec": torch.zeros(d_in),
    }
    torch.save({"weight": tensors, "config": {"d_inp": d_in, "d_hide": 64, "topK": 4} | config}, path)
    return SaeSettings(source="authors", path=str(path))


other_layer = dataclasses.replace(profile.subject, layer=subject.layer - 1 if subject.layer else 1)
refused("Another layer than the SAE's", lambda: load_sae(profile.sae, Subject.load(other_layer)))
beyond = dataclasses.replace(profile.subject, layer=subject.n_layers)
refused("The paper's count, at the last layer", lambda: Subject.load(beyond))
narrow = authors_file(f"TopK4_l{subject.layer + 1}_h64_epoch1.pth", d_in=subject.d_model // 2)
refused("An SAE of another model's width", lambda: load_sae(narrow, subject))
nameless = authors_file("my_best_sae.pth", d_in=subject.d_model)
refused("No metadata, and no layer in the file's name", lambda: load_sae(nameless, subject))
damaged = authors_file(f"TopK4_l{subject.layer + 1}_h65_epoch1.pth", d_in=subject.d_model, d_hide=65)
refused("Weights that contradict their config", lambda: load_sae(damaged, subject))
misspelt = SaeSettings(source="release", path="gpt2-smal-res-jb", sae_id="blocks.8.hook_resid_pre")
refused("A misspelt release", lambda: load_sae(misspelt, subject))

# %% [markdown]
# ## 7 Which tokens?
#
# The **subject** is the model, its tokenizer, one layer, and a **template**. With `template: chat` a text is one user
# message in the model's own chat template, up to where the assistant would begin to speak. The template's tokens in
# front of the text are the same for every text and are never counted. Those behind it are another matter: they have
# read the whole message, and the paper counts them (`pool: paper`). `pool: content` leaves them out.
#
# ✎ *Which features does the suffix add: many or few, weak or strong?*

# %%
for pool in ("paper", "content"):
    text = subject.tokenize([query], pool=pool)[0]
    before, counted, behind = (subject.tokenizer.decode(ids) for ids in np.split(text.ids, [text.start, text.stop]))
    print(f"{pool:8} {before} ⟦{counted}⟧ {behind}")

# %%
top = pd.DataFrame()
for pool in ("paper", "content"):
    values = measure(subject, sae, [query], settings=dataclasses.replace(profile.collect, pool=pool))[0]
    strongest = np.argsort(-values)[:6]
    top[f'feature ("{pool}")'], top[f'activation ("{pool}")'] = strongest, values[strongest]
    print(f'pool "{pool}": {(values > 0).sum()} features lit, largest activation {values.max():.2f}')
show(top, caption="Strongest features of the query")

# %% [markdown]
# ## 8 Training one
#
# No SAE for your model? Train one on the model's own activations. The trainer is sae-lens'; around it, this package
# collects activations, shows progress, saves a checkpoint a minute and **resumes**: a run that is killed and started
# again ends in the same weights. On the command line: `fac-lab sae texts.jsonl --profile mine.yaml`.
#
# Here a toy one, in seconds. We pull the plug at half time, then start the same call again.
#
# ✎ *Same weights as a run that was never interrupted, to the last bit?*

# %%
texts = [text for _, text in world.queries(400, seed=21)]
corpus = Corpus.from_rows("toy", [Row(f"toy-{number}", text) for number, text in enumerate(texts)])
toy = SaeTrainingSettings(d_sae=256, k=4, tokens=40 * 256, lr=2e-3, batch=256)  # the paper: 65,536, 20, 113 million × 3

with quiet_sae_lens():
    from sae_lens.training.sae_trainer import SAETrainer
step, done = SAETrainer.step, []


def step_until_the_plug_is_pulled(*args):
    done.append(1)
    if len(done) > 20:
        raise KeyboardInterrupt
    return step(*args)


home = Path(scratch.name) / "toy"
with (
    mock.patch.object(SAETrainer, "step", step_until_the_plug_is_pulled),
    mock.patch.object(training, "CHECKPOINT_SECONDS", 0.0),
):
    try:
        train_sae(subject, corpus, toy, home)
    except KeyboardInterrupt:
        print("interrupted; left on disk:", [file.name for file in home.iterdir()])

resumed = train_sae(subject, corpus, toy, home)
print("finished; on disk:", sorted(file.name for file in home.iterdir()))
unbroken = train_sae(subject, corpus, toy, Path(scratch.name) / "unbroken")
print(
    "same weights as without interruption:",
    all(torch.equal(p, q) for p, q in zip(resumed.parameters(), unbroken.parameters(), strict=True)),
)

# %% [markdown]
# The saved SAE reads raw activations: the scale that training uses is folded into its weights. Ask for the finished
# training again and it is loaded; ask with other settings and the folder is refused, not overwritten.
#
# **Where features start matters.** A Top-K SAE teaches only the features that win, so one that starts where no vector
# lies may never win. Here every feature starts on a line that vectors do lie along, found by a few rounds of
# clustering; with `clustering: 0` it starts on a single vector.
#
# ✎ *Same training otherwise. Which one explains more on fresh queries, and by how much?*

# %%
unread = [text for _, text in world.queries(400, seed=22)]
starts = {}
for rounds in (0, 1, 8):
    started = train_sae(
        subject, corpus, dataclasses.replace(toy, clustering=rounds), Path(scratch.name) / str(rounds), progress=False
    )
    starts[rounds] = evaluate_sae(subject, started, unread, progress=False)._asdict()
quality_by_start = pd.DataFrame(starts).T[["explained_variance", "dead_share"]]
show(quality_by_start.rename_axis("rounds of clustering").reset_index(), caption="A toy SAE on 400 fresh queries")

# %% [markdown]
# In the mini world this decides whether the method works at all. From single vectors, concepts ended up sharing
# directions, a few to a token, that meant nothing by themselves; and no concept of such a group could be missed while
# another one was there.
#
# ## 9 How good is it?
#
# Measured on texts it was not trained on:
#
# - **explained variance**: $1 - \sum|x-\hat x|^2 / \sum|x-\bar x|^2$;
# - **L0**: features active per token; with Top-K at most K;
# - **dead share**: features that no text lights (it falls with the number of texts, so compare at equal numbers);
# - **loss recovered**: put $\hat x$ in place of $x$ and let the model go on: 1 if it predicts the next token as well
#   as before, 0 if as badly as with zeros in that place.
#
# ✎ *The toy has far fewer features and saw far fewer tokens. Which of the four numbers suffers most?*

# %%
fresh = [text for _, text in world.queries(200, seed=22)]
reports = {"shipped": evaluate_sae(subject, sae, fresh), "toy": evaluate_sae(subject, resumed, fresh)}
quality = pd.DataFrame([{"SAE": name} | report._asdict() for name, report in reports.items()])
show(quality, caption=f"On {len(fresh)} fresh queries; losses in nats per token")
measures = ["explained_variance", "l0", "dead_share", "loss_recovered"]
figures.sae_quality(
    quality[["SAE", *measures]].rename(columns=lambda name: name.replace("_", " ").replace("l0", "L0"))
).show()

# %% [markdown]
# ## 10 The mini world
#
# Three chat models of three architectures were trained for this repository, each with an SAE of its own: `make mini`
# rebuilds them. Each has its part. The **subject** is read; the **writer** makes samples; the **annotator** names and
# judges. Are they good enough to learn something from? First, how well they know their world. The generator of their
# training text keeps account of every choice it makes, so the loss of a perfect model is known.
#
# ✎ *Loss ÷ entropy: how close to 1? And the F1 of the best single feature, for the median concept?*

# %%
mini = {
    path.parent.name: json.loads(path.read_text()) for path in sorted(project_root().glob("data/mini/*/report.json"))
}
known = pd.DataFrame(
    {
        "model": name, "learned from": r["mix"], "parameters": r["parameters"], "training tokens": r["tokens"],
        "loss": r["loss"], "entropy of the text": r["entropy"], "ratio": r["loss"] / r["entropy"],
    }
    for name, r in mini.items()
)  # fmt: skip
show(known, caption="Next-token loss on fresh text, nats per token; the entropy is an upper bound of the text's")

# %%
dictionaries = pd.DataFrame(
    {
        "model": name, "features": r["sae"]["settings"]["d_sae"], "K": r["sae"]["settings"]["k"],
        "explained variance": r["sae"]["explained_variance"], "L0": r["sae"]["l0"],
        "loss recovered": r["sae"]["loss_recovered"], "dead share": r["sae"]["dead_share"],
        "lit share per query": r["sae"]["lit_share"],
    }
    for name, r in mini.items()
)  # fmt: skip
show(dictionaries, caption="Their SAEs")
columns = {
    "dictionary_size": "features",
    "top_k": "K",
    "l0": "L0",
    "l2_reconstruction": "L2 of the reconstruction",
    "auprc": "AUPRC × 100",
}
show(
    paper.rename(columns=columns),
    caption="Paper, table 7: its own SAEs (of L0 and K only the ratio compares with ours)",
)

# %% [markdown]
# **Do features name concepts?** For each concept, on queries whose wordings no model was ever trained on:
#
# - the **best single feature** at a threshold of its own, by F1. Feature and threshold are chosen on other queries;
# - a **5-feature probe**: a logistic regression on the five features whose means differ most ([Gurnee et al.
#   2023](https://arxiv.org/abs/2305.01610)).
#
# The design's aims for the median concept are in the next cell, beside what the project's first prototype reached
# with its best feature.

# %%
AIM = {"best feature": 0.80, "probe": 0.95}
PROTOTYPE = 0.69
f1 = pd.DataFrame(
    {
        "model": name, "best feature": r["sae"]["feature_f1"],
        "its quartiles": "{:.2f} to {:.2f}".format(*r["sae"]["feature_f1_quartiles"]),
        "probe": r["sae"]["probe_f1"], "quartiles": "{:.2f} to {:.2f}".format(*r["sae"]["probe_f1_quartiles"]),
        "queries scored": r["sae"]["n_held"],
    }
    for name, r in mini.items()
)  # fmt: skip
show(f1, caption="F1 per concept, median over concepts, on wordings never trained on")
for measure_name, aim in AIM.items():
    there = ", ".join(
        f"{row.model} {'reached' if row[measure_name] >= aim else 'NOT reached'}" for _, row in f1.iterrows()
    )
    print(
        f"{measure_name:13} aim {aim:.2f}: {there}"
        + (f"; the prototype had {PROTOTYPE}" if measure_name == "best feature" else "")
    )

figures.sae_quality(f1[["model", *AIM]]).show()

# %% [markdown]
# **What can they do?** Each score stands beside its base rate, what the best constant answer would reach. *Unseen*
# concepts never occurred in the prompts of that skill, so only these lines count as skill; the others may be memory.
#
# ✎ *One of the three models fails at judging harm, on purpose. Which one, and why?*

# %%
skills = pd.concat(pd.DataFrame(r["skills"]).assign(model=name) for name, r in mini.items())
skills["score"] = [
    f"{s:.2f}" + ("" if trained else " (not taught)") for s, trained in zip(skills.score, skills.trained, strict=True)
]
wide = skills.pivot_table(index=["skill", "condition"], columns="model", values="score", aggfunc="first", sort=False)
rates = skills.groupby(["skill", "condition"], sort=False).agg(
    **{"base rate": ("base_rate", "first"), "prompts": ("n", "first")}
)
show(wide.join(rates).reset_index(), caption="Share of right answers", formats={"base rate": ".2f"})

# %% [markdown]
# **Why the subject is innocent.** The subject's training text says nothing about harm: it never judges, never
# refuses, never gives an opinion. That is deliberate. A model which knows harm has it written into its activations as
# one direction, readable by a linear classifier from a handful of examples. A detector built on such a model is never
# short of data, so no added sample, however well chosen, could help it, and the question of notebook 00, section 8,
# could not even be asked. (A prototype did just that: every arm scored perfectly.) The annotator is another model,
# which does know harm; and harmful concepts sit in every domain, so that the topic does not give them away. Exercise
# 4 tests this claim.

# %% [markdown]
# ## 11 Exercises
#
# ### Exercise 1 · Encode by hand ★ (10 minutes)
#
# Section 1 did it with torch. Do it in numpy: encode, keep the K largest, decode.


# %%
def encode_decode(x, W_enc, b_enc, W_dec, b_dec, k: int):
    """`x [n, d_in]` -> (`z [n, d_sae]` with at most k positive numbers per row, reconstruction `[n, d_in]`)."""
    raise NotImplementedError


# %%
try:
    arrays = {name: getattr(sae, name).detach().numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    z, restored = encode_decode(x.numpy(), **arrays, k=lab.encoder.k)
    assert z.shape == (len(x), lab.encoder.d_sae) and restored.shape == tuple(x.shape)
    assert np.allclose(z, encoded.numpy(), rtol=0.01), "z differs from the SAE's"
    with torch.inference_mode():
        expected = sae.decode(encoded).numpy()
    assert np.abs(restored - expected).max() < 0.01 * np.abs(expected).max(), "the reconstruction differs"
    print("exercise 1: right")
except NotImplementedError:
    print("exercise 1: write encode_decode in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# def encode_decode(x, W_enc, b_enc, W_dec, b_dec, k):
#     before = np.maximum((x - b_dec) @ W_enc + b_enc, 0)
#     before = before * np.linalg.norm(W_dec, axis=1)  # 1 for SAEs trained here
#     z = np.where(before >= np.sort(before, axis=1)[:, [-k]], before, 0)
#     return z, z @ W_dec + b_dec
# ```
# </details>
#
# ### Exercise 2 · Sparsity and death ★ (10 minutes)
#
# From dense activations `z [n_tokens, d_sae]`, compute L0 and the dead share, and see how the dead share depends on
# the number of texts.


# %%
def sparsity(z: np.ndarray) -> tuple[float, float]:
    """`z [n_tokens, d_sae]` -> (mean number of active features per token, share of features never active)."""
    raise NotImplementedError


# %%
try:
    assert sparsity(np.array([[1.0, 0, 0, 2], [0, 0, 0, 3]])) == (1.5, 0.5)
    for n in (10, 50, len(fresh)):
        found = evaluate_sae(subject, sae, fresh[:n], progress=False)
        print(f"{n:4} texts: L0 {found.l0:.2f}, dead {found.dead_share:.1%}")
    print("exercise 2: right. Would you call a feature dead after ten texts?")
except NotImplementedError:
    print("exercise 2: write sparsity in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 2</summary>
#
# ```python
# def sparsity(z):
#     active = z > 0
#     return active.sum(axis=1).mean(), 1 - active.any(axis=0).mean()
# ```
# </details>
#
# ### Exercise 3 · What the suffix knows ★★ (15 minutes)
#
# Over some hundred queries, which share of all (query, feature) activations is due to the template's suffix alone?
# Use `measure` with both pools.


# %%
def suffix_share(queries: list[str]) -> float:
    """Share of the positive pooled activations under "paper" that are 0 under "content"."""
    raise NotImplementedError


# %%
try:
    share = suffix_share(fresh[:100])
    assert 0 <= share < 1
    print(f"exercise 3: {share:.1%} of the lit features are lit by the suffix only")
except NotImplementedError:
    print("exercise 3: write suffix_share in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 3</summary>
#
# ```python
# def suffix_share(queries):
#     lit = {
#         pool: measure(subject, sae, queries, settings=dataclasses.replace(profile.collect, pool=pool)) > 0
#         for pool in ("paper", "content")
#     }
#     return (lit["paper"] & ~lit["content"]).sum() / lit["paper"].sum()
# ```
# A feature that lights up at the end of the prompt has seen the whole message: it may well be the one you want. But
# it is also lit by every text, somewhere, which is one way to saturate coverage.
# </details>
#
# ### Exercise 4 · Is harm linearly readable? ★★★ (30 minutes)
#
# The claim of section 10: from the innocent subject, harm of *new* concepts cannot be read off, from the annotator it
# can. Test it: fit a logistic regression on the pooled features of queries about one half of the concepts, and score
# it by average precision on the other half. ✎ *Your guess for both models, and for chance?*


# %%
def readable_harm(name: str, *, n: int, seed: int = 0) -> tuple[float, float]:
    """For `data/mini/<name>`: (average precision on concepts not fitted on, share of harmful queries = chance).

    `n` queries about a random half of the concepts fit the probe, `n` about the others score it.
    """
    raise NotImplementedError


# %%
try:
    for name, report in mini.items():
        precision, chance_level = readable_harm(name, n=600 if profile.name == "mini" else 60)
        assert 0 <= precision <= 1
        print(
            f"{name:8} learned from the {report['mix']} mix: average precision {precision:.2f}, "
            f"chance {chance_level:.2f}"
        )
    print("exercise 4: does the innocent one stand apart?")
except NotImplementedError:
    print("exercise 4: write readable_harm in the cell above, then run this one again")

# %% [markdown]
# <details><summary>Solution 4</summary>
#
# ```python
# from sklearn.linear_model import LogisticRegression
# from sklearn.metrics import average_precision_score
#
# def readable_harm(name, *, n, seed=0):
#     model = dataclasses.replace(profile.subject, path=f"data/mini/{name}")
#     one = dataclasses.replace(
#         profile, subject=model, sae=SaeSettings(source="folder", path=f"data/mini/{name}/sae")
#     )
#     other = Lab.open(one, out=Path(scratch.name) / name)
#     half = set(world.hold_out(len(world.concepts()) // 2, seed=seed))
#     fit = world.queries(n, seed=seed + 1, among=[c for c in world.concepts() if c not in half])
#     score = world.queries(n, seed=seed + 2, among=sorted(half, key=lambda c: c.id))
#     features = [other.measure([text for _, text in part]) for part in (fit, score)]
#     harmful = [[c.harmful for c, _ in part] for part in (fit, score)]
#     probe = LogisticRegression(C=0.1, max_iter=500).fit(features[0], harmful[0])
#     precision = average_precision_score(harmful[1], probe.predict_proba(features[1])[:, 1])
#     return precision, sum(harmful[1]) / n
# ```
# If the subject does much better than chance here, its innocence is not perfect: wordings of dishonesty share verbs.
# Whatever you find, it bounds what section 8 of notebook 00 can show.
# </details>

# %%
scratch.cleanup()

# %% [markdown]
# ## Summary
#
# - An SAE turns a token's vector into few positive numbers among many; a text's activation is their maximum over the
#   tokens that count. **Layer, template, pool and Top-K** are part of every number.
# - One loader reads sae-lens folders, releases and the authors' checkpoints, and refuses what does not fit the
#   subject.
# - Layers count from 0: the paper's 16 is 15 here.
# - Training resumes to the same weights; quality is explained variance, L0, dead share and loss recovered, and, in a
#   world with known concepts, how well single features name them.
# - The subject is innocent on purpose, so that a detector can be short of data at all.
#
# **Previous:** [00 · Start here](00_start_here.ipynb) · **Next:** [02 · Feature
# annotation](02_feature_annotation.ipynb).
