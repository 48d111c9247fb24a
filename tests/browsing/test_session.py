"""A session without a model: state, people's changes, exports, comparisons."""

import json

import numpy as np
import pytest

from fac_lab.browsing.filters import Filters
from fac_lab.browsing.session import BrowserSession
from fac_lab.coverage import cover
from fac_lab.errors import SettingsError
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import EDGES, N_BINS, FeatureStats
from fac_lab.settings import CoverageRule


def test_numbers_follow_threshold_and_scope(small):
    assert small.scope == "relevant"  # three of the four features of the support were judged
    numbers = small.set_scope("all")
    assert (numbers.n_support, numbers.n_missing, numbers.fac, numbers.n_unjudged) == (4, 2, 0.5, 1)
    assert numbers.null_missing is None and numbers.null_reason
    assert small.set_threshold(0.5).n_missing == 1 and small.cut.missing.tolist() == [3]
    relevant = small.set_scope("relevant")
    assert (relevant.n_support, relevant.n_missing) == (2, 1)
    assert small.set_threshold(None, m=3).n_support == 1
    small.set_threshold(0.5)
    assert small.set_support(3).n_support == 1 and small.set_support(None).n_support == 2
    assert (small.set_support(2).m, small.delta, small.numbers().n_support) == (2, 0.5, 2)
    assert small.coverage().m == 2 and small.curve([0.5]).m.tolist() == [2] and small.manifest()["rule"]["support"] == 2
    before = small.numbers()
    bad_ones = [lambda: small.set_threshold(-1), lambda: small.set_threshold(1, m=0), lambda: small.set_scope("some")]
    for bad in (*bad_ones, lambda: small.set_support(0)):
        with pytest.raises(SettingsError):
            bad()
    assert small.numbers() == before


def test_the_null_stands_beside_the_missing_count(pair, stats_of, random_values):
    rule = CoverageRule(kind="anchor_quantile", quantile=0.3, support=None)
    everything = stats_of(random_values(120, 60, 3), name="null")
    session = BrowserSession(*pair, rule, null=(pair[0], everything))
    for delta in (None, 0.5, 2.0):
        numbers = session.set_threshold(delta)
        assert numbers.null_missing == len(cover(pair[0], everything, session.cut.rule).missing)
        assert numbers.null_missing < numbers.n_missing
        assert numbers.expected_missing == session.coverage().expected_missing
    curve = session.curve([0.0, 2.0])
    assert curve.null_missing.iloc[1] == numbers.null_missing and curve.missing.iloc[1] == numbers.n_missing


def test_the_list_is_filtered_sorted_paged_and_walked(pair):
    session = BrowserSession(*pair, CoverageRule())
    assert session.set_filters(status=("missing", "covered")) == session.numbers().n_support
    listed = session.features
    assert (np.diff(session.cut.anchor_count[listed]) <= 0).all()
    pages = [session.page(start, 7) for start in range(0, len(listed), 7)]
    assert np.concatenate([page.frame.feature for page in pages]).tolist() == listed.tolist()
    assert session.page(10_000, 7).start == pages[-1].start and pages[0].total == len(listed)
    session.set_order("feature", descending=False)
    assert session.features.tolist() == sorted(listed)
    assert session.step() == session.features[0]
    assert [session.step() for _ in range(3)] == session.features[1:4].tolist()
    assert session.step(-100) == session.features[0] and session.step(10_000) == session.features[-1]
    assert session.set_filters(text="no such words") == 0 and session.step() is None
    assert session.page().frame.empty and session.page().total == 0
    assert session.clear_filters() == 60 and session.facets()["relevant"] == {"no": 60, "yes": 0}
    with pytest.raises(SettingsError, match="column"):
        session.set_order("size")
    with pytest.raises(SettingsError, match="0 to 59"):
        session.select(60)


def test_one_feature_with_everything_that_is_known(small):
    view = small.feature(3)
    assert (view.status, view.relevant, view.anchor_count, view.seed_count) == ("missing", True, 2, 0)
    assert (view.anchor_frequency, view.maximum, view.delta, view.m) == (0.5, 8.0, 0.0, 1)
    assert (view.summary.shown, view.summary.source, str(view.summary)) == (
        "asking for a refund",
        "machine",
        "annotator",
    )
    assert (view.verdict.shown, view.reason, view.label_score) == ("Maybe", "perhaps", 0.75)
    assert (view.label_texts, view.fuzzing_score) == (15, None)
    assert [span.text for span in view.spans["anchor"]] == ["<b>refund</b>", "exam"] and view.spans["seed"] == []
    assert view.histogram.counts["anchor"].sum() == 2 and view.histogram.silent("seed") == 2
    assert set(view.absent) == {"synthetic", "domain"} and view.samples is None and view.domain is None
    unknown = small.feature(4)
    assert (unknown.summary.shown, unknown.summary.source, unknown.label_score) == (None, None, None)
    assert (unknown.label_texts, unknown.fuzzing_score) == (None, None)
    assert {"labels", "label_score", "spans"} <= set(unknown.absent)
    assert small.feature(2).absent["labels"] == "cannot tell"
    with pytest.raises(SettingsError, match="selected"):
        small.feature()
    assert small.select(3) == 3 and small.feature().feature == 3


def test_a_feature_threshold_of_its_own_is_shown(pair):
    session = BrowserSession(*pair, CoverageRule(kind="feature_quantile", quantile=0.5))
    assert session.numbers().delta is None
    assert session.feature(7).delta == session.cut.delta[7]


def test_what_only_the_model_can_say_has_a_reason_without_one(small):
    small.select(1)
    trial, heat = small.try_text("a text")
    for answer in (small.nearest(), small.lens(), small.map(), small.link(), small.heat(), trial, heat):
        assert answer.value is None and answer.reason
    assert "profile" in small.link().reason
    assert small.synthesise().value is None and small.load_synthetic().reason
    assert not small.model.loaded
    assert "no spans" in small.heat(4).reason and "synthetic" in small.heat(1, "synthetic").reason


def test_imported_labels_stand_under_the_others(small, tmp_path):
    path = tmp_path / "labels.jsonl"
    entries = [{"index": i, "description": f"imported {i}", "explanationModelName": "m"} for i in (1, 2, 4)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert set(small.import_labels(path).labels) == {1, 2, 4}
    assert small.feature(1).summary.shown == "baking BREAD" and small.feature(1).summary.imported == "imported 1"
    said = small.feature(4).summary
    assert (said.shown, said.source, str(said)) == ("imported 4", "imported", "labels.jsonl, m")
    small.edit_summary(4, "mine", by="Ann")
    assert small.feature(4).summary.shown == "mine" and small.set_filters(text="imported") == 1


def test_rows_of_the_seed_are_viewed_where_they_were_kept(small, pair, stats_of, random_values):
    view = small.sample_view().value
    assert view.ids == ["seed-0", "seed-1"] and len(view.frame(small.cut)) == 2
    assert small.sample_view().value is view
    lost = BrowserSession(pair[0], stats_of(random_values(9, 60, 4)), CoverageRule()).sample_view()
    assert lost.value is None and "keep_matrix" in lost.reason


def test_thresholds_data_and_models_are_compared(small, stats_of, random_values):
    small.set_scope("all")
    thresholds = small.compare_threshold(1.0)
    assert thresholds.names == ("delta 0, m 1", "delta 1, m 1")
    assert thresholds.sets["missing"].only_a.tolist() == [1] and thresholds.sets["missing"].both.tolist() == [3]
    richer = stats_of([[1, 1, 1, 1, 1]], name="richer")
    data = small.compare_data(richer)
    assert data.sets["covered"].only_b.tolist() == [1, 3] and data.numbers["n_missing"] == (2, 0)
    other = BrowserSession(
        *(stats_of(random_values(9, 7, seed), sae="sae-2") for seed in (1, 2)), CoverageRule(), name="other model"
    )
    models = small.compare_session(other)
    assert models.sets is None and models.names == ("small", "other model")
    assert small.compare_session(small).changed == {}


def test_a_large_dictionary(tmp_path):
    """All of it at 65,536 features, without looking at the clock (benchmarks/dictionary.py does)."""
    d_sae, dice = 65_536, np.random.default_rng(0)

    def stats(n, seed, silent):
        found = FeatureStats.empty(d_sae, 2, {"sae": "large"})
        found.n_samples = n
        active = np.flatnonzero(~silent)
        np.add.at(found.histogram, (np.repeat(active, 3), dice.integers(40, N_BINS, 3 * len(active))), 1)
        found.maximum[active] = EDGES[-1]
        texts = np.array([f"thing {i % 101}" for i in active], object)
        peaks = np.zeros((len(active), 2), np.int64)
        found.top.offer(SpanTable(active, dice.random(len(active), np.float32), texts, texts, peaks))
        return found

    silent = dice.random(d_sae) < 0.1
    anchor, seed = stats(5000, 1, dice.random(d_sae) < 0.2), stats(1000, 2, silent)
    rule = CoverageRule(kind="anchor_quantile", quantile=0.1, support=2)
    session = BrowserSession(anchor, seed, rule, out=tmp_path)
    missing = [session.set_threshold(delta).n_missing for delta in session.live.deltas(20)]
    assert missing[0] == len(cover(anchor, seed, CoverageRule(support=2)).missing) > 1000 > missing[-1]
    session.set_threshold(None)
    session.edit_summary(65_535, "the last one", by="Ann")
    assert session.set_filters(text="LAST one") == 1 and session.features[0] == 65_535
    assert session.set_filters(text="thing 7", status=("missing",)) > 10
    assert session.page().frame.status.eq("missing").all()
    assert sum(session.facets()["status"].values()) == session.table.mask(Filters(text="thing 7"), session.cut).sum()
