"""Protocols of collection: every choice in which the paper and its authors' code differ, a switch each.

A protocol is a name that sets all switches, and any of them may be set by itself beside the name:

    collect:
      protocol: {name: code, second_bos: false}

`paper` is what the paper says, `code` is what the published collection script does (read in the repository
Zhongzhi660/FAC-Synthesis, `sae_feature_analysis/interpret_features/collect_spans.py`). Statistics record all
switches, and those of two protocols are refused in one merge.
"""

from dataclasses import asdict, dataclass
from typing import Any

from fac_lab.errors import SettingsError

NAMED: dict[str, dict[str, Any]] = {
    "paper": {
        "top_k": True,
        "prefix": "template",
        "prefix_tokens": 31,
        "span": "around",
        "second_bos": False,
        "generation_prompt": True,
        "cut": "text",
    },
    "code": {
        "top_k": False,
        "prefix": "fixed",
        "prefix_tokens": 31,
        "span": "before",
        "second_bos": True,
        "generation_prompt": False,
        "cut": "prompt",
    },
}
_CHOICES = {"prefix": ("template", "fixed"), "span": ("around", "before"), "cut": ("text", "prompt")}


@dataclass(frozen=True)
class CollectProtocol:
    """How a text is put to the subject and which of its activations count; switches left null are the name's."""

    name: str = "paper"
    """"paper" or "code": sets every switch that is not set here."""
    top_k: bool | None = None
    """Whether a Top-K SAE keeps its k values per token; false reads it as plain ReLU."""
    prefix: str | None = None
    """What is never pooled: "template", all that stands before the text, however long; "fixed", the first
    `prefix_tokens` tokens, be they of the template or of the text."""
    prefix_tokens: int | None = None
    """Number of tokens dropped where `prefix` is "fixed"."""
    span: str | None = None
    """"around": a piece of the text with the token that peaked in it; "before": the tokens before the one that
    peaked and not that one, template tokens included, as the tokenizer decodes them."""
    second_bos: bool | None = None
    """Whether the tokenizer adds its special tokens to the rendered chat, which has its own already."""
    generation_prompt: bool | None = None
    """Whether the template's opening of the model's reply follows the text (and is pooled, with pool "paper")."""
    cut: str | None = None
    """What a text over the limit loses: "text", the end of the text; "prompt", the end of the whole prompt,
    the template's suffix first."""

    def __post_init__(self):
        if self.name not in NAMED:
            raise SettingsError(f"collect.protocol.name is {self.name!r}; choose one of {', '.join(map(repr, NAMED))}")
        for switch, value in NAMED[self.name].items():
            if getattr(self, switch) is None:
                object.__setattr__(self, switch, value)
        for switch, choices in _CHOICES.items():
            if getattr(self, switch) not in choices:
                raise SettingsError(
                    f"collect.protocol.{switch} is {getattr(self, switch)!r}; "
                    f"choose one of {', '.join(map(repr, choices))}"
                )
        if self.dropped < 0:
            raise SettingsError(f"collect.protocol.prefix_tokens is {self.prefix_tokens}; it has to be at least 0")

    @property
    def selects(self) -> bool:
        """`top_k`, which is null no more once the name has filled it in."""
        return bool(self.top_k)

    @property
    def dropped(self) -> int:
        """`prefix_tokens`, likewise."""
        return self.prefix_tokens or 0

    def record(self) -> dict[str, Any]:
        """Name and switches as plain values: what statistics keep of it."""
        return asdict(self)


PAPER = CollectProtocol()
CODE = CollectProtocol("code")
