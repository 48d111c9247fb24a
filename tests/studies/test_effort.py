"""Equal effort: how drafts are dealt, how many samples are added, and F_miss found with few questions."""

import numpy as np
import pytest

from fac_lab.studies.effort import (
    MOST_DRAWS_EACH,
    Entry,
    draws_each,
    entry_of,
    equal_number,
    lean_filling,
    nothing,
    trained,
    write_equally,
)
from fac_lab.studies.filling import open_filling


@pytest.mark.parametrize("n", [1, 3, 10, 77, 80, 81, 107, 159, 160])
def test_drafts_are_dealt_in_full_and_never_more_than_there_are(n):
    each = sum(draws_each(n, 320).values())
    assert each * n <= 320
    assert each == MOST_DRAWS_EACH or (each + 1) * n > 320


def test_two_drafts_go_first_where_there_are_four():
    assert draws_each(80, 320) == {"step1_draws": 2, "step2_draws": 2}
    assert draws_each(160, 320) == {"step1_draws": 1, "step2_draws": 1}
    assert draws_each(20, 320) == {"step1_draws": 2, "step2_draws": 14}


def test_too_few_samples_do_not_decide_for_the_others():
    assert equal_number([40, 9, 3, 0], least=8) == 9
    assert equal_number([5, 3], least=8) == 5 and equal_number([], least=8) == 0


@pytest.mark.slow
def test_few_questions_find_the_same_missing_features(truthful):
    lab, anchor = truthful
    full, lean = (opened(lab, anchor, held_out_set=0) for opened in (open_filling, lean_filling))
    assert lean.missing.tolist() == full.missing.tolist() and len(full.missing)
    assert lean.facts["n_missing_null"] == full.facts["n_missing_null"]
    assert [row.text for row in lean.start] == [row.text for row in full.start]
    assert len(lean.gap.labels) < len(full.gap.labels) / 2


@pytest.mark.slow
def test_all_add_as_many_and_nothing_adds_none(truthful):
    lab, anchor = truthful
    filling = lean_filling(lab, anchor, held_out_set=0)
    entry = entry_of(lab, filling, {"name": "a"}, total=60)
    assert entry.facts["drafts"] <= 60 and entry.facts["kept"] == len(entry.texts) > 0
    assert 0 <= entry.facts["by_own"] <= entry.facts["by_any"] <= 1 and entry.facts["n_missing"] == len(filling.missing)
    other = Entry({"name": "b", "held_out_set": 0}, entry.texts[:-1])
    rows = trained(lab, filling, [nothing(filling, {"name": "none"}), entry, other], least=1)
    assert [row["added"] for row in rows] == [0, len(entry.texts) - 1, len(entry.texts) - 1]
    assert rows[1]["auprc"] == rows[2]["auprc"], "the same texts make the same detector"


def test_nothing_missing_is_nothing_written(truthful):
    lab, anchor = truthful
    filling = lean_filling(lab, anchor, held_out_set=0)
    assert len(write_equally(lab, filling, features=np.zeros(0, np.int64))) == 0
