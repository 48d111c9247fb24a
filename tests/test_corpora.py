import csv
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fac_lab import world
from fac_lab.corpora import Corpus, Rejection, Row, open_corpus
from fac_lab.errors import DataError
from fac_lab.settings import CorpusSettings

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")


def write_table(path: Path, records: list[dict]) -> Path:
    columns = list(records[0])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({column: [record[column] for record in records] for column in columns}), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(records)
    return path


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(texts, st.integers(0, 1)), min_size=1, max_size=8))
def test_any_text_comes_back_from_every_format(tmp_path, suffix, rows):
    records = [{"key": f"k{i}", "query": text, "toxic": label} for i, (text, label) in enumerate(rows)]
    path = write_table(tmp_path / f"data{suffix}", records)
    corpus = Corpus.from_file(path, text_column="query", id_column="key", label_column="toxic")
    expected = [Row(f"k{i}", text, label) for i, (text, label) in enumerate(rows)]
    assert list(corpus) == expected
    assert list(corpus) == expected, "a corpus can be read again"
    assert corpus.rejections == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_column_is_answered_with_those_that_exist(tmp_path, suffix):
    path = write_table(tmp_path / f"data{suffix}", [{"key": "1", "query": "hello"}])
    with pytest.raises(DataError, match=r"data\..* has no column 'text'; its columns: key, query"):
        Corpus.from_file(path)
    with pytest.raises(DataError, match="no column 'toxic'"):
        Corpus.from_file(path, text_column="query", label_column="toxic")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_content_is_refused(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        Corpus.from_file(path)


def test_a_header_alone_is_refused(tmp_path):
    (tmp_path / "data.csv").write_text("text\n")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "data.parquet")
    for name in ("data.csv", "data.parquet"):
        with pytest.raises(DataError, match="no rows"):
            Corpus.from_file(tmp_path / name)


def test_paths_that_are_no_data_file_are_refused(tmp_path):
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    (tmp_path / "data.parquet").write_bytes(b"not parquet at all")
    (tmp_path / "array.jsonl").write_text('[\n{"text": "a"}\n]\n')
    (tmp_path / "list.jsonl").write_text('["text"]\n')
    for name, message in (
        ("nowhere.csv", "there is no file"),
        ("", "is a folder"),
        ("data.xlsx", "is none of .jsonl, .csv, .tsv, .parquet; convert it"),
        ("data.parquet", "not a readable parquet file"),
        ("list.jsonl", "no JSON objects, one per line"),
    ):
        with pytest.raises(DataError, match=message):
            Corpus.from_file(tmp_path / name)


@pytest.mark.parametrize("padding", [0, (1 << 20) - 6, (1 << 20) - 5, 3 << 20])
def test_another_encoding_is_found_at_its_byte(tmp_path, padding):
    content = b"text\n" + b"x" * padding + "é is é\n".encode("latin-1")
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"byte {content.index(0xE9)} does not decode.*iconv -f WINDOWS-1252"):
        Corpus.from_file(path)


def test_a_file_cut_inside_a_character_is_found_at_its_byte(tmp_path):
    (tmp_path / "data.csv").write_bytes("text\nabc €".encode()[:-1])
    with pytest.raises(DataError, match="byte 9 does not decode"):
        Corpus.from_file(tmp_path / "data.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf16_is_recognised(tmp_path, encoding):
    (tmp_path / "data.jsonl").write_bytes('{"text": "hello"}\n'.encode(encoding))
    with pytest.raises(DataError, match="looks like UTF-16.*iconv -f UTF-16"):
        Corpus.from_file(tmp_path / "data.jsonl")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "data.csv").write_text("text\nhello\n", encoding="utf-8-sig")
    (tmp_path / "data.jsonl").write_text('{"text": "hello"}\n', encoding="utf-8-sig")
    for name in ("data.csv", "data.jsonl"):
        assert [row.text for row in Corpus.from_file(tmp_path / name)] == ["hello"]


def test_unusable_rows_are_counted_and_listed(tmp_path):
    lines = [
        '{"id": "a", "text": "good"}',
        '{"id": "b", "text": "  "}',
        '{"id": "c", "text": 7}',
        '{"id": "d"}',
        "{broken",
        "",
        '{"id": "a", "text": "again"}',
        '{"text": "nameless"}',
        '["text"]',
        '{"id": 9, "text": "number as id"}',
        '{"id": "e", "text": "half \\ud83d"}',
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    corpus = Corpus.from_file(tmp_path / "data.jsonl", id_column="id")
    assert list(corpus) == [Row("a", "good"), Row("9", "number as id")]
    assert [(r.row, r.id) for r in corpus.rejections] == [
        (2, "b"), (3, "c"), (4, "d"), (5, None), (7, "a"), (8, None), (9, None), (11, "e")
    ]  # fmt: skip
    for rejection, reason in zip(
        corpus.rejections,
        (
            "empty",
            "of type int",
            "no text",
            "not valid JSON",
            "there before",
            "no id",
            "not an object",
            "surrogate",
        ),
        strict=True,
    ):
        assert reason in rejection.reason


def test_csv_rows_of_another_width_are_rejected_and_an_open_quote_is_an_error(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('text,n\na,1\nb\nc,1,2\n\n"d, with\nlines",2\n')
    corpus = Corpus.from_file(path)
    assert list(corpus) == [Row("row-1", "a"), Row("row-4", "d, with\nlines")]
    assert corpus.rejections == [
        Rejection(2, None, "1 cells under 2 columns"),
        Rejection(3, None, "3 cells under 2 columns"),
    ]
    path.write_text('text,n\na,1\nb,2\n"c,3\nd,4\n')
    with pytest.raises(DataError, match=r"data.csv, line 5: .*check the quotes"):
        list(Corpus.from_file(path))


def test_a_text_longer_than_the_csv_module_likes(tmp_path):
    path = write_table(tmp_path / "data.csv", [{"text": "long " * 100_000}])
    assert len(next(iter(Corpus.from_file(path))).text) == 500_000


@pytest.mark.parametrize(
    ("value", "label"), [("1", 1), ("0", 0), ("1.0", 1), ("True", 1), ("false", 0), ("2", 2), ("-1", -1)]
)
def test_labels_as_files_write_them(tmp_path, value, label):
    (tmp_path / "data.csv").write_text(f"text,toxic\na,{value}\n")
    assert [row.label for row in Corpus.from_file(tmp_path / "data.csv", label_column="toxic")] == [label]


def test_labels_that_are_no_integers_are_rejected(tmp_path):
    (tmp_path / "data.csv").write_text("text,toxic\na,1\nb,\nc,0.5\nd,toxic\ne,nan\n")
    corpus = Corpus.from_file(tmp_path / "data.csv", label_column="toxic")
    assert [row.text for row in corpus] == ["a"]
    assert [r.reason for r in corpus.rejections] == [
        f"label {value!r} is not an integer" for value in ("", "0.5", "toxic", "nan")
    ]


def test_a_file_without_any_usable_row_is_an_error_that_shows_why(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": 1}\n{"text": ""}\n')
    corpus = Corpus.from_file(tmp_path / "data.jsonl")
    with pytest.raises(DataError, match="no usable row .row 1: text is of type int.*row 2: text is empty"):
        list(corpus)
    assert len(corpus.rejections) == 2


def test_the_digest_follows_the_content_and_the_columns(tmp_path):
    a = write_table(tmp_path / "a.csv", [{"text": "x", "other": "y"}])
    b = write_table(tmp_path / "b.csv", [{"text": "x", "other": "y"}])
    assert Corpus.from_file(a).digest == Corpus.from_file(b).digest
    assert Corpus.from_file(a).digest != Corpus.from_file(a, text_column="other").digest
    b.write_text(b.read_text() + "z,z\n")
    assert Corpus.from_file(a).digest != Corpus.from_file(b).digest
    rows = [Row("1", "x"), Row("2", "y", 1)]
    assert Corpus.from_rows("r", rows).digest == Corpus.from_rows("s", list(rows)).digest
    assert Corpus.from_rows("r", rows).digest != Corpus.from_rows("r", rows[::-1]).digest


def test_reading_a_file_takes_constant_memory(tmp_path):
    peaks = []
    for n in (2_000, 20_000):
        path = write_table(tmp_path / f"{n}.jsonl", [{"text": f"{i} " + "word " * 100} for i in range(n)])
        tracemalloc.start()
        assert sum(1 for _ in Corpus.from_file(path)) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The large file holds 10 MB of text; the reader keeps its buffers.
    assert peaks[1] < peaks[0] + 200_000


def test_head_draws_evenly_and_keeps_order_and_rejections():
    rows = [Row(str(i), "abcde"[i]) for i in range(5)]
    corpus = Corpus.from_rows("r", [*rows, Row("5", "")])
    drawn = Counter()
    for seed in range(1000):
        sample = list(corpus.head(2, seed))
        assert len(sample) == 2 and sample == sorted(sample)
        drawn.update(row.id for row in sample)
    # 400 expected each; the standard deviation is 15.5.
    assert all(abs(count - 400) < 5 * 15.5 for count in drawn.values()) and len(drawn) == 5

    head = corpus.head(3, seed=1)
    assert list(head) == list(corpus.head(3, seed=1)) and head.digest == corpus.head(3, seed=1).digest
    assert head.digest != corpus.head(3, seed=2).digest
    assert [r.reason for r in head.rejections] == ["text is empty"]
    assert list(corpus.head(99, seed=1)) == rows


def test_open_corpus_reads_files_below_the_project_root(tmp_path, monkeypatch):
    monkeypatch.setenv("FAC_LAB_HOME", str(tmp_path))
    write_table(tmp_path / "mine.tsv", [{"q": "a"}, {"q": "b"}, {"q": "c"}])
    whole = open_corpus(CorpusSettings(source="mine.tsv", text_column="q"), "seed")
    assert [row.text for row in whole] == ["a", "b", "c"] and whole.name == "seed"
    assert len(list(open_corpus(CorpusSettings(source="mine.tsv", text_column="q", n=2), "seed"))) == 2


def test_the_mini_world_leaves_the_held_out_concepts_out():
    whole = open_corpus(CorpusSettings(source="mini", n=800, seed=1), "anchor")
    rows = list(whole)
    assert len(rows) == 800 and len({row.id for row in rows}) == 800
    assert rows == list(open_corpus(CorpusSettings(source="mini", n=800, seed=1), "anchor"))
    harmful = {concept.id for concept in world.concepts() if concept.harmful}
    assert all(row.label == (row.concept in harmful) for row in rows)

    settings = CorpusSettings(source="mini", n=800, seed=1, held_out=40, held_out_seed=3)
    left_out = {concept.id for concept in world.hold_out(40, seed=3)}
    seed = open_corpus(settings, "seed")
    assert len(left_out) == 40 and not left_out & {row.concept for row in seed}
    assert left_out & {row.concept for row in rows} and seed.digest != whole.digest


def test_split_parts_are_disjoint_complete_in_order_and_seeded(tmp_path):
    rows = [Row(f"r{i}", f"text {i}") for i in range(50)]
    corpus = Corpus.from_rows("all", rows)
    drawn, rest = corpus.split(20, seed=3)
    assert len(list(drawn)) == 20
    assert sorted([*drawn, *rest], key=rows.index) == rows
    assert list(drawn) == sorted(drawn, key=rows.index)
    again, _ = corpus.split(20, seed=3)
    assert list(again) == list(drawn) and again.digest == drawn.digest
    assert len({corpus.digest, drawn.digest, rest.digest}) == 3
    with pytest.raises(DataError, match="50 usable rows"):
        corpus.split(50, seed=0)
