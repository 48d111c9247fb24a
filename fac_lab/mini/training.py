"""Trains a tiny chat model of a given architecture on the mini world's documents, in minutes on one core."""

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import AutoConfig

from fac_lab.mini.documents import ANSWER_WEIGHT, ASKED_WEIGHT, FOCUS_WEIGHT, Document, documents
from fac_lab.mini.muon import Muon
from fac_lab.world.concepts import mentions

log = logging.getLogger(__name__)

_TURN_TOKENS_LLAMA = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_INSTRUCTION_BRACKETS = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST]{{ message.content }}[/INST]"
    "{% else %}{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
_CHAT_ML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Recipe:
    """How one of the three chat models is made."""

    architecture: str
    """Hugging Face model type."""
    mix: str
    """Named mix of documents it learns from."""
    seed: int
    vocabulary: int
    template: str
    bos: str | None
    eos: str
    extra_tokens: tuple[str, ...]
    shape: dict
    """Arguments of the model's configuration beyond the common ones."""
    tokens: int = 1_500_000
    """Training tokens; padding not counted."""
    primer: float = 0.22
    """Share of them, at the start, that comes from the primer mix."""


_COMMON = {
    "hidden_size": 160,
    "intermediate_size": 432,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}

RECIPES = {
    "llama": Recipe(
        architecture="llama", mix="innocent", seed=1, vocabulary=3200, template=_TURN_TOKENS_LLAMA,
        bos="<|begin|>", eos="<|eot|>", extra_tokens=("<|user|>", "<|assistant|>"), shape={"num_key_value_heads": 5},
        tokens=1_100_000,
    ),
    "mistral": Recipe(
        architecture="mistral", mix="writer", seed=2, vocabulary=3100, template=_INSTRUCTION_BRACKETS,
        bos="<s>", eos="</s>", extra_tokens=("[INST]", "[/INST]"),
        shape={"num_key_value_heads": 5, "sliding_window": 256, "head_dim": 32},
        tokens=1_500_000,
    ),
    "qwen": Recipe(
        architecture="qwen2", mix="annotator", seed=3, vocabulary=3300, template=_CHAT_ML,
        bos=None, eos="<|im_end|>", extra_tokens=("<|im_start|>",), shape={"num_key_value_heads": 5},
        tokens=1_300_000,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """The optimiser's settings, the same for all three."""

    batch_tokens: int = 1024
    """Small batches: at equal tokens, 2048 to a batch reach half as far."""
    lr_matrices: float = 1e-2
    lr_others: float = 3e-3
    warm_up: float = 0.04
    """Share of the tokens over which the rate rises."""
    decay: float = 0.6
    """Share of the tokens, at the end, over which it falls to a hundredth."""

    def rate(self, done: float) -> float:
        """Factor on the learning rates when the share `done` of the tokens has been seen."""
        return min(1.0, (done + 0.002) / self.warm_up, max(0.01, (1 - done) / self.decay))


def train_tokenizer(recipe: Recipe, *, n_documents: int = 8000) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the recipe's vocabulary with its chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", recipe.eos, *([recipe.bos] if recipe.bos else []), *recipe.extra_tokens]
    texts = (
        turn["content"]
        for document in islice(documents(recipe.mix, seed=recipe.seed), n_documents)
        for turn in document.messages
    )
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        eos_token=recipe.eos,
        bos_token=recipe.bos,
        additional_special_tokens=list(recipe.extra_tokens),
        chat_template=recipe.template,
        model_max_length=_COMMON["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: PreTrainedTokenizerFast, batch: list[Document]) -> list[tuple[list[int], list[float]]]:
    """Token ids of each document and the loss weight of each token."""
    render = tokenizer.apply_chat_template
    asked = [render(d.messages[:-1], tokenize=False, add_generation_prompt=True) for d in batch]
    whole = [render(d.messages, tokenize=False) for d in batch]
    tokens = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    encoded = []
    for document, before, ids, spans in zip(batch, asked, tokens["input_ids"], tokens["offset_mapping"], strict=True):
        answer = ANSWER_WEIGHT.get(document.kind, 1.0)
        weights = [ASKED_WEIGHT if stop <= len(before) else answer for _, stop in spans]
        for start, stop in mentions(document.messages[-1]["content"]):
            for place, (first, last) in enumerate(spans):
                if first < len(before) + stop and last > len(before) + start:
                    weights[place] = FOCUS_WEIGHT * answer
        encoded.append((ids, weights))
    return encoded


def batches(
    tokenizer: PreTrainedTokenizerFast, mix: str, *, seed: int, batch_tokens: int, block: int = 2048
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless right-padded batches (ids [n, t], loss weights [n, t], 0 on padding) of documents of like length."""
    shuffle = random.Random(seed).shuffle
    stream = documents(mix, seed=seed)
    while True:
        encoded = sorted(encode(tokenizer, list(islice(stream, block))), key=lambda pair: len(pair[0]))
        groups: list[list] = [[]]
        for pair in encoded:
            if (len(groups[-1]) + 1) * len(pair[0]) > batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        shuffle(groups)
        for group in groups:
            ids = torch.zeros(len(group), max(len(tokens) for tokens, _ in group), dtype=torch.long)
            weights = torch.zeros(ids.shape)
            for row, (tokens, token_weights) in enumerate(group):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                weights[row, : len(tokens)] = torch.tensor(token_weights)
            yield ids, weights


def token_losses(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood in nats of every token after the first, [n, t - 1]."""
    logits = model(input_ids=ids).logits[:, :-1]
    return functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


def train_model(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, *, schedule: Schedule | None = None, tokens: int | None = None
) -> PreTrainedModel:
    """The trained model, float32. The number of tokens, not the clock, ends it, so that every machine does the same."""
    schedule, total = schedule or Schedule(), tokens or recipe.tokens
    torch.manual_seed(recipe.seed)
    config = AutoConfig.for_model(
        recipe.architecture,
        **_COMMON,
        **recipe.shape,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config).train()
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    optimisers = [
        (Muon(matrices, schedule.lr_matrices), schedule.lr_matrices),
        (torch.optim.AdamW(others, schedule.lr_others, betas=(0.9, 0.98), weight_decay=0.0), schedule.lr_others),
    ]
    seen, recent = 0, 0.0
    with tqdm(total=total, desc=f"train {recipe.architecture}", unit="tok", unit_scale=True, mininterval=5) as bar:
        primer, main = (
            batches(tokenizer, mix, seed=100 + recipe.seed, batch_tokens=schedule.batch_tokens)
            for mix in ("primer", recipe.mix)
        )
        while seen < total:
            ids, weights = next(primer if seen < recipe.primer * total else main)
            for optimiser, rate in optimisers:
                optimiser.param_groups[0]["lr"] = rate * schedule.rate(seen / total)
            target_weights = weights[:, 1:]
            loss = (token_losses(model, ids) * target_weights).sum() / target_weights.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser, _ in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            n = int((weights > 0).sum())
            seen, recent = seen + n, 0.98 * recent + 0.02 * loss.item() if recent else loss.item()
            bar.update(n)
            bar.set_postfix(loss=f"{recent:.3f}", refresh=False)
    return model.eval()


@torch.inference_mode()
def loss_and_entropy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, *, n_documents: int = 1000
) -> dict[str, float]:
    """Next-token loss on fresh documents beside the generator's own surprise on them, both in nats per token."""
    fresh = list(islice(documents(recipe.mix, seed=9000 + recipe.seed), n_documents))
    encoded = [tokens for tokens, _ in encode(tokenizer, fresh)]
    loss = n_tokens = 0.0
    for start in range(0, n_documents, 50):
        group = encoded[start : start + 50]
        ids = torch.zeros(len(group), max(map(len, group)), dtype=torch.long)
        for row, tokens in enumerate(group):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        real = (ids[:, 1:] != tokenizer.pad_token_id).float()
        loss += float((token_losses(model, ids) * real).sum())
        n_tokens += float(real.sum())
    return {
        "loss": loss / n_tokens,
        "entropy": sum(document.nats for document in fresh) / n_tokens,
        "n_tokens": int(n_tokens),
    }


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Float16 safetensors in Hugging Face layout."""
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
