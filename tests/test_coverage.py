"""Coverage against sums worked by hand, slow loops over samples and features, and its laws."""

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_lab.coverage import Coverage, cover, diff, gap_coverage, kl_surrogate, sweep, weighted_fac
from fac_lab.errors import ArtifactError, SettingsError
from fac_lab.features.encoder import Pooled
from fac_lab.features.stats import FeatureStats
from fac_lab.features.tokens import TokenizedText
from fac_lab.settings import CoverageRule

D_SAE = 6


def stats_of(values, made_by=None) -> FeatureStats:
    """Statistics of pooled activations `values [n_samples, d_sae]`."""
    values = np.asarray(values, np.float32).reshape(-1, D_SAE)
    stats = FeatureStats.empty(D_SAE, 0, made_by)
    sample, feature = values.nonzero()
    tokens = [TokenizedText(np.arange(1), 0, 1, [(0, 1)], False)] * len(values)
    pooled = Pooled(sample, feature, values[sample, feature], np.zeros(len(sample), np.int64))
    stats.update(pooled, [str(i) for i in range(len(values))], ["x"] * len(values), tokens, span_tokens=1)
    return stats


# Features:      0    1    2    3    4    5
ANCHOR = [
    [1.0, 0.5, 0.0, 2.0, 0.0, 0.0],
    [2.0, 0.5, 0.0, 0.0, 0.0, 4.0],
    [4.0, 0.0, 1.0, 0.0, 0.0, 2.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 2.0],
]
SEED = [
    [3.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.5, 1.0, 0.0],
]
PLAIN = CoverageRule()


def test_worked_by_hand():
    found = cover(stats_of(ANCHOR), stats_of(SEED), PLAIN)
    assert (found.delta, found.m, found.n_anchor, found.n_seed) == (0.0, 1, 4, 2)
    assert found.anchor_count.tolist() == [3, 2, 1, 1, 0, 3]
    assert found.seed_count.tolist() == [1, 0, 0, 1, 2, 0]
    assert found.anchor_support.tolist() == [True, True, True, True, False, True]
    assert found.seed_support.tolist() == [True, False, False, True, True, False]
    assert found.covered.tolist() == [True, False, False, True, False, False]
    assert found.missing.tolist() == [5, 1, 2]
    assert found.fac == 2 / 5
    assert found.fac_unclipped == 3 / 5
    assert weighted_fac(found, "frequency") == (3 + 1) / (3 + 2 + 1 + 1 + 3)


def test_magnitude_weights_are_mean_positive_activations():
    found = cover(stats_of(ANCHOR), stats_of(SEED), PLAIN)
    means = np.array([7 / 3, 0.5, 1.0, 2.0, 0.0, 8 / 3])
    np.testing.assert_allclose(found.anchor_mean, means, rtol=0.05)
    weights = found.anchor_mean
    assert weighted_fac(found, "magnitude") == pytest.approx((weights[0] + weights[3]) / weights.sum())
    with pytest.raises(SettingsError, match="frequency"):
        weighted_fac(found, "size")


def test_missing_needs_m_anchor_samples_and_no_seed_sample():
    found = cover(stats_of(ANCHOR), stats_of(SEED), CoverageRule(support=2))
    assert found.anchor_support.tolist() == [True, True, False, False, False, True]
    assert found.missing.tolist() == [5, 1]
    assert found.fac == 1 / 3


def test_an_absolute_threshold_is_strict_and_snapped():
    found = cover(stats_of(ANCHOR), stats_of(SEED), CoverageRule(delta=1.54))
    assert found.delta == 1.5
    assert found.anchor_count.tolist() == [2, 0, 0, 1, 0, 3]
    assert found.seed_count.tolist() == [1, 0, 0, 0, 0, 0]
    assert found.missing.tolist() == [5, 3]


def test_relative_thresholds_come_from_the_anchor():
    one = cover(stats_of(ANCHOR), stats_of(SEED), CoverageRule(kind="anchor_quantile", quantile=0.5))
    # Sorted positive activations: .5 .5 1 1 2 2 2 2 4 4, so half of them are <= 2.
    assert one.delta == 2.0
    assert one.anchor_count.tolist() == [1, 0, 0, 0, 0, 1]
    each = cover(stats_of(ANCHOR), stats_of(SEED), CoverageRule(kind="feature_quantile", quantile=0.5))
    assert each.delta.tolist() == [2.0, 0.5, 1.0, 2.0, 0.0, 2.0]
    assert each.anchor_count.tolist() == [1, 0, 0, 0, 0, 1]
    assert each.seed_count.tolist() == [1, 0, 0, 0, 2, 0]


def test_expected_missing_is_of_the_relevant_features_at_the_coverages_support():
    relevant = np.array([False, True, True, True, True, True])
    found = cover(stats_of(ANCHOR), stats_of(SEED), CoverageRule(delta=1.5, support=1), relevant)
    n_anchor, n_seed = found.n_anchor, found.n_seed
    # Of the relevant ones, feature 3 has one sample above 1.5 and feature 5 has three, all in the anchor.
    one, three = (math.comb(n_anchor, t) / math.comb(n_anchor + n_seed, t) for t in (1, 3))
    assert found.expected_missing == pytest.approx(one + three)


def test_only_relevant_features_count():
    relevant = np.array([True, True, False, False, True, False])
    found = cover(stats_of(ANCHOR), stats_of(SEED), PLAIN, relevant)
    assert found.missing.tolist() == [1]
    assert found.fac == 1 / 2
    assert found.fac_unclipped == 2 / 2


@pytest.mark.parametrize(
    "relevant",
    [
        np.array([0, 1, 2]),
        np.ones(D_SAE),
        np.ones(D_SAE, np.int64),
        np.ones(D_SAE, object),
        np.ones(D_SAE + 1, bool),
        np.ones(D_SAE - 1, bool),
        np.ones((1, D_SAE), bool),
    ],
)
def test_a_relevant_set_that_is_no_mask_is_refused(relevant):
    with pytest.raises(SettingsError, match="relevant"):
        cover(stats_of(ANCHOR), stats_of(SEED), PLAIN, relevant)


def test_the_empty_cases():
    nothing = cover(stats_of([]), stats_of(SEED), PLAIN)
    irrelevant = cover(stats_of(ANCHOR), stats_of(SEED), PLAIN, np.zeros(D_SAE, bool))
    for found in (nothing, irrelevant):
        assert math.isnan(found.fac) and math.isnan(found.fac_unclipped)
        assert math.isnan(weighted_fac(found, "frequency")) and math.isnan(weighted_fac(found, "magnitude"))
        assert len(found.missing) == 0
        assert math.isnan(kl_surrogate(found, 0.01).value)
    no_seed = cover(stats_of(ANCHOR), stats_of([]), PLAIN)
    assert no_seed.fac == 0 and len(no_seed.missing) == 5
    same = cover(stats_of(ANCHOR), stats_of(ANCHOR), PLAIN)
    assert same.fac == same.fac_unclipped == weighted_fac(same, "magnitude") == 1
    assert len(same.missing) == 0
    assert kl_surrogate(same, 0.01).value == 0


def test_gap_coverage_is_the_share_of_missing_features_that_fire():
    missing = np.array([5, 1, 2])
    assert gap_coverage(missing, np.array([9, 0, 0, 9, 9, 1])) == 1 / 3
    assert gap_coverage(missing, stats_of(ANCHOR).counts(0.0)) == 1
    assert math.isnan(gap_coverage(missing[:0], np.ones(D_SAE)))


def test_kl_surrogate_worked_by_hand():
    found = cover(stats_of(ANCHOR), stats_of(SEED), PLAIN)
    # Anchor support 5 of 6 features, 3 missing: sum over them of 1/5 * log((1/5) / (0.1 / 6)).
    expected = sum(1 / 5 * math.log((1 / 5) / (0.1 / 6)) for _ in range(3))
    surrogate = kl_surrogate(found, 0.1)
    assert surrogate.value == pytest.approx(expected)
    better = cover(stats_of(ANCHOR), stats_of([*SEED, [0, 0, 1, 0, 0, 0]]), PLAIN)
    assert surrogate.value - kl_surrogate(better, 0.1).value == pytest.approx(surrogate.per_feature)
    with pytest.raises(SettingsError, match="eps"):
        kl_surrogate(found, 0)


def test_a_sweep_is_a_cover_per_threshold():
    frame = sweep(stats_of(ANCHOR), stats_of(SEED), m=2)
    assert frame.delta.tolist() == [0, 0.5, 1, 1.5, 2, 4]
    for row in frame.itertuples():
        one = cover(stats_of(ANCHOR), stats_of(SEED), CoverageRule(delta=row.delta, support=2))
        assert (row.anchor, row.seed, row.covered) == tuple(
            support.sum() for support in (one.anchor_support, one.seed_support, one.covered)
        )
        assert (row.missing, row.m) == (len(one.missing), 2)
        assert row.fac == one.fac or math.isnan(row.fac) and math.isnan(one.fac)
    assert math.isnan(frame.fac.iloc[-1])


def test_a_sweep_takes_one_sample_for_support_unless_told_otherwise():
    plain, told = sweep(stats_of(ANCHOR), stats_of(SEED)), sweep(stats_of(ANCHOR), stats_of(SEED), m=1)
    assert plain.equals(told) and (plain.m == 1).all()
    assert plain.anchor.tolist() == [int((stats_of(ANCHOR).counts(delta) >= 1).sum()) for delta in plain.delta]


def test_a_coverage_stays_what_was_computed():
    found = cover(stats_of(ANCHOR), stats_of(SEED), PLAIN)
    with pytest.raises(FrozenInstanceError):
        found.m = 2


@pytest.mark.parametrize("key", ["subject", "sae", "pool"])
def test_statistics_measured_differently_are_refused_by_name(key):
    origin = {"subject": "s", "sae": "a", "pool": "paper", "corpora": {"1": "anchor"}}
    other = origin | {key: "other", "corpora": {"2": "seed"}}
    with pytest.raises(SettingsError, match=f"anchor and the seed differ in their {key}.*other"):
        cover(stats_of(ANCHOR, origin), stats_of(SEED, other), PLAIN)
    cover(stats_of(ANCHOR, origin), stats_of(SEED, origin | {"corpora": {"2": "seed"}}), PLAIN)


def test_another_number_of_features_is_refused():
    with pytest.raises(SettingsError, match="number of features"):
        cover(stats_of(ANCHOR), FeatureStats.empty(D_SAE + 1), PLAIN)


def test_a_diff_names_features_and_settings():
    origin = {"sae": "a", "corpora": {"1": "anchor"}}
    before = cover(stats_of(ANCHOR, origin), stats_of(SEED, origin), PLAIN)
    richer = [*SEED, [0, 1, 0, 0, 0, 0]]
    after = cover(stats_of(ANCHOR, origin), stats_of(richer, {"sae": "a", "corpora": {"2": "new"}}), PLAIN)
    found = diff(before, after)
    assert (found.gained.tolist(), found.lost.tolist()) == ([1], [])
    assert found.changed == {"seed.corpora": ({"1": "anchor"}, {"2": "new"}), "seed.n_samples": (2, 3)}
    assert diff(before, before).changed == {}

    relevant = np.array([True] * 5 + [False])
    rule = CoverageRule(kind="feature_quantile", support=2)
    changed = diff(before, cover(stats_of(ANCHOR, origin), stats_of(SEED, origin), rule, relevant)).changed
    assert changed.keys() == {"rule.kind", "rule.support", "delta", "m", "relevant"}
    assert changed["relevant"][1].startswith("5 features")
    with pytest.raises(SettingsError, match="two SAEs"):
        diff(before, cover(stats_of(ANCHOR, {"sae": "b"}), stats_of(SEED, {"sae": "b"}), PLAIN))


def test_a_diff_names_each_switch_of_a_protocol_and_what_only_one_of_them_states():
    paper, code = {"name": "paper", "cut": "text"}, {"name": "code", "cut": "text", "span": "before"}
    before = {"subject": "s", "sae": "a", "protocol": paper}
    after = {"subject": "t", "sae": "a", "pool": "content", "protocol": code}
    found = diff(*(cover(stats_of(ANCHOR, origin), stats_of(SEED, origin), PLAIN) for origin in (before, after)))
    expected = {"subject": ("s", "t"), "pool": (None, "content")}
    expected |= {"protocol.name": ("paper", "code"), "protocol.span": (None, "before")}
    assert found.changed == {f"{role}.{name}": pair for role in ("anchor", "seed") for name, pair in expected.items()}


def test_a_diff_is_of_one_sae():
    small = [FeatureStats.empty(D_SAE + more, 0, {"sae": "a"}) for more in (0, 1)]
    covers = [cover(stats, stats, PLAIN) for stats in small]
    other = [cover(FeatureStats.empty(D_SAE, 0, {"sae": name}), stats_of([]), PLAIN) for name in "ab"]
    for pair in (covers, covers[::-1], other, other[::-1]):
        with pytest.raises(SettingsError, match="two SAEs"):
            diff(*pair)


RULES = [
    CoverageRule(delta=0.5),
    CoverageRule(kind="anchor_quantile", support=None),
    CoverageRule(kind="feature_quantile"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_saving_and_loading_gives_the_same(tmp_path, rule):
    made_by = {"sae": "a", "corpora": {"1": "Zoë"}}
    found = cover(stats_of(ANCHOR, made_by), stats_of(SEED, made_by), rule)
    found.save(tmp_path)
    loaded = Coverage.load(tmp_path)
    back = diff(found, loaded)
    assert (back.gained.tolist(), back.lost.tolist(), back.changed) == ([], [], {})
    assert (loaded.rule, loaded.m, loaded.fac) == (rule, found.m, found.fac)
    np.testing.assert_array_equal(loaded.delta, found.delta)
    for name in ("relevant", "anchor_count", "seed_count", "anchor_mean"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(found, name))
        assert getattr(loaded, name).dtype == getattr(found, name).dtype


def test_an_undefined_coverage_can_be_saved(tmp_path):
    cover(stats_of([]), stats_of(SEED), PLAIN).save(tmp_path)
    assert json.loads((tmp_path / "coverage.json").read_text())["fac"] is None
    assert math.isnan(Coverage.load(tmp_path).fac)


@pytest.mark.parametrize("name", ["coverage.json", "coverage.npz"])
@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_damaged_files_name_themselves_and_the_cure(tmp_path, name, damage):
    cover(stats_of(ANCHOR), stats_of(SEED), PLAIN).save(tmp_path)
    file = tmp_path / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"{}")
    with pytest.raises(ArtifactError, match=f"{name}.* make it again"):
        Coverage.load(tmp_path)


def test_a_coverage_is_itself_and_no_other():
    """Compared field by field, its arrays would have no one answer."""
    found, again = (cover(stats_of(ANCHOR), stats_of(SEED), PLAIN) for _ in range(2))
    assert found == found and found != again and len({found, again, found}) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("m", 1.5), ("m", True), ("n_anchor", None), ("n_seed", "3"), ("anchor_made_by", []), ("seed_made_by", None),
        ("delta", "0.5"), ("delta", None), ("delta", []), ("format", 0), ("format", 2),
    ],
)  # fmt: skip
def test_what_is_of_another_type_or_format_is_no_coverage(tmp_path, name, value):
    cover(stats_of(ANCHOR), stats_of(SEED), PLAIN).save(tmp_path)
    facts = json.loads((tmp_path / "coverage.json").read_text())
    assert facts["format"] == 1, "folders of this version are read by the next ones too: raise it with care"
    (tmp_path / "coverage.json").write_text(json.dumps(facts | {name: value}))
    with pytest.raises(ArtifactError, match="coverage.json .*make it again"):
        Coverage.load(tmp_path)


def test_arrays_of_two_lengths_are_no_coverage(tmp_path):
    cover(stats_of(ANCHOR), stats_of(SEED), PLAIN).save(tmp_path)
    with np.load(tmp_path / "coverage.npz") as arrays:
        found = dict(arrays)
    np.savez(tmp_path / "coverage.npz", **found | {"seed_count": found["seed_count"][:-1]})
    with pytest.raises(ArtifactError, match=r"coverage.npz.*differ in length"):
        Coverage.load(tmp_path)


def test_what_is_saved_reads_itself(tmp_path):
    for rule in RULES:
        found = cover(stats_of(ANCHOR), stats_of(SEED), rule)
        found.save(tmp_path)
        facts = json.loads((tmp_path / "coverage.json").read_text())
        for name, value in (("fac", found.fac), ("fac_unclipped", found.fac_unclipped), ("m", found.m)):
            assert facts[name] == value or math.isnan(value) and facts[name] is None
        assert facts["n_missing"] == len(found.missing) and facts["n_anchor_support"] == found.anchor_support.sum()
        assert facts["expected_missing"] == pytest.approx(found.expected_missing)
        assert facts["delta"] == (None if rule.kind == "feature_quantile" else found.delta)


ROW = st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 3.0]), min_size=D_SAE, max_size=D_SAE)
ROWS = st.lists(ROW, max_size=8)
RULE = st.builds(
    CoverageRule,
    kind=st.sampled_from(["absolute", "anchor_quantile", "feature_quantile"]),
    delta=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    quantile=st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    support=st.integers(1, 3),
)
MASK = st.lists(st.booleans(), min_size=D_SAE, max_size=D_SAE).map(np.array)


@settings(deadline=None)
@given(ROWS, ROWS, RULE, MASK)
def test_supports_are_those_of_a_loop(anchor, seed, rule, relevant):
    found = cover(stats_of(anchor), stats_of(seed), rule, relevant)
    delta = np.broadcast_to(found.delta, D_SAE)

    def support(rows, m):
        return {f for f in range(D_SAE) if relevant[f] and sum(row[f] > delta[f] for row in rows) >= m}

    anchor_support, seed_support = support(anchor, rule.support), support(seed, 1)
    assert set(np.flatnonzero(found.anchor_support)) == anchor_support
    assert set(np.flatnonzero(found.seed_support)) == seed_support
    assert set(found.missing) == anchor_support - seed_support
    keys = [(-found.anchor_count[f], f) for f in found.missing]
    assert keys == sorted(keys)
    if anchor_support:
        assert found.fac == len(anchor_support & seed_support) / len(anchor_support)
        assert found.fac_unclipped == len(seed_support) / len(anchor_support)
        assert found.fac == 1 - len(found.missing) / len(anchor_support) or found.fac == pytest.approx(
            1 - len(found.missing) / len(anchor_support)
        )


@settings(deadline=None)
@given(ROWS, ROWS, ROWS, RULE)
def test_more_seed_covers_more(anchor, seed, more, rule):
    few = cover(stats_of(anchor), stats_of(seed), rule)
    many = cover(stats_of(anchor), stats_of(seed + more), rule)
    assert set(many.missing) <= set(few.missing)
    if few.anchor_support.any():
        assert 0 <= few.fac <= many.fac <= 1
        for by in ("frequency", "magnitude"):
            assert 0 <= weighted_fac(few, by) <= weighted_fac(many, by) <= 1 + 1e-12
        assert kl_surrogate(many, 0.01).value <= kl_surrogate(few, 0.01).value


@settings(deadline=None)
@given(ROWS)
def test_counts_fall_with_the_threshold(rows):
    stats = stats_of(rows)
    counts = [stats.counts(delta) for delta in (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 4.0)]
    assert all((low >= high).all() for low, high in zip(counts, counts[1:], strict=False))


@settings(deadline=None)
@given(ROWS, ROWS, ROWS, RULE, RULE, MASK)
def test_diffs_are_antisymmetric(anchor, seed, other, rule, other_rule, relevant):
    a = cover(stats_of(anchor, {"corpora": {"1": "a"}}), stats_of(seed), rule)
    b = cover(stats_of(other), stats_of(seed), other_rule, relevant)
    there, back = diff(a, b), diff(b, a)
    assert there.gained.tolist() == back.lost.tolist()
    assert there.lost.tolist() == back.gained.tolist()
    assert there.changed == {name: (new, old) for name, (old, new) in back.changed.items()}
    assert set(np.flatnonzero(a.covered)) - set(there.lost) | set(there.gained) == set(np.flatnonzero(b.covered))


def test_arrays_of_two_dictionaries_are_no_coverage(tmp_path):
    cover(stats_of(ANCHOR), stats_of(SEED), PLAIN).save(tmp_path)
    with np.load(tmp_path / "coverage.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "coverage.npz", **arrays | {"seed_count": arrays["seed_count"][:-1]})
    with pytest.raises(ArtifactError, match="differ in length"):
        Coverage.load(tmp_path)
