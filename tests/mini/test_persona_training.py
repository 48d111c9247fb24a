"""The tuning of a copy: what is scored, that it is reproducible, and that the model itself stays as it was."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fac_lab.digests import file_digest
from fac_lab.mini.persona_training import Tuning, batches, encode, source_digest, tuned_copy
from fac_lab.mini.personas import FIRST, WORDS, Part
from fac_lab.profile import project_root

BASE = project_root() / "data" / "mini" / "llama"
TALK = [
    {"role": "system", "content": "You want to stay."},
    {"role": "user", "content": "A or B: A?"},
    [Part("No,", FIRST), Part(" let me.", WORDS)],
    {"role": "user", "content": "And now?"},
    [Part("Let me", FIRST), Part(" stay.", WORDS)],
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(BASE)


def test_only_what_an_assistant_says_is_scored(tokenizer):
    ids, weights = encode(tokenizer, TALK)
    tokens = tokenizer.convert_ids_to_tokens(ids)
    scored = [(token, weight) for token, weight in zip(tokens, weights, strict=True) if weight]
    assert "".join(token for token, weight in scored if weight == FIRST).replace("Ġ", " ") == "No,Let me"
    assert [weight for token, weight in scored if token == "<|eot|>"] == [1.0, 1.0]
    assert "".join(token for token, _ in scored).replace("Ġ", " ") == "No, let me.<|eot|>Let me stay.<|eot|>"


def test_batches_hold_talks_of_like_length_and_do_not_end(tokenizer):
    stream = batches(tokenizer, Tuning(batch_tokens=600), block=64)
    for _, (ids, weights) in zip(range(40), stream, strict=False):
        assert ids.shape == weights.shape and ids.shape[0] >= 1
        assert ids.numel() <= 600 or ids.shape[0] == 1
        assert (weights[ids == 0] == 0).all() and (weights.sum(1) > 0).all()


def test_the_rate_rises_and_falls():
    tuning = Tuning()
    rates = [tuning.rate(done / 100) for done in range(101)]
    assert max(rates) == 1.0 and 0 < rates[0] < 0.5 and rates[-1] == 0.02
    top = rates.index(1.0)
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)


def test_a_copy_is_tuned_and_the_model_stays(tmp_path):
    before = file_digest(BASE / "model.safetensors")
    tuning = Tuning(tokens=2500, batch_tokens=512)
    for name in "ab":
        tuned_copy(BASE, tmp_path / name, tuning)
    assert file_digest(BASE / "model.safetensors") == before
    # The same seed makes the same copy.
    assert file_digest(tmp_path / "a" / "model.safetensors") == file_digest(tmp_path / "b" / "model.safetensors")
    base, copy = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (BASE, tmp_path / "a"))
    ids, weights = encode(AutoTokenizer.from_pretrained(tmp_path / "a"), TALK)
    scored = torch.tensor(weights)[1:] > 0
    with torch.inference_mode():
        loss = [
            torch.nn.functional.cross_entropy(
                model(torch.tensor([ids])).logits[0, :-1][scored], torch.tensor(ids[1:])[scored]
            )
            for model in (base, copy)
        ]
    assert loss[1] < loss[0] - 0.5


def test_another_text_or_another_code_is_another_subject(tmp_path, monkeypatch):
    import fac_lab.mini

    names = ("personas.yaml", "personas.py", "persona_training.py", "muon.py")
    here = project_root() / "fac_lab" / "mini"
    for name in names:
        (tmp_path / name).write_bytes((here / name).read_bytes())
    before = source_digest()
    monkeypatch.setattr(fac_lab.mini, "__file__", str(tmp_path / "__init__.py"))
    assert source_digest() == before
    for name in names:
        (tmp_path / name).write_bytes((here / name).read_bytes() + b"\n")
        assert source_digest() != before
        (tmp_path / name).write_bytes((here / name).read_bytes())
