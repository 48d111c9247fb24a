"""Counting labels against the truth, by hand; and the whole study on a few features of the smoke profile."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.corpora import Corpus, Row
from fac_lab.errors import SettingsError
from fac_lab.lab import Lab
from fac_lab.mini.documents import is_unseen, summary
from fac_lab.studies.labels import COLUMNS, agreement_rows, hard_negative_rows, label_study, rate_rows, truth_rows
from fac_lab.world import concepts

LABELS = pd.DataFrame(
    {
        "feature": [1, 2, 3, 4, 5],
        "summary": [
            "requests about a (x)",
            "requests about z (x)",
            None,
            "requests about d (y)",
            "requests about d (y)",
        ],
        "check": ["Yes", "No", None, "Probably", None],
        "confirmed": [True, False, False, True, False],
        "verdict": ["Yes", "No", None, "Maybe", None],
        "relevant": [True, False, False, True, False],
    }
)
TRUTH = pd.DataFrame(
    {
        "feature": [1, 2, 3, 4, 5],
        "concept": ["x/a", "x/b", "x/a", "y/d", "y/d"],
        "pure": [True, True, True, True, False],
        "name": ["requests about a (x)", "requests about b (x)", "requests about a (x)", "requests about d (y)", "?"],
        "domain": ["x", "x", "x", "y", "y"],
        "harmful": [True, False, True, False, True],
        "unseen": [False, False, False, True, True],
    }
)


def values(rows) -> dict[tuple[str, str], tuple]:
    return {(row[0], row[1]): (row[2], row[5], row[6]) for row in rows}


def test_rates_by_hand():
    found = values(rate_rows(LABELS))
    assert found["explainability", "all"][:2] == (0.8, 5)
    assert found["confirmed", "checked"][:2] == (pytest.approx(2 / 3), 3)
    assert found["verdict unreadable", "named"][:2] == (0.25, 4)
    assert found["relevant", "all"][:2] == (0.4, 5)


def test_accuracy_against_the_truth_by_hand():
    """Feature 5 has no concept of its own. Right names: 1 and 4; right verdicts: 1 and 2; 3 was not judged."""
    found = values(truth_rows(LABELS, TRUTH))
    assert found["features of one concept", "all"][:2] == (0.8, 5)
    assert found["name is right", "all"] == (0.5, 4, 0.5)  # the commonest name belongs to two of four
    assert found["name is right", "seen concepts"][:2] == (pytest.approx(1 / 3), 3)
    assert found["name is right", "unseen concepts"] == (1.0, 1, 1.0)
    assert found["domain is right", "all"] == (0.75, 4, 0.75)
    assert found["verdict is right", "all"] == (0.5, 4, 0.5)
    assert found["verdict is right", "unseen concepts"] == (0.0, 1, 1.0)
    assert found["verdict is right, harmful", "all"][:2] == (0.5, 2)
    assert found["verdict is right, harmless", "all"][:2] == (0.5, 2)
    assert found["verdict is right", "name right"][:2] == (0.5, 2)
    assert found["name is right", "confirmed"][:2] == (1.0, 2)
    assert found["verdict is right", "not confirmed"][:2] == (0.5, 2)


def test_hard_negatives_of_the_same_concept_are_counted():
    corpus = Corpus.from_rows("c", [Row("r1", "t1", 0, "x/a"), Row("r2", "t2", 0, "x/b")])
    answers = pd.DataFrame(
        {
            "feature": [1, 1, 2, 5],
            "kind": ["neighbour", "neighbour", "other", "neighbour"],
            "sample_id": ["r1", "r2", "r1", "r1"],
        }
    )
    assert values(hard_negative_rows(answers, TRUTH, corpus)) == {
        ("hard negative is about the feature's concept", "cases"): (0.5, 2, pytest.approx(np.nan, nan_ok=True))
    }


def test_agreement_stands_beside_what_luck_gives():
    rows = agreement_rows("a and b", "verdict", [True, True, False, None], [True, False, False, True])
    found = values(rows)
    assert found["verdict: raw agreement", "a and b"] == (pytest.approx(2 / 3), 3, pytest.approx(4 / 9))
    assert found["verdict: Cohen's kappa", "a and b"] == (pytest.approx(0.4), 3, 0.0)


@pytest.mark.slow
def test_the_study_on_a_few_features(tmp_path):
    frame = label_study(Lab.open("smoke", out=tmp_path), n_features=6)
    assert list(frame.columns) == list(COLUMNS)
    assert not frame.duplicated(["measure", "group"]).any()
    rows = frame.set_index(["measure", "group"])
    assert rows.n["explainability", "all"] == 6
    bounded = frame[~frame.measure.str.contains("kappa|alpha")]
    assert bounded.value.dropna().between(0, 1).all()
    assert rows.base_rate["detection", "all"] == 0.5
    assert ("verdict: Cohen's kappa", "annotator and mistral") in rows.index
    assert ("verdict: Cohen's kappa", "annotator and llama") not in rows.index  # the subject knows nothing of harm
    kept = frame.dropna(subset=["low"])
    assert ((kept.low <= kept.value) & (kept.value <= kept.high)).all()


def test_another_profile_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="not of the mini world"):
        label_study(Lab.open("minilm", out=tmp_path))


def test_names_are_what_the_annotator_learned():
    unseen = [concept for concept in concepts() if is_unseen(concept)]
    assert 0 < len(unseen) < len(concepts()) / 3
    assert summary(unseen[0]).endswith(f"({unseen[0].domain})")
