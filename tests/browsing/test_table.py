"""Filters and order of the feature table against plain loops over its rows."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.browsing.edits import Edit, Overlay
from fac_lab.browsing.filters import Filters
from fac_lab.browsing.table import COLUMNS, FeatureTable, truth_columns
from fac_lab.errors import SettingsError

VERDICTS = ["Yes", "Probably", "Maybe", "No", None]


@pytest.fixture(scope="module")
def table(pair):
    """Sixty features, two thirds of them labelled at random, with domains."""
    dice = np.random.default_rng(5)
    labelled = np.flatnonzero(dice.random(60) < 0.66)
    verdicts = dice.choice(np.array(VERDICTS, object), len(labelled))
    labels = pd.DataFrame(
        {
            "feature": labelled,
            "summary": [f"thing {i % 7} of Kind {i % 3}" if i % 5 else None for i in labelled],
            "verdict": verdicts,
            "relevant": [verdict in VERDICTS[:3] for verdict in verdicts],
            "reason": "because",
            "label_score": np.where(labelled % 4 > 0, labelled / 60, np.nan),
        }
    )
    domains = np.array([["arts", "money", None][i % 3] for i in range(60)], object)
    return FeatureTable.from_stats(*pair, labels=labels, domains=domains)


@pytest.fixture(scope="module")
def cut(pair):
    from fac_lab.browsing.threshold import LiveThreshold
    from fac_lab.settings import CoverageRule

    return LiveThreshold(*pair, CoverageRule(support=5)).at(1.0)


FILTERS = {
    "nothing": (Filters(), lambda row: True),
    "status": (Filters(status=("missing", "outside")), lambda row: row.status in ("missing", "outside")),
    "no status": (Filters(status=()), lambda row: False),
    "relevant": (Filters(relevant=True), lambda row: row.relevant),
    "not relevant": (Filters(relevant=False), lambda row: not row.relevant),
    "verdicts": (Filters(verdicts=("Yes", "unjudged")), lambda row: row.verdict in ("Yes", None)),
    "score": (Filters(label_score=(0.2, 0.7)), lambda row: 0.2 <= row.label_score <= 0.7),
    "score from": (Filters(label_score=(0.5, None)), lambda row: row.label_score >= 0.5),
    "scored": (Filters(scored=True), lambda row: row.label_score == row.label_score),
    "not scored": (Filters(scored=False), lambda row: row.label_score != row.label_score),
    "frequency": (Filters(anchor_frequency=(0.1, 0.3)), lambda row: 0.1 <= row.anchor_count / 200 <= 0.3),
    "domains": (Filters(domains=("arts", "unknown")), lambda row: row.domain in ("arts", None)),
    "text": (Filters(text="KIND thing"), lambda row: "Kind" in (row.summary or "")),
    "number": (Filters(text="#17"), lambda row: row.feature == 17),
    "among": (Filters(among=np.array([3, 59, 8])), lambda row: row.feature in (3, 8, 59)),
    "both": (
        Filters(relevant=True, status=("covered",), text="thing"),
        lambda row: row.relevant and row.status == "covered" and row.summary is not None,
    ),
}


@pytest.mark.parametrize(("filters", "passes"), FILTERS.values(), ids=FILTERS)
def test_filters_do_what_a_loop_does(table, cut, filters, passes):
    rows = table.frame(np.arange(60), cut)
    wanted = [bool(passes(row)) for row in rows.itertuples()]
    assert table.mask(filters, cut).tolist() == wanted


def test_search_looks_through_summary_and_spans_in_any_case(small):
    def found(text):
        return np.flatnonzero(small.table.mask(Filters(text=text), small.cut)).tolist()

    assert found("STRASSE") == [0, 2]  # the third anchor text, a ß in it
    assert found("<b>") == [3]
    assert found("bread") == [1]  # a summary
    assert found("bread oven") == [1]  # one word in the summary, the other in a span
    assert found("exam refund") == [3]  # its spans are the first and the last text; "refund" is no word of feature 0
    assert found("nowhere") == [] and found("  ") == [0, 1, 2, 3, 4]
    assert found("#99") == []


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("by", COLUMNS)
def test_every_column_sorts_with_the_unknown_last(table, cut, by, descending):
    rank = {"status": ["outside", "missing", "covered"], "verdict": ["No", "Maybe", "Probably", "Yes"]}.get(by)
    rows = table.frame(np.arange(60), cut)

    def key(row):
        value = getattr(row, by)
        value = value.casefold() if isinstance(value, str) and not rank else value
        return rank.index(value) if rank else value

    def unknown(row):
        value = getattr(row, by)
        return value is None or value != value

    known = sorted((r for r in rows.itertuples() if not unknown(r)), key=key, reverse=descending)
    # Python's sort keeps the order of equal rows also where it is reversed, as ours does.
    wanted = [row.feature for row in known] + [row.feature for row in rows.itertuples() if unknown(row)]
    assert table.order(np.ones(60, bool), cut, by=by, descending=descending).tolist() == wanted


def test_facets_count_each_option_under_the_other_filters(table, cut):
    filters = Filters(status=("missing",), verdicts=("Yes",), domains=("arts",), text="thing")
    facets = table.facets(filters, cut)
    for kind, options in facets.items():
        for option, number in options.items():
            value = {"yes": True, "no": False}.get(option, (option,))
            changed = {**vars(filters), kind: value}
            assert number == table.mask(Filters(**changed), cut).sum(), (kind, option)
    assert sum(table.facets(Filters(), cut)["status"].values()) == 60


def test_peoples_changes_lie_over_the_machines(small):
    def edit(kind, feature, value):
        return Edit("id", "2026-01-01T00:00:00+00:00", "Ann", kind, feature, value)

    table = small.table
    overlay = Overlay({1: edit("summary", 1, "ovens")}, {1: edit("verdict", 1, "Maybe")}, {})
    table.apply(overlay, {1: "x", 2: "imported"})
    assert table.summary[1] == "ovens" and table.machine_summary[1] == "baking BREAD"
    assert (table.verdict[1], table.machine_verdict[1]) == ("Maybe", "No")
    assert table.relevant[1] and not table.machine_relevant[1]
    assert table.summary[2] == "imported" and table.summary[0] == "Cheating in an exam"
    assert table.edited.tolist() == [False, True, False, False, False]
    assert np.flatnonzero(table.mask(Filters(text="ovens"), small.cut)).tolist() == [1]
    assert np.flatnonzero(table.mask(Filters(edited=True), small.cut)).tolist() == [1]
    table.apply(None)
    assert table.summary[1] == "baking BREAD" and not table.relevant[1]
    assert np.flatnonzero(table.mask(Filters(text="ovens"), small.cut)).tolist() == []


def test_bad_names_and_labels_of_another_sae_are_refused(table, cut, pair):
    with pytest.raises(SettingsError, match="covered, missing, outside"):
        Filters(status=("gone",))
    with pytest.raises(SettingsError, match="unjudged"):
        Filters(verdicts=("Perhaps",))
    with pytest.raises(SettingsError, match="anchor_count"):
        table.order(np.ones(60, bool), cut, by="size")
    with pytest.raises(SettingsError, match="another SAE"):
        FeatureTable.from_stats(*pair, labels=pd.DataFrame({"feature": [60], "summary": ["x"]}))


def test_domains_come_from_the_concept_with_the_largest_mass(small):
    found = truth_columns(small.anchor, 0.0, ["a/x", "a/x", "b/y", "b/z"], {"a/x": "a", "b/y": "b", "b/z": "b"})
    # Feature 0: 1 + 2 of a/x against 4 of b/y; feature 4 is silent in the anchor.
    assert found["concepts"].tolist() == ["b/y", "a/x", "b/y", "b/z", None]
    assert found["domains"].tolist() == ["b", "a", "b", "b", None]
    assert truth_columns(small.anchor, 0.0, None, {}) == {}
