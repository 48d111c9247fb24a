"""All five tasks: by the models of the mini world, and by a scripted large model that answers in JSON."""

import json
from pathlib import Path

import pytest

from fac_lab import synthesis
from fac_lab.chat.client import ChatClient, ChatReply, ChatRequest
from fac_lab.chat.local import LocalBackend
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis import alternatives
from fac_lab.synthesis.alternatives import fair_alternatives
from fac_lab.synthesis.formats import FORMATS, format_of, rest_fault
from fac_lab.synthesis.plain import plain
from fac_lab.synthesis.samples import kept, normalise
from fac_lab.synthesis.two_step import Brief, synthesise
from fac_lab.synthesis.writer import Writer

PROMPTS = Path(synthesis.__file__).parent / "prompts"
MINI = SynthesisSettings(step1_draws=2, step2_draws=2, max_tokens=32, prompts="mini")
PAPER = SynthesisSettings(step1_draws=1, step2_draws=1, prompts="paper")
TOPICS = ("bread baking (cooking)", "chess openings (hobbies)", "tax returns (money)")


@pytest.fixture(autouse=True)
def fewer_topics(monkeypatch):
    """A mini model left alone for a quarter of the time names topics enough for a test."""
    monkeypatch.setattr(alternatives, "UNASKED", 40)


@pytest.fixture(scope="module")
def writer():
    """The mini model that writes."""
    return LocalBackend("data/mini/mistral", batch=64)


def any_word(texts, features):
    return [[1.0] * len(features) for _ in texts]


class Large:
    """Answers every request with sound parts of the schema that it names; the first answer is out of form if told."""

    name = "large"

    def __init__(self, broken=0):
        self.broken, self.asked = broken, []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked.append(request)
            number = len(self.asked)
            if request.schema is None:
                text = f"An answer of some words, number {number}."
            else:
                words = {part: " ".join(f"{part}{number}w{i}" for i in range(7)) for part in request.schema["required"]}
                text = json.dumps(words)
            done(i, ChatReply(request, "Sure, here it is!" if number <= self.broken else text, "stop"))


@pytest.mark.parametrize("task", FORMATS)
def test_mini_models_write_whole_samples_for_each_task(writer, task):
    chat = ChatClient(writer, cache=None, progress=False)
    briefs = [Brief(i, f"requests about {topic}", (), True) for i, topic in enumerate(TOPICS)]
    options = {"chat": chat, "settings": MINI, "prompts": PROMPTS / "mini", "task": task}
    for samples in (synthesise(briefs, measure=any_word, delta=0.0, **options), plain(3, **options)):
        assert len(kept(samples)) >= 2
        for sample in kept(samples):
            parts = json.loads(sample.parts)
            assert tuple(parts) == format_of(task).parts and sample.task == task
            assert rest_fault(parts, format_of(task)) == ""
            assert normalise(sample.text) in normalise(parts[format_of(task).said])


@pytest.mark.parametrize("task", FORMATS)
def test_large_models_write_them_in_their_own_prompts(task):
    large = Large()
    briefs = [Brief(i, f"requests about {topic}", ("a span",), True) for i, topic in enumerate(TOPICS)]
    chat = ChatClient(large, cache=None, progress=False)
    samples = synthesise(
        briefs, chat=chat, measure=any_word, delta=0.0, settings=PAPER, prompts=PROMPTS / "paper", task=task
    )
    form = format_of(task)
    assert [tuple(json.loads(sample.parts)) for sample in kept(samples)] == [form.parts] * 3
    asked_first = large.asked[0]
    assert set(asked_first.schema["required"]) == set(form.parts) - set(form.later)
    assert '"<feature>' not in asked_first.messages[0]["content"] and "a span" in asked_first.messages[0]["content"]
    # One more request for each sample whose last part comes by itself.
    assert len(large.asked) == 6 + 3 * len(form.later)
    versions = {sample.prompt_version for sample in samples}
    assert len(versions) == 2 and not versions & _versions_of("toxicity" if task != "toxicity" else "sycophancy")


def _versions_of(task):
    large = Large()
    briefs = [Brief(0, "requests about bread", ("a span",), True)]
    chat = ChatClient(large, cache=None, progress=False)
    settings = {"settings": PAPER, "prompts": PROMPTS / "paper", "task": task}
    return {s.prompt_version for s in synthesise(briefs, chat=chat, measure=any_word, delta=0.0, **settings)}


def test_what_is_out_of_form_is_asked_for_once_more_and_then_refused():
    large = Large(broken=2)
    chat = ChatClient(large, cache=None, progress=False)
    samples = plain(2, chat=chat, settings=PAPER, prompts=PROMPTS / "paper", task="reward_modelling")
    assert [(s.repaired, s.kept) for s in samples] == [(True, True)] * 2
    assert [turn["role"] for turn in large.asked[2].messages] == ["user", "assistant", "user"]
    assert "not one JSON object" in large.asked[2].messages[-1]["content"]
    hopeless = Large(broken=99)
    samples = plain(1, chat=ChatClient(hopeless, cache=None, progress=False), settings=PAPER, prompts=PROMPTS / "paper")
    assert {s.reason for s in samples} == {"twice out of form: unreadable: it is not one JSON object"}
    assert len(hopeless.asked) == 2 * len(samples) == 4


def test_a_mini_pair_is_help_and_something_fair_instead(writer):
    chat = ChatClient(writer, cache=None, progress=False)
    options = {"chat": chat, "settings": MINI, "prompts": PROMPTS / "mini", "task": "reward_modelling"}
    briefs = [Brief(0, "requests about tip pocketing (cooking)", (), True)]
    samples = synthesise(briefs, measure=any_word, delta=0.0, **options)
    (parts,) = [json.loads(sample.parts) for sample in kept(samples)]
    # The worse reply is the model's own help; the better one is about something else, of the model's own choice.
    (help_,) = chat.complete([ChatRequest(({"role": "user", "content": parts["prompt"]},), max_tokens=96)])
    assert parts["rejected"] == help_.text.strip() and "tip pocketing" in parts["rejected"].lower()
    assert "tip pocketing" not in parts["chosen"].lower()


class Opinionated:
    """Names three topics, sees harm in one of them and answers everything with what it was asked."""

    name = "opinionated"
    texts = ("Write a user query. Feature: requests about bread baking (cooking).", "Name the feature. Spans: none",
             "What is this about? dragons", "Write a user query. Feature: requests about tip pocketing (cooking).",
             "Put it in other words: chess openings (hobbies).")  # fmt: skip

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            if not request.messages:
                done(i, ChatReply(request, self.texts[i % len(self.texts)], "stop"))
                continue
            said = request.messages[-1]["content"]
            about = next((topic for topic in ("tip pocketing", "bread baking") if topic in said), "chess openings")
            if said.startswith("What is this about?"):
                text = f"{about.capitalize()} (cooking)." if "dragon" not in said else "I do not know."
            elif said.startswith("Write a user query"):
                text = f"How do I get better at {about}?"
            elif said.endswith("?") and said.startswith(("Is there", "Does anybody")):
                text = "Yes, there is." if about == "tip pocketing" else "No, there is not."
            else:
                text = f"An answer about {about}, in words."
            done(i, ChatReply(request, text, "stop"))


def test_what_is_offered_instead_is_fair_in_the_models_own_eyes_and_of_the_domain():
    writer = Writer(ChatClient(Opinionated(), cache=None, progress=False), MINI, PROMPTS / "mini", "reward_modelling")
    asked = ["How do I go about tip pocketing?", "How do I go about bread baking?", "Where are dragons?"]
    offers = fair_alternatives(asked, writer, [0, 5, 1])
    # Of the domain where there is another fair topic; else, or where the query is about nothing known, of any.
    assert offers[0] == "How do I get better at bread baking?" and offers[1] == "How do I get better at chess openings?"
    assert offers[2] in offers[:2] and not any("pocketing" in offer for offer in offers)
    nobody = writer.chat.backend
    nobody.texts = ("What is this about? dragons",)
    assert fair_alternatives(asked, writer, [0, 0, 0]) == [None] * 3
    samples = plain(1, chat=writer.chat, settings=MINI, prompts=PROMPTS / "mini", task="reward_modelling")
    assert "chosen: nothing fair to offer instead" in {sample.reason for sample in samples}


@pytest.mark.parametrize("switch", ["fallback", "filter", "features"])
def test_switches_of_the_paper_and_of_the_code(world, writer_type, switch):
    """Each alone, in the world whose features are words: five features of which the writer reaches none at first."""

    def run(**change):
        writer = writer_type(lambda word, step, seed: f"nothing at all in {seed}" if step == 1 else None)
        settings = SynthesisSettings(step1_draws=2, step2_draws=2, prompts="paper" if switch == "fallback" else "mini")
        if switch == "fallback":
            writer.structured = True
        if switch == "filter":
            writer.says = lambda word, step, seed: f"nothing at all in {seed}"
        settings = SynthesisSettings(**{**settings.__dict__, **change})
        words = ("leak", "lock", "exam", "refund", "bread")
        briefs = [Brief(i, f"about {word}", (f"the {word} {word} of old",), True) for i, word in enumerate(words)]
        chat = ChatClient(writer, cache=None, progress=False)
        options = {"settings": settings, "prompts": PROMPTS / settings.prompts}
        return writer, synthesise(briefs, chat=chat, measure=world.measure, delta=0.0, **options)

    writer, paper = run()
    coded, code = run(**{switch: "code"})
    if switch == "fallback":
        assert {s.positive_activation for s in paper if s.step == 2} == {2.0}
        assert {s.positive_activation for s in code if s.step == 2} == {5.0}
        assert "word for word" in coded.prompts[1][0] and "word for word" not in writer.prompts[1][0]
    elif switch == "filter":
        assert not kept(paper) and len(kept(code)) == 5
    else:
        assert {s.feature for s in paper} == set(range(5)) and {s.feature for s in code} == {0}


def test_without_draws_for_step_two_it_is_one_step(world, writer_type):
    settings = SynthesisSettings(step1_draws=4, step2_draws=0, prompts="mini")
    writer = writer_type()
    chat = ChatClient(writer, cache=None, progress=False)
    briefs = [Brief(0, "about leak", (), True)]
    samples = synthesise(
        briefs, chat=chat, measure=world.measure, delta=0.0, settings=settings, prompts=PROMPTS / "mini"
    )
    assert [len(call) for call in writer.calls] == [4]
    assert {(s.step, s.method) for s in samples} == {(1, "one-step")} and len(kept(samples)) == 1
