"""Sizes of models and SAEs that nobody loads."""

import pytest
import torch
import yaml
from safetensors.torch import save_file

from fac_lab.errors import SettingsError
from fac_lab.planning.facts import MODELS, model_facts, sae_facts
from fac_lab.profile import load_profile
from fac_lab.settings import SaeSettings

KNOWN = yaml.safe_load(MODELS.read_text(encoding="utf-8"))["models"]


def config_of(known: dict, layers: int):
    """The model's shape in transformers' own terms, with fewer layers."""
    import transformers

    if known["family"] == "gpt2":
        return transformers.GPT2Config(
            n_embd=known["width"],
            n_head=known["heads"],
            n_layer=layers,
            n_inner=known["mlp"],
            vocab_size=known["vocab"],
        )
    kind = {
        "llama": transformers.LlamaConfig,
        "mistral": transformers.MistralConfig,
        "qwen2": transformers.Qwen2Config,
    }[known["family"]]
    return kind(
        hidden_size=known["width"],
        intermediate_size=known["mlp"],
        num_hidden_layers=layers,
        num_attention_heads=known["heads"],
        num_key_value_heads=known["kv_width"] * known["heads"] // known["width"],
        vocab_size=known["vocab"],
        tie_word_embeddings=known["tied"],
    )


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_in_the_list_are_those_transformers_builds(name):
    from transformers import AutoModelForCausalLM

    known = KNOWN[name]

    def count(layers):
        with torch.device("meta"):
            return sum(p.numel() for p in AutoModelForCausalLM.from_config(config_of(known, layers)).parameters())

    one, two = count(1), count(2)
    assert known["parameters"] == one + (known["layers"] - 1) * (two - one)
    facts = model_facts(name)
    assert facts.per_layer == pytest.approx(two - one, rel=0.01)  # position embeddings and a last norm are left
    assert facts.headless == known["parameters"] - (0 if known["tied"] else known["vocab"] * known["width"])


def test_the_weights_of_the_large_models_are_two_bytes_a_parameter():
    for name, known in KNOWN.items():
        if known["family"] == "gpt2":  # float32, and the causal masks of its layers beside the weights
            assert 4 * known["parameters"] < known["download_bytes"] < 4.5 * known["parameters"]
        else:
            assert known["download_bytes"] == 2 * known["parameters"], name


def test_a_folder_is_read_off_its_headers(tmp_path):
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=100, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    facts = model_facts(str(tmp_path))
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert (facts.width, facts.layers, facts.mlp, facts.kv_width, facts.vocab) == (48, 3, 80, 24, 100)
    assert facts.headless == sum(p.numel() for p in model.model.parameters())
    assert facts.download_bytes == 0 and not facts.gated


def test_folders_without_a_model_are_refused(tmp_path):
    for name in ("empty", "no-weights", "no-header"):
        (tmp_path / name).mkdir()
    for name in ("no-weights", "no-header"):
        (tmp_path / name / "config.json").write_text(
            '{"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 5}'
        )
    (tmp_path / "no-header" / "model.safetensors").write_bytes(b"short")
    for name in ("empty", "no-weights", "no-header"):
        with pytest.raises(SettingsError, match=f"{name} holds no .*check the profile's path"):
            model_facts(str(tmp_path / name))


def test_a_hub_name_outside_the_list_is_not_known():
    assert model_facts("nobody/no-such-model") is None


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen", "gpt2"])
def test_saes_fit_their_subjects_and_have_the_bytes_of_their_tensors(name, tmp_path):
    profile = load_profile(name)
    facts, subject = sae_facts(profile.sae), model_facts(profile.subject.path)
    assert facts.d_in == subject.width and profile.subject.layer < subject.layers
    with torch.device("meta"):
        matrix = torch.empty(facts.d_in, facts.d_sae)
        vectors = [torch.empty(facts.d_sae), torch.empty(facts.d_in)]
        extra = [matrix.T] if profile.sae.source == "release" else [torch.empty(facts.d_sae)]  # W_dec, or the mask
    assert facts.download_bytes == sum(4 * tensor.numel() for tensor in (matrix, *vectors, *extra))


def test_an_sae_in_a_folder_needs_no_download(tmp_path):
    assert sae_facts(SaeSettings("folder", str(tmp_path))) is None
    (tmp_path / "cfg.json").write_text('{"d_in": 8, "d_sae": 32}')
    save_file({"W_enc": torch.zeros(8, 32)}, tmp_path / "sae_weights.safetensors")
    facts = sae_facts(SaeSettings("folder", str(tmp_path)))
    assert (facts.d_in, facts.d_sae, facts.download_bytes) == (8, 32, 0)
    assert sae_facts(SaeSettings("authors", str(tmp_path), file="absent.pth")) is None
    assert sae_facts(SaeSettings("authors", "nobody/sae", file="TopK_l1_.pth")) is None
