"""Sparse autoencoders: where they come from, and whether they fit the subject.

Three sources give one kind of object, a sae-lens SAE: a folder in sae-lens layout, a release of its registry,
and the paper authors' `.pth` checkpoints, on this machine or on the hub. `top_k=False` reads a Top-K SAE as plain
ReLU, as the authors' collection code does; it is applied after loading, so it means the same for every source.
"""

import difflib
import logging
import pickle
import re
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from fac_lab.errors import ModelError
from fac_lab.features.plain_sae import PlainSae
from fac_lab.features.subject import Subject
from fac_lab.model_hub import fetch
from fac_lab.profile import resolve
from fac_lab.settings import SaeSettings

log = logging.getLogger(__name__)

# sae-lens names a place as transformer-lens does (blocks.7.hook_resid_post; hook_out in its bridge), other
# libraries as Hugging Face does (model.layers.7, transformer.h.7, encoder.layer.7).
_AFTER_LAYER = re.compile(r"blocks\.(\d+)\.(?:hook_resid_post|hook_out)|(?:\w+\.)*(?:layers|layer|h)\.(\d+)")
_BEFORE_LAYER = re.compile(r"blocks\.(\d+)\.hook_resid_pre")
_AUTHORS_LAYER = re.compile(r"_l(\d+)_")
# sae-lens leaves these two to be folded into the weights; until then `encode` is wrong on raw activations.
_UNFOLDED = ("expected_average_only_in", "covariance_whitening")


def load_sae(settings: SaeSettings, subject: Subject | None = None):
    """Load an SAE, on the subject's device, and check that it fits the subject where one is given.

    Returns a `sae_lens.SAE` in evaluation mode. Raises ModelError for anything that cannot be read, and see
    `check_fits`.
    """
    device = str(subject.device) if subject else "cpu"
    load = {"folder": _from_folder, "release": _from_release, "authors": _from_authors}[settings.source]
    with quiet_sae_lens():
        sae = load(settings, device)
    cfg = sae.cfg
    if cfg.normalize_activations in _UNFOLDED:
        raise ModelError(
            f"The SAE {settings.path} was trained on rescaled activations ({cfg.normalize_activations}), and "
            "the scale is not folded into its weights, so it cannot read raw ones. Fold it once with "
            "sae.fold_activation_norm_scaling_factor(sqrt(d_in) / mean norm) and save it with sae.save_model."
        )
    if cfg.metadata.model_from_pretrained_kwargs:
        log.warning(
            "the SAE %s was trained on a model loaded with %s; the subject is read without, so its features "
            "may differ from the published ones",
            settings.path,
            cfg.metadata.model_from_pretrained_kwargs,
        )
    if not settings.top_k:
        sae = as_relu(sae)
    if subject:
        check_fits(sae, subject)
    return sae.eval()


def check_fits(sae, subject: Subject) -> None:
    """Raise ModelError unless the SAE reads vectors of the subject's width after the subject's layer."""
    metadata, name = sae.cfg.metadata, subject.name
    if sae.cfg.d_in != subject.d_model:
        owner = f" (it was trained on {metadata.model_name})" if metadata.model_name else ""
        raise ModelError(
            f"The SAE reads vectors of width {sae.cfg.d_in}{owner}, but {name} has width {subject.d_model}. "
            "Choose an SAE that was trained on this model, or set subject.path to the SAE's model."
        )
    if not metadata.hook_name:
        raise ModelError(
            "The SAE's metadata do not say which layer it reads. If it was trained after layer "
            f"{subject.layer} of {name} (counted from 0), add this to its cfg.json: "
            f'"metadata": {{"hook_name": "{subject.hook_name}", "sae_lens_version": "6.0.0"}}. '
            "A checkpoint of the authors wants the layer, counted from 1, in its file name: TopK_l16_.pth."
        )
    layer = layer_of_hook(metadata.hook_name)
    if layer is None:
        raise ModelError(
            f"The SAE reads {metadata.hook_name}, but features are read from the residual stream after a "
            f"layer, such as {subject.hook_name}. Choose an SAE of the residual stream (resid_post, or "
            "resid_pre of a layer above the first)."
        )
    if layer != subject.layer:
        hint = (
            f" Layers count from 0 here and from 1 in the paper: its layer {layer + 1} is {layer} here."
            if abs(layer - subject.layer) == 1
            else ""
        )
        raise ModelError(
            f"The SAE reads the output of layer {layer} ({metadata.hook_name}), but the subject is read "
            f"after layer {subject.layer}.{hint} Set subject.layer to {layer}, or choose another SAE."
        )


def layer_of_hook(hook_name: str) -> int | None:
    """Layer (from 0) whose output a hook name means; None for any other place.

    The input of layer L is the output of layer L - 1.
    """
    if match := _AFTER_LAYER.fullmatch(hook_name):
        return int(match[1] or match[2])
    if (match := _BEFORE_LAYER.fullmatch(hook_name)) and int(match[1]) > 0:
        return int(match[1]) - 1
    return None


def as_relu(sae):
    """A Top-K SAE with the selection switched off: `relu(W_enc (x - b_dec) + b_enc)`, decoder unchanged.

    Decoder norms are folded first where the SAE ranks its features by them, so that a kept feature has the
    value it had. Any architecture without a Top-K selection raises ModelError, plain ReLU excepted.
    """
    from sae_lens import StandardSAE, StandardSAEConfig

    cfg = sae.cfg
    if cfg.architecture() == "standard":
        return sae
    if cfg.architecture() != "topk":
        raise ModelError(f"sae.top_k: false needs a Top-K SAE; this is a {cfg.architecture()} one. Remove it.")
    if cfg.rescale_acts_by_decoder_norm:
        sae.fold_W_dec_norm()
    shared = ("d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input", "normalize_activations")
    relu = StandardSAE(
        StandardSAEConfig(
            **{key: getattr(cfg, key) for key in shared},
            reshape_activations=cfg.reshape_activations,
            metadata=cfg.metadata,
        )
    )
    relu.load_state_dict(sae.state_dict())
    return relu


def authors_loader(
    path: str | Path, device: str = "cpu", cfg_overrides: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A sae-lens disk loader for the authors' checkpoints; only tensors and plain values are unpickled.

    The file holds `{"weight": {mask, W_enc [d_in, d_sae], b_enc, b_dec}, "config": {d_inp, d_hide, topK}}`.
    The decoder is tied (`W_dec = W_enc.T`), `mask` is not used. The layer, counted from 1, is taken from the
    file's name (`TopK7_l16_h4096_epoch3.pth` reads blocks.15).
    """
    path = Path(path)
    weights, config = _read_checkpoint(path, device)
    d_in, d_sae = config["d_inp"], config["d_hide"]
    for key, shape in {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "b_dec": (d_in,)}.items():
        if tuple(weights[key].shape) != shape:
            raise ModelError(
                f"{path}: {key} has shape {tuple(weights[key].shape)}, but its config (d_inp {d_in}, d_hide "
                f"{d_sae}) asks for {shape}. The checkpoint is damaged or of another kind: download it again."
            )
    metadata = {"sae_lens_version": "6.0.0"}
    if match := _AUTHORS_LAYER.search(path.name):
        metadata["hook_name"] = f"blocks.{int(match[1]) - 1}.hook_resid_post"
    cfg = {
        "architecture": "topk",
        "d_in": d_in,
        "d_sae": d_sae,
        "k": config["topK"],
        "dtype": str(weights["W_enc"].dtype).removeprefix("torch."),
        "device": device,
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "metadata": metadata,
        **(cfg_overrides or {}),
    }
    kept = {key: weights[key].contiguous() for key in ("W_enc", "b_enc", "b_dec")}
    return cfg, {**kept, "W_dec": kept["W_enc"].T.contiguous()}


def _read_checkpoint(path: Path, device: str) -> tuple[dict, dict]:
    if not path.is_file():
        raise ModelError(
            f"There is no checkpoint {path}. Check sae.path; a file on the hub wants its repository as sae.path "
            "and its name as sae.file."
        )
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way whatever
        if not (isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)):
            reason = f"{type(error).__name__}: {str(error)[:100]}"
            raise ModelError(f"{path} is not a readable checkpoint ({reason}). Download it again.") from error
        raise ModelError(
            f"{path} holds Python objects besides tensors; loading them could run code, so it is refused. "
            "Ask for a file with weights only, or convert it on a machine where that is no risk."
        ) from error
    wanted = {"weight": ("W_enc", "b_enc", "b_dec"), "config": ("d_inp", "d_hide", "topK")}
    for part, keys in wanted.items():
        found = content.get(part) if isinstance(content, dict) else None
        missing = [key for key in keys if not isinstance(found, dict) or key not in found]
        if missing:
            raise ModelError(
                f"{path} is not one of the authors' checkpoints: its {part!r} lacks {', '.join(missing)}. "
                'Load other formats with sae-lens, save with sae.save_model, and set sae.source to "folder".'
            )
    return content["weight"], content["config"]


def _from_authors(settings: SaeSettings, device: str):
    path = authors_file(settings)
    if not _has_sae_lens():
        return PlainSae(*authors_loader(path, device))
    from sae_lens import SAE

    return SAE.load_from_disk(path, device=device, converter=authors_loader)


def authors_file(settings: SaeSettings) -> Path:
    """The checkpoint on this machine: a local file, one inside a local folder, else one fetched from the hub."""
    where = Path(resolve(settings.path))
    if settings.file is None:
        return where
    if where.is_absolute():
        return where / settings.file
    return fetch(settings.path, settings.file, settings.revision)


def _has_sae_lens() -> bool:
    """Whether SAEs are sae-lens' own here; without it, those that `PlainSae` knows can be read all the same."""
    return find_spec("sae_lens") is not None


def _from_folder(settings: SaeSettings, device: str):
    folder = Path(resolve(settings.path))
    for name in ("cfg.json", "sae_weights.safetensors"):
        if not (folder / name).is_file():
            raise ModelError(
                f"{folder} has no {name}, so it is not an SAE's folder in sae-lens layout. Check sae.path; "
                'a .pth file of the authors wants sae.source "authors".'
            )
    if not _has_sae_lens():
        return PlainSae.load(folder, device)
    from sae_lens import SAE

    try:
        return SAE.load_from_disk(folder, device=device)
    except Exception as error:  # sae-lens raises whatever its parsers raise
        raise ModelError(
            f"The SAE in {folder} cannot be read ({type(error).__name__}: {error}). Copy or train it again."
        ) from error


def _from_release(settings: SaeSettings, device: str):
    if not _has_sae_lens():
        raise ModelError(f"release {settings.path} of the registry needs sae-lens: pip install sae-lens")
    from sae_lens import SAE
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = get_pretrained_saes_directory()
    # Never null for a release: see SaeSettings.
    release, sae_id = settings.path, settings.sae_id or ""
    if release not in releases and "/" not in release:
        raise ModelError(f"sae-lens knows no release {release!r}.{_nearest(release, releases)}")
    if release in releases and sae_id not in releases[release].saes_map:
        raise ModelError(f"Release {release} has no SAE {sae_id!r}.{_nearest(sae_id, releases[release].saes_map)}")
    try:
        return SAE.from_pretrained(release, sae_id, device=device)
    except Exception as error:  # the hub, the network and every format's own parser meet here
        said = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelError(
            f"SAE {sae_id} of {release} could not be downloaded ({type(error).__name__}: {said}). Check the "
            "connection and that HF_HUB_OFFLINE is not set; a gated repository wants `hf auth login`."
        ) from error


def _nearest(name: str | None, known) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=5, cutoff=0.4) or sorted(known)[:5]
    return f" Close to it: {', '.join(close)}."


@contextmanager
def quiet_sae_lens():
    """Import and loading without third-party warnings; what a user can act on is said by this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
