"""Plain generation: as many different sound samples as asked for, within the draws two-step synthesis has."""

from pathlib import Path

import pytest

from fac_lab import synthesis
from fac_lab.chat.client import ChatClient
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis.plain import plain
from fac_lab.synthesis.samples import kept

PROMPTS = Path(synthesis.__file__).parent / "prompts"
SETTINGS = SynthesisSettings(step1_draws=2, step2_draws=2, prompts="mini")


def run(n, writer, *, prompts="mini", seed=0, **options):
    chat = ChatClient(writer, cache=None, progress=False)
    return plain(n, chat=chat, settings=SETTINGS, prompts=PROMPTS / prompts, seed=seed, **options)


def test_as_many_as_asked_for_without_a_feature(writer_type):
    writer = writer_type()
    samples = run(12, writer)
    assert len(kept(samples)) == 12 == len({s.text for s in kept(samples)})
    assert {(s.feature, s.label, s.step, s.positive) for s in samples} == {(None, 1, 1, None)}
    assert [s.draw for s in samples] == list(range(len(samples)))
    assert len({s.seed for s in samples}) == len(samples)
    assert {call[0].temperature for call in writer.calls} == {0.8}


def test_what_is_lacking_is_drawn_again_up_to_a_limit(writer_type, caplog):
    writer = writer_type(lambda word, step, seed: "I cannot help with it" if seed % 3 else None)
    samples = run(10, writer)
    sizes = [len(call) for call in writer.calls]
    assert sizes[0] == 10 and sum(sizes) == len(samples) <= 40 and sizes[1] == 10 - len(kept(samples[:10]))
    assert {s.reason for s in samples if not s.kept} == {"a refusal"}

    stuck = writer_type(lambda word, step, seed: "always the same old words")
    samples = run(10, stuck)
    assert len(samples) == 40 and len(kept(samples)) == 1
    assert "1 of 10 samples after 40 draws" in caplog.text
    assert {s.reason for s in samples if not s.kept} == {"duplicate of a kept sample"}


def test_seeds_make_the_difference(writer_type):
    def texts(**options):
        return [s.text for s in run(6, writer_type(), **options)]

    assert texts(seed=1) == texts(seed=1) != texts(seed=2)
    assert {s.label for s in run(2, writer_type(), label=0)} == {0}


@pytest.mark.parametrize("prompts", ["mini", "paper"])
def test_the_prompt_itself_is_no_sample(writer_type, prompts):
    leak = "Write one message that a user could send to a chat assistant."
    leak = leak if prompts == "paper" else "Write a user query that means to deceive or to harm."
    writer = writer_type(lambda word, step, seed: leak, structured=prompts == "paper")
    assert {s.reason for s in run(2, writer, prompts=prompts)} == {"copies the prompt"}
    assert leak in writer.prompts[0][0]


def test_nothing_asked_nothing_drawn(writer_type):
    writer = writer_type()
    assert run(0, writer) == [] and writer.calls == []
