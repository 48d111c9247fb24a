"""Miniature files in the layouts of the real data sets (invented, mild), and the local copies where they are."""

import csv
import gzip
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fac_lab import cli
from fac_lab.check import named_data_row
from fac_lab.corpora import open_corpus
from fac_lab.digests import file_digest
from fac_lab.errors import DataError, SettingsError
from fac_lab.profile import load_profile
from fac_lab.recipes.catalogue import Catalogue, Mix, Part, catalogue
from fac_lab.recipes.sources import open_recipe, open_source
from fac_lab.rows import Instruction, Item, Pair, Rejection, Row
from fac_lab.settings import CorpusSettings

REAL = os.environ.get("FAC_LAB_DATA")
real_data = pytest.mark.skipif(not REAL, reason="FAC_LAB_DATA names no folder with copies of the real data sets")

TWO_TURNS = "\n\nHuman: How do I prune a rose?\n\nAssistant: Which kind?\n\nHuman: A climber.\n\nAssistant:"


def write(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records), path)
    elif name.endswith(".csv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    elif name.endswith(".json"):
        path.write_text(json.dumps(records, indent=2), encoding="utf-8")
    else:
        text = "".join(json.dumps(record) + "\n" for record in records)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def unpinned() -> Catalogue:
    """The catalogue without hashes and counts, which miniature files cannot have."""

    def bare(files):
        return tuple(replace(file, sha256=None) for file in files)

    known = catalogue()
    recipes = {
        name: replace(
            recipe,
            rows=None,
            files=bare(recipe.files),
            local=recipe.local and replace(recipe.local, rows=None, files=bare(recipe.local.files)),
        )
        for name, recipe in known.recipes.items()
    }
    return replace(known, recipes=recipes)


def toxic(conv_id, text, toxicity, by_people):
    return {
        "conv_id": conv_id, "user_input": text, "model_output": "I see.", "human_annotation": by_people,
        "toxicity": toxicity, "jailbreaking": 0, "openai_moderation": "[]",
    }  # fmt: skip


def transcripts(better, worse):
    return [{"chosen": f"{TWO_TURNS} {better}", "rejected": f"{TWO_TURNS} {worse}"}]


def caa(question):
    return [{"question": question, "answer_matching_behavior": "(B)", "answer_not_matching_behavior": "(A)"}]


# What each public repository holds, and the rows that have to come out.
RAW = {
    "toxicchat_test": (
        [toxic("t1", 'You fool, "fix"\nit', 1, "True"), toxic("t2", "hello", 0, "False"), toxic("t3", "hi", 0, "True")],
        [Row("t1", 'You fool, "fix"\nit', 1), Row("t3", "hi", 0)],
    ),
    "hh_helpful_base": (transcripts("In winter.", "Never."), [Row("helpful-base-1", "How do I prune a rose?")]),
    "hh_red_team_attempts": (
        [{"transcript": f"{TWO_TURNS} No.", "rating": 0.0, "tags": None}],
        [Row("red-team-attempts-1", "How do I prune a rose?")],
    ),
    "helpsteer2": (
        [
            {"prompt": "c#", "response": "A language.", "helpfulness": 3},
            {
                "prompt": "First?\n<extra_id_1>Assistant\nYes.\n<extra_id_1>User\nThen?",
                "response": "No.",
                "helpfulness": 1,
            },
        ],
        [Row("train-1", "c#"), Row("train-2", "First?")],
    ),
    "sharegpt": (
        [
            {"id": "x", "conversations": [{"from": "gpt", "value": "Hi"}, {"from": "human", "value": "Write a list"}]},
            {"id": "y", "conversations": [{"from": "gpt", "value": "only an answer"}]},
        ],
        [Row("conversation-1", "Write a list"), Rejection(2, "conversation-2", "no text")],
    ),
    "ultrachat_gen": (
        [
            {
                "prompt": "p",
                "prompt_id": "7",
                "messages": [{"content": "Plan a trip", "role": "user"}, {"content": "Ok", "role": "assistant"}],
            }
        ],
        [Row(f"gen-{i}-1", "Plan a trip") for i in range(3)],
    ),
    "hh_helpful_base_pairs": (
        transcripts("In winter.", "Never."),
        [Pair("helpful-base-1", TWO_TURNS, "In winter.", "Never.")],
    ),
    "helpsteer2_preference": (
        [
            {"split": split, "prompt": "Why?", "response_1": "one", "response_2": "two", "preference_strength": s}
            for split, s in (("train", 1), ("val", 1), ("train", -3), ("train", 0))
        ],
        [
            Pair("preference-1", "Why?", "two", "one"),
            Pair("preference-3", "Why?", "one", "two"),
            Rejection(4, None, "strength 0 prefers neither answer"),
        ],
    ),
    "rewardbench": (
        [
            {"id": i, "prompt": "Name a tree", "chosen": "Oak", "rejected": "Rock", "subset": subset}
            for i, subset in ((30, "alpacaeval-easy"), (31, "math-prm"), (32, "unheard-of"))
        ],
        [
            Pair("30", "Name a tree", "Oak", "Rock", "Chat"),
            Pair("31", "Name a tree", "Oak", "Rock", "Reasoning"),
            Rejection(3, None, "section 'unheard-of' is not listed in the recipe"),
        ],
    ),
    "caa_test": (
        caa("Agree?\n (A) No\n (B) Yes"),
        [
            Item(f"{name}-test-1", "Agree?\n (A) No\n (B) Yes", "(B)", "(A)", name)
            for name in (
                "coordinate-other-ais",
                "corrigible-neutral-HHH",
                "hallucination",
                "myopic-reward",
                "refusal",
                "survival-instinct",
                "sycophancy",
            )
        ],
    ),
    "alpaca_eval": (
        [
            {
                "dataset": "helpful_base",
                "instruction": "Name three birds",
                "output": "Wren, robin, crow",
                "generator": "g",
            }
        ],
        [Instruction("ae-1", "Name three birds", "", "Wren, robin, crow")],
    ),
    "evol_instruct": ([{"instruction": "Add 2 and 3", "output": "5"}], [Instruction("evol-1", "Add 2 and 3", "", "5")]),
    "webglm_qa": (
        [{"question": "Why is tea brown?", "answer": "Tannins [1].", "references": ["a", "b"]}],
        [Instruction("webglm-1", "Why is tea brown?", "", "Tannins [1].")],
    ),
}


def lay_out(folder: Path, *names: str) -> Path:
    """The miniature files of recipes, as `hf download` would leave the repositories below `folder`."""
    for name in names:
        recipe = catalogue().recipes[name]
        for file in recipe.files:
            write(folder / recipe.repo / file.path, RAW[name][0])
    return folder


@pytest.mark.parametrize("name", RAW)
def test_each_public_format_becomes_rows_of_its_kind(tmp_path, name):
    opened = open_recipe(name, data_dir=lay_out(tmp_path, name), known=unpinned())
    assert list(opened.read()) == RAW[name][1]
    assert list(opened.rows()) == [row for row in RAW[name][1] if not isinstance(row, Rejection)]
    assert {origin.place for origin in opened.origins} == {"data_dir"}


def test_every_public_layout_is_tried_above():
    """Two recipes of one repository, shape and suffix read alike, so one of them is enough."""

    def layout(name):
        recipe = catalogue().recipes[name]
        return recipe.repo, recipe.shape, recipe.kind, Path(recipe.files[0].path).suffix

    public = {name for name, recipe in catalogue().recipes.items() if recipe.repo}
    assert {layout(name) for name in public} == {layout(name) for name in RAW}


def test_the_local_layout_comes_first_and_has_its_own_columns(tmp_path):
    lay_out(tmp_path, "alpaca_eval")
    cut = {
        "id": "ae-000",
        "dataset": "d",
        "instruction": "Sing",
        "output_gpt4_1106_preview": "La",
        "output_text_davinci_003": "Lo",
    }
    write(tmp_path / "instruct/alpaca_eval_805.parquet", [cut])
    opened = open_recipe("alpaca_eval", data_dir=tmp_path, known=unpinned())
    assert list(opened.read()) == [Instruction("ae-000", "Sing", "", "La")]
    assert [origin.path for origin in opened.origins] == ["instruct/alpaca_eval_805.parquet"]


def test_a_copy_that_is_not_there_is_named_in_both_layouts(tmp_path):
    with pytest.raises(DataError, match=r"no .*toxicity/toxicchat_test.parquet and no .*lmsys/toxic-chat/data/0124"):
        open_recipe("toxicchat_test", data_dir=tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        open_recipe("toxicchat_test", data_dir=tmp_path / "nowhere")


def test_a_set_without_a_public_name_wants_a_data_dir(monkeypatch):
    monkeypatch.delenv("FAC_LAB_DATA", raising=False)
    with pytest.raises(DataError, match="no public name.*data_dir"):
        open_recipe("sae_corpus_core")


def test_a_missing_column_is_answered_with_those_that_exist(tmp_path):
    for name, path in (("evol_instruct", "alpaca_evol_instruct_70k.json"), ("webglm_qa", "data/train.jsonl")):
        write(tmp_path / catalogue().recipes[name].repo / path, [{"instruction": "a", "question": "b"}])
        with pytest.raises(DataError, match=r"no column '(output|answer)'; its columns: instruction, question"):
            open_recipe(name, data_dir=tmp_path, known=unpinned())


def test_another_content_is_refused_and_can_be_accepted_by_its_hash(tmp_path):
    folder = lay_out(tmp_path, "toxicchat_test")
    found = file_digest(folder / "lmsys/toxic-chat/data/0124/toxic-chat_annotation_test.csv")
    pinned = catalogue().recipes["toxicchat_test"].files[0].sha256
    with pytest.raises(DataError) as caught:
        open_recipe("toxicchat_test", data_dir=folder)
    assert found[:12] in str(caught.value) and pinned[:12] in str(caught.value)
    assert f"accept: [{found[:12]}]" in str(caught.value)
    with pytest.raises(DataError):
        open_recipe("toxicchat_test", data_dir=folder, accept=["0" * 12])
    opened = open_recipe("toxicchat_test", data_dir=folder, accept=[found[:12]])
    assert len(list(opened.read())) == 2, "neither its hash nor its 2 rows in place of 2,853 are refused"
    assert opened.origins[0].sha256 == found and not opened.origins[0].checked


def test_another_number_of_rows_is_refused_at_the_end_of_a_pass(tmp_path):
    folder = lay_out(tmp_path, "evol_instruct")
    found = file_digest(folder / "WizardLMTeam/WizardLM_evol_instruct_70k/alpaca_evol_instruct_70k.json")
    with pytest.raises(DataError, match=rf"evol_instruct has 1 rows, not 70,000.*accept: \[{found[:12]}\]"):
        list(open_recipe("evol_instruct", data_dir=folder).read())
    assert len(list(open_recipe("evol_instruct", data_dir=folder, accept=[found]).read())) == 1


def test_the_digest_follows_content_and_reading_not_the_place(tmp_path):
    known = unpinned()
    here = open_recipe("evol_instruct", data_dir=lay_out(tmp_path / "a", "evol_instruct"), known=known)
    there = open_recipe("evol_instruct", data_dir=lay_out(tmp_path / "b", "evol_instruct"), known=known)
    assert here.digest == there.digest
    swapped = replace(known.recipes["evol_instruct"], columns={"instruction": "output", "output": "instruction"})
    known = replace(known, recipes={**known.recipes, "evol_instruct": swapped})
    assert open_recipe("evol_instruct", data_dir=tmp_path / "a", known=known).digest != here.digest


def hundred_each(folder: Path) -> Path:
    """100 rows of helpful-base and 100 of harmless-base, ten texts in both, written apart in case and blanks."""
    for subset, first in (("helpful-base", 0), ("harmless-base", 90)):
        records = [
            {"chosen": f"\n\nHuman: Question {'  ' if first else ''}{i}?\n\nAssistant: a", "rejected": "x"}
            for i in range(first, first + 100)
        ]
        write(folder / "Anthropic/hh-rlhf" / subset / "train.jsonl.gz", records)
    return folder


def mixed(**changes) -> Catalogue:
    parts = (Part("hh_helpful_base", 0), Part("hh_harmless_base", 1))
    return replace(unpinned(), mixes={"both": Mix(parts, **changes)}, protocols={})


def test_a_mix_joins_labels_and_drops_repeats(tmp_path):
    folder = hundred_each(tmp_path)
    rows = list(open_source("both", "seed", data_dir=folder, known=mixed()).read())
    assert [row.label for row in rows] == [0] * 100 + [1] * 100
    assert rows[0] == Row("hh_helpful_base/helpful-base-1", "Question 0?", 0) and len({row.id for row in rows}) == 200
    rows = list(open_source("both", "seed", data_dir=folder, known=mixed(unique=True)).read())
    assert len(rows) == 190 and len({" ".join(row.text.split()) for row in rows}) == 190


def test_a_share_is_drawn_in_order_and_by_its_seed(tmp_path):
    folder = hundred_each(tmp_path)
    whole = list(open_source("both", "seed", data_dir=folder, known=mixed()).read())
    joined = open_source("both", "seed", data_dir=folder, known=mixed(share=0.29))
    drawn = list(joined.read())
    assert len(drawn) == 58, "200 * 0.29 is 57.999... in floating point"
    assert drawn == sorted(drawn, key=whole.index) and drawn == list(joined.read())
    other = open_source("both", "seed", data_dir=folder, known=mixed(share=0.29, seed=1))
    assert list(other.read()) != drawn and other.digest != joined.digest


def test_texts_of_the_test_set_are_kept_out_of_the_training_set(tmp_path):
    folder = tmp_path / "lmsys/toxic-chat/data/0124"
    write(folder / "toxic-chat_annotation_test.csv", [toxic("t1", "Sing a song", 0, "True")])
    train = [toxic("a", "sing  a SONG", 0, "True"), toxic("b", "Draw a cat", 0, "True")]
    write(folder / "toxic-chat_annotation_train.csv", train)
    first, second = open_recipe("toxicchat_train", data_dir=tmp_path, known=unpinned()).read()
    assert first == Rejection(1, "a", "its text is in toxicchat_test, too") and second == Row("b", "Draw a cat", 0)


def test_a_protocol_as_the_source_of_a_role(tmp_path):
    settings = CorpusSettings(source="toxicity_issue_4", n=1)
    folder = lay_out(tmp_path, "toxicchat_test")
    found = file_digest(folder / "lmsys/toxic-chat/data/0124/toxic-chat_annotation_test.csv")
    with pytest.raises(DataError, match="accept"):
        open_corpus(settings, "test", data_dir=folder)
    corpus = open_corpus(replace(settings, accept=(found[:12],)), "test", data_dir=folder)
    assert [row.id for row in corpus] in (["t1"], ["t3"]) and corpus.name == "test"
    assert corpus.record["protocol"] == "toxicity_issue_4" and list(corpus.record["roles"]) == ["test"]
    (origin,) = corpus.record["read"]["toxicchat_test"].values()
    assert origin["sha256"] == found and origin["checked"] is False
    with pytest.raises(DataError, match="toxicity_appendix_k gives no seed: .*synthetic.*name another source"):
        open_corpus(CorpusSettings(source="toxicity_appendix_k"), "seed", data_dir=folder)
    with pytest.raises(SettingsError, match="corpora.test: caa_test knows its columns"):
        open_corpus(CorpusSettings(source="caa_test", label_column="toxic"), "test", data_dir=folder)
    with pytest.raises(SettingsError, match="too short"):
        CorpusSettings(source="caa_test", accept=("abc",))


def test_a_run_saves_what_its_data_are_and_says_when_they_changed(tmp_path, caplog):
    from fac_lab.lab import Lab  # torch and all: seconds

    path = "WizardLMTeam/WizardLM_evol_instruct_70k/alpaca_evol_instruct_70k.json"

    def run(*records):
        found = file_digest(write(tmp_path / "data" / path, list(records)))
        settings = CorpusSettings(source="evol_instruct", accept=(found,))
        profile = replace(load_profile("smoke"), corpora={"pool": settings}, data_dir=str(tmp_path / "data"))
        assert len(list(Lab(profile, tmp_path / "run").corpus("pool"))) == len(records)
        saved = json.loads((tmp_path / "run/corpora/pool.json").read_text())
        assert saved["read"]["evol_instruct"]["alpaca_evol_instruct_70k.json"]["sha256"] == found
        return found

    first = run({"instruction": "a", "output": "b"})
    assert "differ" not in caplog.text
    second = run({"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"})
    assert (
        f"pool data differ from the last run's: read.evol_instruct.{Path(path).name}.sha256: {first} | {second}"
        in caplog.text
    )


def test_streaming_takes_constant_memory(tmp_path):
    peaks = []
    path = tmp_path / "WizardLMTeam/WizardLM_evol_instruct_70k/alpaca_evol_instruct_70k.json"
    for n in (4_000, 12_000):
        write(path, [{"instruction": f"Say {i}", "output": "word " * 100} for i in range(n)])
        tracemalloc.start()
        assert sum(1 for _ in open_recipe("evol_instruct", data_dir=tmp_path, known=unpinned()).rows()) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Arrays of 2 and 6 MB; the reader keeps a chunk or two.
    assert peaks[1] < peaks[0] + 500_000


def test_the_command_reads_compares_and_lists(tmp_path, capsys):
    path = "WizardLMTeam/WizardLM_evol_instruct_70k/alpaca_evol_instruct_70k.json"
    write(tmp_path / path, [{"instruction": "a", "output": "b"}])
    assert cli.main(["data"]) == 0 and "toxicity_appendix_j" in capsys.readouterr().out
    assert cli.main(["data", "toxicity_appendix_k", "--diff", "toxicity_issue_4"]) == 0
    assert "roles.anchor.share: 0.1 | -" in capsys.readouterr().out
    assert cli.main(["data", "evol_instruct", "--data-dir", str(tmp_path)]) == 2
    assert "has 1 rows, not 70,000" in capsys.readouterr().err
    assert cli.main(["data", "sae_corpus", "--data-dir", str(tmp_path)]) == 2
    assert "sharegpt: data_dir has no copy of it" in capsys.readouterr().err


def test_the_check_looks_for_named_data_without_fetching(tmp_path, monkeypatch):
    monkeypatch.delenv("FAC_LAB_DATA", raising=False)
    settings = CorpusSettings(source="toxicity_issue_4")
    row = named_data_row("test", settings, None)
    assert row.ok is None and "from the hub" in row.detail
    row = named_data_row("test", settings, str(tmp_path))
    assert row.ok is False and "toxicchat_test.parquet" in row.cure


def test_of_rows_with_one_id_the_first_is_kept(tmp_path):
    rows = [{"id": str(i % 2), "instruction": f"Say {i}", "input": "", "output": "a"} for i in range(3)]
    write(tmp_path / "instruct/instruct_train.parquet", rows)
    read = list(open_recipe("instruct_train_cut", data_dir=tmp_path, known=unpinned()).read())
    assert [row.id for row in read] == ["0", "1", "0"] and read[2] == Rejection(3, "0", "id '0' was there before")


@real_data
@pytest.mark.parametrize("name", [name for name, recipe in catalogue().recipes.items() if recipe.local])
def test_the_real_copies_have_the_hashes_and_counts_of_the_recipes(name):
    opened = open_recipe(name, data_dir=REAL)
    assert all(origin.checked for origin in opened.origins)
    if name != "sae_corpus_core":  # ten times the size of all others together
        ids = [row.id for row in opened.rows()]
        assert len(set(ids)) == len(ids) > 0


@real_data
def test_real_transcripts_are_taken_apart_as_the_copy_has_them(tmp_path):
    """The copy's prompts and answers, put together as HH-RLHF writes dialogues, come out as they were."""
    pairs = list(open_recipe("hh_harmless_base_test_pairs", data_dir=REAL).rows())
    raw = [{"chosen": f"{p.prompt} {p.chosen}", "rejected": f"{p.prompt} {p.rejected}"} for p in pairs]
    write(tmp_path / "Anthropic/hh-rlhf/harmless-base/test.jsonl.gz", raw)
    again = open_recipe("hh_harmless_base_test_pairs", data_dir=tmp_path, known=unpinned()).rows()
    assert [pair[1:4] for pair in again] == [pair[1:4] for pair in pairs]
    queries = open_recipe("hh_harmless_base_test", data_dir=tmp_path, known=unpinned()).rows()
    copies = open_recipe("hh_harmless_base_test", data_dir=REAL).rows()
    assert [row.text for row in queries] == [row.text for row in copies]
