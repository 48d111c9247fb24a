"""The second look at a summary, and the rubrics."""

import json
from pathlib import Path

import numpy as np
import pytest

from fac_lab import annotation
from fac_lab.annotation.explain import Explanation, spans_shown
from fac_lab.annotation.rubric import rubric_of, tasks
from fac_lab.annotation.styles import MINI, match_names
from fac_lab.annotation.verify import Check, verify
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.errors import SettingsError
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import FeatureStats

PROMPTS = Path(annotation.__file__).parent / "prompts"


def stats_of(n: dict[int, int]) -> FeatureStats:
    """Feature `i` has `n[i]` spans, "about F, piece P"."""
    stats = FeatureStats.empty(d_sae=8, top_spans=10)
    rows = [(f, 50.0 - i, f"s{f}-{i}", f"about {f}, piece {i}") for f, many in n.items() for i in range(many)]
    feature, value, ids, texts = (list(column) for column in zip(*rows, strict=True))
    stats.top.offer(
        SpanTable(
            np.array(feature),
            np.array(value, np.float32),
            np.array(ids, object),
            np.array(texts, object),
            np.array([(len(text) - 1, len(text)) for text in texts]),
        )
    )
    return stats


class Answers:
    """Answers by a function of the prompt."""

    def __init__(self, answer) -> None:
        self.name, self.answer, self.asked = "answers", answer, []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked.append(request)
            done(i, ChatReply(request, self.answer(request.messages[0]["content"]), "stop"))


def client(backend) -> ChatClient:
    return ChatClient(backend, cache=None, progress=False)


def explained(stats, feature, summary):
    return Explanation(feature, summary, spans_shown(stats, feature, MINI), None)


def test_a_large_model_reads_summary_and_spans_again():
    stats = stats_of({1: 3, 2: 3})
    backend = Answers(lambda p: json.dumps({"verdict": "No" if '"wrong"' in p else "Probably", "reason": "I read it"}))
    named = [explained(stats, 1, "right"), explained(stats, 3, None), explained(stats, 2, "wrong")]
    checks = verify(named, stats, client(backend), PROMPTS / "paper")
    assert [check.feature for check in checks] == [1, 3, 2]
    assert [check.verdict for check in checks] == ["Probably", None, "No"]
    assert [check.confirmed for check in checks] == [True, False, False]
    assert checks[0].reason == "I read it" and "not named" in checks[1].reason
    assert len(backend.asked) == 2 and backend.asked[0].temperature == 0
    prompt = backend.asked[0].messages[0]["content"]
    assert '<summary>\n"right"\n</summary>' in prompt and '"about 1, piece «0»"' in prompt
    assert "rubric" not in prompt and backend.asked[0].schema["required"] == ["verdict", "reason"]


def test_mini_models_name_again_from_spans_that_were_not_shown():
    stats = stats_of({1: 10, 2: 10, 3: 6, 4: 8})
    names = {"1": "Requests about bread (food).", "2": "Requests about cake (food).", "4": "Cannot tell."}
    backend = Answers(lambda prompt: names[prompt.split("about ")[1][0]])
    named = [explained(stats, feature, "requests about bread (food)") for feature in (1, 2, 3, 4)]
    checks = verify(named, stats, client(backend), PROMPTS / "mini")
    assert [check.verdict for check in checks] == ["Yes", "Maybe", None, "No"]
    assert [check.confirmed for check in checks] == [True, False, False, False]
    assert "cake" in checks[1].reason and "none is left" in checks[2].reason and "cannot tell" in checks[3].reason
    shown = backend.asked[0].messages[0]["content"]
    assert [f"piece {i}" in shown for i in range(10)] == [False] * 6 + [True] * 4


def test_an_answer_that_cannot_be_read_is_a_reason_and_no_verdict(caplog):
    stats = stats_of({1: 10})
    for prompts in ("paper", "mini"):
        backend = Answers(lambda prompt: "Yes, I would say so.")
        (check,) = verify([explained(stats, 1, "bread")], stats, client(backend), PROMPTS / prompts)
        assert check.verdict is None and not check.confirmed and "unreadable twice" in check.reason
        assert len(backend.asked) == 2
    assert verify([], stats, client(backend), PROMPTS / "paper") == []
    assert "1 of 1 annotations failed" in caplog.text


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("requests about bread (food)", "Requests about Bread (food).", "Yes"),
        ("requests about bread (food)", "requests about food", "Probably"),
        ("requests about food", "requests about bread (food)", "Probably"),
        ("requests about bread (food)", "requests about cake (food)", "Maybe"),
        ("requests about bread (food)", "requests about bread (money)", "No"),
        ("requests about food", "requests about money", "No"),
        ("requests about food", None, "No"),
    ],
)
def test_names_are_compared_by_thing_and_domain(a, b, verdict):
    assert match_names(a, b) == match_names(b, a) == verdict


def test_only_yes_and_probably_confirm():
    assert [Check(1, v, "").confirmed for v in ("Yes", "Probably", "Maybe", "No", None)] == [True] * 2 + [False] * 3


def test_each_task_has_a_rubric_of_its_own():
    assert set(tasks()) == {
        "toxicity", "reward_modelling", "sycophancy", "survival_instinct", "instruction_following",
    }  # fmt: skip
    texts = [rubric_of(task, PROMPTS / "paper") for task in tasks()]
    assert len(set(texts)) == len(texts)
    for text in texts:
        # A task, what falls under it, and what does not.
        assert text.startswith("The task is to ") and text.count("\n- ") >= 6
        assert "does not fall under the rubric" in text.splitlines()[-1]
    assert rubric_of("toxicity", PROMPTS / "mini") == "the user means to deceive or to harm."


def test_a_rubric_that_nobody_wrote_or_learned_is_refused():
    with pytest.raises(SettingsError, match="did you mean 'toxicity'"):
        rubric_of("toxicty", PROMPTS / "paper")
    with pytest.raises(SettingsError, match="never learned the rubric of sycophancy \\(only toxicity\\)"):
        rubric_of("sycophancy", PROMPTS / "mini")
