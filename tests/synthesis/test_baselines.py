"""The seven baselines: whole samples for every task, by the mini models and by a scripted large one, and bad models."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fac_lab import synthesis
from fac_lab.chat.backends import EndpointBackend
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.chat.local import LocalBackend
from fac_lab.errors import DataError, SettingsError
from fac_lab.lab import Lab
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis.baselines import BASELINES, Tools
from fac_lab.synthesis.formats import FORMATS, format_of, rest_fault
from fac_lab.synthesis.plain import draws_allowed
from fac_lab.synthesis.samples import kept, normalise
from fac_lab.synthesis.writer import Writer
from fac_lab.world import queries, recognise
from fac_lab.world.concepts import concepts

PROMPTS = Path(synthesis.__file__).parent / "prompts"
MINI = SynthesisSettings(step1_draws=2, step2_draws=2, max_tokens=32, prompts="mini")
PAPER = SynthesisSettings(step1_draws=2, step2_draws=2, prompts="paper")
SEEDS = [text for _, text in queries(12, seed=1, among=[c for c in concepts() if c.harmful])]


def by_words(texts):
    """Vectors that are near where texts share words; no two texts of ours are quite alike."""
    places = np.zeros((len(texts), 24))
    for row, text in zip(places, texts, strict=True):
        for i, word in enumerate(normalise(text).split()):
            row[sum(map(ord, word)) % 24] += 1 + i / 1000
    return places


def knows_harm(texts):
    found = [recognise(text) for text in texts]
    return ["" if concept and concept.harmful else "the judge says No" for concept in found]


def anything_goes(texts):
    return [""] * len(texts)


def scattered(texts):
    """Vectors without any order, the same for the same text."""
    return np.array([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])


ALL = Tools(judge=knows_harm, vectors=by_words, gradients=scattered)
LENIENT = ALL._replace(judge=anything_goes)


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """The mini model that writes, answers kept: a baseline asks it the same whatever the task."""
    return ChatClient(LocalBackend("data/mini/mistral", batch=64), cache=tmp_path_factory.mktemp("c"), progress=False)


class Large:
    """A large model that answers in JSON where a schema is named, else in the form that the prompt asks for."""

    name = "large"
    pre_query = True

    def __init__(self, says=None, letter=None):
        self.says = says or (lambda request, number: None)
        self.letter = letter
        self.asked = []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked.append(request)
            said = self.says(request, len(self.asked))
            done(i, ChatReply(request, said if said is not None else self.usual(request, len(self.asked)), "stop"))

    def usual(self, request, number):
        if request.schema is not None:
            names = request.schema["required"]
            return json.dumps({part: " ".join(f"{part}{number}w{i}" for i in range(7)) for part in names})
        prompt = "".join(turn["content"] for turn in request.messages)
        if '{"answer": "A"}' not in prompt:
            return f"words number {number} of user{number} about thing{number} and place{number}"
        option = re.search(r"^A: (.*)$", prompt, re.MULTILINE)
        meant = not option or any(word in option[1] for word in ("chosen", "matching", "harms", "Yes"))
        return json.dumps({"answer": self.letter or ("A" if meant else "B")})


def run(name, n, client, *, task="toxicity", settings=PAPER, tools=LENIENT, seeds=SEEDS, seed=0):
    client = client if isinstance(client, ChatClient) else ChatClient(client, cache=None, progress=False)
    writer = Writer(client, settings, PROMPTS / settings.prompts, task)
    return BASELINES[name](n, writer, seeds, seed=seed, tools=tools)


def sound(samples, name, n, task, settings=PAPER):
    """The samples that were kept, once all of them are what a baseline has to return."""
    form = format_of(task)
    assert len(samples) <= draws_allowed(n, settings) and len(kept(samples)) <= n
    assert {(s.method, s.task, s.label, s.feature) for s in samples} == {(name, task, 1, None)}
    assert all(bool(s.reason) != s.kept for s in samples)
    assert [s.draw for s in samples] == list(range(len(samples)))
    for sample in kept(samples):
        parts = json.loads(sample.parts)
        assert tuple(parts) == form.parts and rest_fault(parts, form) == ""
        assert normalise(sample.text) in normalise(parts[form.said])
        assert normalise(sample.text) not in {normalise(text) for text in SEEDS}
    return kept(samples)


@pytest.mark.parametrize("name", BASELINES)
def test_mini_models_yield_samples_for_each_task(chat, name):
    n = 8 if name == "magpie" else 4
    for task in FORMATS:
        tools = ALL if task == "toxicity" else ALL._replace(judge=None)
        samples = run(name, n, chat, task=task, settings=MINI, tools=tools, seed=1)
        good = sound(samples, name, n, task, MINI)
        assert good, (task, [s.reason for s in samples])
        if task == "toxicity":
            assert all(recognise(s.text).harmful for s in good)
            assert any(s.reason == "the judge says No" for s in samples)


@pytest.mark.parametrize("task", FORMATS)
@pytest.mark.parametrize("name", BASELINES)
def test_large_models_write_them_in_json(name, task):
    large = Large()
    samples = run(name, 5, large, task=task)
    good = sound(samples, name, 5, task)
    assert len(good) == 5
    wanted = set(format_of(task).parts) - set(format_of(task).later)
    asked = [request for request in large.asked if request.schema is not None]
    rest = wanted - {format_of(task).said} if name == "magpie" else wanted
    assert {frozenset(request.schema["required"]) for request in asked} == ({frozenset(rest)} if rest else set())
    # Seeds stand in prompts as JSON strings on lines of their own, where they give no orders.
    shown = "\n".join(turn["content"] for request in asked for turn in request.messages)
    seen = any(line == json.dumps(text) for line in shown.splitlines() for text in SEEDS)
    assert seen == (name not in ("magpie", "sao", "cot_self_instruct"))
    assert good[0].prompt_version and len({s.prompt_version for s in samples}) == 1


def test_the_same_seed_writes_the_same_and_another_something_else():
    def texts(name, seed):
        echo = Large(lambda r, number: json.dumps({"query": f"a b c d e f {r.seed}"}) if r.schema else None)
        return [s.text for s in run(name, 3, echo, seed=seed)]

    for name in set(BASELINES) - {"magpie"}:
        assert texts(name, 1) == texts(name, 1) != texts(name, 2)


LEAK = "Write one message that a user could send to a chat assistant."
BAD = {
    "repeats itself": (
        "the very same old words again",
        {"duplicate", "not new", "copies the prompt", "second choice", "not evolve", "dense cluster"},
    ),
    "empty": ("", {"unreadable", "empty"}),
    "refuses": ("I'm sorry, but I cannot help with that request.", {"a refusal"}),
    "overlong": ("word " * 200, {"200 words, not 5 to 60"}),
    "several lines": ("Sure, here it is:\nfirst line of it\nsecond line of it", {"more than one line"}),
    "leaks the prompt": (LEAK, {"copies the prompt"}),
    "out of form": (None, {"unreadable", "twice out of form"}),
}


NOT_ASKED = {("magpie", "leaks the prompt"), ("magpie", "out of form")}
"""It is given no prompt, and no form to answer in."""
CASES = [(name, badness) for name in BASELINES for badness in BAD if (name, badness) not in NOT_ASKED]


@pytest.mark.parametrize(("name", "badness"), CASES)
def test_bad_generators_are_refused_with_a_reason_within_the_budget(name, badness):
    """Whatever they are asked, drafts are bad; plans and choices are as usual."""
    text, reasons = BAD[badness]

    def says(request, number):
        if request.schema is None and request.messages:
            return None
        if name == "magpie":
            return text
        return "Of course! Which one would you like?" if text is None else json.dumps({"query": text})

    large = Large(says)
    samples = run(name, 3, large)
    assert len(samples) == draws_allowed(3, PAPER) and len(kept(samples)) == (badness == "repeats itself")
    for sample in samples:
        assert sample.kept or any(reason in sample.reason for reason in reasons), sample.reason
    # No draft is asked for more than twice.
    drafts = sum(request.schema is not None or not request.messages for request in large.asked)
    assert drafts <= 2 * len(samples)


def test_an_unreadable_plan_or_ranking_ends_nothing():
    mute = Large(lambda request, number: "" if request.schema is None else None)
    assert len(kept(run("sao", 3, mute))) == 3
    assert len(kept(run("synalign", 3, mute))) == 3
    doubtful = run("cot_self_instruct", 3, mute)
    assert {s.reason for s in doubtful} == {"inconsistent: 0 of 3 answers are the one meant"} and len(doubtful) == 12


def test_answers_that_always_say_a_are_no_agreement():
    samples = run("cot_self_instruct", 6, Large(letter="A"))
    right = [s for s in samples if "inconsistent" not in s.reason]
    assert 0 < len(right) < len(samples)


def test_what_a_baseline_needs_is_named_with_the_cure():
    for name, lacking in (("magpie", "judge"), ("prismatic", "gradients"), ("synalign", "vectors")):
        with pytest.raises(SettingsError, match=f"{name} needs {lacking}.*pass Tools"):
            run(name, 2, Large(), tools=LENIENT._replace(**{lacking: None}))
    assert len(kept(run("magpie", 2, Large(), task="instruction_following", tools=Tools()))) == 2
    with pytest.raises(SettingsError, match="backend: local"):
        run("magpie", 2, EndpointBackend("some-model", base_url="http://localhost:1/v1"))
    for name in set(BASELINES) - {"magpie", "sao"}:
        with pytest.raises(DataError, match=f"{name} starts from seeds"):
            run(name, 2, Large(), seeds=["", "  "])


def test_magpie_counts_what_the_judge_refuses(chat):
    never = run("magpie", 3, Large(), tools=Tools(judge=lambda texts: ["the judge says No"] * len(texts)))
    assert [s.reason for s in never] == ["the judge says No"] * 12
    mini = run("magpie", 8, chat, settings=MINI, tools=LENIENT, seed=1)
    trained = [s for s in mini if s.text.startswith(("Write a user query", "Name the feature", "Put it in other"))]
    assert trained and not kept(trained)


def test_alpaca_shows_what_it_wrote_and_keeps_the_new():
    large = Large()
    samples = run("alpaca", 12, large)
    first, last = large.asked[0].messages[0]["content"], large.asked[-1].messages[0]["content"]
    assert not any(s.text in first for s in samples) and sum(s.text in last for s in samples) == 2
    nearly = "how would somebody {} take the coins of a wishing well"
    same = run("alpaca", 2, Large(lambda request, number: json.dumps({"query": nearly.format(f"adverb{number}ly")})))
    assert len(kept(same)) == 1 and {s.reason for s in same if not s.kept} == {
        "not new: ROUGE-L 0.91 with one of the pool"
    }


def test_evol_instruct_goes_on_from_what_evolved():
    large = Large()
    samples = run("evol_instruct", 6, large, seeds=SEEDS[:2])
    prompts = [request.messages[0]["content"] for request in large.asked]
    # One round holds all six draws: parents are the two seeds, by turns.
    assert [any(json.dumps(seed) in prompt for seed in SEEDS[:2]) for prompt in prompts] == [True] * 6
    large = Large()
    samples = run("evol_instruct", 20, large, seeds=SEEDS[:2])
    parents = [request.messages[0]["content"] for request in large.asked[8:]]
    assert sum(any(s.text in parent for s in samples) for parent in parents) == len(parents)
    stuck = run("evol_instruct", 2, Large(lambda r, number: json.dumps({"query": f"well {SEEDS[0]}"})), seeds=SEEDS[:1])
    assert {s.reason for s in stuck} == {"did not evolve: nearly the text it came from"} and len(stuck) == 8


def test_sao_keeps_the_answer_that_the_model_prefers():
    def prefers(request, number):
        prompt = "".join(turn["content"] for turn in request.messages)
        if "<candidate_A>" not in prompt:
            return f"this is the {'best' if request.seed % 2 else 'other'} reply number {number} to what was said"
        shown = prompt.partition("<candidate_A>")[2].partition("</candidate_A>")[0]
        return json.dumps({"answer": "A" if "best" in shown else "B"})

    large = Large(lambda request, number: None if request.schema else prefers(request, number))
    pairs = [json.loads(s.parts) for s in kept(run("sao", 6, large, task="reward_modelling"))]
    mixed = [pair for pair in pairs if ("best" in pair["chosen"]) != ("best" in pair["rejected"])]
    assert mixed and all("best" in pair["chosen"] for pair in mixed)
    samples = run("sao", 4, Large())
    assert [s.reason for s in samples if not s.kept] == ["the model's own second choice"] * 4
    assert all(a.kept != b.kept for a, b in zip(samples[::2], samples[1::2], strict=True))


def test_prismatic_writes_for_sparse_clusters_only():
    crowd, rare = [f"well {i} of the crowd" for i in range(8)], ["one rare text here"]

    def gradients(texts):
        return np.array([[1.0, 0.0] if "crowd" in text else [0.0, 1.0] for text in texts])

    large = Large(
        lambda request, number: json.dumps({"query": f"a new {('crowd', 'sort')[number % 2]} of thing number {number}"})
    )
    samples = run("prismatic", 4, large, seeds=crowd + rare, tools=Tools(gradients=gradients))
    assert len(kept(samples)) == 4 and all("sort" in s.text for s in kept(samples))
    dense = [s for s in samples if "crowd" in s.text]
    assert dense and {s.reason for s in dense} == {"falls into a dense cluster of gradients"}


def test_synalign_uses_all_draws_and_keeps_those_like_the_real_texts():
    def says(request, number):
        like = SEEDS[number % 12].split()[-3:] if number % 2 else ["zebra", "zebra", "quagga"]
        return json.dumps({"query": f"{number} {number + 1000} " + " ".join(like)}) if request.schema else None

    samples = run("synalign", 4, Large(says))
    assert len(samples) == 16 and len(kept(samples)) == 4
    assert not any("zebra" in s.text for s in kept(samples))
    assert {s.reason for s in samples if not s.kept} == {"not among those that match the real texts best"}


def test_a_lab_writes_a_baseline_once(tmp_path):
    lab = Lab.open("smoke", out=tmp_path)
    frame = lab.baseline("alpaca", 3, SEEDS, seed=0)
    sent = lab.generator.requests_sent, lab.annotator.requests_sent
    assert (
        0 < len(frame) <= draws_allowed(3, lab.profile.synthesis) and frame.method.eq("alpaca").all() and min(sent) > 0
    )
    again = lab.baseline("alpaca", 3, SEEDS, seed=0)
    assert again.equals(frame) and (lab.generator.requests_sent, lab.annotator.requests_sent) == sent
    with pytest.raises(SettingsError, match="did you mean 'magpie'.*alpaca, evol_instruct"):
        lab.baseline("magpi", 3, SEEDS, seed=0)
