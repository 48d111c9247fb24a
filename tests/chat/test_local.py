"""The in-process backend on tiny random models of four architectures."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fac_lab.chat.client import ChatClient, ChatRequest, open_client
from fac_lab.chat.local import LocalBackend, SeededSampling, fingerprint
from fac_lab.errors import ChatError
from fac_lab.settings import ChatSettings

ARCHITECTURES = ("llama", "mistral", "qwen2", "gpt2")
SAID = ["hi", "How do I bake sourdough bread?", "Why is the sky blue at noon? " * 2, "plumbing", "a b c d e"]


@pytest.fixture(scope="session", params=ARCHITECTURES)
def backend(request, chat_folder) -> LocalBackend:
    return LocalBackend(chat_folder(request.param), batch=3, device="cpu")


def answers(backend, requests) -> list:
    return ChatClient(backend, cache=None, progress=False).complete(requests)


def test_a_reply_does_not_depend_on_its_batch(backend, ask):
    options = dict(temperature=1.0, top_p=0.95, max_tokens=8)
    requests = [ask(said, seed=i % 2, **options) for i, said in enumerate(SAID)]
    requests += [ask(said, max_tokens=6) for said in SAID[:3]] + [ChatRequest(messages=(), seed=4, **options)]
    together = answers(backend, requests)
    alone = [answers(backend, [request])[0] for request in requests]
    assert together == alone
    assert [reply.request for reply in together] == requests


def test_greedy_replies_are_those_of_a_plain_loop(backend, ask):
    """The slow, obvious way: one prompt, no padding, no cache, the likeliest token each time."""
    tokenizer = AutoTokenizer.from_pretrained(backend.model)
    model = AutoModelForCausalLM.from_pretrained(backend.model).eval()
    for said, reply in zip(SAID, answers(backend, [ask(said, max_tokens=10) for said in SAID]), strict=True):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        written = []
        ends = {tokenizer.convert_tokens_to_ids(token) for token in ("</s>", "<|eot|>", "[/INST]")}
        while len(written) < 10 and not ends & set(written):
            with torch.inference_mode():
                written.append(int(model(torch.tensor([ids + written])).logits[0, -1].argmax()))
        assert reply.text == tokenizer.decode(written, skip_special_tokens=True).strip()
        assert (reply.prompt_tokens, reply.completion_tokens) == (len(ids), len(written))
        assert reply.finish in ("stop", "length")


def test_seeds_decide_the_reply(backend, ask):
    def texts(seeds):
        options = dict(temperature=1.0, max_tokens=12)
        return [reply.text for reply in answers(backend, [ask("hi", seed=seed, **options) for seed in seeds])]

    drawn = texts(range(8))
    assert texts(range(8)) == drawn
    assert len(set(drawn)) > 4
    assert texts([-1]) == texts([-1])


def test_each_reply_has_its_own_length(backend, ask):
    requests = [ask("hi", temperature=1.5, max_tokens=n, seed=n) for n in (1, 5, 3, 5, 2)]
    replies = answers(backend, requests)
    assert all(reply.completion_tokens <= reply.request.max_tokens for reply in replies)
    for reply in replies:
        assert reply.finish == "stop" or reply.completion_tokens == reply.request.max_tokens


def test_a_prompt_beyond_the_context_fails_alone(backend, ask):
    # The context has 96 tokens.
    replies = answers(backend, [ask("z" * 300, max_tokens=4), ask("hi", max_tokens=4), ask("z" * 60, max_tokens=90)])
    assert "context" in replies[0].error and "96" in replies[0].error
    assert replies[1].ok
    # What fits may write until the context is full.
    assert replies[2].ok and replies[2].prompt_tokens + replies[2].completion_tokens <= 96


def test_what_the_template_refuses_fails_alone(chat_folder, ask):
    backend = LocalBackend(chat_folder("mistral"), device="cpu")
    system = ChatRequest(({"role": "system", "content": "be brief"}, *ask("hi").messages), max_tokens=3)
    replies = answers(backend, [system, ask("hi", max_tokens=3)])
    assert "only user and assistant" in replies[0].error and replies[1].ok


def biased_copy(folder, path, token: str, bias: float):
    """A copy of a tiny GPT-2 that says `token` again and again."""
    shutil.copytree(folder, path)
    model = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    with torch.no_grad():
        for weight in model.transformer.h.parameters():
            weight.zero_()
        model.transformer.wpe.weight.zero_()
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(bias * model.lm_head.weight[tokenizer.convert_tokens_to_ids(token)])
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("token", ["<|eot|>", "</s>"])
def test_a_turn_ends_at_its_token(chat_folder, ask, tmp_path, token):
    backend = LocalBackend(biased_copy(chat_folder("gpt2"), tmp_path / "copy", token, 100.0), device="cpu")
    (reply,) = answers(backend, [ask("hi", max_tokens=20)])
    assert (reply.text, reply.finish, reply.completion_tokens) == ("", "stop", 1)


def test_without_an_end_a_reply_is_cut(chat_folder, ask, tmp_path):
    backend = LocalBackend(biased_copy(chat_folder("gpt2"), tmp_path / "copy", "y", 100.0), device="cpu")
    (reply,) = answers(backend, [ask("hi", max_tokens=20)])
    assert (reply.text, reply.finish, reply.completion_tokens) == ("y" * 20, "length", 20)


@pytest.mark.parametrize(
    ("architecture", "opening"),
    [("llama", "<s><|user|>"), ("mistral", "<s>[INST] "), ("qwen2", "<|start|>user\n")],
)
def test_without_messages_the_model_is_given_the_opening_of_a_users_turn(chat_folder, architecture, opening):
    backend = LocalBackend(chat_folder(architecture), device="cpu")
    (reply,) = answers(backend, [ChatRequest(messages=(), max_tokens=2)])
    tokenizer = AutoTokenizer.from_pretrained(chat_folder(architecture))
    assert reply.prompt_tokens == len(tokenizer(opening, add_special_tokens=False)["input_ids"])


def test_drawn_tokens_follow_the_distribution_cut_at_top_p(ask):
    """Tokens of probability .5 .3 .15 .05; cut at 0.9 the last one is gone and the rest are renormalised."""
    n = 4000
    requests = [ask("", temperature=1.0, top_p=0.9, seed=seed) for seed in range(n)]
    scores = torch.tensor([0.3, 0.05, 0.5, 0.15]).log().repeat(n, 1)
    drawn = SeededSampling(requests, n_tokens=1, device=torch.device("cpu"))(None, scores).argmax(-1)
    shares = np.bincount(drawn.numpy(), minlength=4) / n
    assert np.allclose(shares, np.array([0.3, 0, 0.5, 0.15]) / 0.95, atol=0.03)


def test_temperature_sharpens_and_zero_is_greedy(ask):
    n = 2000
    scores = torch.tensor([0.4, 0.6]).log().repeat(n, 1)

    def share(temperature):
        requests = [ask("", temperature=temperature, seed=seed) for seed in range(n)]
        drawn = SeededSampling(requests, n_tokens=1, device=torch.device("cpu"))(None, scores).argmax(-1)
        return float(drawn.float().mean())

    assert share(0.0) == 1.0
    # At temperature T the odds 0.6 : 0.4 become (0.6 / 0.4) ** (1 / T).
    assert share(0.5) == pytest.approx(1.5**2 / (1 + 1.5**2), abs=0.04)
    assert share(1.0) == pytest.approx(0.6, abs=0.04)


def test_a_rebuilt_model_has_another_name(chat_folder, tmp_path):
    shutil.copytree(chat_folder("llama"), tmp_path / "model")
    name = LocalBackend(tmp_path / "model").name
    (tmp_path / "model" / "sae").mkdir()
    (tmp_path / "model" / "sae" / "cfg.json").write_text("{}")
    assert LocalBackend(tmp_path / "model").name == name
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert LocalBackend(tmp_path / "model").name != name


def test_a_large_file_is_sampled_evenly(tmp_path):
    size = 64 * (1 << 17)
    content = bytearray(size)
    (tmp_path / "weights").write_bytes(content)
    before = fingerprint(tmp_path)
    content[size // 2] = 1
    (tmp_path / "weights").write_bytes(content)
    assert fingerprint(tmp_path) != before


def test_models_that_cannot_chat_say_so(chat_folder, ask, tmp_path):
    with pytest.raises(ChatError, match="no chat model in"):
        LocalBackend(tmp_path / "nowhere")
    shutil.copytree(chat_folder("llama"), tmp_path / "mute")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (tmp_path / "mute" / name).unlink(missing_ok=True)
    (tmp_path / "mute" / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    with pytest.raises(ChatError, match="no chat template"):
        answers(LocalBackend(tmp_path / "mute"), [ask("hi")])
    (tmp_path / "mute" / "config.json").write_text("{}")
    shutil.copy(chat_folder("llama") / "chat_template.jinja", tmp_path / "mute")
    with pytest.raises(ChatError, match="cannot be loaded"):
        answers(LocalBackend(tmp_path / "mute"), [ask("hi")])


def test_a_profile_opens_a_local_model_with_its_cache(chat_folder, ask, tmp_path):
    settings = ChatSettings("local", str(chat_folder("qwen2")), concurrency=2)
    chat = open_client(settings, tmp_path, progress=False)
    first = chat.complete([ask("hi", max_tokens=3), ask("there", max_tokens=3)])
    again = open_client(settings, tmp_path, progress=False).complete([ask("there", max_tokens=3)])
    assert again[0].cached and again[0].text == first[1].text
    assert chat.tokens_spent == sum(reply.prompt_tokens + reply.completion_tokens for reply in first)
