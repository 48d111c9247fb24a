"""Whatever a chat model answers, a run goes on: what cannot be read is left out, counted, and nothing else happens."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fac_lab.chat.client import ChatClient, ChatReply, ChatRequest
from fac_lab.coverage import cover
from fac_lab.lab import Lab
from fac_lab.profile import load_profile
from fac_lab.synthesis.formats import FORMATS

ODD = (None, True, -1, 10**400, "", "x" * 5000, "\ud800", " ", [], {}, ["a"], {"summary": {}}, "Yes", "(A)", "\0")
KEYS = (
    "summary", "verdict", "reason", "answers", "query", "response", "answer", "instruction", "chosen", "rejected",
    "question", "prompt", "topic", "skills", "score", "options",
)  # fmt: skip
WHOLE = (
    "", "   ", "[", "[" * 20_000, '{"a":' * 5000, "null", "Yes", "```json\n{}\n```", "\ud83d", "\0", " Answer: ",
    "1. \n2. \n", "\n\n\n", "<|eot|>", "A" * 20_000,
)  # fmt: skip
BASELINES = ("alpaca", "evol_instruct", "magpie", "cot_self_instruct", "sao", "prismatic", "synalign")


class Babbling:
    """A chat model that answers something else every time; the same again to the same request."""

    pre_query = True

    def __init__(self, number: int) -> None:
        self.name = f"babbling {number}"

    def generate(self, requests: Sequence[ChatRequest], done: Callable[[int, ChatReply], None]) -> None:
        for i, request in enumerate(requests):
            rng = random.Random(f"{self.name} {request.messages!r} {request.seed}")
            done(i, ChatReply(request, babble(rng, request), "stop", 1, 1))


def babble(rng: random.Random, request: ChatRequest) -> str:
    def some() -> dict:
        return {rng.choice(KEYS): rng.choice(ODD) for _ in range(4)}

    kind = rng.randrange(7)
    if kind == 0:
        return rng.choice(WHOLE)
    if kind <= 2:
        return json.dumps(some())
    if kind == 3:
        return f"```json\n{json.dumps({key: [value] * 3 for key, value in some().items()})}\n```"
    if kind == 4:
        return "".join(rng.choice("aé🌳\n\t\"'{}[]<>()1.:A,") for _ in range(rng.randrange(200)))
    if kind == 5:
        return "\n".join(f"{i}. {rng.choice(['', 'x', '(A)', 'Yes: no'])}" for i in range(rng.randrange(8)))
    asked = request.messages[-1]["content"] if request.messages else ""
    return asked[: rng.randrange(len(asked) + 1)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The store of all labs here: the anchor is read once."""
    return tmp_path_factory.mktemp("answers")


@pytest.fixture
def babbled(shared):
    """`babbled(prompts, number)`: a lab whose chat models babble, its anchor, and labels for some features."""

    def made(prompts: str, number: int):
        profile = load_profile("smoke")
        lab = Lab.open(replace(profile, synthesis=replace(profile.synthesis, prompts=prompts)), out=shared)
        lab.annotator = lab.generator = ChatClient(Babbling(number), cache=None, progress=False)
        anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
        coverage = cover(anchor, anchor, profile.rule)
        labels = pd.DataFrame({"feature": np.flatnonzero(coverage.covered)[:20]})
        sound = {"summary": "requests about bread", "verdict": "Yes", "relevant": True, "reason": ""}
        return lab, anchor, coverage, labels.assign(**sound)

    return made


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))])
@pytest.mark.parametrize("prompts", ["mini", "paper"])
def test_labels(babbled, prompts, number):
    lab, anchor, coverage, labels = babbled(prompts, number)
    found = lab.annotate(anchor, labels.feature, task="toxicity")
    assert found.feature.tolist() == labels.feature.tolist()
    assert not found.relevant[found.summary.isna()].any()
    named = found[found.summary.notna()]
    if len(named):
        scores = lab.score_labels(named, anchor, lab.corpus("anchor"), coverage.delta)
        assert set(scores.feature) <= set(named.feature) and set(scores.answer.dropna()) <= {True, False}


@pytest.mark.parametrize(
    "task", ["toxicity", *(pytest.param(task, marks=pytest.mark.slow) for task in FORMATS if task != "toxicity")]
)
@pytest.mark.parametrize("prompts", ["mini", "paper"])
def test_samples(babbled, prompts, task):
    lab, anchor, coverage, labels = babbled(prompts, 7)
    samples = lab.synthesise(labels, anchor, coverage.delta, task=task)
    assert len(samples) > 0 and samples.reason[~samples.kept].str.strip().all()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in BASELINES])
@pytest.mark.parametrize("prompts", ["mini", "paper"])
def test_baselines(babbled, prompts, name):
    lab, *_ = babbled(prompts, 8)
    seeds = [row.text for row in lab.corpus("anchor")][:20]
    for task in ("toxicity", "reward_modelling", "instruction_following"):
        samples = lab.baseline(name, 8, seeds, seed=0, task=task)
        assert samples.kept.sum() <= 8 and samples.reason[~samples.kept].str.strip().all()
