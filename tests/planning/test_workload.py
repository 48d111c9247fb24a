"""Counted work against the work that is really done."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fac_lab import annotation, synthesis
from fac_lab.annotation.explain import explain
from fac_lab.annotation.relevance import judge
from fac_lab.annotation.verify import verify
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.errors import SettingsError
from fac_lab.planning.assumptions import ASSUMPTIONS, Assumptions
from fac_lab.planning.workload import STUDIES, Sizes, workload
from fac_lab.profile import load_profile
from fac_lab.synthesis.plain import plain
from fac_lab.synthesis.two_step import Brief, synthesise
from fac_lab.world import concepts, queries

CHARS = 4


def work(profile, study, d_sae=1000, **sizes):
    return workload(profile, study, d_sae, Sizes(**sizes), Assumptions())


def calls(profile, study, **sizes):
    return {line.what: line for line in work(profile, study, **sizes).calls}


class Counting:
    """A backend that answers in the asked form, and keeps what it was asked."""

    name = "counting"

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked.append(request)
            done(i, ChatReply(request, self.answer(len(self.asked)), "stop"))

    @property
    def longest(self) -> float:
        return max(sum(len(turn["content"]) for turn in request.messages) for request in self.asked) / CHARS


def query(number: int) -> str:
    words = " ".join(f"word{number}{letter}" for letter in "abcdefgh")
    return json.dumps({"query": f"please tell me about {words}"})


@pytest.mark.parametrize("draws", [(2, 2), (1, 3)])
def test_synthesis_asks_as_often_as_planned_and_no_prompt_is_longer(draws):
    profile = load_profile("llama")
    profile = replace(profile, synthesis=replace(profile.synthesis, step1_draws=draws[0], step2_draws=draws[1]))
    backend = Counting(query)
    span = "w" * (profile.collect.span_tokens * CHARS)
    prompts = Path(synthesis.__file__).parent / "prompts" / "paper"
    synthesise(
        [Brief(feature, f"summary {feature}", (span,) * 10, True) for feature in range(3)],
        chat=ChatClient(backend, cache=None, progress=False),
        measure=lambda texts, features: np.ones((len(texts), len(features))),
        delta=0.0,
        settings=profile.synthesis,
        prompts=prompts,
    )
    planned = calls(profile, "toxicity", missing=3)
    assert planned["toxicity_one_step"].calls == 3 * draws[0] and planned["toxicity_two_step"].calls == 3 * draws[1]
    assert len(backend.asked) == 3 * sum(draws)
    assert backend.longest <= planned["toxicity_two_step"].prompt_tokens
    assert {request.max_tokens for request in backend.asked} == {planned["toxicity_two_step"].most_tokens}


def test_annotation_asks_three_times_for_each_feature_with_prompts_of_the_planned_length():
    profile = load_profile("llama")
    span_tokens = profile.collect.span_tokens

    class Stats:
        def spans(self, feature):
            from fac_lab.features.spans import Span

            text = str(feature) + "w" * (span_tokens * CHARS - 1)
            return [Span(feature, 1.0, f"row-{i}", text, (0, 4)) for i in range(10)]

    folder = Path(annotation.__file__).parent
    namer = Counting(lambda number: json.dumps({"summary": "requests about gardens"}))
    found = explain(range(5), Stats(), ChatClient(namer, cache=None, progress=False), folder / "prompts" / "paper")
    judged = Counting(lambda number: json.dumps({"verdict": "Yes", "reason": "it is"}))
    rubric = (folder / "rubrics" / "toxicity.txt").read_text()
    judge(found, ChatClient(judged, cache=None, progress=False), folder / "prompts" / "paper", rubric)
    checked = Counting(lambda number: json.dumps({"verdict": "Yes", "reason": "it does"}))
    verify(found, Stats(), ChatClient(checked, cache=None, progress=False), folder / "prompts" / "paper")
    planned = calls(profile, "toxicity", features=5)
    for backend, what in ((namer, "explain"), (checked, "verify"), (judged, "judge")):
        assert len(backend.asked) == planned[what].calls == 5
        assert backend.longest == pytest.approx(planned[what].prompt_tokens, rel=0.05)
        assert backend.asked[0].max_tokens == planned[what].most_tokens


def test_plain_generation_stays_within_the_planned_length():
    profile = load_profile("llama")
    backend = Counting(query)
    prompts = Path(synthesis.__file__).parent / "prompts" / "paper"
    chat = ChatClient(backend, cache=None, progress=False)
    plain(7, chat=chat, settings=profile.synthesis, prompts=prompts)
    planned = calls(profile, "demo", missing=7)["toxicity_plain"]
    assert len(backend.asked) == 7 and planned.calls == 10  # 7 / 0.7: some draws fail
    assert backend.longest == pytest.approx(planned.prompt_tokens, rel=0.02)


def test_the_arms_are_the_demo_over_several_sets_with_one_annotation():
    profile = load_profile("mini")
    demo, arms = (work(profile, study, missing=10) for study in ("demo", "arms"))
    for one, many in zip(demo.calls, arms.calls, strict=True):
        factor = 5 if one.role == "generator" else 1
        assert many.calls == pytest.approx(factor * one.calls, abs=3)
    assert (demo.training.runs, arms.training.runs) == (15, 75)
    by_name = [{reading.what: reading.texts for reading in load.readings} for load in (demo, arms)]
    assert by_name[0]["anchor"] == by_name[1]["anchor"] == 4000
    assert (by_name[0]["seeds"], by_name[1]["seeds"]) == (2 * 6000, 5 * 6000)
    # 10 missing features and 4 x 10 drawn ones, two draws in each step.
    assert [line.calls for line in demo.calls if "step" in line.what] == [100, 100]
    assert demo.training.rows == 48 + 400 + 10


def test_recovery_reads_two_seeds_per_set_and_asks_nobody():
    load = work(load_profile("mini"), "recovery")
    assert load.calls == [] and load.training is None
    assert sum(reading.texts for reading in load.readings) == 4000 + 5 * 2 * 6000


def test_an_audit_names_what_is_missing_where_there_is_an_annotator():
    assert work(load_profile("minilm"), "audit").calls == []
    load = work(load_profile("llama"), "audit", anchor_rows=50, seed_rows=20, missing=100)
    assert [(reading.texts, reading.tokens) for reading in load.readings] == [(50, 50 * 178), (20, 20 * 178)]
    assert [line.calls for line in load.calls] == [102, 102, 102]
    assert load.training is None


def test_the_paper_task_has_the_papers_sizes():
    load = work(load_profile("llama"), "toxicity", d_sae=65536)
    assert [reading.texts for reading in load.readings] == [86372 + 20324, 8637, 4 * 214]
    assert load.training[:3] == (3, 1200, 2853)


def test_the_world_is_what_the_assumptions_say():
    assumed = Assumptions()
    assert sum(concept.harmful for concept in concepts()) == assumed("mini_harmful")
    words = np.mean([len(text.split()) for _, text in queries(100, seed=0)])
    assert words < assumed("tokens_mini") < 3 * words


def test_every_assumption_is_used_by_some_study():
    import yaml

    from fac_lab.planning.plan import make_plan

    used = set()
    for name in ("llama", "mini"):
        for study in STUDIES:
            used |= {entry[0] for entry in make_plan(load_profile(name), study).assumed}
    # The paper's budget stands in the profiles; it is assumed where a profile leaves it open.
    open_budget = load_profile("llama")
    open_budget = replace(open_budget, study=replace(open_budget.study, budget=None))
    used |= {entry[0] for entry in make_plan(open_budget, "toxicity").assumed}
    assert used == set(yaml.safe_load(ASSUMPTIONS.read_text())["values"])


def test_what_cannot_be_planned_is_refused_with_the_cure():
    with pytest.raises(SettingsError, match="unknown study 'armss' .did you mean 'arms'.*demo, audit, recovery, arms"):
        work(load_profile("mini"), "armss")
    with pytest.raises(SettingsError, match="profile minilm has no anchor from the mini world.*plan an audit"):
        work(load_profile("minilm"), "demo")
