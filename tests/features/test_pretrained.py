"""Models that cannot be loaded say what to do."""

import shutil

import pytest

from fac_lab.errors import ModelError
from fac_lab.features.pretrained import _load_failure, is_causal, load_pretrained
from fac_lab.settings import ModelSettings


def test_folders_that_cannot_be_read(tmp_path, model_folder):
    def load(path, **changes):
        return load_pretrained(ModelSettings(str(path), layer=1, **changes))

    with pytest.raises(ModelError, match="There is no folder .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no config.json"):
        load(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(model_folder("llama"), broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cannot be read.*again"):
        load(broken)
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load(broken)


def test_absent_hub_names_say_what_to_check():
    with pytest.raises(ModelError, match=r"huggingface.co/nobody/nothing.*HF_HUB_OFFLINE"):
        load_pretrained(ModelSettings("nobody/nothing", layer=1))


def test_gated_models_name_the_page():
    """What transformers says of a gated repository without a token; the hub itself is not asked."""
    said = OSError("You are trying to access a gated repo.\nMake sure to have access to it at https://hf.co/a/b.")
    message = _load_failure("meta-llama/Llama-3.1-8B-Instruct", False, said)
    assert "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct" in message
    assert "hf auth login" in message


def test_causal_models_and_encoders(model_folder):
    for architecture, causal in (("llama", True), ("gpt2", True), ("bert", False)):
        model, _ = load_pretrained(ModelSettings(str(model_folder(architecture)), layer=0))
        assert is_causal(model.config) == causal
        assert hasattr(model, "lm_head") == causal
