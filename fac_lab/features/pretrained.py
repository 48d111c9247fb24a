"""Pre-trained models from a folder or the hub: loading them, and telling one from another."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from fac_lab.digests import digest
from fac_lab.errors import ModelError
from fac_lab.profile import resolve
from fac_lab.settings import ModelSettings

_SAMPLED_ELEMENTS = 4096


def load_pretrained(settings: ModelSettings) -> tuple:
    """Model and tokenizer; every way this fails becomes a ModelError that names the cure."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    path = resolve(settings.path)
    local = Path(path).is_dir()
    if local and not (Path(path) / "config.json").is_file():
        raise ModelError(f"{path} has no config.json, so it is not a model's folder in Hugging Face layout.")
    if not local and Path(path).is_absolute():
        raise ModelError(f"There is no folder {path}. Check subject.path, or name a model on the hub.")
    # A revision means nothing in a folder; "main" is the hub's own default.
    options = {"local_files_only": local, "revision": settings.revision or "main"}
    try:
        config = AutoConfig.from_pretrained(path, **options)
        kind = AutoModelForCausalLM if is_causal(config) else AutoModel
        model = kind.from_pretrained(path, dtype=getattr(torch, settings.dtype), **options)
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        if not isinstance(tokenizer.model_max_length, int | float):
            raise ValueError(f"model_max_length is {tokenizer.model_max_length!r}")
    except Exception as error:  # a damaged file fails in any way whatever, tokenizers' by a bare Exception
        raise ModelError(_load_failure(path, local, error)) from error
    return model, tokenizer


def _load_failure(path: str, local: bool, error: Exception) -> str:
    said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    if local:
        return f"The model in {path} cannot be read ({said}). Copy or download the folder again."
    if "gated" in str(error):
        return (
            f"{path} is a gated model. Accept its terms at https://huggingface.co/{path} and log in with "
            "`hf auth login`, then run again."
        )
    return (
        f"There is no folder {path}, and the hub did not deliver a model of that name ({said}). Check the "
        f"spelling against https://huggingface.co/{path}, the connection, and that HF_HUB_OFFLINE is not set."
    )


def is_causal(config) -> bool:
    """Whether a model of this config predicts next tokens."""
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or [])


def weights_digest(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Digest of named tensors: name, shape, dtype and up to 4,096 evenly spaced values of each.

    Any training changes it, and it costs seconds at 8B parameters; a single edited weight may escape it.
    """
    seen = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // _SAMPLED_ELEMENTS)]
        seen.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        seen.update(sample.to("cpu", torch.float64).numpy().tobytes())
    return seen.hexdigest()[:16]


def config_facts(config) -> dict:
    """The config without where it came from and what the weights already tell."""
    told = ("transformers_version", "architectures", "dtype", "torch_dtype")
    facts = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in facts.items() if key not in told and not key.startswith("_")}


def tokenizer_digest(tokenizer) -> str:
    """Digest of everything that decides which tokens a text becomes."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # Calls to the tokenizer rewrite these two, and this module overrides both.
    return digest({key: value for key, value in state.items() if key not in ("truncation", "padding")})
