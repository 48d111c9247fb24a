"""Tables of win rates: their rows, and what is asked of each arm; the cells are put in by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fac_lab.profile import load_profile
from fac_lab.studies import instruction_tables as tables
from fac_lab.studies.instruction import OURS, OWN_ANSWERS
from fac_lab.studies.methods import Written
from fac_lab.world import hold_out

TEXTS = [f"what about number {i}" for i in range(8)]


@pytest.fixture
def asked(monkeypatch):
    """What was asked of each arm; a cell tells how much it was given."""
    asked = []

    def matched(lab, anchor, gap, arm, held_out_set, **options):
        asked.append((arm, held_out_set, options["most"]))
        return Written(TEXTS)

    def cell(lab, anchor, gap, written, *, arm, held_out_set, seed):
        return {"if_lc": float(len(written.texts))}

    held_out = hold_out(6, seed=0)
    gap = SimpleNamespace(held_out=held_out, seed=[], coverage=SimpleNamespace(missing=[1, 2], delta=0.0))
    monkeypatch.setattr(tables, "matched", matched)
    monkeypatch.setattr(tables, "instruction_cell", cell)
    monkeypatch.setattr(tables, "instruction_gap", lambda lab, anchor, *, held_out_set: gap)
    monkeypatch.setattr(tables, "reached", lambda lab, texts, missing, delta: len(texts) / 8)
    return asked


@pytest.fixture
def lab():
    return SimpleNamespace(profile=replace(load_profile("smoke"), seeds=(42, 43)))


def test_every_arm_and_seed_has_a_row(asked, lab):
    frame = tables.instruction_study(lab, None, sets=[0, 3], arms=["magpie", OWN_ANSWERS])
    assert len(frame) == 2 * 2 * 2 and not frame.duplicated(["held_out_set", "arm", "seed"]).any()
    assert frame.if_lc.eq(8).all() and frame.gap_coverage.eq(1).all()
    # Answers of its own differ from ours in what is answered, not in what is asked.
    assert asked == [(arm, n, tables.MOST) for n in (0, 3) for arm in ("magpie", OURS)]


def test_sizes_are_the_first_samples_and_share_0_is_the_base_once(asked, lab):
    frame = tables.sizes_study(lab, None, sets=[1], arms=["magpie"], shares=(0.25, 1.0))
    assert frame[["arm", "share", "size", "seed"]].values.tolist() == [
        ["none", 0.0, 0, 42],
        ["magpie", 0.25, 2, 42],
        ["magpie", 0.25, 2, 43],
        ["magpie", 1.0, 8, 42],
        ["magpie", 1.0, 8, 43],
    ]
    assert frame.if_lc.tolist() == frame["size"].tolist()
