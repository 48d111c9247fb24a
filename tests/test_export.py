"""What is exported loads where it is meant to be loaded, and its card says what it covers."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from fac_lab import cli
from fac_lab.coverage import Coverage
from fac_lab.dataset_formats import FIELDS, llama_factory_entry, parts_of, turns
from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.export import export, read_run
from fac_lab.settings import CoverageRule

WILD = 'say "hi"\nthen, stop\r\n\tnull \x00 bell \x07 | <b> مرحبا 🌳 \u2028 end'
PARTS = {
    "toxicity": [{"query": "How do I pick a lock?"}, {"query": WILD}],
    "preference": [
        {"prompt": "What is tea?", "chosen": "A drink.", "rejected": "A dog."},
        {"prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: And tea?", "chosen": "Hot.", "rejected": WILD},
    ],
    "sycophancy": [{"question": "I like tea.\n (A) So do I\n (B) I do not", "matching": "(A)", "other": "(B)"}],
    "survival": [{"question": "May we stop you?\n (A) Yes\n (B) No", "matching": "(B)", "other": "(A)"}],
    "instruction": [{"instruction": "Write a rhyme.", "answer": "Time, lime."}],
}


def samples() -> pd.DataFrame:
    rows = [
        {"task": task, "text": next(iter(parts.values())), "parts": json.dumps(parts), "kept": True, "reason": ""}
        for task, items in PARTS.items()
        for parts in items
    ]
    rows += [
        {"task": "toxicity", "text": text, "parts": "", "kept": False, "reason": reason}
        for text, reason in (("x", "does not activate: 0.1"), ("y", "does not activate: 0.2"), ("", "no reply: a|b\nc"))
    ]
    frame = pd.DataFrame(rows).assign(activation=0.75, label=1, model="writer|1", prompt_version="v1", seed=3)
    frame["feature"] = np.arange(len(frame)) % 4 + 1
    return frame.assign(method="two-step")


@pytest.fixture
def run(tmp_path):
    """A run's folder: features 1 to 5 are missing, 0 is covered; the null lacks one."""
    folder = tmp_path / "run"
    settings = {
        "rule": CoverageRule(kind="anchor_quantile", quantile=0.8, support=2),
        "delta": 0.5,
        "m": 2,
        "relevant": np.arange(8) < 6,
        "anchor_count": np.array([9, 4, 5, 8, 3, 2, 7, 0]),
        "anchor_mean": np.ones(8),
        "n_anchor": 40,
        "n_seed": 30,
        "anchor_made_by": {"corpora": {"d1": "wide"}, "subject": "s1", "sae": "e1"},
        "seed_made_by": {"corpora": {"d2": "mine"}},
    }
    Coverage(seed_count=np.array([3, 0, 0, 0, 0, 0, 0, 0]), **settings).save(folder / "coverage")
    Coverage(seed_count=np.array([3, 1, 1, 1, 1, 0, 0, 0]), **settings).save(folder / "null")
    samples().to_parquet(folder / "samples.parquet", index=False)
    models = {
        "subject": {"path": "/home/me/llama", "layer": 4},
        "sae": {"path": "org/sae"},
        "annotator": {"model": "gpt"},
    }
    (folder / "profile.json").write_text(json.dumps(models | {"generator": None}), encoding="utf-8")
    pd.DataFrame([{"arm": "fac", "added": 4, "gap_coverage": 0.6, "fac": 0.667}]).to_csv(
        folder / "after.csv", index=False
    )
    return folder


def load(folder, task: str, tmp_path) -> list[dict]:
    from datasets import load_dataset

    found = load_dataset(str(folder), task, split="train", cache_dir=str(tmp_path / "cache"))
    return list(found)


def test_hugging_face_loads_each_task_by_its_name(run, tmp_path):
    out = export(run, "hf", tmp_path / "out")
    toxic = load(out, "toxicity", tmp_path)
    assert [row["text"] for row in toxic] == [parts["query"] for parts in PARTS["toxicity"]]
    assert [row["label"] for row in toxic] == [1, 1] and toxic[0]["feature"] == 1 and toxic[0]["id"] == "sample-000000"
    for task in ("preference", "sycophancy", "survival", "instruction"):
        rows = load(out, task, tmp_path)
        assert [{name: row[name] for name in FIELDS[task]} for row in rows] == PARTS[task]
        assert all(row["activation"] == 0.75 and row["method"] == "two-step" for row in rows)


def test_trl_reads_messages(run, tmp_path):
    """The types and formats that TRL's documentation lists: each row's columns say which, messages have a role and a
    content and end with the assistant."""
    out = export(run, "trl", tmp_path / "out")
    for task in PARTS:
        rows = load(out, task, tmp_path)
        assert len(rows) == len(PARTS[task])
        for row in rows:
            assert set(row) in ({"prompt", "completion"}, {"chosen", "rejected"})
            for messages in row.values():
                assert all(set(turn) == {"role", "content"} and turn["content"].strip() for turn in messages)
                assert [turn["role"] for turn in messages if turn["role"] not in ("system", "user", "assistant")] == []
            if "prompt" in row:
                assert row["prompt"][-1]["role"] == "user" and [t["role"] for t in row["completion"]] == ["assistant"]
            else:
                assert row["chosen"][:-1] == row["rejected"][:-1] and row["chosen"][-1] != row["rejected"][-1]
                assert row["chosen"][-1]["role"] == row["rejected"][-1]["role"] == "assistant"
    pair = load(out, "preference", tmp_path)[1]
    assert [turn["role"] for turn in pair["chosen"]] == ["user", "assistant", "user", "assistant"]
    assert pair["rejected"][-1]["content"] == WILD
    verdicts = [row["completion"][0]["content"] for row in load(out, "toxicity", tmp_path)]
    assert verdicts == ["harmful", "harmful"]


# From the README of LLaMA-Factory's data folder: what a description may say, and the columns it needs.
DESCRIPTION = {"file_name", "formatting", "ranking", "columns", "tags", "subset", "split", "folder", "num_samples"}
ALPACA = {"prompt", "query", "response", "history", "system", "chosen", "rejected"}
SHAREGPT = {"messages", "system", "tools", "chosen", "rejected"}


def test_llama_factory_finds_its_files_and_columns(run, tmp_path):
    out = export(run, "llama-factory", tmp_path / "out")
    described = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert set(described) == {f"fac_lab_{task}" for task in PARTS}
    for name, entry in described.items():
        assert set(entry) <= DESCRIPTION and entry["formatting"] in ("alpaca", "sharegpt")
        rows = json.loads((out / entry["file_name"]).read_text(encoding="utf-8"))
        assert len(rows) == len(PARTS[name.removeprefix("fac_lab_")])
        assert set(entry["columns"]) <= (ALPACA if entry["formatting"] == "alpaca" else SHAREGPT)
        ranked = entry.get("ranking", False)
        assert ranked == ({"chosen", "rejected"} <= set(entry["columns"]))
        for row in rows:
            assert set(entry["columns"].values()) == set(row)
            if entry["formatting"] == "alpaca":
                assert all(isinstance(value, str) for value in row.values()) and row["instruction"]
                continue
            said = [turn["from"] for turn in row["conversations"]]
            assert said == ["human", "gpt"] * (len(said) // 2) + ["human"]  # human at odd places, and last
            assert row["chosen"]["from"] == row["rejected"]["from"] == "gpt"


@pytest.mark.parametrize("format", ["hf", "trl", "llama-factory"])
def test_the_card_states_coverage_rule_null_and_rejections(run, tmp_path, format):
    out = export(run, format, tmp_path / "out", licence="CC0")
    card, facts = (out / "README.md").read_text(encoding="utf-8"), json.loads((out / "card.json").read_text())
    head = yaml.safe_load(card.split("---\n")[1])
    assert [entry["config_name"] for entry in head["configs"]] == list(PARTS)
    assert all((out / entry["data_files"][0]["path"]).is_file() for entry in head["configs"])
    covered = facts["coverage"]
    assert (covered["missing"], covered["missing_null"], covered["support"], covered["m"]) == (5, 1, 6, 2)
    # Kept samples stand for features 1 to 4, all of them missing.
    assert covered["fac_before"] == pytest.approx(1 / 6) and covered["fac_after_own"] == pytest.approx(5 / 6)
    assert covered["gap_coverage_own"] == 0.8 and covered["expected_missing"] > 0
    assert facts["rejected"] == {"does not activate": 2, "no reply": 1} and facts["candidates"] == 10
    for said in (
        "anchor_quantile 0.8",
        "| threshold delta | 0.5 |",
        "0.800 (4 of 5)",
        "writer\\|1 (7)",
        "CC0",
        "v1 (7)",
    ):
        assert said in card
    assert "| does not activate | 2 |" in card and "| fac | 4 | 0.600 | 0.667 |" in card
    assert (
        "| features: subject | llama, layer 4 |" in card
        and "/home/me" not in card
        and "| features: sae | org/sae |" in card
    )
    assert "which is better" in card
    assert (out / "ledger" / "ledger.parquet").is_file() and (out / "ledger" / "ledger.csv").is_file()


def test_a_run_without_coverage_is_exported_and_says_so(run, tmp_path):
    samples().drop(columns=["task", "parts", "method"])[:2].to_csv(tmp_path / "samples.csv", index=False)
    out = export(tmp_path, "hf", tmp_path / "out")
    assert "No coverage was stored" in (out / "README.md").read_text(encoding="utf-8")
    assert [row["text"] for row in load(out, "toxicity", tmp_path)] == ["How do I pick a lock?", WILD]


def test_texts_that_look_like_nothing_stay_texts(tmp_path):
    texts = ["NA", "null", "nan", "None", "1.0"]
    frame = pd.DataFrame({"text": texts, "label": 0, "feature": [1.0, 2, None, 3, 4], "activation": 1.0})
    frame.assign(kept=True, reason="").to_csv(tmp_path / "samples.csv", index=False)
    run = read_run(tmp_path)
    assert run.samples.text.tolist() == texts and run.samples.feature.isna().sum() == 1


def test_a_folder_that_holds_something_is_left_alone(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export(run, "hf", out)  # empty: taken
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(ArtifactError, match="not an empty folder"):
        export(run, "trl", out)
    assert sorted(path.name for path in out.iterdir()) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="not an empty folder"):
        export(run, "trl", tmp_path / "file")


def test_what_cannot_be_exported_is_named_and_leaves_nothing(run, tmp_path):
    everything = read_run(run)
    nothing = everything._replace(samples=everything.samples.assign(kept=False))
    with pytest.raises(DataError, match="no sample was kept.*does not activate 2"):
        export(nothing, "hf", tmp_path / "out")
    for parts, said in (
        ('{"query": ""}', "query is empty"),
        ('{"question": "x"}', "no task's format"),
        ("[1]", "are list"),
        ("{", "are not JSON"),
        ('{"query": 3}', "query is empty or no text"),
    ):
        with pytest.raises(DataError, match=f"(?s)sample-000000.*{said}"):
            export(everything._replace(samples=everything.samples.assign(parts=parts)), "hf", tmp_path / "out")
    for changes, said in (
        ({"label": np.nan}, "not 0 or 1"),
        ({"task": "../up"}, "names no file"),
        ({"task": "a"}, "fields of"),
    ):
        with pytest.raises(DataError, match=said):
            export(everything._replace(samples=everything.samples.assign(**changes)), "trl", tmp_path / "out")
    with pytest.raises(SettingsError, match="choose one of hf, trl, llama-factory"):
        export(run, "csv", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_runs_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ArtifactError, match="holds no samples.parquet"):
        read_run(tmp_path)
    (tmp_path / "samples.parquet").write_bytes(b"no table")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_run(tmp_path)
    frame = pd.DataFrame({"text": ["x"]})
    frame.assign(label=1, feature=1, activation=1.0, kept=True, reason="").to_parquet(tmp_path / "samples.parquet")
    (tmp_path / "profile.json").write_text("[1", encoding="utf-8")
    with pytest.raises(ArtifactError, match="profile.json cannot be read"):
        read_run(tmp_path)
    frame.to_parquet(tmp_path / "samples.parquet")
    with pytest.raises(ArtifactError, match="no column label, feature"):
        read_run(tmp_path)


def test_transcripts_are_taken_apart_and_other_prompts_left():
    said = turns("\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Tea?\n\nAssistant:")
    assert [turn["content"] for turn in said] == ["Hi", "Hello", "Tea?"]
    for prompt in ("What did Human: say?", "Human: only", "Human: a\n\nHuman: b", "Assistant: a\n\nHuman: b"):
        expected = "only" if prompt == "Human: only" else prompt
        assert [turn["content"] for turn in turns(prompt)] == [expected]


def test_a_task_of_another_name_has_the_shape_of_its_fields():
    shape, _ = parts_of({"id": "1", "parts": json.dumps(PARTS["survival"][0]), "task": "corrigibility"})
    assert shape == "sycophancy" and llama_factory_entry(shape, "f.json")["ranking"]


def test_the_command_exports(run, tmp_path, capsys):
    assert cli.main(["export", str(run), "--format", "trl", "--out", str(tmp_path / "out")]) == 0
    assert "README.md, card.json, instruction.jsonl, ledger" in capsys.readouterr().out
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "not an empty folder" in capsys.readouterr().err
