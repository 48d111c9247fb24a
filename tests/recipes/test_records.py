import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_lab.errors import DataError
from fac_lab.recipes import records
from fac_lab.recipes.records import open_records
from fac_lab.recipes.shapes import Unusable, first_turn, split_transcripts
from fac_lab.tabular import Unreadable

values = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))


@settings(max_examples=30)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": values, "b": st.text()}), min_size=1, max_size=6),
    chunk=st.integers(1, 40),
)
def test_arrays_and_lines_give_the_same_records_whatever_the_chunks(tmp_path_factory, rows, chunk):
    folder = tmp_path_factory.mktemp("records")
    array, lines = json.dumps(rows, indent=1), "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "x.json").write_text(array)
    (folder / "x.json.gz").write_bytes(gzip.compress(array.encode(), mtime=0))
    (folder / "x.jsonl").write_text(lines)
    (folder / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "CHUNK", chunk)
        for name in ("x.json", "x.json.gz", "x.jsonl", "x.jsonl.gz"):
            assert list(open_records(folder / name, ["b", "a"]).rows()) == list(enumerate(rows, start=1))


def test_what_does_not_parse_is_kept_apart(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n\n{broken\n[2]\n')
    read = list(open_records(tmp_path / "x.jsonl", ["a"]).rows())
    assert read[0] == (1, {"a": 1}) and [number for number, _ in read] == [1, 3, 4]
    assert all(isinstance(record, Unreadable) for _, record in read[1:])
    (tmp_path / "x.json").write_text('[{"a": 1}, 7, {"a": 2}]')
    assert [number for number, _ in open_records(tmp_path / "x.json", ["a"]).rows()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", b'[{"a": 1}, {"a": 2}', "after element 2: the file ends before the array does"),
        ("x.json", b'[{"a": 1}, {"a" 2}]', "after element 1: .*delimiter"),
        ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-20], "damaged after record"),
        ("x.jsonl.gz", b'{"a": 1}\n', "damaged after record 0"),
        ("x.jsonl", b'{"a": "\xe9"}\n', "not UTF-8"),
        ("x.jsonl", b"[]", "no JSON objects"),
        ("x.jsonl", b"", "is empty"),
        ("x.txt", b"a", "is none of"),
    ],
)
def test_damaged_files_are_refused_with_their_place(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(open_records(tmp_path / name, ["a"]).rows())


@pytest.mark.parametrize(
    ("dialogue", "turn"),
    [
        ("just a text", "just a text"),
        ("\n\nHuman: one\n\nAssistant: two\n\nHuman: three", "one"),
        ("\n\nHuman: one\n\nHuman: two", "one"),
        ("he said\n\nHuman: is a word", "he said"),
        ("first<extra_id_1>Assistant\nx", "first"),
        ([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "u"),
        ([{"from": "gpt", "value": "g"}], None),
        ([], None),
        (None, None),
    ],
)
def test_first_turn(dialogue, turn):
    assert first_turn(dialogue) == turn


def test_transcripts_part_at_the_assistants_turn():
    h, a = "\n\nHuman:", "\n\nAssistant:"
    assert split_transcripts(f"{h} x{a} yes, do", f"{h} x{a} yes, no") == (f"{h} x{a}", "yes, do", "yes, no")
    early = split_transcripts(f"{h} x{a} one{h} y{a} two", f"{h} x{a} other{h} z{a} three")
    assert early == (f"{h} x{a}", f"one{h} y{a} two", f"other{h} z{a} three")
    for chosen, rejected in ((f"{h} a{a} b", f"{h} c{a} b"), ("plain", "plane"), (None, "x")):
        with pytest.raises(Unusable):
            split_transcripts(chosen, rejected)
