"""What is known of a model or an SAE without loading it: from the shipped list, or read off its files.

Sizes in a folder come from the headers of its files, so a hundred-gigabyte model costs a few kilobytes to look at.
"""

import struct
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from fac_lab.errors import SettingsError
from fac_lab.parse import parse_json
from fac_lab.profile import resolve
from fac_lab.settings import SaeSettings

MODELS = Path(__file__).parent / "models.yaml"
FLOAT32 = 4
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class ModelFacts(NamedTuple):
    """A transformer's sizes."""

    name: str
    parameters: int
    width: int
    """Of the residual stream."""
    layers: int
    mlp: int
    """Width of the feed-forward layers."""
    kv_width: int
    """Width of keys, and of values: less than `width` where heads share them."""
    vocab: int
    tied: bool
    """Whether the output matrix is the embedding."""
    download_bytes: int
    """Bytes of weights to be fetched; 0 for a model that is here."""
    gated: bool
    """Whether the hub asks for consent to its terms first."""
    source: str

    @property
    def per_layer(self) -> float:
        """Parameters of one layer, embeddings left out."""
        return (self.parameters - self.vocab * self.width * (1 if self.tied else 2)) / self.layers

    @property
    def headless(self) -> int:
        """Parameters without an output matrix of its own, which a classifier drops."""
        return self.parameters - (0 if self.tied else self.vocab * self.width)

    @property
    def page(self) -> str:
        """Where it lives on the hub."""
        return f"https://huggingface.co/{self.name}"


class SaeFacts(NamedTuple):
    """An SAE's sizes."""

    name: str
    d_in: int
    d_sae: int
    download_bytes: int
    """0 where it is here."""
    source: str


def model_facts(path: str) -> ModelFacts | None:
    """Facts of a model by a profile's path; None for a hub name that is not in the list.

    Raises SettingsError for a folder that holds no readable model, and a package that is not installed.
    """
    where = resolve(path)
    if Path(where).is_absolute():
        return _model_on_disk(path, Path(where))
    known = _known()["models"].get(where)
    if known is None:
        return None
    return ModelFacts(name=where, **{key: known[key] for key in ModelFacts._fields if key != "name"})


def sae_facts(settings: SaeSettings) -> SaeFacts | None:
    """Facts of a profile's SAE; None for one that is neither here nor in the list."""
    where = Path(resolve(settings.path))
    if settings.source == "folder":
        return _sae_on_disk(settings.path, where)
    local = where / (settings.file or "")
    if local.is_absolute() and not local.is_file():
        return None
    known = _known()["saes"].get(settings.path)
    if known is None:
        return None
    matrices = 1 if settings.source == "authors" else 2  # the authors' decoder is the encoder's transpose
    vectors = 2 * known["d_sae"] if settings.source == "authors" else known["d_sae"]
    size = FLOAT32 * (matrices * known["d_in"] * known["d_sae"] + vectors + known["d_in"])
    name = f"{settings.path}/{settings.file}" if settings.file else f"{settings.path}:{settings.sae_id}"
    return SaeFacts(name, known["d_in"], known["d_sae"], size, known["source"])


@cache
def _known() -> dict:
    return yaml.safe_load(MODELS.read_text(encoding="utf-8"))


def _model_on_disk(name: str, folder: Path) -> ModelFacts:
    try:
        found = _read_model(name, folder)
    except (OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, struct.error) as error:
        raise SettingsError(f"{folder} holds no readable model ({error}); check the profile's path") from error
    if not found.parameters:
        raise SettingsError(f"{folder} holds no .safetensors file with weights; check the profile's path")
    return found


def _read_model(name: str, folder: Path) -> ModelFacts:
    config = parse_json((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    width = _first(config, "hidden_size", "n_embd")
    heads = _first(config, "num_attention_heads", "n_head")
    kv_heads = config.get("num_key_value_heads") or heads
    shards = sorted(folder.glob("*.safetensors"))
    return ModelFacts(
        name=name,
        parameters=sum(map(_count_parameters, shards)),
        width=width,
        layers=_first(config, "num_hidden_layers", "n_layer"),
        mlp=config.get("intermediate_size") or config.get("n_inner") or 4 * width,
        kv_width=kv_heads * (config.get("head_dim") or width // heads),
        vocab=_first(config, "vocab_size"),
        # A model without an output matrix, such as an encoder, counts as tied: none is there to be left out.
        tied=not any("lm_head.weight" in _header(shard) for shard in shards),
        download_bytes=0,
        gated=False,
        source="config.json and the headers of its .safetensors files",
    )


def _sae_on_disk(name: str, folder: Path) -> SaeFacts | None:
    try:
        config = parse_json((folder / "cfg.json").read_text(encoding="utf-8"))
        return SaeFacts(name, _first(config, "d_in"), _first(config, "d_sae"), 0, "its cfg.json")
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _first(config: dict, *keys: str) -> int:
    for key in keys:
        if key in config:
            if type(config[key]) is not int or config[key] < 1:
                raise ValueError(f"{key} is {config[key]!r}, no number of anything")
            return config[key]
    raise KeyError(" or ".join(keys))


def _count_parameters(file: Path) -> int:
    counted = 0
    for name, tensor in _header(file).items():
        if name != "__metadata__":
            size = 1
            for length in tensor["shape"]:
                size *= length
            counted += size
    return counted


def _header(file: Path) -> dict:
    """The JSON at the start of a .safetensors file: 8 bytes of length, little-endian, then names, types and shapes."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > file.stat().st_size:
            raise ValueError(f"{file.name} is shorter than its first bytes say")
        return parse_json(stream.read(length))
