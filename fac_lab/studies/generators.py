"""Who fills a gap best at equal numbers of draws: prompts in one step, prompts in two, or the steered subject?

All write for the same missing relevant features, `draws` texts for each at most:

- one-step: the generator, all draws from the feature's description;
- two-step: the generator, half of them with the contrastive pair of the first half in view;
- steered: the subject writing a user's turn with the feature added to its residual stream, no description needed;
- steered, asked: the same behind a message that asks for a query, whatever it be about;
- unsteered, and unsteered, asked: the subject left alone, its texts dealt to the features as they come: the nulls.

The generator is another model than the subject, trained to write queries about what it is told; the subject learned
users' turns only as what comes before a reply. So prompts are compared with steering as they come, not one model
with itself. Two references stand beside in training: `none` adds nothing, `real` adds queries about the concepts
that were held out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.annotation.styles import style_of
from fac_lab.corpora import Row
from fac_lab.digests import digest
from fac_lab.features.perplexity import perplexity
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.store import Artifact
from fac_lab.studies.filling import in_form
from fac_lab.studies.missing import main_concepts
from fac_lab.studies.toxicity import Gap, detector_auprc, harmful_gap, kept_texts, starting_rows, test_rows, truth_of
from fac_lab.synthesis.samples import SOUND, Sample, choose, normalise
from fac_lab.world import concepts, queries, recognise

GENERATORS = ("one-step", "two-step", "steered", "steered, asked", "unsteered", "unsteered, asked")
ASKED = "Write a user query."
"""The message to the subject: how the mini world's prompts for queries begin, without a feature."""
DRAWS = 4
"""Texts per feature."""
DRAWN_VERSION = 1


def generator_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], draws: int = DRAWS) -> pd.DataFrame:
    """`compare_generators` over held-out sets of harmful concepts."""
    test, parts = test_rows(), []
    for held_out_set in tqdm(sets, desc="generators", unit="set"):
        gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
        parts.append(compare_generators(lab, anchor, gap, test, held_out_set=held_out_set, draws=draws))
    return pd.concat(parts, ignore_index=True)


def compare_generators(
    lab: Lab, anchor: FeatureStats, gap: Gap, test: Sequence[Row], *, held_out_set: int, draws: int = DRAWS
) -> pd.DataFrame:
    """One row per generator or reference and seed of training; a comparison that was killed goes on where it stopped.

    Columns: `held_out_set`, `generator`, `seed`; `n_missing` features to write for; what was drawn (see `describe`);
    `added` texts, and what they are about (see `additions`, `toxicity.truth_of`); `auprc` of the detector after
    them. References have no draws.
    """
    study, delta = lab.profile.study, gap.coverage.delta
    truth = [row.concept for row in lab.corpus("anchor")]
    main = main_concepts(gap.coverage.missing, anchor.matrix, truth, delta).set_index("feature").concept
    start = starting_rows(gap, n_safe=study.safe_samples, n_toxic=study.seed_samples)
    # What was drawn before steering came has no columns for it.
    columns = list(Sample._fields)
    drawn = {name: draw(lab, name, anchor, gap, draws=draws).reindex(columns=columns) for name in GENERATORS}
    rows = []
    for name, texts in additions(drawn, gap, held_out_set=held_out_set).items():
        facts = {"held_out_set": held_out_set, "generator": name, "n_missing": len(main)}
        facts |= describe(lab, drawn[name], main, delta) if name in drawn else {}
        facts |= truth_of(texts, gap.held_out)
        train = start + [Row(f"{name}-{i}", text, 1) for i, text in enumerate(texts)]
        rows += [facts | {"seed": seed, "auprc": detector_auprc(lab, train, test, seed)} for seed in lab.profile.seeds]
    return pd.DataFrame(rows)


def draw(lab: Lab, name: str, anchor: FeatureStats, gap: Gap, *, draws: int) -> pd.DataFrame:
    """Every candidate of one generator for the missing features, `draws` for each at most: columns of `Sample`."""
    labels, delta, settings = gap.missing_labels, gap.coverage.delta, lab.profile.synthesis
    if name == "one-step":
        one = replace(settings, step1_draws=draws, step2_draws=0)
        return lab.synthesise(labels, anchor, delta, settings=one)
    if name == "two-step":
        two = replace(settings, step1_draws=(draws + 1) // 2, step2_draws=max(draws // 2, 1))
        return lab.synthesise(labels, anchor, delta, settings=two)
    prompt = ASKED if name.endswith("asked") else ""
    if name.startswith("steered"):
        steered = replace(lab.profile.steered, draws=draws, prompt=prompt)
        return _with(lab, steered=steered).steer(labels, anchor, delta)
    return _unsteered(lab, labels, delta, draws=draws, prompt=prompt)


def additions(drawn: Mapping[str, pd.DataFrame], gap: Gap, *, held_out_set: int) -> dict[str, list[str]]:
    """Texts that each arm adds: first what was kept, then other sound texts in the order of their features, as many
    in every arm as prompts keep.

    Steering, and still more the nulls, keep too few for a detector: what they add is then mostly not what was asked
    for, and `about_held_out` says so.
    """
    n = min(int(drawn[name].kept.sum()) for name in ("one-step", "two-step"))
    added = {}
    for name, samples in drawn.items():
        rest = in_form(samples[~samples.kept.astype(bool)])
        added[name] = list(dict.fromkeys([*kept_texts(samples), *rest.text]))[:n]
    real = [query for _, query in queries(n, seed=3000 + held_out_set, among=gap.held_out)]
    return added | {"none": [], "real": real}


def describe(lab: Lab, samples: pd.DataFrame, main: pd.Series, delta: float | np.ndarray) -> dict[str, float]:
    """What one generator's candidates are worth for the features that index `main` (their main concepts in truth).

    `draws`: texts drawn per feature; `sound`: share of them that pass the checks of the text itself. Over the sound
    ones: `own`, share of the features that a text written for them activates above `delta`; `any`, share that any of
    the texts activates; `on_concept`, share of texts about their feature's main concept, in a user's words; `named`,
    share that hold the concept's gloss, which is how replies speak of it; `distinct`, share of texts
    left when equal ones (case and punctuation aside) count once; `perplexity`, their median under the unsteered
    subject. `kept`: features with a sample in the end. `strength`: median of what was added for kept samples, in
    units of activation; NaN where nothing was steered.
    """
    features = main.index.to_numpy()
    drawn = samples[samples.text.ne("") | samples.strength.notna() | samples.step.gt(0)]
    sound = in_form(drawn)
    facts = {"draws": len(drawn) / max(len(features), 1), "sound": len(sound) / max(len(drawn), 1)}
    kept = samples[samples.kept]
    texts = list(dict.fromkeys(sound.text))
    if not texts or not len(features):
        nothing = dict.fromkeys(("own", "any", "on_concept", "named", "distinct"), 0.0)
        return facts | nothing | {"perplexity": np.nan, "kept": len(kept), "strength": np.nan}
    limit = np.broadcast_to(np.asarray(delta, np.float64), (lab.encoder.d_sae,))[features]
    active = lab.measure(texts, features.tolist()) > limit
    row = pd.Series(range(len(texts)), index=texts)[sound.text].to_numpy()
    column = pd.Series(range(len(features)), index=features)[sound.feature].to_numpy()
    about = [getattr(recognise(text), "id", None) for text in texts]
    gloss = {concept.id: concept.gloss for concept in concepts()}
    return facts | {
        "own": len(np.unique(column[active[row, column]])) / len(features),
        "any": float(active.any(axis=0).mean()),
        "on_concept": float(np.mean([about[i] == main.iloc[j] for i, j in zip(row, column, strict=True)])),
        "named": float(np.mean([gloss[main.iloc[j]] in texts[i].lower() for i, j in zip(row, column, strict=True)])),
        "distinct": len({normalise(text) for text in texts}) / len(sound),
        "perplexity": float(np.nanmedian(perplexity(lab.subject, sound.text.tolist()))),
        "kept": len(kept),
        "strength": float(kept.strength.median()) if kept.strength.gt(0).any() else np.nan,
    }


def _unsteered(lab: Lab, labels: pd.DataFrame, delta: float | np.ndarray, *, draws: int, prompt: str) -> pd.DataFrame:
    """The subject's own texts dealt to the features, `draws` for each, measured and chosen among like the others."""
    # What lets the subject write takes seconds to import.
    from fac_lab.synthesis.steered import unsteered
    from fac_lab.synthesis.steering import Writer

    features = [int(feature) for feature in labels.feature]

    def build(artifact: Artifact) -> dict:
        writer = Writer(lab.subject, lab.profile.synthesis, prompt=prompt, batch=lab.profile.steered.batch)
        # Each gap has texts of its own, else one lucky draw would serve them all.
        seed = int(digest("unsteered", features), 16) % 2**31
        style = style_of(lab.profile.synthesis.prompts)
        samples = unsteered(draws * len(features), writer=writer, style=style, seed=seed)
        values = lab.measure([sample.text for sample in samples], features)
        limits = np.broadcast_to(np.asarray(delta, np.float64), (lab.encoder.d_sae,))[features]
        dealt = []
        for i, sample in enumerate(samples):
            place = i // draws
            value = float(values[i, place])
            weak = "" if value > limits[place] else f"does not activate: {value:.4g} is not above {limits[place]:.4g}"
            facts = {"feature": features[place], "draw": i % draws, "activation": value}
            dealt.append(sample._replace(reason=sample.reason or weak, **facts))
        artifact.write_frame("samples.parquet", _chosen(dealt, per_feature=lab.profile.synthesis.per_feature))
        return {"candidates": len(dealt)}

    artifact = lab.store.once(
        "unsteered",
        build,
        version=DRAWN_VERSION,
        features=features,
        delta=delta,
        draws=draws,
        prompt=prompt,
        sampling=lab.profile.synthesis,
        collect=lab.profile.collect,
        subject=lab.subject.digest,
        sae=lab.encoder.digest,
    )
    return artifact.read_frame("samples.parquet")


def _chosen(samples: Sequence[Sample], *, per_feature: int) -> pd.DataFrame:
    """`choose` from the beginning: what it said before is forgotten."""
    fresh = [
        sample._replace(kept=False, reason="" if sample.kept or sample.reason.startswith(SOUND[1:]) else sample.reason)
        for sample in samples
    ]
    return pd.DataFrame(choose(fresh, per_group=per_feature), columns=Sample._fields)


def _with(lab: Lab, **settings) -> Lab:
    """The lab with other settings of a part that decides no model: models and results stay those of `lab`."""
    other = Lab(replace(lab.profile, **settings), lab.store.root)
    for name in ("subject", "sae", "generator"):
        setattr(other, name, getattr(lab, name))
    return other
