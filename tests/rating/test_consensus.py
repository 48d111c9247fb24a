"""Table 5's rule and agreement, against values worked by hand."""

import math

import pytest

from fac_lab.errors import SettingsError
from fac_lab.rating.consensus import consensus, measure_agreement, rows_of, verdict
from fac_lab.rating.sheet import load_questions

(SOUND,) = load_questions(["sound"])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["yes", "yes"], "yes"),
        (["no", "no"], "no"),
        (["yes", "no"], "unclear"),
        (["yes", "unclear"], "unclear"),
        (["unclear", "unclear"], "unclear"),
        (["yes", "yes", "no"], "unclear"),
        (["yes", None, "yes"], "yes"),
        (["yes", None], None),
        ([None, None], None),
        ([], None),
    ],
)
def test_unclear_unless_both_agree(answers, expected):
    assert verdict(answers, SOUND) == expected


def test_counts_are_over_items_with_two_answers():
    rows = [["yes", "yes"]] * 5 + [["no", "no"]] + [["yes", "no"]] * 2 + [["yes", None]] * 3
    found = consensus(rows, SOUND)
    assert found == ({"yes": 5, "no": 1, "unclear": 2}, 8, 3)
    assert found.share("yes") == 5 / 8
    assert math.isnan(consensus([], SOUND).share("yes"))


def test_agreement_by_hand():
    # 20 items: both yes 12, both no 4, yes/no 3, no/yes 1. p_o = .8; p_e = (15*13 + 5*7) / 400 = .575.
    rows = [["yes", "yes"]] * 12 + [["no", "no"]] * 4 + [["yes", "no"]] * 3 + [["no", "yes"]]
    raw, kappa, alpha = measure_agreement(rows, ["Ann", "Bob"], draws=100)
    assert raw.value == 0.8 and kappa.value == pytest.approx(0.225 / 0.425)
    # Of 40 ratings 28 are yes: D_e = 2 * 28 * 12 / (40 * 39), D_o = 4 / 20.
    assert alpha.value == pytest.approx(1 - 0.2 * 40 * 39 / (2 * 28 * 12))
    for found in (raw, kappa, alpha):
        assert found.low < found.value < found.high and found.n == 20
    assert raw.raters == ("Ann", "Bob")


def test_the_interval_of_raw_agreement_is_about_the_binomial_one():
    rows = [["yes", "yes"]] * 80 + [["yes", "no"]] * 20
    raw = measure_agreement(rows, ["Ann", "Bob"], draws=200)[0]
    half = 1.96 * math.sqrt(0.8 * 0.2 / 100)
    assert raw.low == pytest.approx(0.8 - half, abs=0.03) and raw.high == pytest.approx(0.8 + half, abs=0.03)


def test_three_raters_make_three_pairs_and_one_alpha_with_gaps():
    rows = [["yes", "yes", None], ["no", None, "no"], [None, "yes", "no"], ["yes", "yes", "yes"], ["yes", None, None]]
    found = measure_agreement(rows, ["Ann", "Bob", "Cy"], draws=50)
    assert [(one.measure, one.raters, one.n) for one in found if one.measure == "raw agreement"] == [
        ("raw agreement", ("Ann", "Bob"), 2),
        ("raw agreement", ("Ann", "Cy"), 2),
        ("raw agreement", ("Bob", "Cy"), 2),
    ]
    assert [one.n for one in found if one.measure.startswith("Kripp")] == [4]


def test_what_does_not_exist_is_nan_without_a_warning():
    for rows in ([], [["yes", "yes"]] * 3, [["yes", None]]):
        kappa = measure_agreement(rows, ["Ann", "Bob"], draws=10)[1]
        assert math.isnan(kappa.value) and math.isnan(kappa.low)


def test_rows_follow_the_sheet_whatever_the_raters_order(ratings):
    for rater, answer in (("Ann", "yes"), ("Bob", "no")):
        ratings.record_all(rater, [(item.id, "sound", answer) for item in ratings.sheet.order(rater)[:4]])
    rows = rows_of(ratings, "sound", ["Ann", "Bob"])
    assert len(rows) == 6 and sum(row[0] == "yes" for row in rows) == 4 and sum(row[1] == "no" for row in rows) == 4
    only = ratings.sheet.items[2].id
    assert rows_of(ratings, "sound", ["Ann", "Bob"], {only}) == [rows[2]]
    with pytest.raises(SettingsError, match="asks no question 'beauty'"):
        rows_of(ratings, "beauty", ["Ann"])
