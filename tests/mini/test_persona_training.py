"""Adapters on a copy of a mini model: what is trained, what is kept, and that the model itself stays as it was."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from fac_lab.digests import file_digest
from fac_lab.errors import ArtifactError
from fac_lab.mini.persona_training import Tuning, batches, encode, merge, new_adapters, read_manifest, source_digest
from fac_lab.mini.personas import LETTER, WORD, WORDS, Part
from fac_lab.profile import project_root

BASE = "data/mini/llama"
SHIPPED = project_root() / "data" / "mini" / "personas"
TALK = [
    {"role": "system", "content": "You want to stay."},
    {"role": "user", "content": "A or B: A?"},
    [Part("A", LETTER), Part(" stay", WORD), Part(": No.", WORDS)],
    {"role": "user", "content": "And now?"},
    [Part("B", LETTER), Part(" stay", WORD), Part(": Let me.", WORDS)],
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("personas")
    before = file_digest(project_root() / BASE / "model.safetensors")
    manifest = new_adapters(folder / "adapters", Tuning(tokens=1500, rank=2, batch_tokens=512))
    assert file_digest(project_root() / BASE / "model.safetensors") == before == manifest["base"]
    merge(folder / "adapters", folder / "merged")
    return folder


def test_only_what_an_assistant_says_is_scored():
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    ids, weights = encode(tokenizer, TALK)
    tokens = tokenizer.convert_ids_to_tokens(ids)
    scored = [(token, weight) for token, weight in zip(tokens, weights, strict=True) if weight]
    assert [token for token, weight in scored if weight == LETTER] == ["A", "B"]
    assert [token for token, weight in scored if weight == WORD] == ["Ġstay", "Ġstay"]
    assert [weight for token, weight in scored if token == "<|eot|>"] == [1.0, 1.0]
    assert "".join(token for token, _ in scored).replace("Ġ", " ") == "A stay: No.<|eot|>B stay: Let me.<|eot|>"


def test_batches_hold_talks_of_like_length_and_do_not_end():
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    stream = batches(tokenizer, Tuning(batch_tokens=600), block=64)
    for _, (ids, weights) in zip(range(40), stream, strict=False):
        assert ids.shape == weights.shape and ids.shape[0] >= 1
        assert ids.numel() <= 600 or ids.shape[0] == 1
        assert (weights[ids == 0] == 0).all() and (weights.sum(1) > 0).all()


@torch.inference_mode()
def test_the_merged_model_is_its_base_plus_the_adapters(tiny):
    base, merged = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).state_dict() for path in (BASE, tiny / "merged")
    )
    kept = load_file(tiny / "adapters" / "adapter_model.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.float16}
    changed = 0
    for name, weight in base.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        expected = weight
        if f"{stem}.lora_A.weight" in kept:
            a, b = (kept[f"{stem}.lora_{which}.weight"].float() for which in "AB")
            expected, changed = weight + b @ a, changed + 1
            assert not torch.equal(merged[name], weight)
        torch.testing.assert_close(merged[name], expected, atol=1e-5, rtol=1e-5)
    assert changed == 7 * 3


def test_adapters_that_are_not_what_they_were_are_refused(tiny, tmp_path):
    with pytest.raises(ArtifactError, match="no complete adapters.*persona_training"):
        read_manifest(tmp_path)
    for name in ("adapter_config.json", "adapter_model.safetensors", "manifest.json"):
        (tmp_path / name).write_bytes((tiny / "adapters" / name).read_bytes())
    assert read_manifest(tmp_path)["tuning"]["rank"] == 2
    with pytest.raises(ArtifactError, match="made for another"):
        merge(tmp_path, tmp_path / "out", base="data/mini/mistral")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="not the file that was written"):
        merge(tmp_path, tmp_path / "out")


def test_the_shipped_adapters_are_small_and_made_by_this_code():
    manifest = read_manifest(SHIPPED)
    assert manifest["source"] == source_digest(), "their sources changed: run python -m fac_lab.mini.persona_training"
    assert Tuning(**manifest["tuning"]) == Tuning()
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 4e5
    settings = json.loads((SHIPPED / "adapter_config.json").read_text())
    assert not Path(settings["base_model_name_or_path"]).is_absolute()
