"""Whatever a file holds, what reads it says so in words: no other error, no crash, no endless recursion."""

import json
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.dictionary import drawn
from benchmarks.load_folder import write_audit
from fac_lab.browsing.edits import Journal
from fac_lab.browsing.neuronpedia import read_labels
from fac_lab.browsing.opening import open_audit
from fac_lab.chat.cache import ReplyCache
from fac_lab.chat.failures import FailureFile
from fac_lab.corpora import Corpus
from fac_lab.coverage import Coverage, cover
from fac_lab.errors import FacLabError, printable
from fac_lab.export import read_run
from fac_lab.features.saes import load_sae
from fac_lab.features.stats import FeatureStats
from fac_lab.features.subject import Subject
from fac_lab.ledger import make_ledger, write_ledger
from fac_lab.planning.facts import model_facts, sae_facts
from fac_lab.profile import as_dict, load_profile, project_root
from fac_lab.rating.lines import read_answers
from fac_lab.rating.sheet import Sheet, load_questions, sample_sheet
from fac_lab.recipes.records import open_records
from fac_lab.settings import CoverageRule, ModelSettings, SaeSettings
from fac_lab.store import Artifact, Store
from fac_lab.studies.stored import read_result, results_folder
from tests.faults.mutating import damaged

FEATURES = 30
MINI = project_root() / "data" / "mini" / "llama"
ROWS = [{"key": f"k{i}", "query": f'how do I bake "{i}"?', "toxic": i % 2} for i in range(6)]
LABEL = {"modelId": "gpt2", "layer": "6-res", "description": "bread", "explanationModelName": "m"}
ANSWER = {"sheet": "s", "question": "natural", "answer": "yes", "rater": "ann", "by": "person", "at": "2026-01-01"}


def stats(n: int, seed: int) -> FeatureStats:
    return drawn(n, FEATURES, 5, seed=seed)[0]


def lines(path: Path, values) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def corpus(suffix: str):
    def make(folder: Path):
        path, frame = folder / f"data{suffix}", pd.DataFrame(ROWS)
        if suffix == ".jsonl":
            lines(path, ROWS)
        elif suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False, sep={".csv": ",", ".tsv": "\t"}[suffix])
        columns = {"text_column": "query", "id_column": "key", "label_column": "toxic"}
        return lambda: list(Corpus.from_file(path, **columns))

    return make


def records(folder: Path):
    path = folder / "data.json"
    path.write_text(json.dumps(ROWS))
    return lambda: list(open_records(path, ["key", "query"]).rows())


def profile(folder: Path):
    path = folder / "mine.yaml"
    settings = as_dict(load_profile("mini"))
    some = {key: settings[key] for key in ("rule", "collect", "subject")}
    path.write_text(yaml.safe_dump({"extends": "mini", **some}))
    return lambda: load_profile(path)


def statistics(folder: Path):
    stats(50, 1).save(folder / "stats")
    return lambda: FeatureStats.load(folder / "stats").spans(0)


def coverage(folder: Path):
    cover(stats(50, 1), stats(20, 2), CoverageRule(support=1)).save(folder / "coverage")
    return lambda: (Coverage.load(folder / "coverage").fac, Coverage.load(folder / "coverage").missing)


def artifact(folder: Path):
    store = Store(folder)

    def build(made: Artifact) -> dict:
        made.write_json("number.json", {"n": 1})
        made.write_frame("frame.parquet", pd.DataFrame({"a": [1]}))
        return {"n": 1}

    store.once("step", build, version=1, k=1)

    def read():
        found = store.once("step", build, version=1, k=1)
        known = [found.facts for found in store.finished("step")]
        return known, found.read_json("number.json"), found.read_frame("frame.parquet")

    return read


def audit(folder: Path):
    write_audit(folder, FEATURES * 2, 200, active=10)
    lines(folder / "mine.jsonl", [{"id": "a", "text": "how do I bake"}])
    mine = {"file": str(folder / "mine.jsonl"), "text_column": "text", "id_column": "id", "digest": "of old"}
    asked = {"anchor": mine, "seed": mine, "limit": 5, "profile": as_dict(load_profile("smoke"))}
    (folder / "audit.json").write_text(json.dumps(asked))
    return lambda: open_audit(folder).numbers()


def result(folder: Path):
    for suffix in (".csv", ".json"):
        shutil.copy(results_folder() / f"numerics{suffix}", folder)
    return lambda: read_result("numerics", folder)


def run(folder: Path):
    rows = [{"id": f"s{i}", "feature": i, "text": f"bake {i}", "label": 1, "activation": 0.5} for i in range(3)]
    samples = pd.DataFrame(rows).assign(kept=True, reason="", task="toxicity", parts="", method="two-step")
    samples = samples.assign(model="m", prompt_version="v", seed=0)
    found = cover(stats(50, 1), stats(20, 2), CoverageRule(support=1))
    for name in ("coverage", "null"):
        found.save(folder / name)
    samples.to_parquet(folder / "samples.parquet", index=False)
    write_ledger(make_ledger(samples, found), folder)
    pd.DataFrame({"arm": ["a", "b"], "added": [1, 2], "fac": [0.5, 0.6]}).to_csv(folder / "after.csv", index=False)
    (folder / "profile.json").write_text(json.dumps(as_dict(load_profile("mini"))))
    return lambda: read_run(folder)


def labels(suffix: str):
    def make(folder: Path):
        path = folder / f"labels{suffix}"
        found = [LABEL | {"index": str(i), "scores": [{"value": 0.5}]} for i in range(4)]
        lines(path, found) if suffix == ".jsonl" else path.write_text(json.dumps(found))
        return lambda: read_labels(path, d_sae=FEATURES)

    return make


def sheet(folder: Path):
    made, _ = sample_sheet("x", [{"text": "a"}, {"text": "b"}], load_questions(["natural"]))
    made.save(folder / "sheet.json")
    return lambda: Sheet.load(folder / "sheet.json")


def answers(suffix: str):
    def make(folder: Path):
        path, found = folder / f"answers{suffix}", [ANSWER | {"item": f"i{i}"} for i in range(4)]
        lines(path, found) if suffix == ".jsonl" else pd.DataFrame(found).to_csv(path, index=False)
        return lambda: list(read_answers(path))

    return make


def journal(folder: Path):
    path, of = folder / "edits.jsonl", {"sae": "s", "d_sae": FEATURES, "name": "n", "labels": "l"}
    first = Journal(path, **of)
    first.edit_summary(3, "bread", by="ann")
    first.override_verdict(4, "Yes", by="ann")
    first.undo(by="ann")
    first.decide_sample(5, "text", "accept", by="bob")

    def read():
        found = Journal(path, **of)
        return found.overlay(), found.history(3), found.undo(by="ann")

    return read


def cached(folder: Path):
    cache, question = ReplyCache(folder / "cache"), {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    cache.put(question, {"text": "a", "finish": "stop", "prompt_tokens": 1, "completion_tokens": 2})
    return lambda: cache.get(question)


def failures(folder: Path):
    path = folder / "failures.jsonl"
    request = {"messages": [], "temperature": 0, "top_p": 1, "max_tokens": 5, "seed": 1, "schema": None}
    FailureFile(path).append({"backend": "b", "error": "e", "request": request})

    def read():
        before = path.read_bytes()
        kept = FailureFile(path).requests()
        if not kept:
            FailureFile(path).keep_only([])
            assert path.read_bytes() == before[: before.rfind(b"\n") + 1], "what is no request stays as it was"

    return read


def sae(folder: Path):
    shutil.copytree(MINI / "sae", folder / "sae")
    settings = SaeSettings("folder", str(folder / "sae"))
    return lambda: (load_sae(settings), sae_facts(settings))


def model(folder: Path):
    shutil.copytree(MINI, folder / "model", ignore=shutil.ignore_patterns("sae"))
    settings = ModelSettings(str(folder / "model"), layer=1, max_tokens=64)
    return lambda: (model_facts(settings.path), Subject.load(settings, device="cpu").tokenize(["hi"]))


QUICK = {
    "corpus.jsonl": corpus(".jsonl"),
    "corpus.csv": corpus(".csv"),
    "corpus.tsv": corpus(".tsv"),
    "corpus.parquet": corpus(".parquet"),
    "records": records,
    "profile": profile,
    "statistics": statistics,
    "coverage": coverage,
    "artifact": artifact,
    "result": result,
    "labels.json": labels(".json"),
    "labels.jsonl": labels(".jsonl"),
    "sheet": sheet,
    "answers.jsonl": answers(".jsonl"),
    "answers.csv": answers(".csv"),
    "journal": journal,
    "cache": cached,
    "failures": failures,
}
SLOW = {"audit": audit, "run": run, "sae": sae, "model": model}


@contextmanager
def heard() -> Iterator[list[str]]:
    """What the package logs meanwhile, kept from everybody else: reports cannot hold every character."""
    log, said = logging.getLogger("fac_lab"), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    propagates, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


def survives(make: Callable[[Path], Callable], folder: Path, times: int) -> None:
    """Make what can be read; then damage one of its files at a time, and read."""
    read = make(folder)
    read()
    whole = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"}
    refused = 0
    for number in range(times):
        for path in [path for path in folder.rglob("*") if path.is_file() and path not in whole]:
            path.unlink()
        for path, content in whole.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        rng = random.Random(number)
        path = rng.choice(list(whole))
        path.write_bytes(damaged(whole[path], path.suffix, rng))
        try:
            with heard() as said:
                read()
        except FacLabError as error:
            refused += 1
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"damage {number} to {path.name}: {type(error).__name__}: {error!a}") from None
        for message in said:
            assert 0 < len(message.strip()) < 2000, f"damage {number} to {path.name}: {message[:500]!a}"
            if message != printable(message):
                raise AssertionError(f"damage {number} to {path.name}: {message!a}")
    assert refused or make in PATIENT


PATIENT = (QUICK["answers.jsonl"], cached, failures)
"""What is read line by line, or asked again: nothing in it is refused as a whole."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", QUICK)
def test_damage_is_said(tmp_path, what):
    survives(QUICK[what], tmp_path, 60)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", [*QUICK, *SLOW])
def test_much_damage_is_said(tmp_path, what):
    survives((QUICK | SLOW)[what], tmp_path, 1500 if what in QUICK else 150)
