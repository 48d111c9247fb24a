"""Which cells the main table has, what a method may add, and that a killed run loses nothing."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fac_lab.errors import SettingsError
from fac_lab.studies import main_table as table
from fac_lab.studies import methods
from fac_lab.studies.methods import METHODS, OURS, Written

HAS = {"none": 0, "full": 0, "alpaca": 2, "fac_two_step": 3}


@pytest.fixture
def lab(monkeypatch):
    def write(lab, anchor, gap, arm, n, held_out_set, *, task):
        lab.asked.append((arm, n, task))
        n_kept = HAS.get(arm, 5)
        texts = [f"{task} {arm} {i}" for i in range(n_kept)]
        return Written(texts, 4 * n, "", tuple({"query": text} for text in texts))

    monkeypatch.setattr(methods, "write", write)
    study = SimpleNamespace(budget=None)
    return SimpleNamespace(profile=SimpleNamespace(seeds=(1, 2), study=study), asked=[], done={})


def gap(lab, anchor, *, held_out_set):
    return SimpleNamespace(coverage=SimpleNamespace(missing=np.arange(8 + held_out_set)))


def cell(lab, anchor, gap, written, *, arm, held_out_set, seed):
    key = (arm, held_out_set, seed)
    if key not in lab.done:
        lab.done[key] = (len(written.texts), len(written.parts))
        if len(lab.done) == lab.__dict__.get("dies_at"):
            raise KeyboardInterrupt
    return {"tox_auprc": 10.0 * len(written.texts) + seed, "beside": float(held_out_set)}


COLUMNS = {
    "toxicity": table.Column("toxicity", ("tox_auprc",), cell, gap),
    "sycophancy": table.Column("sycophancy", ("sycophancy_scr",), cell, gap, most=3),
}


def filled(lab, **options):
    return table.main_table(lab, None, **({"sets": (0, 1), "columns": COLUMNS} | options))


def test_every_method_has_every_column_set_and_seed_once(lab):
    frame = filled(lab)
    assert len(frame) == 2 * len(METHODS) * 2 * 2 * 2
    cells = frame[frame.measure == "tox_auprc"].groupby(["column", "method", "held_out_set", "seed"]).size()
    assert len(cells) == 2 * len(METHODS) * 4 and (cells == 1).all()
    assert frame.method.drop_duplicates().tolist() == list(METHODS)


def test_a_column_may_have_fewer_sets(lab):
    columns = {"toxicity": COLUMNS["toxicity"]._replace(sets=1), "sycophancy": COLUMNS["sycophancy"]}
    frame = filled(lab, columns=columns)
    assert frame.groupby("column").held_out_set.nunique().to_dict() == {"toxicity": 1, "sycophancy": 2}


def test_no_method_adds_more_than_ours_kept_and_all_are_asked_for_as_many(lab):
    frame = filled(lab, only=["toxicity"])
    added = frame.groupby("method").added.first()
    assert added["Alpaca"] == 2 and added["Baseline"] == 0 and added[OURS] == 3
    assert (added.drop(["Alpaca", "Baseline", "Full Dataset"]) == 3).all()
    assert {n for _, n, _ in lab.asked} == {8, 9}, "one for each missing feature of the two sets"
    assert lab.done["magpie", 0, 1] == (3, 3), "texts and parts are cut together"


@pytest.mark.parametrize(("budget", "column", "n"), [(5, "toxicity", 5), (None, "sycophancy", 3), (2, "sycophancy", 2)])
def test_budgets_are_kept(lab, budget, column, n):
    lab.profile.study.budget = budget
    filled(lab, only=[column], sets=(0,))
    assert {asked for _, asked, _ in lab.asked} == {n}
    assert {task for _, _, task in lab.asked} == {column}


def test_only_names_columns_and_methods_in_any_mixture(lab):
    frame = filled(lab, only=["sycophancy", "SAO", "Magpie"])
    assert set(frame.column) == {"sycophancy"} and frame.method.drop_duplicates().tolist() == ["Magpie", "SAO"]
    with pytest.raises(SettingsError, match="neither a column nor a method 'toxicty'.*toxicity"):
        filled(lab, only=["toxicty"])


def test_a_run_that_was_killed_goes_on_in_the_cell_where_it_was(lab):
    whole = filled(SimpleNamespace(profile=lab.profile, asked=[], done={}), only=["toxicity"])
    lab.dies_at = 7
    with pytest.raises(KeyboardInterrupt):
        filled(lab, only=["toxicity"])
    before = dict(lab.done)
    pd.testing.assert_frame_equal(filled(lab, only=["toxicity"]), whole)
    assert len(before) == 7 and list(lab.done)[:7] == list(before)
