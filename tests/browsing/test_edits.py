"""The journal: nothing is lost, nothing is overwritten, everything can be taken back."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from fac_lab.browsing.edits import Journal
from fac_lab.errors import ArtifactError, SettingsError

ODD = ["Zoë \u2028 next", "مرحبا", "🌳\n\ttab", '"quoted", =1+1', "half \ud83d", "nul \x00", "x" * 20_000]


def open_journal(folder, **changes):
    return Journal(folder / "edits.jsonl", **{"sae": "sae-1", "d_sae": 100, "name": "one SAE", **changes})


def test_a_change_is_kept_with_name_and_time(tmp_path):
    journal = open_journal(tmp_path, labels="labels-1")
    before = datetime.now(UTC)
    edit = journal.edit_summary(7, "cheating", by=" Ann ", machine="exams")
    assert (edit.by, edit.feature, edit.value, edit.machine, edit.labels) == ("Ann", 7, "cheating", "exams", "labels-1")
    at = datetime.fromisoformat(edit.at)
    assert at.utcoffset().total_seconds() == 0 and abs((at - before).total_seconds()) < 60
    assert open_journal(tmp_path).edits == [edit]
    assert open_journal(tmp_path).overlay().summaries == {7: edit}


def test_names_and_texts_of_any_characters(tmp_path):
    journal = open_journal(tmp_path)
    for number, text in enumerate(ODD):
        journal.edit_summary(number, text, by=text)
        journal.decide_sample(number, text, "reject", by="Ann")
    again = open_journal(tmp_path).overlay()
    assert [again.summaries[i].value for i in range(len(ODD))] == ODD
    assert {(i, text) for i, text in enumerate(ODD)} == set(again.samples)
    assert again.summaries[0].by == ODD[0]


def test_the_last_change_counts_and_all_are_kept(tmp_path):
    journal = open_journal(tmp_path)
    journal.override_verdict(3, "Yes", by="Ann")
    last = journal.override_verdict(3, "No", by="Ben")
    assert journal.overlay().verdicts == {3: last}
    assert journal.overlay(by="Ann").verdicts[3].value == "Yes"
    assert [edit.value for edit in journal.history(3)] == ["Yes", "No"] and journal.history(4) == []


def test_undo_and_redo_walk_back_and_forth(tmp_path):
    journal = open_journal(tmp_path)

    def shown():
        overlay = journal.overlay()
        return overlay.summaries[1].value if 1 in overlay.summaries else None, 2 in overlay.verdicts

    journal.edit_summary(1, "first", by="Ann")
    journal.edit_summary(1, "second", by="Ann")
    journal.override_verdict(2, "No", by="Ann")
    journal.edit_summary(5, "Ben's", by="Ben")
    states = [("second", True), ("second", False), ("first", False), (None, False)]
    for state in states[1:]:
        assert journal.undo(by="Ann").kind == "undo" and shown() == state
    assert journal.undo(by="Ann") is None
    for state in states[-2::-1]:
        assert journal.redo(by="Ann") is not None and shown() == state
    assert journal.redo(by="Ann") is None
    assert journal.undo(by="Ann") is not None and shown() == states[1]
    journal.edit_summary(1, "third", by="Ann")
    assert journal.redo(by="Ann") is None  # something was changed since
    assert journal.overlay().summaries[5].value == "Ben's"
    assert len(open_journal(tmp_path).edits) == 12 and open_journal(tmp_path).overlay() == journal.overlay()


def test_an_entry_is_undone_by_its_id_once(tmp_path):
    journal = open_journal(tmp_path)
    first = journal.edit_summary(1, "first", by="Ann")
    journal.edit_summary(2, "second", by="Ann")
    journal.undo(first.id, by="Ben")
    assert set(journal.overlay().summaries) == {2}
    with pytest.raises(SettingsError, match="undone already"):
        journal.undo(first.id, by="Ben")


SAVE_MANY = """
import sys
from pathlib import Path
from fac_lab.browsing.edits import Journal
journal = Journal(Path(sys.argv[1]) / "edits.jsonl", sae="sae-1", d_sae=100, name="one SAE")
for number in range(25):
    journal.edit_summary(number, sys.argv[2] + "x" * 3000, by=sys.argv[2])
"""


def test_people_who_save_at_once_lose_nothing(tmp_path):
    names = ["Ann", "Ben", "Cem"]
    others = [subprocess.Popen([sys.executable, "-c", SAVE_MANY, str(tmp_path), name]) for name in names]
    assert [process.wait(timeout=120) for process in others] == [0, 0, 0]
    edits = open_journal(tmp_path).edits
    assert {(edit.by, edit.feature) for edit in edits} == {(name, i) for name in names for i in range(25)}
    assert len((tmp_path / "edits.jsonl").read_text().splitlines()) == 1 + 75


def test_two_open_journals_see_each_other(tmp_path):
    ann, ben = open_journal(tmp_path), open_journal(tmp_path)
    edit = ann.edit_summary(1, "hers", by="Ann")
    assert ben.overlay().summaries == {1: edit} and ben.refresh() is False
    ben.undo(edit.id, by="Ben")
    assert ann.overlay().summaries == {}


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_line_that_was_killed_while_writing_is_repaired(tmp_path, caplog, kept):
    journal = open_journal(tmp_path)
    whole = journal.edit_summary(1, "whole", by="Ann")
    journal.edit_summary(2, "broken — ü", by="Ann")
    path = tmp_path / "edits.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
    with caplog.at_level(logging.WARNING):
        again = open_journal(tmp_path)
    assert "not written to its end" in caplog.text
    assert again.edits == [whole]
    assert (tmp_path / "edits.damaged").read_bytes() == lines[-1][:kept] + b"\n"
    after = again.edit_summary(3, "after", by="Ann")
    assert open_journal(tmp_path).edits == [whole, after]


def test_a_header_that_was_killed_while_writing_is_written_again(tmp_path):
    (tmp_path / "edits.jsonl").write_bytes(b'{"journal": "fac_')
    edit = open_journal(tmp_path).edit_summary(1, "first", by="Ann")
    assert open_journal(tmp_path).edits == [edit]


def test_a_broken_line_in_the_middle_is_left_out_with_a_warning(tmp_path, caplog):
    journal = open_journal(tmp_path)
    edits = [journal.edit_summary(i, "x", by="Ann") for i in range(2)]
    path = tmp_path / "edits.jsonl"
    lines = path.read_text().splitlines()
    foreign = json.dumps({**edits[0]._asdict(), "feature": 1000})
    path.write_text("\n".join([*lines[:2], "{broken", "[1]", foreign, *lines[2:]]) + "\n")
    with caplog.at_level(logging.WARNING):
        assert open_journal(tmp_path).edits == edits
    assert caplog.text.count("left out") == 3


def test_edits_of_another_sae_are_refused_by_name(tmp_path):
    open_journal(tmp_path).edit_summary(1, "x", by="Ann")
    with pytest.raises(ArtifactError, match="one SAE.*sae-1.*other SAE.*sae-2"):
        open_journal(tmp_path, sae="sae-2", name="other SAE")
    # Also where it comes into being while this one is open.
    late = Journal(tmp_path / "late.jsonl", sae="sae-2", d_sae=100)
    Journal(tmp_path / "late.jsonl", sae="sae-1", d_sae=100).edit_summary(1, "x", by="Ann")
    with pytest.raises(ArtifactError, match="sae-2"):
        late.edit_summary(1, "x", by="Ben")
    (tmp_path / "notes.jsonl").write_text('{"text": "hello"}\n')
    with pytest.raises(ArtifactError, match="not a journal"):
        Journal(tmp_path / "notes.jsonl", sae="sae-1", d_sae=100)


def test_changes_that_say_nothing_are_refused_and_leave_no_file(tmp_path):
    journal = open_journal(tmp_path)
    for change, match in (
        (lambda: journal.edit_summary(1, "  ", by="Ann"), "empty"),
        (lambda: journal.edit_summary(1, "x", by=" "), "name"),
        (lambda: journal.edit_summary(100, "x", by="Ann"), "0 to 99"),
        (lambda: journal.override_verdict(1, "yes", by="Ann"), "Probably"),
        (lambda: journal.decide_sample(1, "x", "maybe", by="Ann"), "reject"),
        (lambda: journal.undo("nothing", by="Ann"), "nothing"),
    ):
        with pytest.raises(SettingsError, match=match):
            change()
    assert journal.undo(by="Ann") is None and journal.redo(by="Ann") is None
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "edits.jsonl", sae="sae-1", d_sae=100)
    with pytest.raises(ArtifactError, match="not saved"):
        journal.edit_summary(1, "x", by="Ann")
