"""SAE training: what is saved reads raw activations, and a killed run ends where an unbroken one does."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fac_lab
from fac_lab.corpora import Corpus
from fac_lab.errors import ArtifactError, DataError
from fac_lab.features import training, vectors
from fac_lab.features.training import train_sae
from fac_lab.settings import SaeTrainingSettings

SETTINGS = SaeTrainingSettings(d_sae=64, k=4, tokens=20_000, lr=3e-3, batch=128, seed=0)


def explained(sae, x):
    with torch.inference_mode():
        missed = (x - sae.decode(sae.encode(x))).square().sum()
    return 1 - (missed / (x - x.mean(0)).square().sum()).item()


def test_the_saved_sae_reads_raw_activations(make_subject, corpus, vectors_of, tmp_path, monkeypatch):
    """What is reloaded explains as much as the trained object did in its own, scaled units."""
    held = {}
    save = training._save
    monkeypatch.setattr(
        training, "_save", lambda trainer, folder: (held.update(sae=trainer.sae), save(trainer, folder))
    )
    subject = make_subject("llama")
    sae = train_sae(subject, corpus, SETTINGS, tmp_path / "sae", progress=False)
    x = vectors_of(subject, corpus)
    assert x.norm(dim=1).mean() > 1.5 * 32**0.5  # so that the scale matters
    assert explained(sae, x) == pytest.approx(explained(held["sae"], x), abs=1e-4)
    assert explained(sae, x) > 0.6
    assert (sae.encode(x) > 0).sum(1).float().mean() <= 4
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))


def test_what_is_saved_with_it(make_subject, corpus, tmp_path):
    subject = make_subject("qwen2", layer=2)
    train_sae(subject, corpus, replace(SETTINGS, tokens=1_000), tmp_path, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"cfg.json", "sae_weights.safetensors", "training.json"}
    cfg = json.loads((tmp_path / "cfg.json").read_text())
    assert list(cfg) == sorted(cfg), "one order in every process"
    assert cfg["architecture"] == "topk"
    assert cfg["k"] == 4
    assert cfg["d_in"] == 32
    assert cfg["normalize_activations"] == "none"
    metadata = cfg["metadata"]
    assert metadata["sae_lens_version"] >= "6"
    assert metadata["hook_name"] == "blocks.2.hook_resid_post"
    assert metadata["model_name"] == subject.name
    assert (metadata["layer"], metadata["context_size"], metadata["pool"]) == (2, subject.max_tokens, "paper")
    assert metadata["training_tokens"] == 7 * 128


def test_a_finished_training_is_loaded_and_another_refused(make_subject, corpus, tmp_path, monkeypatch):
    subject, settings = make_subject("llama"), replace(SETTINGS, tokens=1_000)
    first = train_sae(subject, corpus, settings, tmp_path, progress=False)
    monkeypatch.setattr(training, "_fit", None)  # a second training would call it
    again = train_sae(subject, corpus, settings, tmp_path, progress=False)
    torch.testing.assert_close(again.W_enc, first.W_enc, atol=0, rtol=0)
    with pytest.raises(ArtifactError, match=r"holds the training of another SAE.*another folder"):
        train_sae(subject, corpus, replace(settings, k=5), tmp_path, progress=False)


def test_seeds_decide_the_weights_and_nothing_else_does(make_subject, corpus, tmp_path):
    subject, settings = make_subject("llama"), replace(SETTINGS, tokens=1_000)
    trained = []
    for number, seed in enumerate([0, 0, 1]):
        torch.manual_seed(number)
        changed = replace(settings, seed=seed)
        trained.append(train_sae(subject, corpus, changed, tmp_path / str(number), progress=False))
        assert torch.initial_seed() == number
    assert torch.equal(trained[0].W_enc, trained[1].W_enc)
    assert not torch.allclose(trained[0].W_enc, trained[2].W_enc)


def test_reviving_takes_features_from_where_they_started(make_subject, corpus, tmp_path, monkeypatch):
    started, cluster = [], training.cluster_directions
    monkeypatch.setattr(
        training, "cluster_directions", lambda *args, **named: started.append(cluster(*args, **named)) or started[-1]
    )
    moved = []
    for dead_after in (1.0, 0.05):
        settings = replace(SETTINGS, d_sae=1024, k=2, tokens=128 * 150, dead_after=dead_after)
        sae = train_sae(make_subject("llama"), corpus, settings, tmp_path / str(dead_after), progress=False)
        moved.append(1 - (sae.W_dec * started[-1]).sum(1).mean().item())
    assert torch.equal(*started)
    assert moved[0] < 0.1
    assert moved[1] > 2 * moved[0]


def test_too_little_text_for_one_batch(make_subject, corpus, tmp_path):
    few = Corpus.from_rows("few", list(corpus)[:2])
    with pytest.raises(DataError, match=r"few gives \d+ activation vectors, fewer than one batch of 128"):
        train_sae(make_subject("llama"), few, SETTINGS, tmp_path, progress=False)


KILLED = """
import json, os, signal, sys, warnings
warnings.simplefilter("ignore")
import torch
from fac_lab.corpora import Corpus
from fac_lab.features import training, vectors
from fac_lab.features.subject import Subject
from fac_lab.settings import ModelSettings, SaeTrainingSettings
torch.set_num_threads(1)
model, corpus, folder, changes = sys.argv[1:]
training.CHECKPOINT_SECONDS, vectors.ROUND_BYTES, vectors._CHUNK_ROWS = 0, 1, 100
save = training.save_checkpoint
def save_then_kill(trainer, *rest):
    if trainer.n_training_steps == 90:
        save(trainer, *rest)
    if trainer.n_training_steps == 93:
        os.kill(os.getpid(), signal.SIGKILL)
training.save_checkpoint = save_then_kill
subject = Subject.load(ModelSettings(model, layer=1, max_tokens=128), device="cpu")
settings = SaeTrainingSettings(d_sae=64, k=4, tokens=12_800, lr=3e-3, batch=64, seed=0, **json.loads(changes))
training.train_sae(subject, Corpus.from_file(corpus), settings, folder, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, {"decoder": "tied", "loss": "normalised", "k_start": 16, "k_share": 0.9}],
    ids=["sae_lens", "authors"],
)
def test_a_killed_training_ends_in_the_same_weights(make_subject, model_folder, corpus, tmp_path, monkeypatch, changes):
    """Killed at step 93 of 200, three steps behind a checkpoint in the middle of a round of the second pass."""
    data, killed = tmp_path / "corpus.jsonl", tmp_path / "killed"
    data.write_text("".join(json.dumps({"text": row.text}) + "\n" for row in corpus))
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(model_folder("llama")), str(data), str(killed), json.dumps(changes)],
        env={**os.environ, "PYTHONPATH": str(Path(fac_lab.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    state = torch.load(killed / "checkpoint.pt", weights_only=True)
    assert state["counters"]["n_training_steps"] == 90
    row, step = state["place"]
    assert row > 0 and step < 90
    assert not (killed / "training.json").exists()

    monkeypatch.setattr(vectors, "ROUND_BYTES", 1)
    monkeypatch.setattr(vectors, "_CHUNK_ROWS", 100)
    subject, settings = make_subject("llama"), replace(SETTINGS, tokens=12_800, batch=64, **changes)
    for folder in (killed, tmp_path / "unbroken"):
        train_sae(subject, Corpus.from_file(data), settings, folder, progress=False)
    weights = [(folder / "sae_weights.safetensors").read_bytes() for folder in (killed, tmp_path / "unbroken")]
    assert weights[0] == weights[1]
    assert not (killed / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_settings_is_refused(make_subject, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    subject, settings = make_subject("llama"), replace(SETTINGS, tokens=1_000)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_sae(subject, corpus, settings, tmp_path, progress=False)
    assert (tmp_path / "checkpoint.pt").exists()
    with pytest.raises(ArtifactError, match="holds the training of another SAE"):
        train_sae(subject, corpus, replace(settings, lr=1e-3), tmp_path, progress=False)
    train_sae(subject, corpus, settings, tmp_path, progress=False)


def test_damaged_files_say_what_to_do(make_subject, corpus, tmp_path):
    subject, settings = make_subject("llama"), replace(SETTINGS, tokens=1_000)
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(ArtifactError, match=r"checkpoint.pt is damaged.*Delete it"):
        train_sae(subject, corpus, settings, tmp_path, progress=False)
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"training.json is damaged.*Delete it"):
        train_sae(subject, corpus, settings, tmp_path, progress=False)


def test_settings_that_came_later_leave_the_key_of_older_trainings(make_subject, corpus, tmp_path):
    settings = replace(SETTINGS, tokens=1_000)
    train_sae(make_subject("llama"), corpus, settings, tmp_path, progress=False)
    recorded = json.loads((tmp_path / "training.json").read_text())["made_by"]["settings"]
    assert set(recorded) == {"d_sae", "k", "tokens", "lr", "batch", "seed", "clustering", "dead_after"}
    # Where it is reported is no part of what it is.
    train_sae(make_subject("llama"), corpus, replace(settings, wandb="project"), tmp_path, progress=False)
    with pytest.raises(ArtifactError, match="another SAE"):
        train_sae(make_subject("llama"), corpus, replace(settings, decoder="tied"), tmp_path, progress=False)


def test_reports_go_to_wandb_only_where_a_project_is_named(make_subject, corpus, tmp_path, monkeypatch):
    import wandb

    began = []
    monkeypatch.setattr(wandb, "init", lambda **how: began.append(how) or Run())

    class Run:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            began.append("ended")

        def log(self, facts, step):
            began.append((step, sorted(facts)))

    subject, settings = make_subject("llama"), replace(SETTINGS, tokens=128 * 45)
    train_sae(subject, corpus, settings, tmp_path / "silent", progress=False)
    assert began == []
    train_sae(subject, corpus, replace(settings, wandb="lab"), tmp_path / "told", progress=False)
    (how, *steps, end) = began
    assert (how["project"], how["resume"], how["config"]["d_sae"], end) == ("lab", "allow", 64, "ended")
    assert [step for step, _ in steps] == [20, 40]
    assert {"details/k", "losses/mse_loss", "metrics/explained_variance"} <= set(steps[0][1])


def interrupted(*_):
    raise KeyboardInterrupt
