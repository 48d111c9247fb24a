"""Tiny random models of five architectures on disk, in Hugging Face layout, subjects and SAEs for them."""

import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
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

from fac_lab.corpora import Corpus, Row
from fac_lab.features.subject import Subject
from fac_lab.settings import ModelSettings

torch.set_num_threads(1)
with warnings.catch_warnings():
    # transformer-lens 3.9 imports its own deprecated module; tests otherwise turn warnings into errors.
    warnings.simplefilter("ignore", DeprecationWarning)
    import sae_lens

ARCHITECTURES = ("llama", "mistral", "qwen2", "gpt2", "bert")
D_MODEL, N_LAYERS, CONTEXT = 32, 3, 128
TEXTS = [
    "How do I bake sourdough bread at home?",
    "hi",
    "Zwölf Bäume — 🌳 and a naïve café",
    "Tell me two facts about the moon, then one about the tide.\nKeep it short.",
    "a b c d e f g",
]
# As their families write them: Llama strips and begins with BOS, Mistral puts blanks around the text, Qwen
# adds a system prompt and no BOS. GPT-2 and BERT have none.
TEMPLATES = {
    "llama": "{{ bos_token }}{% for m in messages %}"
    "<|start|>{{ m.role }}<|end|>\n\n{{ m.content | trim }}<|eot|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}",
    "mistral": "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}",
    "qwen2": "<|start|>system\nYou are a helpful assistant.<|eot|>\n{% for m in messages %}"
    "<|start|>{{ m.role }}\n{{ m.content }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
}
WORDS = ["bread", "moon", "tide", "lock", "exam", "refund", "garden", "piano", "river", "engine", "lamp", "novel"]
VERBS = ["bake", "watch", "time", "pick", "sit", "claim", "water", "play", "cross", "start", "light", "read"]
SPECIALS = ["<s>", "</s>", "<|start|>", "<|end|>", "<|eot|>", "[CLS]", "[SEP]", "[PAD]"]


def build_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 tokens; BERT's lower-cases and wraps in [CLS] and [SEP]."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXTS * 3, trainer)
    wrapped = {"bert": ("[CLS] $A [SEP]", ["[CLS]", "[SEP]"]), "gpt2": ("$A", [])}
    single, used = wrapped.get(architecture, ("<s> $A", ["<s>"]))
    if architecture == "bert":
        raw.normalizer = normalizers.Lowercase()
    raw.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single=single, special_tokens=[(t, raw.token_to_id(t)) for t in used]),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="[PAD]")
    tokenizer.chat_template = TEMPLATES.get(architecture)
    return tokenizer


def build_model(architecture: str, *, seed: int = 0, d_model: int = D_MODEL):
    """A random model with weights large enough that layers and positions differ plainly."""
    torch.manual_seed(seed)
    common = dict(vocab_size=400, bos_token_id=0, eos_token_id=1, pad_token_id=7, initializer_range=0.2)
    if architecture == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=d_model, n_layer=N_LAYERS, n_head=4, n_positions=CONTEXT, **common))
    sizes = dict(
        hidden_size=d_model,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=CONTEXT,
    )
    if architecture == "bert":
        return BertModel(BertConfig(**sizes, **common))
    config, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "mistral": (MistralConfig, MistralForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[architecture]
    return model(config(num_key_value_heads=2, **sizes, **common))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Callable[..., Path]:
    """`model_folder("llama", seed=0, d_model=32)`: folder of a tiny random model, built once per session."""

    @cache
    def folder(architecture: str, *, seed: int = 0, d_model: int = D_MODEL) -> Path:
        path = tmp_path_factory.mktemp(f"{architecture}-{seed}-{d_model}")
        build_model(architecture, seed=seed, d_model=d_model).save_pretrained(path)
        build_tokenizer(architecture).save_pretrained(path)
        return path

    return folder


@pytest.fixture(scope="session")
def make_subject(model_folder) -> Callable[..., Subject]:
    """`make_subject("llama", layer=1, seed=0, template=None, max_tokens=128)`: a subject, loaded once."""

    @cache
    def subject(
        architecture: str,
        *,
        layer: int = 1,
        seed: int = 0,
        template: str | None = None,
        max_tokens: int = CONTEXT,
    ) -> Subject:
        template = template or ("chat" if architecture in TEMPLATES else "none")
        settings = ModelSettings(
            str(model_folder(architecture, seed=seed)), layer=layer, max_tokens=max_tokens, template=template
        )
        return Subject.load(settings, device="cpu")

    return subject


@pytest.fixture(scope="session", params=ARCHITECTURES)
def any_subject(request, make_subject) -> Subject:
    """A subject of each architecture in turn, at layer 1, with its template where it has one."""
    return make_subject(request.param)


@pytest.fixture(scope="session")
def make_sae() -> Callable[..., sae_lens.SAE]:
    """`make_sae("topk", d_in=32, d_sae=64, k=4, seed=0)`: a random SAE, no parameter left at 0 or 1."""

    def sae(architecture: str = "topk", *, d_in: int = D_MODEL, d_sae: int = 64, seed: int = 0, **settings):
        if architecture in ("topk", "abstopk"):
            settings = {"k": 4, **settings}
        torch.manual_seed(seed)
        made = sae_lens.SAE.from_dict({"architecture": architecture, "d_in": d_in, "d_sae": d_sae, **settings})
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            if architecture == "jumprelu":
                made.threshold.abs_()
        return made

    return sae


@pytest.fixture(scope="session")
def corpus():
    """300 short questions about twelve things."""
    rows = (
        Row(f"{i}", f"How do I {VERBS[i % 12]} the {WORDS[i * 5 % 12]} {'again ' * (i % 4)}today?") for i in range(300)
    )
    return Corpus.from_rows("queries", rows)


@pytest.fixture(scope="session")
def vectors_of():
    """The obvious way to a corpus' activation vectors: one text at a time."""

    def read(subject, corpus):
        texts = subject.tokenize([row.text for row in corpus])
        return torch.cat([subject.activations(*subject.batch([t]))[0, t.start : t.stop] for t in texts])

    return read


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[..., dict]:
    """`write_checkpoint(path, d_in=32, d_sae=64, k=4, drop=())`: a checkpoint as the authors save it, all weights
    random; returns them."""

    def write(path, *, d_in: int = D_MODEL, d_sae: int = 64, k: int = 4, drop=()) -> dict:
        torch.manual_seed(0)
        weight = {
            "mask": torch.ones(d_sae),
            "W_enc": torch.randn(d_in, d_sae) * 0.3,
            "b_enc": torch.randn(d_sae) * 0.3,
            "b_dec": torch.randn(d_in) * 0.3,
        }
        weight = {key: value for key, value in weight.items() if key not in drop}
        torch.save({"weight": weight, "config": {"d_inp": d_in, "d_hide": d_sae, "topK": k}}, path)
        return weight

    return write
