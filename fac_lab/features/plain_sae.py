"""An SAE as tensors, for machines that have torch and transformers alone.

Bare GPU machines often lack sae-lens. Collection needs little of it, and that little is here under the names of
sae-lens: Top-K and plain ReLU on activations as they are, which are the authors' and the mini models' SAEs. It reads
what sae-lens reads and gives the same values and digest.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from fac_lab.errors import ModelError
from fac_lab.parse import parse_json

_DEFAULTS = {"dtype": "float32", "apply_b_dec_to_input": True, "normalize_activations": "none"}
_OF_TOP_K = {"k": 100, "rescale_acts_by_decoder_norm": False}


@dataclass(frozen=True)
class PlainConfig:
    """Settings under the names that sae-lens gives them."""

    facts: dict[str, Any]
    """The settings as sae-lens writes them, device and metadata left out."""
    metadata: Any
    """Facts on the training; None for those that are not known."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def architecture(self) -> str:
        """ "topk" or "standard"."""
        return self.facts["architecture"]

    def to_dict(self) -> dict[str, Any]:
        """The settings; those that are equal in sae-lens are equal here."""
        return dict(self.facts)


class _Metadata(SimpleNamespace):
    def __getattr__(self, name: str) -> None:
        return None


class PlainSae(torch.nn.Module):
    """A Top-K or ReLU SAE: `W_enc [d_in, d_sae]`, `b_enc`, `W_dec [d_sae, d_in]`, `b_dec`.

    Raises ModelError for settings that need sae-lens, and for weights whose shapes do not fit the settings.
    """

    W_enc: torch.nn.Parameter
    b_enc: torch.nn.Parameter
    W_dec: torch.nn.Parameter
    b_dec: torch.nn.Parameter

    def __init__(self, cfg: dict[str, Any], weights: dict[str, torch.Tensor]):
        super().__init__()
        kind = cfg.get("architecture", "standard")
        facts = _DEFAULTS | {"reshape_activations": "none"} | (_OF_TOP_K if kind == "topk" else {})
        facts |= {key: value for key, value in cfg.items() if key not in ("device", "metadata")}
        if kind not in ("topk", "standard") or facts["normalize_activations"] != "none":
            raise ModelError(
                f"an SAE of architecture {kind} with normalize_activations {facts['normalize_activations']} needs "
                "sae-lens: pip install sae-lens"
            )
        if facts["reshape_activations"] != "none":
            raise ModelError("an SAE that reshapes its activations needs sae-lens: pip install sae-lens")
        self.cfg = PlainConfig(facts, _Metadata(**cfg.get("metadata") or {}))
        d_in, d_sae = facts["d_in"], facts["d_sae"]
        for name, shape in {
            "W_enc": (d_in, d_sae),
            "b_enc": (d_sae,),
            "W_dec": (d_sae, d_in),
            "b_dec": (d_in,),
        }.items():
            if name not in weights or tuple(weights[name].shape) != shape:
                found = tuple(weights[name].shape) if name in weights else "missing"
                raise ModelError(f"the SAE's {name} is {found}, but its settings ask for {shape}: copy it again")
            value = weights[name].to(getattr(torch, str(facts["dtype"]).removeprefix("torch.")))
            self.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "PlainSae":
        """Read a folder in sae-lens layout: cfg.json and sae_weights.safetensors."""
        from safetensors.torch import load_file

        cfg = parse_json((Path(folder) / "cfg.json").read_text(encoding="utf-8"))
        return cls(cfg, load_file(Path(folder) / "sae_weights.safetensors", device=device)).eval()

    def process_sae_in(self, x: torch.Tensor) -> torch.Tensor:
        """Activations `[n, d_in]` as the encoder's product takes them."""
        x = x.to(self.W_enc.dtype)
        return x - self.b_dec if self.cfg.apply_b_dec_to_input else x

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Features `[n, d_sae]` of activations `[n, d_in]`."""
        before = torch.addmm(self.b_enc, self.process_sae_in(x), self.W_enc)
        if self.cfg.architecture() == "standard":
            return before.relu_()
        if self.cfg.rescale_acts_by_decoder_norm:
            before = before * self.W_dec.norm(dim=-1)
        value, feature = before.topk(min(self.cfg.k, self.cfg.d_sae), dim=-1, sorted=False)
        return torch.zeros_like(before).scatter_(-1, feature, value.relu_())

    def decode(self, features: torch.Tensor) -> torch.Tensor:
        """Activations `[n, d_in]` of features `[n, d_sae]`."""
        if self.cfg.architecture() == "topk" and self.cfg.rescale_acts_by_decoder_norm:
            features = features / self.W_dec.norm(dim=-1)
        return features @ self.W_dec + self.b_dec
