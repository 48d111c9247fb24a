"""The subject: the model whose features are read, at one layer, with its chat template.

Decisions. The forward pass stops after the layer (a hook keeps its output and raises), so no later layer and
no vocabulary product is paid for. Special tokens come from the template or from the tokenizer, never from both:
there is no second BOS, unless the protocol asks for the authors' way.
"""

import inspect
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from fac_lab.collect_protocol import PAPER, CollectProtocol
from fac_lab.digests import digest
from fac_lab.errors import ModelError
from fac_lab.features.pretrained import config_facts, is_causal, load_pretrained, tokenizer_digest, weights_digest
from fac_lab.features.tokens import TokenizedText, tokenize
from fac_lab.settings import ModelSettings
from fac_lab.template import Frame, chat_frame


class _LayerReached(Exception):
    """Ends a forward pass at the hooked layer; never leaves this module."""


class Subject:
    """A causal language model or encoder read at the output of one layer.

    `layer` counts decoder layers from 0: the paper's "layer 16" is 15. `template` is "chat" (one user
    message, generation prompt added) or "none" (the text with the tokenizer's own special tokens).
    `max_tokens` is lowered to the model's context where that is shorter.
    """

    def __init__(self, model, tokenizer, *, name: str, layer: int, max_tokens: int = 512, template: str = "chat"):
        if template not in ("chat", "none"):
            raise ModelError(f'template must be "chat" or "none", not {template!r}.')
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.layer = layer
        self.template = template
        self._layers = _find_layers(model, name)
        if not 0 <= layer < len(self._layers):
            raise ModelError(
                f"layer {layer} does not exist in {name}, which has layers 0 to {len(self._layers) - 1}. "
                f"Layers are counted from 0 here and from 1 in the paper: its {layer} is {layer - 1} here."
            )
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"The tokenizer of {name} has no fast version, which is needed to map tokens to characters. "
                "Convert it with `AutoTokenizer.from_pretrained(...).save_pretrained(folder)` where "
                "sentencepiece or tiktoken is installed."
            )
        self._frame = chat_frame(tokenizer, name) if template == "chat" else None
        self.max_tokens = min(max_tokens, _context_length(model), tokenizer.model_max_length)

    @classmethod
    def load(cls, settings: ModelSettings, device: str | None = None) -> "Subject":
        """Load model and tokenizer from a folder (without touching the network) or from the hub by name."""
        model, tokenizer = load_pretrained(settings)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(
            model.to(device),
            tokenizer,
            name=settings.path,
            layer=settings.layer,
            max_tokens=settings.max_tokens,
            template=settings.template,
        )

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return _text_config(self.model).hidden_size

    @property
    def n_layers(self) -> int:
        return len(self._layers)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def hook_name(self) -> str:
        """The place that is read, in the naming of sae-lens' metadata."""
        return f"blocks.{self.layer}.hook_resid_post"

    @property
    def hook_module(self) -> torch.nn.Module:
        """The layer whose output is read."""
        return self._layers[self.layer]

    @property
    def has_head(self) -> bool:
        """Whether the model predicts next tokens, so that a loss can be measured."""
        return is_causal(self.model.config)

    @cached_property
    def digest(self) -> str:
        """Identifies everything that decides an activation: weights, config, tokenizer, template, layer, limit.

        Device and folder are left out. Weights enter by a sample of every tensor (see
        `pretrained.weights_digest`).
        """
        return digest(
            "subject",
            weights_digest(self.model.state_dict().items()),
            config_facts(self.model.config),
            tokenizer_digest(self.tokenizer),
            list(self._frame) if self._frame else None,
            self.layer,
            self.max_tokens,
        )

    def tokenize(
        self, texts: Sequence[str], pool: str = "paper", protocol: CollectProtocol = PAPER
    ) -> list[TokenizedText]:
        """Tokenize texts in the template, each with the range of tokens to pool over.

        `pool="paper"` pools from the first token of the text to the end of the prompt, the template's suffix
        included; `pool="content"` pools the text's own tokens only. A token that merges characters of the
        text with characters of the template counts as the text's. Without a template the tokenizer's special
        tokens are never pooled. A text that is too long loses tokens on its right, so that the template stays
        whole; one without any token of its own pools the suffix alone, or nothing.

        A text that spells a token of the template, such as "<|im_end|>", is read as the characters it has.

        So it is in the protocol `paper`; what its switches change, `CollectProtocol` says.
        """
        if pool not in ("paper", "content"):
            raise ModelError(f'pool must be "paper" or "content", not {pool!r}.')
        texts = list(texts)
        if not texts:
            return []
        frame = self._frame if protocol.generation_prompt or self._frame is None else self._bare_frame
        return tokenize(self.tokenizer, texts, frame, protocol, pool=pool, max_tokens=self.max_tokens)

    @cached_property
    def _bare_frame(self) -> Frame:
        """The template around a message with nothing begun behind it."""
        return chat_frame(self.tokenizer, self.name, generation_prompt=False)

    def batch(self, texts: Sequence[TokenizedText]) -> tuple[torch.Tensor, torch.Tensor]:
        """Right-padded ids and attention mask, both int64 `[n, longest]`, on the subject's device."""
        longest = max(len(text.ids) for text in texts)
        ids = np.full((len(texts), longest), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(texts), longest), dtype=np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    @torch.inference_mode()
    def activations(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Output of the layer for right-padded `ids [n, t]` with attention `mask [n, t]`.

        Returns `[n, t, d_model]` in the model's dtype; rows at padded positions mean nothing. Later layers
        and the head are not computed. For the last layer this is the value before the final norm.

        Raises ModelError for texts that are padded on the left: models with learned positions (GPT-2, BERT) would
        read them from the wrong place. Looked for on the CPU alone, as a GPU would have to wait for the answer.
        """
        if mask.device.type == "cpu" and bool((mask[:, 1:] > mask[:, :-1]).any()):
            raise ModelError(
                "activations are read of texts padded on the right, and here one is padded on the left. Make ids and "
                "mask by `subject.batch(subject.tokenize(texts))`."
            )
        kept: list[torch.Tensor] = []

        def keep(module, args, output):
            kept.append(layer_output(output))
            raise _LayerReached

        handle = self.hook_module.register_forward_hook(keep)
        try:
            self.forward(ids, mask)
        except _LayerReached:
            pass
        finally:
            handle.remove()
        return kept[0]

    def forward(self, ids: torch.Tensor, mask: torch.Tensor):
        """One whole forward pass of the model, without a key-value cache."""
        takes_cache = "use_cache" in inspect.signature(self.model.forward).parameters
        extra = {"use_cache": False} if takes_cache else {}
        return self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device), **extra)

    @property
    def _pad_id(self) -> int:
        # Padding is masked, so any id of the vocabulary will do where a model has no padding token.
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0


def pooled_mask(texts: Sequence[TokenizedText], width: int, device: torch.device) -> torch.Tensor:
    """Which positions of a right-padded batch are pooled over, bool `[n, width]`."""
    bounds = torch.tensor([(text.start, text.stop) for text in texts], device=device)
    place = torch.arange(width, device=device)
    return (place >= bounds[:, :1]) & (place < bounds[:, 1:])


def layer_output(output) -> torch.Tensor:
    """The residual stream in what a layer returned: a tensor, or the first element of a tuple."""
    return output[0] if isinstance(output, tuple) else output


def _text_config(model):
    return model.config.get_text_config()


def _context_length(model) -> int:
    return getattr(_text_config(model), "max_position_embeddings", None) or 2**31


def _find_layers(model, name: str) -> torch.nn.ModuleList:
    """The list of decoder or encoder layers: the largest ModuleList of the configured length."""
    depth = _text_config(model).num_hidden_layers
    lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    found = [module for module in lists if len(module) == depth]
    if not found:
        raise ModelError(
            f"{name} ({type(model).__name__}) holds no list of {depth} layers, so there is no layer to read. "
            "Models with one list of layers (Llama, Mistral, Qwen, GPT-2, BERT and their kin) work."
        )
    return max(found, key=lambda layers: sum(p.numel() for p in layers.parameters()))
