"""Sessions of real models: from an audit's folder and from the mini world, with whatever is not there named."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fac_lab.annotation.scores import feature_scores
from fac_lab.audit import audit
from fac_lab.browsing.opening import open_audit, open_world
from fac_lab.browsing.session import BrowserSession
from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import cover
from fac_lab.errors import ArtifactError
from fac_lab.features.encoder import Encoder
from fac_lab.lab import Lab
from fac_lab.profile import load_profile
from fac_lab.settings import CoverageRule, SaeSettings
from fac_lab.world import concepts, hold_out, queries

SCORED = 3


@pytest.fixture(scope="module")
def profile():
    """The smoke profile with few rows, and a support that leaves few features to be annotated."""
    smoke = load_profile("smoke")
    roles = {role: replace(settings, n=160) for role, settings in smoke.corpora.items()}
    return replace(smoke, corpora=roles, rule=CoverageRule(kind="anchor_quantile", quantile=0.6, support=4))


@pytest.fixture(scope="module")
def audited(profile, tmp_path_factory):
    """The folder of an audit whose seed lacks 60 concepts, and its result."""
    folder = tmp_path_factory.mktemp("audit")
    out = set(hold_out(60, seed=1))
    pd.DataFrame({"text": [text for _, text in queries(300, seed=1)]}).to_json(
        folder / "wide.jsonl", orient="records", lines=True
    )
    mine = [text for concept, text in queries(240, seed=2) if concept not in out]
    pd.DataFrame({"question": mine}).to_csv(folder / "mine.csv", index=False)
    result = audit(
        folder / "mine.csv",
        anchor=folder / "wide.jsonl",
        text_column="question",
        anchor_text_column="text",
        profile=profile,
        out=folder / "out",
    )
    return folder / "out", result


@pytest.fixture(scope="module")
def session(audited):
    return open_audit(audited[1])


def test_an_audit_is_opened_with_its_numbers_null_and_labels(session, audited):
    folder, result = audited
    assert not session.model.loaded and session.scope == "all"
    assert session.cut.missing.tolist() == result.coverage.missing.tolist() and session.cut.fac == result.coverage.fac
    assert session.numbers().null_missing == len(result.null.missing)
    for row in result.missing.itertuples():
        summary = row.summary if isinstance(row.summary, str) else None
        assert (session.table.summary[row.feature], session.table.relevant[row.feature]) == (summary, row.relevant)
    again = open_audit(folder)
    assert again.numbers() == session.numbers() and again.live.own_delta == result.coverage.delta


def test_its_model_answers_for_the_features_shown(session):
    feature = session.select(int(session.cut.missing[0]))
    text = session.feature().spans["anchor"][0].text
    trial, trace = session.try_text(text)
    (pooled,) = session.model.lab.measure([text], [feature])[0]
    assert trial.value.pooled == pooled > 0 and trial.value.feature == feature and session.model.loaded
    assert trial.value.active == (pooled > session.feature().delta) == (feature in trial.value.fills)
    strongest = [value for _, value in trial.value.strongest]
    assert strongest == sorted(strongest, reverse=True) and len(strongest) > 0
    blank, _ = session.try_text("   ")
    assert "empty" in blank.reason
    assert session.try_text("word " * 500)[0].value.truncated
    assert "metadata" in session.link().reason and (trace.value is None) != (trace.reason is None)


def test_tokens_and_neighbours(session, monkeypatch):
    pytest.importorskip("fac_lab.features.geometry")
    feature = session.select(int(session.cut.missing[0]))
    spans = session.feature().spans["anchor"]
    heat = session.heat().value
    assert [found.span for found in heat] == spans and all(found.in_context for found in heat)
    for found in heat:
        assert found.trace.values.max() == pytest.approx(found.span.value, rel=2e-3)
    trial, trace = session.try_text(spans[0].text)
    assert trace.value.maxima[0] == pytest.approx(trial.value.pooled, rel=1e-4)
    assert len(session.nearest(k=5).value) == 5 and feature not in dict(session.nearest().value)
    assert len(session.lens(k=3).value.promoted) == 3
    monkeypatch.delitem(session.corpora, "anchor")
    monkeypatch.setattr(session, "_texts", {})
    assert not any(found.in_context for found in session.heat().value)


def test_the_seeds_rows_are_read_again_for_the_sample_view(session):
    view = session.sample_view().value
    found = view.at(session.cut)
    assert found.n_covered == session.cut.n_covered and len(view) == session.cut.n_seed
    assert view.texts[:3] == [row.text for row in session.corpora["seed"]][:3]
    # The rows that stay cover as much as all did.
    stay = Corpus.from_rows("stay", [Row(f"{i}", view.texts[i]) for i in np.flatnonzero(~found.redundant)])
    seed = session.model.lab.stats(stay)
    assert (seed.counts(session.cut.delta) > 0)[session.cut.status == 0].mean() > 0.99
    assert session.compare_data(seed).numbers["n_seed"] == (len(view), int((~found.redundant).sum()))


def test_an_audit_whose_files_are_gone_says_what_is_missing(audited, tmp_path):
    folder = shutil.copytree(audited[0], tmp_path / "copy")
    (folder / "audit.json").unlink()
    for manifest in (folder / "store" / "stats").glob("*/manifest.json"):
        if json.loads(manifest.read_text())["made_by"]["matrix"]:  # left by another test
            shutil.rmtree(manifest.parent)
    old = open_audit(folder)
    assert old.corpora == {} and old.cut.missing.tolist() == audited[1].coverage.missing.tolist()
    assert "profile" in old.try_text("hello", 1)[0].reason and "not at hand" in old.sample_view().reason
    asked = json.loads((audited[0] / "audit.json").read_text())
    asked["seed"]["file"] = str(tmp_path / "gone.csv")
    (folder / "audit.json").write_text(json.dumps(asked))
    assert set(open_audit(folder).corpora) == {"anchor"}
    shutil.rmtree(folder / "store" / "stats")
    with pytest.raises(ArtifactError, match="run the audit again"):
        open_audit(folder)
    with pytest.raises(ArtifactError):
        open_audit(tmp_path / "nowhere")


def test_an_audit_without_chat_models_has_reasons_in_place_of_labels(audited, tmp_path):
    folder = shutil.copytree(audited[0], tmp_path / "copy")
    asked = json.loads((folder / "audit.json").read_text())
    asked["profile"] |= {"annotator": None, "generator": None}
    (folder / "audit.json").write_text(json.dumps(asked))
    audited[1].missing[["feature", "anchor_count", "spans"]].to_csv(folder / "missing.csv", index=False)
    session = open_audit(folder)
    view = session.feature(session.select(int(session.cut.missing[0])))
    assert session.labels is None and session.scope == "all"
    assert (view.summary.shown, str(view.summary), view.verdict.shown) == (None, "nobody", None)
    assert {"labels", "label_score", "domain", "synthetic"} == set(view.absent)
    assert "generator" in session.synthesise().reason
    session.edit_summary(view.feature, "my own words", by="Ann")
    assert open_audit(folder).feature(view.feature).summary.shown == "my own words"


def test_a_profile_with_another_sae_is_refused_by_name(audited, profile):
    other = replace(
        profile,
        subject=replace(profile.subject, path="data/mini/qwen"),
        sae=SaeSettings(source="folder", path="data/mini/qwen/sae"),
    )
    session = open_audit(audited[0], profile=other)
    reason = session.try_text("hello", 1)[0].reason
    assert "data/mini/qwen/sae" in reason and session.sae in reason


@pytest.fixture(scope="module")
def world(profile, tmp_path_factory):
    return open_world(Lab.open(profile, out=tmp_path_factory.mktemp("world")), synthetic=False, scored=SCORED)


def test_some_labels_are_scored_and_scores_of_other_runs_are_found(world, monkeypatch):
    lab, anchor, corpus = world.model.lab, world.anchor, world.corpora["anchor"]
    labels, scored = world.labels, np.flatnonzero(world.table.scored)
    (kept,) = lab.store.finished("label_scores")
    asked = [feature for feature, _ in kept.made_by["summaries"]]
    assert len(asked) == SCORED and world.table.relevant[asked].all() and len(scored)
    found = feature_scores(kept.read_frame("answers.parquet")).set_index(["test", "feature"]).score.dropna()
    assert set(scored) == {feature for test, feature in found.index if test == "detection"} <= set(asked)
    for feature in scored:
        assert world.table.label_score[feature] == found["detection", feature]

    # A further choice of features adds to what is known, and what is known is asked of nobody.
    two = labels[labels.summary.notna() & ~labels.feature.isin(asked)].head(2)
    answers = lab.score_labels(two, anchor, corpus, world.cut.delta)
    monkeypatch.setattr(lab, "trace_each", None)
    known = lab.known_scores(labels, anchor, corpus, world.cut.delta)
    assert set(known.feature) == set(answers.feature) | set(kept.read_frame("answers.parquet").feature)
    again = known[known.feature.isin(two.feature)].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, answers, check_dtype=False)
    renamed = labels.assign(summary="requests about something else (money)")
    assert not len(lab.known_scores(renamed, anchor, corpus, world.cut.delta))
    assert not len(lab.known_scores(labels, anchor, corpus, world.cut.delta / 2))


def test_the_mini_world_is_opened_with_truth_and_relevance(world):
    assert world.scope == "relevant" and 0 < world.numbers().n_missing < world.numbers().n_support
    null = cover(world.null.anchor, world.null.seed, world.live.rule, world.table.relevant)
    assert world.numbers().null_missing == len(null.missing) and world.null.seed.n_samples == world.seed.n_samples
    domains = {concept.domain for concept in concepts()}
    known = world.table.domain[world.cut.anchor_count > 0]
    assert set(known) <= domains and len(set(known)) > 5
    assert (world.table.domain[world.live.at(0.0).anchor_count == 0] == None).all()  # noqa: E711
    truth = np.array([row.concept for row in world.corpora["anchor"]])
    for feature in world.cut.missing.tolist():
        column = world.anchor.matrix[:, [feature]].toarray()[:, 0]
        mass = {name: column[(truth == name) & (column > world.cut.delta)].sum() for name in set(truth)}
        assert mass[world.feature(feature).concept] == max(mass.values()) > 0
    assert world.coverage().fac == cover(world.anchor, world.seed, world.live.rule, world.table.relevant).fac


def test_samples_are_written_now_and_measured_again(world):
    feature = int(world.cut.missing[0])
    assert world.samples(feature) is None
    world.edit_summary(feature, "requests about faked receipts (money)", by="Ann")
    written = world.synthesise(feature).value
    settings = world.model.lab.profile.synthesis
    assert len(written.samples) == settings.step1_draws + settings.step2_draws
    np.testing.assert_allclose(written.samples.remeasured, written.samples.activation, rtol=1e-4)
    assert written.pair["positive"] and written.pair["negative_activation"] <= written.pair["positive_activation"]
    assert len(world.samples(feature)) == len(written.samples)
    world.synthesise(feature)
    assert len(world.samples(feature)) == len(written.samples)
    other = world.synthesise(feature, draw=1).value
    assert set(other.samples.seed).isdisjoint(written.samples.seed) and len(world.samples(feature)) > len(
        written.samples
    )
    text = world.samples(feature).text.iloc[0]
    world.decide_sample(feature, text, "accept", by="Ann")
    stats = world.load_synthetic().value
    assert stats.n_samples == len(world.accepted()) and "synthetic" in world.feature(feature).histogram.counts
    world.decide_sample(feature, text, "reject", by="Ann")
    assert "synthetic" in world.feature(feature).absent


def test_corpora_are_opened_as_well_as_statistics(world, tmp_path):
    lab = world.model.lab
    session = BrowserSession.open(lab, world.corpora["anchor"], world.corpora["seed"], out=tmp_path)
    assert session.set_scope("all") == world.set_scope("all")._replace(
        null_missing=None, null_reason=session.numbers().null_reason, n_unjudged=session.numbers().n_unjudged
    )
    assert session.sae == Encoder(lab.sae).digest
    row = next(iter(world.corpora["anchor"]))
    assert session._texts_of("anchor").get(row.id, row.text) == row.text
