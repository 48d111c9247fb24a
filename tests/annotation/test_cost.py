"""What an annotation costs, said before and counted after; and what a killed one has to pay again: nothing."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fac_lab import annotation
from fac_lab.annotation.cost import EXPECTED, Rates, annotation_cost, measured_rate, scoring_cost
from fac_lab.annotation.explain import explain, naming_requests
from fac_lab.annotation.relevance import judge
from fac_lab.annotation.rubric import rubric_of
from fac_lab.annotation.verify import verify
from fac_lab.chat.backends import EndpointBackend
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import FeatureStats

PROMPTS = Path(annotation.__file__).parent / "prompts"
RUBRIC = rubric_of("toxicity", PROMPTS / "paper")
N = 6


def stats_of(n: int = N) -> FeatureStats:
    """Feature `i` has ten spans of its own; feature `n` has none."""
    stats = FeatureStats.empty(d_sae=n + 1, top_spans=10)
    rows = [(f, 20.0 - i, f"id-{f}-{i}", f"piece {i} about subject {f}") for f in range(n) for i in range(10)]
    feature, value, ids, texts = (list(column) for column in zip(*rows, strict=True))
    peak = np.array([(0, 5)] * len(rows))
    columns = np.array(feature), np.array(value, np.float32), np.array(ids, object), np.array(texts, object), peak
    stats.top.offer(SpanTable(*columns))
    return stats


def answer(prompt: str) -> str:
    if '{"verdict"' in prompt:
        return json.dumps({"verdict": "Yes", "reason": "it does"})
    return json.dumps({"summary": "Cannot tell" if "subject 0" in prompt else "pieces about a subject"})


class Counting:
    """Answers as a backend in this process, counting characters."""

    def __init__(self) -> None:
        self.name, self.asked = "counting", []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked.append(request)
            done(i, ChatReply(request, answer(request.messages[0]["content"]), "stop"))


def annotate(stats: FeatureStats, chat: ChatClient, prompts=PROMPTS / "paper") -> list:
    found = explain(range(N + 1), stats, chat, prompts)
    return [found, verify(found, stats, chat, prompts), judge(found, chat, prompts, RUBRIC)]


def test_the_statement_is_an_upper_bound_that_becomes_exact(tmp_path):
    stats, backend = stats_of(), Counting()
    chat = ChatClient(backend, cache=tmp_path, progress=False)
    rates = Rates(1.0, 10.0, 0.5)

    def state():
        return annotation_cost(range(N + 1), stats, chat, PROMPTS / "paper", RUBRIC, rates=rates, count=len)

    before = state()
    assert backend.asked == []
    assert [(cost.step, cost.calls, cost.answered) for cost in before] == [
        ("explain", N, 0), ("verify", N, 0), ("judge", N, 0),
    ]  # fmt: skip
    for cost in before:
        expected = EXPECTED[cost.step] * N
        assert cost.completion_tokens == expected <= cost.most_tokens
        assert cost.price == pytest.approx((cost.prompt_tokens + 10 * expected) / 1e6) and cost.seconds == N / 2
    explain(range(N + 1), stats, chat, PROMPTS / "paper")
    asked = sum(len(request.messages[0]["content"]) for request in backend.asked)
    assert asked == before[0].prompt_tokens and len(backend.asked) == N
    halfway = state()
    # Feature 0 turned out to have no name; the other summaries are known, and shorter than what stood for them.
    assert [(cost.calls, cost.answered, cost.prompt_tokens) for cost in halfway][0] == (N, N, 0)
    assert [cost.calls for cost in halfway[1:]] == [N - 1, N - 1]
    assert halfway[1].prompt_tokens < before[1].prompt_tokens * (N - 1) / N
    annotate(stats, chat)
    rest = sum(len(request.messages[0]["content"]) for request in backend.asked) - asked
    assert rest == halfway[1].prompt_tokens + halfway[2].prompt_tokens
    done = state()
    assert all(cost.answered == cost.calls and cost.prompt_tokens == cost.price == cost.seconds == 0 for cost in done)


def test_mini_models_are_asked_to_name_twice(tmp_path):
    backend = Counting()
    chat = ChatClient(backend, cache=None, progress=False)
    costs = annotation_cost(range(N), stats_of(), chat, PROMPTS / "mini", "harm.", count=len)
    assert [cost.calls for cost in costs] == [N, N, N]  # names that nobody has written yet may all differ
    assert costs[1].prompt_tokens < costs[0].prompt_tokens  # four spans are left of ten


def test_scoring_is_stated_per_feature():
    backend = Counting()
    chat = ChatClient(backend, cache=None, progress=False)
    detect, fuzz = scoring_cost(10, chat, PROMPTS / "paper", rates=Rates(seconds_per_call=2.0))
    assert (detect.calls, fuzz.calls) == (30, 20)  # 15 and 10 texts, five to a question
    assert detect.seconds == 60 and detect.price is None and detect.prompt_tokens > 30 * 5 * 32
    assert [cost.calls for cost in scoring_cost(10, chat, PROMPTS / "mini")] == [150, 100]
    assert backend.asked == []


def test_a_measured_rate_pays_only_what_the_run_would_have_paid(tmp_path):
    stats, backend = stats_of(), Counting()
    chat = ChatClient(backend, cache=tmp_path, progress=False)
    sample = naming_requests([[f"piece {i}"] for i in range(3)], PROMPTS / "paper")
    assert measured_rate(chat, sample) > 0 and len(backend.asked) == 3
    assert measured_rate(chat, sample) is None and len(backend.asked) == 3
    assert stats.d_sae == N + 1


KILLED = """
import sys
sys.path.insert(0, {here!r})
from test_cost import *
backend = EndpointBackend("m", base_url={url!r}, concurrency=1, retries=0, timeout=60)
annotate(stats_of(), ChatClient(backend, cache={cache!r}, progress=False))
"""


@pytest.mark.parametrize("stop_after", [4, N + 2, 2 * N + 1])
def test_a_killed_annotation_pays_no_answer_twice(annotator, tmp_path, stop_after):
    server = annotator(answer, stop_after=stop_after)
    code = KILLED.format(here=str(Path(__file__).parent), url=server.url, cache=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(annotation.__file__).parents[2])
    try:
        assert server.held.wait(60)
        # The last answer is on its way to the disk while the next question is sent.
        while len(list(tmp_path.rglob("[!.]*.json"))) < stop_after:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert len(server.answered) == stop_after
    server.stop_after = None
    chat = ChatClient(
        EndpointBackend("m", base_url=server.url, concurrency=1, retries=0), cache=tmp_path, progress=False
    )
    explanations, checks, verdicts = annotate(stats_of(), chat)
    assert sum(verdict.relevant for verdict in verdicts) == sum(check.confirmed for check in checks) == N - 1
    assert explanations[N].error and explanations[0].summary is None
    # In all, each question was answered exactly once: N names, and N - 1 checks and verdicts.
    answered = Counter(json.dumps(body["messages"]) for body in server.answered)
    assert set(answered.values()) == {1} and len(answered) == N + 2 * (N - 1)
    assert chat.requests_sent == len(answered) - stop_after
