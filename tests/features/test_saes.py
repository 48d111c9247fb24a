"""SAEs from three sources, what they compute, and what is said about one that does not fit."""

import json
import logging
import os
import shutil

import pytest
import torch

from fac_lab.errors import ModelError
from fac_lab.features.saes import as_relu, check_fits, layer_of_hook, load_sae
from fac_lab.settings import SaeSettings

D_IN, D_SAE, K = 32, 64, 4


@pytest.fixture
def sae_folder(make_sae, tmp_path):
    """Write a random SAE with a hook name into a folder; keyword arguments change its settings."""

    def write(architecture="topk", hook_name="blocks.1.hook_resid_post", **settings):
        sae = make_sae(architecture, **settings)
        sae.cfg.metadata.hook_name = hook_name
        sae.save_model(tmp_path / "sae")
        return tmp_path / "sae"

    return write


def from_folder(path, subject=None, **settings):
    return load_sae(SaeSettings("folder", str(path), **settings), subject)


@pytest.mark.parametrize("architecture", ["topk", "standard", "jumprelu", "gated"])
def test_folder_round_trip(sae_folder, make_sae, make_subject, architecture):
    sae = from_folder(sae_folder(architecture), make_subject("llama"))
    x = torch.randn(5, D_IN)
    torch.testing.assert_close(sae.encode(x), make_sae(architecture).encode(x))
    assert not sae.training


def test_authors_checkpoint_is_topk_of_relu_with_a_tied_decoder(tmp_path, make_subject, write_checkpoint):
    path = tmp_path / "TopK7_l2_h64_epoch3.pth"
    weight = write_checkpoint(path)
    sae = load_sae(SaeSettings("authors", str(path)), make_subject("llama"))
    x = torch.randn(6, D_IN)
    before = (x - weight["b_dec"]) @ weight["W_enc"] + weight["b_enc"]
    kept = torch.zeros_like(before)
    for row, values in enumerate(before):
        for feature in values.argsort(descending=True)[:K]:
            kept[row, feature] = values[feature].clamp(min=0)
    torch.testing.assert_close(sae.encode(x), kept)
    torch.testing.assert_close(sae.decode(kept), kept @ weight["W_enc"].T + weight["b_dec"])
    assert sae.cfg.metadata.hook_name == "blocks.1.hook_resid_post"


def test_authors_checkpoint_with_top_k_off_is_plain_relu(tmp_path, write_checkpoint):
    path = tmp_path / "TopK7_l2_h64_epoch3.pth"
    weight = write_checkpoint(path)
    sae = load_sae(SaeSettings("authors", str(path), top_k=False))
    x = torch.randn(6, D_IN)
    assert sae.cfg.architecture() == "standard"
    expected = ((x - weight["b_dec"]) @ weight["W_enc"] + weight["b_enc"]).relu()
    torch.testing.assert_close(sae.encode(x), expected)


@pytest.mark.parametrize("rescaled", [False, True])
def test_top_k_off_keeps_the_value_of_every_feature_that_was_kept(sae_folder, make_subject, rescaled):
    folder = sae_folder(rescale_acts_by_decoder_norm=rescaled, apply_b_dec_to_input=False)
    subject = make_subject("llama")
    top_k, relu = from_folder(folder, subject), from_folder(folder, subject, top_k=False)
    x = torch.randn(6, D_IN)
    sparse, dense = top_k.encode(x), relu.encode(x)
    kept = sparse > 0
    torch.testing.assert_close(dense[kept], sparse[kept], atol=1e-5, rtol=1e-5)
    assert (dense > 0).sum() > 2 * kept.sum()
    # Decoding the same features gives the same activations, so magnitudes mean the same.
    torch.testing.assert_close(relu.decode(sparse), top_k.decode(sparse), atol=1e-5, rtol=1e-5)
    assert relu.cfg.metadata.hook_name == "blocks.1.hook_resid_post"


def test_top_k_off_needs_a_top_k_sae(make_sae):
    standard = make_sae("standard")
    assert as_relu(standard) is standard
    with pytest.raises(ModelError, match="needs a Top-K SAE; this is a jumprelu one"):
        as_relu(make_sae("jumprelu"))


@pytest.mark.parametrize(
    ("hook_name", "layer"),
    [
        ("blocks.15.hook_resid_post", 15),
        ("blocks.15.hook_out", 15),
        ("blocks.8.hook_resid_pre", 7),
        ("model.layers.15", 15),
        ("layers.3", 3),
        ("transformer.h.11", 11),
        ("bert.encoder.layer.4", 4),
        ("blocks.0.hook_resid_pre", None),
        ("blocks.3.hook_mlp_out", None),
        ("blocks.3.attn.hook_z", None),
        ("model.layers.3.mlp", None),
        ("hook_embed", None),
    ],
)
def test_layers_that_hook_names_mean(hook_name, layer):
    assert layer_of_hook(hook_name) == layer


@pytest.mark.parametrize(
    ("hook_name", "message"),
    [
        (
            None,
            r'do not say which layer.*add this to its cfg.json: "metadata": \{"hook_name": "blocks.1.hook_',
        ),
        ("blocks.1.hook_mlp_out", r"reads blocks.1.hook_mlp_out, but .*Choose an SAE of the residual stream"),
        ("blocks.2.hook_resid_post", r"from 1 in the paper: its layer 3 is 2 here. Set subject.layer to 2"),
        ("blocks.0.hook_resid_post", r"its layer 1 is 0 here. Set subject.layer to 0"),
        ("blocks.7.hook_resid_post", r"reads the output of layer 7 .*after layer 1. Set subject.layer to 7"),
    ],
)
def test_saes_of_another_place(sae_folder, make_subject, hook_name, message):
    with pytest.raises(ModelError, match=message):
        from_folder(sae_folder(hook_name=hook_name), make_subject("llama"))


def test_the_metadata_that_the_message_asks_for_mend_the_folder(sae_folder, make_subject):
    folder = sae_folder(hook_name=None)
    cfg = json.loads((folder / "cfg.json").read_text())
    del cfg["metadata"]
    (folder / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(ModelError, match="do not say which layer"):
        from_folder(folder, make_subject("llama"))
    cfg["metadata"] = {"hook_name": "blocks.1.hook_resid_post", "sae_lens_version": "6.0.0"}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    check_fits(from_folder(folder), make_subject("llama"))


def test_another_width(sae_folder, make_subject):
    folder = sae_folder(d_in=16)
    with pytest.raises(ModelError, match=r"width 16, but .* has width 32.*subject.path"):
        from_folder(folder, make_subject("llama"))


def test_a_scale_that_was_never_folded(sae_folder):
    with pytest.raises(ModelError, match=r"expected_average_only_in.*fold_activation_norm_scaling_factor"):
        from_folder(sae_folder(normalize_activations="expected_average_only_in"))


def test_a_model_prepared_otherwise_is_said(sae_folder, caplog):
    folder = sae_folder()
    cfg = json.loads((folder / "cfg.json").read_text())
    cfg["metadata"]["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    with caplog.at_level(logging.WARNING, "fac_lab"):
        from_folder(folder)
    assert "center_writing_weights" in caplog.text


def test_folders_that_cannot_be_read(sae_folder, tmp_path):
    with pytest.raises(ModelError, match=r'no cfg.json.*sae.source "authors"'):
        from_folder(tmp_path)
    folder = sae_folder()
    (folder / "sae_weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"cannot be read.*again"):
        from_folder(folder)
    shutil.copy(folder / "cfg.json", folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot be read \(JSONDecodeError"):
        from_folder(folder)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    path, target = tmp_path / "TopK_l2_.pth", tmp_path / "made-by-the-pickle"
    torch.save({"weight": {"W_enc": Malicious(target)}, "config": {}}, path)
    with pytest.raises(ModelError, match="could run code, so it is refused"):
        load_sae(SaeSettings("authors", str(path)))
    assert not target.exists()


def test_checkpoints_that_cannot_be_read(tmp_path, make_subject, write_checkpoint):
    def load(name, subject=None):
        return load_sae(SaeSettings("authors", str(tmp_path / name)), subject)

    with pytest.raises(ModelError, match="There is no checkpoint"):
        load("absent.pth")
    for content in (b"", b"text", b"PK\x03\x04 and then nothing"):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(ModelError, match="not a readable checkpoint.*Download it again"):
            load("broken.pth")
    write_checkpoint(tmp_path / "lacking.pth", drop=["b_dec"])
    with pytest.raises(ModelError, match="'weight' lacks b_dec"):
        load("lacking.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="'weight' lacks W_enc, b_enc, b_dec"):
        load("list.pth")
    weight = write_checkpoint(tmp_path / "shape.pth")
    torch.save({"weight": weight, "config": {"d_inp": D_SAE, "d_hide": D_IN, "topK": K}}, tmp_path / "shape.pth")
    with pytest.raises(ModelError, match=r"W_enc has shape \(32, 64\).*asks for \(64, 32\)"):
        load("shape.pth")
    write_checkpoint(tmp_path / "renamed.pth")
    with pytest.raises(ModelError, match=r"counted from 1, in its file name: TopK_l16_.pth"):
        load("renamed.pth", make_subject("llama"))


def test_releases_that_do_not_exist_or_cannot_be_reached():
    def load(release, sae_id):
        return load_sae(SaeSettings("release", release, sae_id=sae_id))

    with pytest.raises(ModelError, match=r"knows no release 'gpt2-small-res-jp'.*gpt2-small-res-jb"):
        load("gpt2-small-res-jp", "blocks.8.hook_resid_pre")
    with pytest.raises(ModelError, match=r"has no SAE 'blocks.8.hook_resid_post'.*blocks.8.hook_resid_pre"):
        load("gpt2-small-res-jb", "blocks.8.hook_resid_post")
    with pytest.raises(ModelError, match=r"could not be downloaded.*HF_HUB_OFFLINE"):
        load("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
