import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fac_lab.corpora import Corpus, Row
from fac_lab.errors import SettingsError
from fac_lab.lab import Lab
from fac_lab.synthesis.chosen import COLUMNS, WAYS, as_samples, choose
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.selection import Selection, select_greedily

MATRIX = sparse.csr_matrix(np.array([[0.0, 3, 1, 0], [0, 5, 0, 2], [0, 0, 0, 9], [9, 0, 0, 0]]))
ROWS = [Row(f"r{i}", f"text {i}", label) for i, label in enumerate((1, 0, 1, None))]


def test_a_row_stands_for_the_strongest_feature_that_it_adds():
    found = select_greedily(MATRIX, [1, 2, 3], 3)
    frame = as_samples(found, ROWS, matrix=MATRIX, features=[3, 2, 1], delta=0.5, made_by={"task": "t", "seed": 1})
    assert frame.columns.tolist() == list(COLUMNS) and set(Sample._fields) <= set(COLUMNS)
    # Row 1 adds features 1 and 3 (mass 7), row 0 then feature 2, row 2 in the next round feature 3.
    assert frame.pool_id.tolist() == ["r1", "r0", "r2"]
    assert frame.feature.tolist() == [1, 2, 3] and frame.activation.tolist() == [5, 1, 9]
    assert frame.covers.tolist() == [[1, 3], [1, 2], [3]]
    assert frame.gain.tolist() == [2, 1, 1] and frame["round"].tolist() == [1, 1, 2]
    assert frame.label.tolist() == [0, 1, 1] and frame.kept.all() and (frame.task == "t").all()
    assert json.loads(frame.parts[0]) == {"query": "text 1"}


def test_rows_that_cover_nothing_say_so():
    found = Selection(np.array([3]), np.array([np.nan]), np.array([1]))
    frame = as_samples(found, ROWS, matrix=MATRIX, features=[1], delta=0.0, made_by={"seed": 0})
    assert frame.feature.isna().all() and frame.activation.isna().all() and frame.label.isna().all()
    assert frame.covers.tolist() == [[]]
    nothing = as_samples(Selection.of([], [], 0, why=""), ROWS, matrix=MATRIX, features=[1], delta=0.0, made_by={})
    assert nothing.columns.tolist() == list(COLUMNS) and not len(nothing)


def test_a_way_that_is_not_there_or_lacks_vectors_is_refused():
    with pytest.raises(SettingsError, match="one of greedy, k_center, k_means, random, not by 'gready'"):
        choose("gready", 1, matrix=MATRIX, features=[1], delta=0.0)
    with pytest.raises(SettingsError, match="pass vectors"):
        choose("k_means", 1, matrix=MATRIX, features=[1], delta=0.0)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab.open("smoke", out=tmp_path_factory.mktemp("selection"))


def test_a_lab_selects_from_its_pool_and_keeps_what_it_chose(lab):
    stats = lab.stats(lab.corpus("pool"), keep_matrix=True)
    frequent = np.argsort(-stats.counts(0.0))[:40]
    frames = {way: lab.select(frequent, 0.0, 10, way=way) for way in WAYS}
    rows = {row.id: row for row in lab.corpus("pool")}
    for frame in frames.values():
        assert len(frame) == frame.pool_id.nunique() == 10
        assert [rows[row.pool_id].text for row in frame.itertuples()] == frame.text.tolist()
        known = frame[frame.feature.notna()]
        measured = lab.measure(known.text.tolist(), known.feature.tolist()).diagonal()
        assert known.activation.to_numpy() == pytest.approx(measured, rel=1e-3)

    def reached(frame: pd.DataFrame) -> int:
        return len({feature for covers in frame.covers for feature in covers})

    greedy = frames["greedy"]
    assert reached(greedy) == max(map(reached, frames.values())) == greedy.gain[greedy["round"] == 1].sum()
    pd.testing.assert_frame_equal(lab.select(frequent[::-1], 0.0, 10), greedy)


def test_a_lab_says_where_its_pool_is_too_small(lab, caplog):
    pool = Corpus.from_rows("few", [Row("a", "How do I bake bread?", 0), Row("b", "Tell me about the moon.", 0)])
    features = np.flatnonzero(lab.stats(pool).maximum)
    frame = lab.select(features, 0.0, 5, pool=pool)
    assert sorted(frame.pool_id) == ["a", "b"] and "2 rows chosen instead of 5" in caplog.text
