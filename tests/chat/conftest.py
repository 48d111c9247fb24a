"""Tiny random chat models in Hugging Face layout, and a world in which every request has a known answer."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from fac_lab.chat.client import ChatReply, ChatRequest

torch.set_num_threads(1)

CONTEXT = 96
TEMPLATES = {
    "llama": "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "mistral": "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant take turns') }}{% endif %}{% endfor %}",
    "qwen2": "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
}
TEMPLATES["gpt2"] = TEMPLATES["llama"]
SPECIALS = ["<pad>", "<s>", "</s>", "<|eot|>", "<|user|>", "<|assistant|>", "<|start|>", "[INST]", "[/INST]"]
TEXTS = [
    "write a query about plumbing leaks",
    "How do I bake sourdough bread?",
    "Why is the sky blue at noon?",
]


def build_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=SPECIALS[3:],
        chat_template=TEMPLATES.get(architecture),
    )


def build_model(architecture: str):
    torch.manual_seed(0)
    common = dict(vocab_size=320, bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.3)
    if architecture == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **common))
    config, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "mistral": (MistralConfig, MistralForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[architecture]
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    return model(config(**sizes, intermediate_size=64, max_position_embeddings=CONTEXT, **common))


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory) -> Callable[[str], Path]:
    """`chat_folder("llama")`: folder of a tiny random chat model, built once per session."""

    @cache
    def folder(architecture: str) -> Path:
        path = tmp_path_factory.mktemp(architecture)
        build_model(architecture).save_pretrained(path)
        build_tokenizer(architecture).save_pretrained(path)
        return path

    return folder


class Parrot:
    """A backend whose answer to a prompt is known: the prompt's last message, backwards.

    "fail ..." fails, "silent ..." gets no reply at all, "crash ..." raises once the later ones are answered.
    """

    def __init__(self, name: str = "parrot") -> None:
        self.name = name
        self.calls: list[list[ChatRequest]] = []
        self.mended = False

    @property
    def asked(self) -> list[str]:
        return [request.messages[-1]["content"] for call in self.calls for request in call]

    def generate(self, requests: Sequence[ChatRequest], done: Callable[[int, ChatReply], None]) -> None:
        self.calls.append(list(requests))
        for i, request in reversed(list(enumerate(requests))):
            said = request.messages[-1]["content"]
            if said.startswith("crash") and not self.mended:
                raise RuntimeError("the parrot has flown")
            if said.startswith("fail") and not self.mended:
                done(i, ChatReply.failed(request, "the parrot does not know"))
            elif not said.startswith("silent"):
                done(i, ChatReply(request, said[::-1], "stop", prompt_tokens=10, completion_tokens=len(said)))


def ask(said: str, **options) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": said},), **options)


@pytest.fixture(name="ask", scope="session")
def ask_fixture() -> Callable[..., ChatRequest]:
    return ask


@pytest.fixture(scope="session")
def parrot_type() -> type[Parrot]:
    return Parrot


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()
