"""Collection by shards against one process, on a local Ray with two workers, one of which is killed."""

import importlib.util
import os
import shutil
import signal
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fac_lab.cli import main
from fac_lab.corpora import Corpus
from fac_lab.errors import ArtifactError, DataError, ModelError, SettingsError
from fac_lab.features.collect import collect
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.profile import load_profile
from fac_lab.scale import collect_shards, merged
from fac_lab.shards import Shards, open_shards, write_shards
from fac_lab.workers import ShardWorker

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: pip install -c requirements.lock -e '.[scale]'",
)
CHUNK = 20


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    torch.set_num_threads(1)
    profile = load_profile("smoke")
    settings = replace(profile.collect, chunk=CHUNK, batch_tokens=256, top_spans=3)
    return Lab.open(replace(profile, collect=settings), out=tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def corpus(lab) -> Corpus:
    """190 rows: five shards of 40, the last one not full."""
    return Corpus.from_rows("queries", islice(lab.corpus("anchor"), 190))


@pytest.fixture(scope="module")
def shards(lab, corpus) -> Shards:
    return write_shards(corpus, lab.store, rows=2 * CHUNK)


@pytest.fixture(scope="module")
def expected(lab, corpus) -> FeatureStats:
    return collect(lab.subject, lab.sae, corpus, lab.profile.collect, progress=False)


@pytest.fixture
def empty(lab, tmp_path) -> Lab:
    """The same models with an empty store."""
    other = Lab(lab.profile, tmp_path)
    other.subject, other.sae = lab.subject, lab.sae
    return other


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """Numbers of texts the model of this process has read, one per chunk."""
    from fac_lab.features.subject import Subject

    seen, tokenize = [], Subject.tokenize

    def counted(self, texts, *how):
        seen.append(len(texts))
        return tokenize(self, texts, *how)

    monkeypatch.setattr(Subject, "tokenize", counted)
    return seen


def in_this_process(lab: Lab, shards: Shards) -> FeatureStats:
    return collect_shards(shards, lab.reader, lab.store, progress=False)


def identical(a: FeatureStats, b: FeatureStats) -> bool:
    for name in ("n_samples", "n_tokens", "n_truncated", "truncated_ids", "made_by"):
        assert getattr(a, name) == getattr(b, name), name
    np.testing.assert_array_equal(a.histogram, b.histogram)
    np.testing.assert_array_equal(a.maximum.view(np.uint32), b.maximum.view(np.uint32))
    assert all(a.spans(feature) == b.spans(feature) for feature in range(a.d_sae))
    return True


def artifacts(lab: Lab, shards: Shards) -> list[Path]:
    worker = ShardWorker(lab.reader, shards, str(lab.store.root))
    return [worker.artifact(number).path for number in range(len(shards.files))]


def test_shards_hold_the_corpus(shards, corpus):
    assert [shard.rows for shard in shards.files] == [40, 40, 40, 40, 30]
    assert [(row.id, row.text) for row in shards.corpus()] == [(row.id, row.text) for row in corpus]
    assert shards.digest == shards.corpus().digest == corpus.digest


def test_shards_give_what_one_process_gives(empty, shards, expected, read):
    stats = in_this_process(empty, shards)
    assert identical(stats, expected) and stats.n_samples == 190
    done = len(read)
    assert identical(in_this_process(empty, shards), expected)
    assert len(read) == done  # found, not read again


def test_the_order_of_shards_changes_nothing(empty, shards, expected):
    other = replace(shards, files=shards.files[3:] + shards.files[:3][::-1])
    stats = in_this_process(empty, other)
    stats.made_by = expected.made_by  # a corpus in another order is another corpus by name
    assert identical(stats, expected)


def test_a_lab_keeps_the_result_as_that_of_the_corpus(empty, corpus, shards, expected, read):
    assert identical(empty.stats_of_shards(shards, progress=False), expected)
    done = len(read)
    assert identical(empty.stats(corpus), expected)
    assert len(read) == done


@pytest.mark.slow
@needs_ray
@pytest.mark.filterwarnings("ignore")  # Ray's own, of its files, sockets and deprecations
def test_two_workers_on_ray_one_of_them_killed(empty, shards, expected):
    """A worker dies while it works on a shard; Ray starts another, and nothing is missing or counted twice."""
    victims: list[int] = []
    over = threading.Event()
    watch = threading.Thread(target=kill_a_worker, args=(empty.store.root / "shard-stats", victims, over))
    watch.start()
    try:
        stats = collect_shards(shards, empty.reader, empty.store, workers=2, progress=False)
    finally:
        over.set()
        watch.join()
    assert len(victims) == 1
    assert identical(stats, expected)
    facts = [ShardWorker(empty.reader, shards, str(empty.store.root)).artifact(n).facts for n in range(5)]
    assert [fact["samples"] for fact in facts] == [40, 40, 40, 40, 30]


def kill_a_worker(folder: Path, victims: list[int], over: threading.Event) -> None:
    """Kill (as a crash would) the first process that has a shard in work."""
    while not over.wait(0.001):
        for holder in folder.glob("*.holder"):
            words = holder.read_text().split() if holder.exists() else []
            if len(words) > 1 and int(words[1]) != os.getpid():
                psutil.Process(int(words[1])).send_signal(signal.SIGKILL)
                victims.append(int(words[1]))
                return


class Killed(BaseException):
    """Stands for a kill: no handler of the package may catch it."""


def test_a_killed_run_costs_the_shard_in_work(empty, shards, expected, read, monkeypatch):
    began = []

    def dying(*args, **options):
        began.append(1)
        if len(began) == 4:
            raise Killed
        return collect(*args, **options)

    monkeypatch.setattr("fac_lab.features.collect.collect", dying)
    with pytest.raises(Killed):
        in_this_process(empty, shards)
    monkeypatch.undo()
    assert [path.exists() and (path / "manifest.json").exists() for path in artifacts(empty, shards)] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert identical(in_this_process(empty, shards), expected)


@pytest.mark.parametrize("damage", ["cut", "no manifest", "cut and no manifest", "manifest cut"])
def test_a_half_written_shard_is_made_again(empty, shards, expected, caplog, damage):
    in_this_process(empty, shards)
    path = artifacts(empty, shards)[2]
    if damage.startswith("cut"):
        counts = path / "counts.npz"
        counts.write_bytes(counts.read_bytes()[:100])
    if damage.endswith("no manifest"):
        (path / "manifest.json").unlink()
    if damage == "manifest cut":
        (path / "manifest.json").write_text("{")
    assert identical(in_this_process(empty, shards), expected)
    assert ("made again now" in caplog.text) == (damage != "no manifest")
    assert all((path / "manifest.json").exists() for path in artifacts(empty, shards))


def test_other_models_are_refused(empty, shards):
    """A worker that finds another tokenizer, model or SAE than the run was planned with, reads nothing."""
    for key, word in (("tokenizer_digest", "tokenizer"), ("subject_digest", "model"), ("sae_digest", "SAE")):
        reader = replace(empty.reader, **{key: "another"})
        with pytest.raises(ModelError, match=rf"5 of 5 shards failed.*the {word} .*instead of another"):
            collect_shards(shards, reader, empty.store, progress=False)


def test_statistics_of_two_tokenizers_are_not_merged(lab, corpus, expected, tmp_path):
    """Same weights, same SAE; the tokenizers differ in one setting."""
    from fac_lab.features.subject import Subject
    from fac_lab.profile import resolve

    folder = tmp_path / "model"
    shutil.copytree(resolve(lab.profile.subject.path), folder, ignore=shutil.ignore_patterns("sae*"))
    tokenizer = (folder / "tokenizer.json").read_text()
    assert '"ignore_merges":false' in "".join(tokenizer.split())
    (folder / "tokenizer.json").write_text(tokenizer.replace('"ignore_merges": false', '"ignore_merges": true'))
    other = Subject.load(replace(lab.profile.subject, path=str(folder)))
    assert other.digest != lab.subject.digest
    part = Corpus.from_rows("part", islice(corpus, 5))
    expected.save(tmp_path / "a")
    collect(other, lab.sae, part, lab.profile.collect, progress=False).save(tmp_path / "b")
    with pytest.raises(SettingsError, match=r"b does not fit those before it.*differ in their subject"):
        merged([tmp_path / "a", tmp_path / "b"])


def test_merging_takes_any_order_and_nothing_is_an_error(lab, corpus, tmp_path):
    for number in range(3):
        part = Corpus.from_rows(f"part {number}", islice(corpus, 20 * number, 20 * number + 20))
        collect(lab.subject, lab.sae, part, lab.profile.collect, progress=False).save(tmp_path / str(number))
    assert identical(merged(tmp_path / n for n in "012"), merged(tmp_path / n for n in "201"))
    with pytest.raises(DataError, match="no statistics"):
        merged([])


def table(path: Path, ids: list | None, texts: list) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"query": texts} | ({"key": ids} if ids else {})), path)
    return path


def test_files_of_others_are_shards(empty, corpus, tmp_path):
    """Ids are used in two files, one file is empty, a row is unusable; the sizes are no multiples of a chunk."""
    texts = [row.text for row in islice(corpus, 70)]
    folder = tmp_path / "web"
    table(folder / "b.parquet", [str(n) for n in range(37)], texts[33:])
    table(folder / "a.parquet", [str(n) for n in range(34)], [*texts[:33], " "])
    pq.write_table(
        pa.table({"query": pa.array([], pa.string()), "key": pa.array([], pa.string())}), folder / "c.parquet"
    )
    shards = open_shards(folder, text_column="query", id_column="key")
    assert [shard.rows for shard in shards.files] == [34, 37]
    rows = list(shards.corpus())
    assert [row.text for row in rows] == texts
    assert (rows[0].id, rows[33].id) == ("a/0", "b/0")
    stats = in_this_process(empty, shards)
    assert stats.n_samples == 70 and stats.made_by["corpora"] == {shards.digest: "web"}
    whole = collect(empty.subject, empty.sae, shards.corpus(), empty.profile.collect, progress=False)
    assert (stats.n_samples, stats.n_tokens) == (whole.n_samples, whole.n_tokens)
    # Other batches bring other rounding, which may carry a value over an edge.
    assert np.abs(stats.histogram - whole.histogram).sum() <= 2
    np.testing.assert_allclose(stats.maximum, whole.maximum, rtol=1e-4)


def test_unusable_shards_are_named_before_any_work(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        open_shards(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no .parquet"):
        open_shards(tmp_path)
    whole = table(tmp_path / "a.parquet", None, ["hello", "there"])
    (tmp_path / "b.parquet").write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"b.parquet is not a whole parquet file.*still being written"):
        open_shards(tmp_path, text_column="query")
    with pytest.raises(DataError, match="two shards are named a"):
        open_shards([whole, whole], text_column="query")
    with pytest.raises(DataError, match="no column 'text'"):
        open_shards([whole])
    with pytest.raises(DataError, match="none of the 1 shards"):
        open_shards([table(tmp_path / "c.parquet", None, [])], text_column="query")


def test_one_bad_shard_does_not_cost_the_others(empty, tmp_path):
    """A shard that is changed after the planning fails, with its name; the next run does that one alone."""
    paths = [table(tmp_path / f"{name}.parquet", None, [f"How do I bake bread, {name}?"] * 3) for name in "abc"]
    shards = open_shards(paths, text_column="query")
    content = paths[1].read_bytes()
    table(paths[1], None, ["something else"])
    with pytest.raises(DataError, match=r"1 of 3 shards failed, the first of them .*b.parquet.*changed"):
        in_this_process(empty, shards)
    assert [(path / "manifest.json").exists() for path in artifacts(empty, shards)] == [True, False, True]
    paths[1].write_bytes(content)
    assert in_this_process(empty, shards).n_samples == 9


def test_without_ray_the_cure_is_named(empty, shards, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SettingsError, match=r"need Ray.*\[scale\]"):
        collect_shards(shards, empty.reader, empty.store, workers=2, progress=False)


def test_a_full_disk_is_not_taken_for_damage(empty, shards, monkeypatch):
    """What is finished stays when a later shard cannot be written."""
    in_this_process(empty, replace(shards, files=shards.files[:2]))

    def full(*args, **options):
        raise ArtifactError("the disk is full")

    monkeypatch.setattr("fac_lab.features.collect.collect", full)
    with pytest.raises(ArtifactError, match="3 of 5 shards failed.*the disk is full"):
        in_this_process(empty, shards)
    worker = ShardWorker(empty.reader, shards, str(empty.store.root))
    assert [worker.finished(number) for number in range(5)] == [True, True, False, False, False]


def test_the_command_collects_a_file_or_a_folder_for_the_audit_to_find(corpus, tmp_path, capsys, read):
    file = table(tmp_path / "texts.parquet", None, [row.text for row in islice(corpus, 30)])
    command = ["--text-column", "query", "--out", str(tmp_path / "run"), "--profile", "smoke"]
    assert main(["collect", str(file), *command]) == 0
    assert "1 shards, 30 samples" in capsys.readouterr().out
    done = len(read)
    stats = Lab.open("smoke", out=tmp_path / "run" / "store").stats(Corpus.from_file(file, text_column="query"))
    assert stats.n_samples == 30 and len(read) == done
    table(tmp_path / "web" / "a.parquet", None, ["How do I bake bread?"])
    table(tmp_path / "web" / "b.parquet", None, ["How do I bake bread?"])
    assert main(["collect", str(tmp_path / "web"), *command]) == 0
    assert "2 shards, 2 samples" in capsys.readouterr().out
