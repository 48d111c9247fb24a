"""What people change: beside the machine's word, seen by others, taken back; and samples that they decide about."""

import pandas as pd
import pytest

from fac_lab.browsing.session import BrowserSession
from fac_lab.errors import ArtifactError, SettingsError
from fac_lab.settings import CoverageRule
from fac_lab.synthesis.samples import Sample

SAMPLES = pd.DataFrame(
    [
        Sample(1, "bake it", 1, 1, 0, 0.4, kept=False, reason="does not activate"),
        Sample(1, "bake this", 1, 2, 0, 2.0, "p", 2.0, "candidate", "n", 0.1, kept=True),
        Sample(3, "pay me", 1, 2, 0, 3.0, kept=True),
    ],
    columns=Sample._fields,
)


def test_changes_are_shown_beside_the_machines_word_and_move_coverage(small, pair):
    small.set_scope("relevant")
    assert small.numbers().n_support == 2
    small.edit_summary(1, "ovens", by="Ann")
    small.override_verdict(1, "Yes", by="Ben")
    view = small.feature(1)
    assert (view.summary.shown, view.summary.machine, view.summary.source) == ("ovens", "baking BREAD", "person")
    assert view.summary.edit.by == "Ann" and str(view.summary).startswith("Ann, 20") and not view.summary.outdated
    assert (view.verdict.shown, view.verdict.machine, view.verdict.edit.by) == ("Yes", "No", "Ben")
    assert [edit.kind for edit in view.history] == ["summary", "verdict"]
    assert small.numbers().n_support == 3 and small.cut.missing.tolist() == [1, 3]
    assert small.page().frame.set_index("feature").edited.to_dict() == {0: 0, 1: 1, 2: 0, 3: 0, 4: 0}
    small.undo(by="Ben")
    assert small.numbers().n_support == 2 and small.feature(1).verdict.shown == "No"
    small.redo(by="Ben")
    assert small.feature(1).relevant
    assert small.undo(by="Nobody") is None


def test_two_people_with_one_folder_see_each_others_changes(small, tmp_path):
    other = BrowserSession(small.anchor, small.seed, CoverageRule(), labels=small.labels, out=tmp_path / "edits")
    small.edit_summary(0, "from the first", by="Ann")
    assert other.table.summary[0] == "Cheating in an exam"
    assert other.refresh() is True and other.refresh() is False
    assert other.feature(0).summary.shown == "from the first"


def test_labels_that_were_made_anew_leave_the_change_and_say_so(small, tmp_path):
    small.edit_summary(0, "mine", by="Ann")
    labels = small.labels.assign(summary=["another name", "b", None, "d"])
    again = BrowserSession(small.anchor, small.seed, CoverageRule(), labels=labels, out=tmp_path / "edits")
    said = again.feature(0).summary
    assert (said.shown, said.machine, said.outdated) == ("mine", "another name", True)


def test_edits_of_another_sae_are_refused(small, stats_of, random_values, tmp_path):
    small.edit_summary(0, "x", by="Ann")
    other = [stats_of(random_values(9, 5, seed), sae="sae-2") for seed in (1, 2)]
    with pytest.raises(ArtifactError, match="sae-1.*sae-2"):
        BrowserSession(*other, CoverageRule(), out=tmp_path / "edits")


def test_without_a_folder_nothing_can_be_changed(pair):
    session = BrowserSession(*pair, CoverageRule())
    with pytest.raises(SettingsError, match="folder"):
        session.edit_summary(1, "x", by="Ann")
    assert session.feature(1).history == []


def test_samples_are_accepted_and_rejected(pair, tmp_path):
    session = BrowserSession(*pair, CoverageRule(), synthetic=SAMPLES, out=tmp_path)
    assert session.accepted() == ["bake this", "pay me"]
    session.decide_sample(1, "bake this", "reject", by="Ann")
    session.decide_sample(1, "bake it", "accept", by="Ann")
    assert session.accepted() == ["bake it", "pay me"]
    shown = session.feature(1).samples
    assert shown.decision.tolist() == ["accept", "reject"] and shown.decided_by.tolist() == ["Ann", "Ann"]
    assert session.samples(3).decision.tolist() == [None] and len(session.samples()) == 3
    assert session.feature(3).absent["synthetic"] == "the samples are not measured yet"
    session.undo(by="Ann")
    assert session.accepted() == ["pay me"]
    with pytest.raises(SettingsError, match="no such sample"):
        session.decide_sample(3, "bake it", "accept", by="Ann")
    # Samples are written again, one of them anew.
    session.written.add(pd.concat([SAMPLES[1:2], SAMPLES[:1].assign(text="new")], ignore_index=True))
    assert session.samples(1).text.tolist() == ["bake it", "bake this", "new"]
