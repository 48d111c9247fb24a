"""FeatureStats against slow loops, and the laws that let any split of the data be merged."""

import json
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.features.encoder import Pooled
from fac_lab.features.spans import cut
from fac_lab.features.stats import EDGES, MAX_LISTED, N_BINS, FeatureStats, snap
from fac_lab.features.tokens import TokenizedText
from fac_lab.settings import CollectSettings

D_SAE, TOP = 5, 2
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")


class Sample(NamedTuple):
    """One text of five words, its pooled activations, and where each feature peaks."""

    id: str
    values: tuple[float, ...]
    peaks: tuple[int, ...]
    truncated: bool

    @property
    def text(self) -> str:
        return " ".join(f"{self.id}{word}" for word in WORDS)

    @property
    def tokens(self) -> TokenizedText:
        """Two prefix tokens, the words, one suffix token."""
        offsets, start = [], 0
        for word in self.text.split(" "):
            offsets.append((start, start + len(word)))
            start += len(word) + 1
        offsets.append((len(self.text), len(self.text)))
        return TokenizedText(np.arange(8), 2, 8, offsets, self.truncated)


def stats_of(samples, *, top=TOP, made_by=None, chunk=None, span_tokens=3) -> FeatureStats:
    stats = FeatureStats.empty(D_SAE, top, made_by)
    chunk = chunk or max(1, len(samples))
    for start in range(0, len(samples), chunk):
        some = samples[start : start + chunk]
        hits = [(i, f) for i, sample in enumerate(some) for f in range(D_SAE) if sample.values[f] > 0]
        sample, feature = np.array(hits, np.int64).reshape(-1, 2).T
        pooled = Pooled(
            sample,
            feature,
            np.array([some[i].values[f] for i, f in hits], np.float32),
            np.array([some[i].peaks[f] + 2 for i, f in hits], np.int64),
        )
        ids, texts = [sample.id for sample in some], [sample.text for sample in some]
        stats.update(pooled, ids, texts, [sample.tokens for sample in some], span_tokens=span_tokens)
    return stats


def content(stats: FeatureStats) -> tuple:
    """Everything in the statistics but the matrix, in a form that compares."""
    numbers = (stats.n_samples, stats.n_tokens, stats.n_truncated, tuple(stats.truncated_ids))
    spans = tuple(tuple(stats.spans(feature)) for feature in range(stats.d_sae))
    return (
        numbers,
        stats.histogram.tobytes(),
        stats.maximum.tobytes(),
        spans,
        json.dumps(stats.made_by, sort_keys=True),
    )


# Few distinct values, edges among them, so that ties happen all the time.
VALUES = st.sampled_from([0.0, 0.0, 2**-11, 0.5, 1.0, 1.5, 1.625, 3.0, 5000.0])
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.text("abc", min_size=1, max_size=3),
        st.tuples(*[VALUES] * D_SAE),
        st.tuples(*[st.integers(0, 5)] * D_SAE),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda sample: sample.id,
)


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 4096.0]))
def test_counts_maxima_and_sizes_are_those_of_a_loop(samples, delta):
    stats = stats_of(samples)
    expected = [sum(sample.values[f] > delta for sample in samples) for f in range(D_SAE)]
    assert stats.counts(delta).tolist() == expected
    assert stats.counts(np.full(D_SAE, delta)).tolist() == expected
    assert stats.maximum.tolist() == [max((sample.values[f] for sample in samples), default=0.0) for f in range(D_SAE)]
    assert stats.n_samples == len(samples)
    assert stats.n_tokens == 6 * len(samples)
    assert stats.n_truncated == sum(sample.truncated for sample in samples)
    assert stats.truncated_ids == sorted(sample.id for sample in samples if sample.truncated)


@settings(deadline=None)
@given(SAMPLES)
def test_spans_are_the_strongest_of_a_loop(samples):
    stats = stats_of(samples)
    for feature in range(D_SAE):
        active = [sample for sample in samples if sample.values[feature] > 0]
        best = sorted(active, key=lambda sample: (-sample.values[feature], sample.id))[:TOP]
        found = stats.spans(feature)
        assert [(span.value, span.sample_id) for span in found] == [
            (sample.values[feature], sample.id) for sample in best
        ]
        for span, sample in zip(found, best, strict=True):
            assert span.feature == feature
            assert span.text in sample.text
            peak = sample.peaks[feature]
            expected = sample.text.split(" ")[peak] if peak < 5 else ""
            assert span.text[slice(*span.peak)] == expected
            assert peak < 5 or span.peak == (len(span.text),) * 2


@settings(deadline=None)
@given(SAMPLES, SAMPLES, SAMPLES)
def test_merging_is_associative_and_commutative(a, b, c):
    # The same id may come with other values or texts in two parts: the laws hold even then.
    a, b, c = (
        stats_of(a, made_by={"corpora": {"a": "x"}}),
        stats_of(b),
        stats_of(c, made_by={"pool": "paper"}),
    )
    assert content(a.merge(b)) == content(b.merge(a))
    assert content(a.merge(b).merge(c)) == content(a.merge(b.merge(c)))


@settings(deadline=None)
@given(SAMPLES)
def test_the_empty_statistics_are_the_identity(samples):
    stats, empty = (
        stats_of(samples, made_by={"sae": "1", "corpora": {"d": "x"}}),
        FeatureStats.empty(D_SAE, TOP),
    )
    assert content(stats.merge(empty)) == content(stats) == content(empty.merge(stats))


@settings(deadline=None)
@given(SAMPLES, st.data())
def test_any_split_in_any_order_merges_to_the_same(samples, data):
    whole = stats_of(samples)
    samples = data.draw(st.permutations(samples))
    owner = data.draw(st.lists(st.integers(0, 3), min_size=len(samples), max_size=len(samples)))
    merged = FeatureStats.empty(D_SAE, TOP)
    for worker in data.draw(st.permutations(range(4))):
        part = [sample for sample, who in zip(samples, owner, strict=True) if who == worker]
        merged = merged.merge(stats_of(part, chunk=data.draw(st.integers(1, 4))))
    assert content(merged) == content(whole)


def test_merging_leaves_the_parts_alone():
    a = stats_of([Sample("a", (1.0,) * D_SAE, (0,) * D_SAE, True)])
    b = stats_of([Sample("b", (2.0,) * D_SAE, (0,) * D_SAE, True)])
    before = content(a), content(b)
    a.merge(b)
    assert (content(a), content(b)) == before


def test_one_span_per_feature_and_sample_even_when_parts_overlap():
    one = stats_of([Sample("a", (1.0, 0, 0, 0, 0), (0,) * 5, False)])
    other = stats_of([Sample("a", (3.0, 0, 0, 0, 0), (1,) * 5, False)])
    spans = one.merge(other).spans(0)
    assert [(span.sample_id, span.value) for span in spans] == [("a", 3.0)]


def test_rounding_does_not_decide_which_span_is_kept():
    nearly = float(np.nextafter(np.float32(1.7), np.float32(2)))
    samples = [Sample("b", (nearly,) * 5, (0,) * 5, False), Sample("a", (1.7,) * 5, (0,) * 5, False)]
    spans = stats_of(samples, top=1).spans(0)
    assert [span.sample_id for span in spans] == ["a"]
    assert spans[0].value == pytest.approx(1.7, rel=5e-4)


def test_the_smallest_activation_still_has_a_span():
    stats = stats_of([Sample("a", (1e-45, 3e38, 0, 0, 0), (0,) * 5, False)])
    assert [len(stats.spans(feature)) for feature in range(3)] == [1, 1, 0]


def test_no_spans_are_kept_where_none_are_asked_for():
    stats = stats_of([Sample("a", (1.0,) * D_SAE, (0,) * D_SAE, False)], top=0)
    assert stats.spans(0) == []
    assert stats.merge(stats).counts(0.0).tolist() == [2] * D_SAE


def test_listed_truncated_ids_are_bounded():
    samples = [Sample(f"{i:05d}", (0.0,) * D_SAE, (0,) * D_SAE, True) for i in range(MAX_LISTED + 50)]
    stats = stats_of(samples, chunk=100)
    assert stats.n_truncated == MAX_LISTED + 50
    assert stats.truncated_ids == [sample.id for sample in samples[:MAX_LISTED]]
    assert len(stats.truncated_ids) == 1000, "as the docstring says"


def test_two_samples_of_a_chunk_need_different_ids():
    twins = [Sample("a", (1.0,) * D_SAE, (0,) * D_SAE, False)] * 2
    with pytest.raises(DataError, match="same id"):
        stats_of(twins)


def test_every_sample_of_a_chunk_needs_its_tokens():
    sample, pooled = Sample("a", (0.0,) * D_SAE, (0,) * D_SAE, False), Pooled(*[np.zeros(0, np.int64)] * 4)
    for ids, tokens in ((["a", "b"], [sample.tokens]), (["a"], [sample.tokens] * 2)):
        with pytest.raises(ValueError, match="zip"):
            FeatureStats.empty(D_SAE).update(pooled, ids, ["x"] * len(ids), tokens, span_tokens=1)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (FeatureStats.empty(D_SAE + 1, TOP), "number of features"),
        (FeatureStats.empty(D_SAE - 1, TOP), "number of features"),
        (FeatureStats.empty(D_SAE, TOP + 1), "top_spans"),
        (FeatureStats.empty(D_SAE, TOP - 1), "top_spans"),
        (FeatureStats.empty(D_SAE, TOP, {"subject": "b"}), "subject"),
        (FeatureStats.empty(D_SAE, TOP, {"sae": "b"}), "sae"),
        (FeatureStats.empty(D_SAE, TOP, {"pool": "b"}), "pool"),
        (FeatureStats.empty(D_SAE, TOP, {"span_tokens": 1}), "span_tokens"),
        (FeatureStats.empty(D_SAE, TOP, {"span_tokens": 4}), "span_tokens"),
    ],
)
def test_parts_measured_differently_do_not_merge(other, said):
    made_by = {"subject": "a", "sae": "a", "pool": "a", "span_tokens": 3}
    with pytest.raises(SettingsError, match=said):
        FeatureStats.empty(D_SAE, TOP, made_by).merge(other)


def test_what_only_one_part_states_does_not_hinder_a_merge():
    a, b = FeatureStats.empty(D_SAE, TOP, {"subject": "a"}), FeatureStats.empty(D_SAE, TOP, {"pool": "paper"})
    assert a.merge(b).made_by == b.merge(a).made_by == {"pool": "paper", "subject": "a"}
    one, other = ({"protocol": switches} for switches in ({"span": "around"}, {"cut": "text"}))
    with pytest.raises(SettingsError, match=r"protocol.span \(around and None\)"):
        FeatureStats.empty(D_SAE, TOP, one).merge(FeatureStats.empty(D_SAE, TOP, other))
    with pytest.raises(SettingsError, match=r"protocol \(paper and \{"):
        FeatureStats.empty(D_SAE, TOP, {"protocol": "paper"}).merge(FeatureStats.empty(D_SAE, TOP, other))


def test_corpora_add_up_in_the_origin():
    a = FeatureStats.empty(D_SAE, TOP, {"sae": "s", "corpora": {"2": "hh", "1": "ultra"}})
    b = FeatureStats.empty(D_SAE, TOP, {"sae": "s", "corpora": {"3": "help", "2": "copy of hh"}})
    expected = {"corpora": {"1": "ultra", "2": "copy of hh", "3": "help"}, "sae": "s"}
    assert a.merge(b).made_by == expected == b.merge(a).made_by


def test_edges_are_eight_per_octave_with_the_papers_thresholds():
    assert len(EDGES) == N_BINS == 1 + 1 + 22 * 8 + 1
    assert (np.diff(EDGES) > 0).all()
    assert EDGES[0] == 0 and EDGES[1] == 2**-10 and EDGES[-1] == 2**12
    assert {0.0, 0.5, 1.0, 1.5, 2.0, 4.0} <= set(EDGES.tolist())


@settings(deadline=None)
@given(st.floats(0, 1e4))
def test_snapping_goes_down_to_the_next_edge(delta):
    edge = snap(delta)
    assert edge in EDGES and edge <= delta
    assert edge == max(e for e in EDGES.tolist() if e <= delta)
    assert snap(edge) == edge
    assert snap(np.array([delta, 1.5])).tolist() == [edge, 1.5]


@pytest.mark.parametrize("delta", [-0.1, math.nan, np.array([1.0, -1.0])])
def test_negative_thresholds_are_refused(delta):
    with pytest.raises(SettingsError, match="delta"):
        snap(delta)


def slow_quantile(values, q) -> float:
    """The definition, edge by edge, in exact arithmetic for the q used here."""
    values = [value for value in values if value > 0]
    for edge in EDGES.tolist():
        if sum(value <= edge for value in values) * 10 >= round(q * 10) * len(values):
            return edge
    return EDGES[-1].item()


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]))
def test_quantiles_are_the_definition(samples, q):
    stats = stats_of(samples)
    by_feature = [[np.float32(sample.values[f]) for sample in samples] for f in range(D_SAE)]
    assert stats.feature_quantiles(q).tolist() == [slow_quantile(values, q) for values in by_feature]
    assert stats.quantile(q) == slow_quantile([value for values in by_feature for value in values], q)


def test_quantiles_worked_by_hand():
    values = [1.0, 1.0, 1.5, 2.0]
    stats = stats_of([Sample(str(i), (v, 0, 0, 0, 0), (0,) * 5, False) for i, v in enumerate(values)])
    assert [stats.quantile(q) for q in (0.5, 0.51, 0.75, 0.76, 1.0)] == [1.0, 1.5, 1.5, 2.0, 2.0]
    assert stats.feature_quantiles(0.5).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert stats.counts(stats.quantile(0.5))[0] == 2
    for q in (50, 1.5, -0.5, math.nan):
        with pytest.raises(SettingsError, match="quantile"):
            stats.quantile(q)


def test_mean_activation_is_within_a_bin_of_the_mean():
    values = np.random.default_rng(0).lognormal(0, 1, (400, D_SAE)).astype(np.float32)
    values[:, 4] = 0
    values[:, 3] = 6000
    samples = [Sample(str(i), tuple(row.tolist()), (0,) * 5, False) for i, row in enumerate(values)]
    mean = stats_of(samples).mean_activation()
    np.testing.assert_allclose(mean[:3], values[:, :3].mean(axis=0), rtol=0.02)
    assert mean[3] == pytest.approx(math.sqrt(4096 * 6000))
    assert mean[4] == 0


def test_edges_are_eight_to_the_octave_and_the_papers_thresholds():
    edges = EDGES.astype(float).tolist()
    assert len(edges) == N_BINS and {0.0, 0.5, 1.0, 1.5, 2.0, 4.0} <= set(edges)
    edges.remove(1.5)
    assert (edges[0], edges[1], edges[-1]) == (0.0, 2.0**-10, 2.0**12)
    np.testing.assert_allclose(np.log2(edges[2:]) - np.log2(edges[1:-1]), 1 / 8, atol=1e-6)


def test_mean_activation_worked_by_hand():
    # A value counts as the middle of its bin by geometry: half the edge in the lowest one, and in the open one at the
    # top, the middle between its edge and the feature's maximum.
    lowest, middle, top = 2**-11, math.sqrt(1.0 * 2 ** (1 / 8)), math.sqrt(4096 * 5000.0)
    rows = [(2**-10, 1.01, 5000.0, 5000.0, 1.5), (2**-12, 1.01, 0, 4500.0, 1.2), (0, 0, 0, 1.05, 0)]
    stats = stats_of([Sample(str(i), row, (0,) * 5, False) for i, row in enumerate(rows)])
    beside = (math.sqrt(2 ** (4 / 8) * 1.5) + math.sqrt(2 ** (2 / 8) * 2 ** (3 / 8))) / 2
    expected = [lowest, middle, top, (2 * top + middle) / 3, beside]
    np.testing.assert_allclose(stats.mean_activation(), expected, rtol=1e-6)
    assert (stats_of([]).mean_activation() == 0).all()


def test_counts_are_of_any_activation_unless_a_threshold_is_named():
    stats = FeatureStats.empty(2, 0)
    stats.histogram[0, 0], stats.histogram[1, -1] = 3, 2
    assert stats.counts().tolist() == stats.counts(0.0).tolist() == [3, 2] != stats.counts(1.0).tolist()


def test_a_quantile_is_a_fraction_exact_to_six_decimals():
    stats = FeatureStats.empty(1, 0)
    low, high = (int(np.searchsorted(EDGES, edge)) for edge in (1.0, 2.0))
    stats.histogram[0, low], stats.histogram[0, high] = 999_999, 1
    assert [stats.quantile(q) for q in (0.999998, 0.999999, 1.0)] == [EDGES[low + 1], EDGES[low + 1], EDGES[high + 1]]
    stats.histogram[0, low], stats.histogram[0, high] = 999_998, 2
    assert stats.quantile(0.999999) == EDGES[high + 1] == stats.feature_quantiles(0.999999)[0]
    # A fraction of a denominator a little smaller than a million would need nine samples fewer.
    stats.histogram[0, low], stats.histogram[0, high] = 9_999_985, 15
    assert stats.quantile(0.999999) == EDGES[high + 1]


def test_a_profile_that_says_nothing_keeps_as_many_spans_as_statistics_that_say_nothing():
    assert FeatureStats(D_SAE).top.k == FeatureStats.empty(D_SAE).top.k == CollectSettings().top_spans


def test_a_span_shows_the_peak_a_little_behind_it_and_the_rest_before():
    text = "one two three four five six seven eight nine ten"
    offsets = [(0, 3)] + [(i, i + len(w)) for i, w in enumerate_words(text)][1:] + [(len(text),) * 2] * 3
    assert cut(text, offsets, 6, 4) == ("five six seven eight", (9, 14))
    assert cut(text, offsets, 0, 4) == ("one two", (0, 3))
    assert cut(text, offsets, 9, 4) == ("seven eight nine ten", (17, 20))
    assert cut(text, offsets, 6, 1) == ("seven", (0, 5))
    # A peak in the template: the end of the text, and a peak of no characters behind it.
    assert cut(text, offsets, 11, 4) == ("seven eight nine ten", (20, 20))
    assert cut("", [(0, 0)], 0, 4) == ("", (0, 0))


def enumerate_words(text):
    start = 0
    for word in text.split(" "):
        yield start, word
        start += len(word) + 1


@settings(max_examples=20, deadline=None)
@given(SAMPLES)
def test_saving_and_loading_gives_the_same(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("stats")
    stats = stats_of(samples, made_by={"sae": "1", "corpora": {"d": "Zoë 🌳"}})
    stats.save(folder)
    assert content(FeatureStats.load(folder)) == content(stats)
    assert FeatureStats.load(folder).matrix is None


SAVED = [Sample("Zoë 🌳", (1.0,) * D_SAE, (0,) * D_SAE, False), Sample("b", (0.5,) * 5, (1,) * 5, True)]


def saved_with_matrix(folder) -> FeatureStats:
    stats = stats_of(SAVED)
    stats.matrix = sparse.csr_matrix(np.array([sample.values for sample in SAVED], np.float32))
    stats.sample_ids = [sample.id for sample in SAVED]
    stats.save(folder)
    return stats


def test_the_matrix_is_saved_and_merged_row_by_row(tmp_path):
    stats = saved_with_matrix(tmp_path)
    loaded = FeatureStats.load(tmp_path)
    assert (loaded.matrix != stats.matrix).nnz == 0
    assert loaded.sample_ids == stats.sample_ids
    both = loaded.merge(FeatureStats.empty(D_SAE, TOP)).merge(stats)
    np.testing.assert_array_equal(both.matrix.toarray(), np.vstack([stats.matrix.toarray()] * 2))
    assert both.sample_ids == stats.sample_ids * 2
    with pytest.raises(SettingsError, match="matrix"):
        stats.merge(stats_of(SAVED))


def test_saving_over_older_statistics_replaces_them(tmp_path):
    saved_with_matrix(tmp_path)
    newer = stats_of(SAVED[:1])
    newer.save(tmp_path)
    assert content(FeatureStats.load(tmp_path)) == content(newer)


FILES = ("stats.json", "counts.npz", "spans.parquet", "matrix.npz", "samples.parquet")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing", "empty"])
def test_damaged_files_name_themselves_and_the_cure(tmp_path, name, damage):
    saved_with_matrix(tmp_path)
    file = tmp_path / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes({"truncated": whole[: len(whole) // 2], "foreign": b"\x80\x04hello", "empty": b""}[damage])
    with pytest.raises(ArtifactError, match=f"{name}.* make it again"):
        FeatureStats.load(tmp_path)


def test_pickled_arrays_are_not_read(tmp_path):
    saved_with_matrix(tmp_path)
    np.savez(tmp_path / "counts.npz", index=np.array([object()]), count=np.ones(1), maximum=np.zeros(D_SAE))
    with pytest.raises(ArtifactError, match="counts.npz"):
        FeatureStats.load(tmp_path)


@pytest.mark.parametrize("change", [{"format": 99}, {"d_sae": D_SAE - 1}, {"top_spans": "many"}, {"n_samples": 9}])
def test_a_summary_that_does_not_fit_its_files_is_refused(tmp_path, change):
    saved_with_matrix(tmp_path)
    summary = tmp_path / "stats.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | change))
    with pytest.raises(ArtifactError, match="make it again"):
        FeatureStats.load(tmp_path)
