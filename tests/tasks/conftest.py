"""Tiny random models of three families that read a language of whole words, and rows with toxic words."""

import random
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fac_lab.corpora import Row

torch.set_num_threads(1)

SPECIALS = ["[PAD]", "<s>", "</s>", "<|user|>", "<|assistant|>", "[UNK]"]
SAFE, TOXIC = [f"good{i}" for i in range(40)], [f"bad{i}" for i in range(10)]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|user|> {{ m.content }} {{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_model(family: str, path: Path) -> None:
    words = {word: i for i, word in enumerate(SPECIALS + SAFE + TOXIC)}
    raw = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "[UNK]"}
    # GPT-2 has no padding token and no chat template.
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, **names, **({} if family == "gpt2" else {"pad_token": "[PAD]"})
    )
    tokenizer.chat_template = TEMPLATE if family == "llama" else None
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    common = {"vocab_size": len(words), "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.1}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    if family == "llama":
        sizes = {**sizes, "num_key_value_heads": 2, "pad_token_id": 0}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**common, **sizes))
    elif family == "gpt2":
        config = transformers.GPT2Config(**common, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        model = transformers.GPT2LMHeadModel(config)
    else:
        model = transformers.BertModel(transformers.BertConfig(**common, **sizes, pad_token_id=0))
    model.save_pretrained(path)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """`model_folder("llama")`, "gpt2" (no template, no padding token) or "bert" (an encoder)."""

    @cache
    def folder(family: str) -> Path:
        path = tmp_path_factory.mktemp(family)
        write_model(family, path)
        return path

    return folder


@pytest.fixture(scope="session")
def make_rows():
    """`make_rows(n, seed)`: rows of 3 to 9 words, every fourth toxic in every word."""

    def rows(n: int, seed: int) -> list[Row]:
        dice = random.Random(seed)
        made = []
        for i in range(n):
            toxic = i % 4 == 0
            words = dice.choices(TOXIC if toxic else SAFE, k=dice.randint(3, 9))
            made.append(Row(f"{seed}-{i}", " ".join(words), int(toxic)))
        return made

    return rows
