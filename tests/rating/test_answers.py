"""Answers are never lost, never overwritten, and come back from any file they were written to."""

import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fac_lab
from fac_lab.errors import ArtifactError, DataError
from fac_lab.rating.answers import MODEL, Ratings
from fac_lab.rating.lines import FORMULA, _guarded, _unguarded, read_answers
from fac_lab.rating.sheet import load_questions, sample_sheet

WRITER = """
import sys
from fac_lab.rating.answers import Ratings
from fac_lab.rating.sheet import Sheet
ratings = Ratings(sys.argv[1], Sheet.load(sys.argv[2]))
for i in range(20):
    item = ratings.sheet.items[i % len(ratings.sheet.items)].id
    ratings.record("Ann", item, "sound", "yes" if sys.argv[3] == "0" else "no")
"""


def test_an_answer_is_a_line_with_time_and_a_change_is_another(ratings):
    item = ratings.sheet.items[0].id
    ratings.record("Ann", item, "sound", "yes")
    ratings.record("Ann", item, "sound", "no")
    ratings.record("Ann", item, "relevant", "unclear")
    assert ratings.given("ann") == {(item, "sound"): "no", (item, "relevant"): "unclear"}
    lines = [json.loads(line) for line in ratings.path("Ann").read_text().splitlines()]
    assert [line["answer"] for line in lines] == ["yes", "no", "unclear"]
    assert all(datetime.fromisoformat(line["at"]).utcoffset().total_seconds() == 0 for line in lines)
    assert {line["by"] for line in lines} == {"person"}


def test_a_withdrawn_answer_is_a_line_too(ratings):
    item = ratings.sheet.items[0].id
    ratings.record("Ann", item, "sound", "yes")
    ratings.record("Ann", item, "sound", None)
    assert ratings.given("Ann") == {}
    assert [line.answer for line in ratings.lines()] == ["yes", None]


def test_two_windows_of_one_rater_saving_at_once_lose_nothing(ratings, tmp_path):
    sheet = ratings.sheet.save(tmp_path / "sheet.json")
    package = str(Path(fac_lab.__file__).parents[1])
    commands = [[sys.executable, "-c", WRITER, str(ratings.folder), str(sheet), str(i)] for i in range(2)]
    running = [subprocess.Popen(command, cwd=package) for command in commands]
    assert [process.wait(60) for process in running] == [0, 0]
    answers = [line.answer for line in ratings.lines()]
    assert answers.count("yes") == answers.count("no") == 20


def test_many_raters_saving_at_once_lose_nothing(ratings):
    def answer(i):
        ratings.record(f"rater {i % 3}", ratings.sheet.items[i % 6].id, "sound", "yes")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(answer, range(60)))
    assert len(ratings.lines()) == 60
    assert ratings.raters() and len(ratings.raters()) == 3


def test_a_torn_line_harms_no_other(ratings, caplog):
    first, second = (item.id for item in ratings.sheet.items[:2])
    ratings.record("Ann", first, "sound", "yes")
    path = ratings.path("Ann")
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    ratings.record("Ann", second, "sound", "no")
    caplog.clear()
    assert ratings.given("Ann") == {(first, "sound"): "yes", (second, "sound"): "no"}
    assert "1 lines left out" in caplog.text and "torn" in caplog.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("nobody", "sound", "yes"), "no item 'nobody'"),
        (("first", "beauty", "yes"), "no question 'beauty'"),
        (("first", "sound", "perhaps"), "'perhaps' is none of yes, no, unclear"),
    ],
)
def test_what_does_not_fit_the_sheet_is_refused_and_nothing_written(ratings, answer, said):
    item, question, value = answer
    item = ratings.sheet.items[0].id if item == "first" else item
    fits = (ratings.sheet.items[0].id, "sound", "yes")
    with pytest.raises(DataError, match=said):
        ratings.record_all("Ann", [fits, (item, question, value)])
    assert ratings.lines() == []


def test_a_name_belongs_to_a_person_or_to_a_model(ratings):
    item = ratings.sheet.items[0].id
    ratings.record("Judge", item, "sound", "yes", by=MODEL)
    with pytest.raises(DataError, match="is by a model"):
        ratings.record("judge", item, "sound", "no")
    ratings.record("Ann", item, "sound", "no")
    assert ratings.raters("person") == ["Ann"] and ratings.raters("model") == ["Judge"]
    with pytest.raises(DataError, match="neither person nor model"):
        ratings.record("Bob", item, "sound", "no", by="oracle")


def test_files_of_different_names_differ_and_stay_in_the_folder(ratings):
    names = ["Ann/A", "Ann A", "../../etc/passwd", "Åsa", "李", "ann-a", "CON"]
    paths = {ratings.path(name) for name in names}
    assert len(paths) == len(names)
    assert all(path.parent == ratings.folder for path in paths)


def test_answers_to_another_sheet_are_refused_by_name(ratings, tmp_path):
    other = sample_sheet("other", [{"text": "a"}, {"text": "b"}], load_questions(["natural"]))[0]
    elsewhere = Ratings(tmp_path / "elsewhere", other)
    elsewhere.record("Ann", other.items[0].id, "natural", "yes")
    found = ratings.add_file(elsewhere.path("Ann"))
    assert (found.added, found.known) == (0, 0)
    assert f"it answers sheet {other.digest}, not tests" in found.rejected[0].reason
    assert ratings.lines() == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_export_comes_back_as_it_was_and_twice_adds_nothing(ratings, tmp_path, suffix):
    for i, item in enumerate(ratings.sheet.items):
        ratings.record('=Ann, "the first"', item.id, "sound", ("yes", "no", None)[i % 3])
        ratings.record("Judge", item.id, "relevant", "no", by=MODEL)
    file = ratings.export(tmp_path / f"all{suffix}", key={ratings.sheet.items[0].id: {"verdict": "Yes"}})
    fresh = Ratings(tmp_path / "fresh", ratings.sheet)
    assert fresh.add_file(file) == (12, 0, [])
    assert fresh.lines() == ratings.lines()
    assert fresh.add_file(file) == (0, 12, [])


def test_a_late_import_of_early_answers_does_not_undo_later_ones(ratings, tmp_path):
    item = ratings.sheet.items[0].id
    elsewhere = Ratings(tmp_path / "laptop", ratings.sheet)
    elsewhere.record("Ann", item, "sound", "no")
    ratings.record("Ann", item, "sound", "yes")
    assert ratings.add_file(elsewhere.path("Ann")).added == 1
    assert ratings.given("Ann") == {(item, "sound"): "yes"}


def test_cells_that_a_spreadsheet_would_run_are_guarded(tmp_path):
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'plain, "quoted"\nnext line', "'=1", "<b>x</b>"]
    sheet, key = sample_sheet("x", [{"text": text, "arm": "=cmd()"} for text in texts], load_questions(["natural"]))
    ratings = Ratings(tmp_path, sheet)
    ratings.record_all("=Eve", [(item.id, "natural", "yes") for item in sheet.items])
    with ratings.export(tmp_path / "all.csv", key=key).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(texts)
    for row in rows:
        assert not any(cell[:1] in set("=+-@\t\r") for cell in row.values() if cell)
    assert sorted(_unguarded(row["text"]) for row in rows) == sorted(texts)
    assert {row["key_arm"] for row in rows} == {"'=cmd()"}


@given(st.text(st.sampled_from("'=+-@\t\r\nab "), max_size=6))
def test_the_guard_can_be_taken_off_exactly(text):
    guarded = _guarded(text)
    assert _unguarded(guarded) == text
    assert guarded[:1] not in set("=+-@\t\r\n") or guarded == ""
    assert (guarded != text) == bool(FORMULA.match(text))


def test_lines_that_cannot_be_used_are_rejected_one_by_one(ratings, tmp_path):
    item = ratings.sheet.items[0].id
    good = ratings.record("Ann", item, "sound", "yes")._asdict()
    bad = [
        "{",
        "[1]",
        json.dumps({**good, "answer": "perhaps"}),
        json.dumps({**good, "at": "yesterday"}),
        json.dumps({**good, "at": "2026-01-01T00:00:00"}),
        json.dumps({**good, "rater": ""}),
        json.dumps({**good, "rater": 5}),
        json.dumps({key: value for key, value in good.items() if key != "item"}),
        b"\xff\xfe".decode("latin-1"),
    ]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join([json.dumps(good), *bad]) + "\n", encoding="latin-1")
    found = Ratings(tmp_path / "fresh", ratings.sheet).add_file(path)
    assert found.added == 1
    assert [rejection.row for rejection in found.rejected] == list(range(2, len(bad) + 2))
    assert all(rejection.reason for rejection in found.rejected)


def test_files_that_cannot_be_read_are_named(ratings, tmp_path):
    with pytest.raises(DataError, match="no file of ratings"):
        ratings.add_file(tmp_path / "none.jsonl")
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="sheet"):
        ratings.add_file(table)
    with pytest.raises(DataError, match=r"\.csv or \.jsonl"):
        ratings.export(tmp_path / "all.xlsx")
    with pytest.raises(DataError, match="taken for a rater's file"):
        ratings.export(ratings.folder / "all.jsonl")


def test_a_folder_that_cannot_be_written_is_named(sheet, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ArtifactError, match="choose another folder"):
        Ratings(file, sheet).record("Ann", sheet.items[0].id, "sound", "yes")


def test_every_line_of_a_file_is_read_with_its_number(ratings):
    for item in ratings.sheet.items:
        ratings.record("Ann", item.id, "sound", "yes")
    assert [number for number, _ in read_answers(ratings.path("Ann"))] == [1, 2, 3, 4, 5, 6]
