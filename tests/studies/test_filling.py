"""Studies of synthesis: what is counted, by hand; and every study on one held-out set of the smoke profile."""

import math

import numpy as np
import pandas as pd
import pytest

from fac_lab.studies.amounts import des, in_rounds, per_feature_study, ratio_study, second_round_study
from fac_lab.studies.filling import in_form, measured, one_step, open_filling, reached, two_steps, write
from fac_lab.studies.results import RESULTS
from fac_lab.studies.steps import DRAWS, steps_study, temperature_study
from fac_lab.studies.switches import SWITCHES, missing_by_verdicts, switches_study

# Three texts, written for features 5, 5 and 9; columns are features 5, 9, 2.
VALUES = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [4.0, 1.0, 1.0]])
OWNERS, FEATURES = np.array([5, 5, 9]), np.array([5, 9, 2])


def test_own_and_any_by_hand():
    # Above 1.5: feature 5 by its own first text, feature 9 only by a text of feature 5, feature 2 by none.
    assert reached(VALUES, OWNERS, FEATURES, 1.5) == {"by_own": pytest.approx(1 / 3), "by_any": pytest.approx(2 / 3)}
    # Strictly above: at 1 feature 2 is still not reached, and the text of feature 9 itself is not above either.
    assert reached(VALUES, OWNERS, FEATURES, 1.0) == {"by_own": pytest.approx(1 / 3), "by_any": pytest.approx(2 / 3)}
    assert reached(VALUES, OWNERS, FEATURES, 0.5) == {"by_own": pytest.approx(2 / 3), "by_any": 1.0}


def test_a_threshold_for_each_feature_is_taken_by_its_index():
    delta = np.full(10, 100.0)
    delta[9] = 2.5
    assert reached(VALUES, OWNERS, FEATURES, delta) == {"by_own": 0.0, "by_any": pytest.approx(1 / 3)}


def test_texts_without_a_feature_have_no_own_and_nothing_missing_no_share():
    plain = reached(VALUES, np.full(3, -1), FEATURES, 1.5)
    assert math.isnan(plain["by_own"]) and plain["by_any"] == pytest.approx(2 / 3)
    assert reached(VALUES[:0], OWNERS[:0], FEATURES, 0.0) == {"by_own": 0.0, "by_any": 0.0}
    nothing = reached(VALUES[:, :0], OWNERS, FEATURES[:0], 0.0)
    assert math.isnan(nothing["by_own"]) and math.isnan(nothing["by_any"])


@pytest.mark.parametrize("n", DRAWS)
def test_both_ways_have_as_many_drafts(n):
    one, two = one_step(n), two_steps(n)
    assert sum(one.values()) == sum(two.values()) == n
    assert one["step2_draws"] == 0 and two["step1_draws"] == two["step2_draws"]


def test_data_efficiency_by_hand():
    assert des(0.5, 100) == 0.25
    assert des(49.12, 200) == pytest.approx(21.347, abs=1e-3)
    assert math.isnan(des(0.5, 1)) and math.isnan(des(0.5, 0))


CANDIDATES = pd.DataFrame(
    [
        (7, "a", 1, 0, 9.0, True, ""),
        (7, "b", 2, 0, 2.0, True, ""),
        (7, "c", 2, 1, 3.0, True, ""),
        (7, "d", 2, 2, 5.0, False, "not among the 3 best"),
        (4, "e", 2, 0, 1.0, True, ""),
        (4, "f", 2, 1, 1.0, True, ""),
        (6, "g", 2, 0, 8.0, True, ""),
        (6, "", 2, 1, np.nan, False, "2 words, not 3 to 60"),
    ],
    columns=["feature", "text", "step", "draw", "activation", "kept", "reason"],
)


def test_rounds_take_the_best_of_each_feature_first():
    # Feature 7: step 2 before step 1, then strength: c, b, a. Feature 4: equally strong, the earlier draw first.
    assert in_rounds(CANDIDATES, [4, 7], 9).text.tolist() == ["e", "c", "f", "b", "a"]
    assert in_rounds(CANDIDATES, [7, 4, 6], 4).text.tolist() == ["c", "e", "g", "b"]
    assert in_rounds(CANDIDATES, [], 4).text.tolist() == []


def test_what_was_refused_for_its_form_is_not_measured():
    assert in_form(CANDIDATES).text.tolist() == list("abcdefg")


class Judge:
    """A lab whose judge calls some features relevant; features that a data set does not show are not named."""

    def __init__(self, relevant):
        self.relevant, self.asked = relevant, []

    def annotate(self, stats, features):
        self.asked.append((stats, list(features)))
        return pd.DataFrame({"feature": features, "relevant": [feature in self.relevant for feature in features]})


class Anchor:
    """Counts of five features."""

    def counts(self, delta):
        return np.array([1, 5, 3, 9, 3])


def test_missing_by_verdicts_by_hand():
    labels = pd.DataFrame({"feature": [0, 1, 2, 3, 4], "relevant": [True, True, True, False, True]})
    lab = Judge(relevant={1, 3})
    # Of 0, 1, 2 and 4 the seed shows 1; the most frequent first, then by index.
    assert missing_by_verdicts(lab, Anchor(), "seed", labels).tolist() == [2, 4, 0]
    assert lab.asked == [("seed", [0, 1, 2, 4])], "only what the anchor shows can be missing"
    assert missing_by_verdicts(Judge({0, 1, 2, 4}), Anchor(), "seed", labels).tolist() == []
    assert missing_by_verdicts(lab, Anchor(), "seed", labels.assign(relevant=False)).tolist() == []


def sound(frame):
    """What holds for every study: shares are shares, and F_miss has its null."""
    shares = [name for name in ("by_own", "by_any", "in_form", "distinct", "active", "fac") if name in frame]
    assert all(frame[name].dropna().between(0, 1).all() for name in shares)
    assert (frame.by_own.dropna() <= frame.by_any[frame.by_own.notna()]).all()
    assert {"n_missing", "n_missing_null", "expected_missing"} <= set(frame.columns) and (frame.n_missing > 0).all()
    if "auprc" in frame:
        assert frame.auprc.between(0, 1).all()
    return frame


def test_steps_are_compared_at_equal_numbers_of_drafts(truthful):
    lab, anchor = truthful
    frame = sound(steps_study(lab, anchor, sets=[0], draws=(4,)))
    assert len(frame) == 4 * 2 * 3 and not frame.duplicated(["way", "draws", "texts", "rule"]).any()
    filling = open_filling(lab, anchor, held_out_set=0)
    n = len(filling.missing)
    for way, settings in (("one step", one_step(4)), ("two steps", two_steps(4))):
        samples = write(lab, filling, **settings)
        assert len(samples) == 4 * n
        rows = frame[(frame.way == way) & (frame.draws == 4) & (frame.texts == "all") & (frame.rule == "profile")]
        assert rows.n_texts.item() == len(in_form(samples))
        # Independently: each sample's own activation was stored when it was written.
        strong = in_form(samples)
        strong = strong[strong.activation > filling.gap.coverage.delta]
        assert rows.by_own.item() == pytest.approx(strong.feature.nunique() / n)
    assert (frame.n_texts <= frame.draws * n).all()
    loosest, strictest = (frame[frame.rule == rule].by_any.to_numpy() for rule in ("paper", "strict"))
    assert (loosest >= strictest).all()
    by_rule = frame.groupby("rule").delta.first()
    assert by_rule["paper"] == 0 < by_rule["profile"] < by_rule["strict"]


def test_measured_is_empty_without_texts(truthful):
    assert measured(truthful[0], [], np.array([1, 2])).shape == (0, 2)
    assert measured(truthful[0], ["hello there you"], np.array([], int)).shape == (1, 0)


@pytest.mark.slow
def test_temperatures_add_as_many_texts(truthful):
    frame = sound(
        temperature_study(*truthful, sets=[0], temperatures=(0.4, 1.2), generators={"m": "data/mini/mistral"})
    )
    assert frame.temperature.tolist() == [0.4, 1.2] and frame.added.nunique() == 1
    assert frame.added[0] == frame.kept.min() and frame.drafts.nunique() == 1


@pytest.mark.slow
def test_more_per_feature_are_not_fewer(truthful):
    frame = sound(per_feature_study(*truthful, sets=[0], numbers=(1, 2)))
    one, two = frame.added
    assert one <= frame.n_missing[0] and one <= two <= 2 * one
    assert frame.by_own.nunique() == 1, "a feature is covered by its best sample or not at all"
    assert frame.des.tolist() == pytest.approx([des(row.auprc, row.added) for row in frame.itertuples()], nan_ok=True)


def test_ratios_are_of_features_or_of_features_alone(truthful):
    frame = sound(ratio_study(*truthful, sets=[0], ratios=(0.5, 1.0)))
    table = frame.set_index(["budget", "ratio"])
    n = frame.n_missing[0]
    assert table.written_for["one a feature", 0.5] == math.ceil(n / 2) and table.written_for["fixed total", 1.0] == n
    assert table.added["one a feature", 0.5] <= math.ceil(n / 2)
    assert table.added["one a feature", 0.5] <= table.added["fixed total", 0.5] <= table.added["fixed total", 1.0]
    assert table.auprc["fixed total", 1.0] == table.auprc["one a feature", 1.0], "the same texts"


def test_a_second_round_begins_where_the_first_ended(truthful):
    frame = sound(second_round_study(*truthful, sets=[0])).set_index("arm")
    assert frame.still_missing["none"] == frame.n_missing["none"] and frame.added["none"] == 0
    assert frame.again_missing["two rounds"] == frame.still_missing["one round"]
    assert frame.still_missing["two rounds"] <= frame.still_missing["one round"] <= frame.still_missing["none"]
    assert frame.added["two rounds"] >= frame.added["one round"]
    assert frame.fac["two rounds"] >= frame.fac["one round"] >= frame.fac["none"]
    assert (frame.still_missing_null <= frame.n_missing_null).all()


def test_each_switch_does_what_it_says(truthful):
    frame = sound(switches_study(*truthful, sets=[0])).set_index("switch")
    assert frame.index.tolist() == [*SWITCHES, "missing"]
    assert frame.active["paper"] == 1.0 and frame.active["filter"] <= 1.0
    assert frame.kept["filter"] >= frame.kept["paper"]
    assert frame.written_for["features"] == math.ceil(0.2 * frame.written_for["paper"])
    assert frame.from_span["fallback"] >= frame.from_span["paper"]
    assert (frame.jaccard_missing == 1.0).all(), "this judge says what activations say"
    assert frame.n_missing_null.nunique() == 1 and math.isnan(frame.expected_missing["missing"])


def test_the_studies_are_registered():
    assert {"steps", "temperature", "per_feature", "coverage_ratio", "second_round", "switches"} <= set(RESULTS)
