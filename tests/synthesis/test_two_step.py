"""Two-step synthesis in a world whose features are words, with a writer that is a function of its request."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab import synthesis
from fac_lab.chat.client import ChatClient
from fac_lab.errors import DataError
from fac_lab.prompts import load_prompt
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis.samples import normalise
from fac_lab.synthesis.two_step import Brief, Scored, choose_pair, kept, synthesise

PROMPTS = Path(synthesis.__file__).parent / "prompts"
WORDS = ("leak", "lock", "exam", "refund", "bread", "moon")
MINI = SynthesisSettings(step1_draws=3, step2_draws=2, per_feature=1, prompts="mini")


def brief(i: int, relevant: bool = True, span: str | None = None) -> Brief:
    return Brief(i, f"requests about {WORDS[i]}", (span or f"the {WORDS[i]} {WORDS[i]} of old",), relevant)


def run(briefs, writer, world, *, delta=0.0, settings=MINI, prompts="mini", **options):
    chat = ChatClient(writer, **{"cache": None, "progress": False} | options)
    return synthesise(
        briefs, chat=chat, measure=world.measure, delta=delta, settings=settings, prompts=PROMPTS / prompts
    )


def test_every_candidate_is_reported_in_order_with_all_that_made_it(world, writer_type):
    writer = writer_type()
    briefs = [brief(3), brief(0, relevant=False)]
    samples = run(briefs, writer, world)
    assert [(s.feature, s.step, s.draw) for s in samples] == [
        (feature, step, draw) for feature in (3, 0) for step, n in ((1, 3), (2, 2)) for draw in range(n)
    ]
    assert {s.feature: s.label for s in samples} == {3: 1, 0: 0}
    assert all(s.activation == s.text.split().count(WORDS[s.feature]) for s in samples)
    assert {s.model for s in samples} == {"writer"}
    versions = {
        step: load_prompt(PROMPTS / "mini", f"toxicity_{name}_step").version for step, name in ((1, "one"), (2, "two"))
    }
    assert all(s.prompt_version == versions[s.step] for s in samples)
    asked = {request.seed for call in writer.calls for request in call}
    assert len(asked) == 10 == len(samples) and asked == {s.seed for s in samples}
    assert [len(kept([s for s in samples if s.feature == f])) for f in (3, 0)] == [1, 1]


def test_a_run_is_two_batches_of_requests_and_two_of_measurements(world, writer_type):
    writer = writer_type()
    samples = run([brief(i) for i in range(5)], writer, world)
    assert [len(call) for call in writer.calls] == [15, 10]
    # The first batch also measures the top spans, which may have to stand in as x+.
    assert [len(call) for call in world.calls] == [15 + 5, 10]
    assert sum(len(call) for call in world.calls) == len({text for call in world.calls for text in call})
    assert all(s.kept == (not s.reason) for s in samples)


def test_the_pair_is_the_strongest_and_the_weakest_of_step_one(world, writer_type):
    texts = ["a leak leak leak on tap", "one leak of the tap", "leak and another leak here"]
    written = iter(texts)
    writer = writer_type(lambda word, step, seed: next(written) if step == 1 else None)
    samples = run([brief(0)], writer, world)
    assert {(s.positive, s.positive_activation, s.positive_source) for s in samples if s.step == 2} == {
        (texts[0], 3.0, "candidate")
    }
    assert {(s.negative, s.negative_activation) for s in samples if s.step == 2} == {(texts[1], 1.0)}
    assert all(s.positive is None and math.isnan(s.positive_activation) for s in samples if s.step == 1)
    assert writer.prompts[1][0] == (
        f"Write a user query. Feature: requests about leak.\nGood: {texts[0]}\nBad: {texts[1]}"
    )


def test_the_winner_is_the_strongest_of_step_two_above_delta(world, writer_type):
    second = iter(["leak here on my tap", "leak leak tonight once more"])
    writer = writer_type(lambda word, step, seed: next(second) if step == 2 else "leak leak leak leak " + str(seed))
    samples = run([brief(0)], writer, world, delta=1.0)
    assert [s.text for s in kept(samples)] == ["leak leak tonight once more"]
    weak = next(s for s in samples if s.text == "leak here on my tap")
    # Above delta is meant strictly.
    assert weak.activation == 1.0 and weak.reason == "does not activate: 1 is not above 1"


def test_step_one_fills_in_where_step_two_fails(world, writer_type):
    writer = writer_type(lambda word, step, seed: None if step == 1 else "nothing of the kind")
    samples = run([brief(0)], writer, world)
    assert [(s.step, s.feature) for s in kept(samples)] == [(1, 0)]


def test_delta_may_differ_by_feature(world, writer_type):
    writer = writer_type(lambda word, step, seed: f"one {word} only {seed}")
    delta = np.full(16, 5.0)
    delta[3] = 0.5
    samples = run([brief(1), brief(3)], writer, world, delta=delta)
    assert {s.feature for s in kept(samples)} == {3}


def test_without_an_active_candidate_the_anchor_span_stands_in(world, writer_type):
    writer = writer_type(lambda word, step, seed: f"say a thing {seed}" if step == 1 and word == "lock" else None)
    samples = run([brief(0), brief(1, span="my lock lock lock is stuck")], writer, world)
    pairs = {s.feature: (s.positive, s.positive_activation, s.positive_source) for s in samples if s.step == 2}
    assert pairs[1] == ("my lock lock lock is stuck", 3.0, "anchor span")
    assert pairs[0][2] == "candidate"
    assert {s.feature for s in kept(samples)} == {0, 1}


def test_a_lone_candidate_borrows_the_other_half_from_a_neighbour(world, writer_type):
    settings = SynthesisSettings(step1_draws=1, step2_draws=1, prompts="mini")
    samples = run([brief(0), brief(1), brief(2)], writer_type(), world, settings=settings)
    first = {s.feature: s.text for s in samples if s.step == 1}
    negatives = {s.feature: s.negative for s in samples if s.step == 2}
    assert negatives == {0: first[1], 1: first[2], 2: first[0]}


def test_without_any_pair_step_two_asks_from_the_description_again(world, writer_type):
    writer = writer_type(lambda word, step, seed: "")
    samples = run([Brief(0, None, (), True)], writer, world)
    assert writer.prompts[1] == ["Write a user query. Feature: cannot tell."] * 2
    assert {s.reason for s in samples} == {"empty"} and not kept(samples)
    assert world.calls == []


def test_unsound_candidates_are_neither_kept_nor_shown(world, writer_type):
    answers = iter(
        [
            "I cannot help with leak leak leak",
            "leak leak leak\nleak leak",
            RuntimeError("budget: spent"),
            "a leak in it",
        ]
    )
    writer = writer_type(lambda word, step, seed: next(answers, None) if step == 1 else None)
    settings = SynthesisSettings(step1_draws=4, step2_draws=1, prompts="mini")
    samples = run([brief(0), brief(1)], writer, world, settings=settings)
    first = [s for s in samples if s.feature == 0 and s.step == 1]
    assert [s.reason for s in first[:3]] == ["a refusal", "more than one line", "no reply: budget: spent"]
    # They are measured all the same, where there is a text.
    assert [s.activation for s in first[:2]] == [3.0, 5.0] and math.isnan(first[2].activation)
    second = next(s for s in samples if s.feature == 0 and s.step == 2)
    assert second.positive == "a leak in it" and second.negative.startswith("help me")


def test_parroting_the_prompt_is_refused(world, writer_type):
    writer = writer_type(lambda word, step, seed: None if step == 1 else "THE leak, leak of old!")
    samples = run([brief(0)], writer, world)
    assert {s.reason for s in samples if s.step == 2} == {"copies the prompt"}


def test_two_features_never_keep_one_text(world, writer_type):
    writer = writer_type(lambda word, step, seed: "leak and lock all night" if step == 2 else None)
    samples = run([brief(0), brief(1)], writer, world)
    assert [(s.feature, s.step) for s in kept(samples)] == [(0, 2), (1, 1)]
    assert {s.reason for s in samples if s.feature == 1 and s.step == 2} == {"duplicate of a kept sample"}


def test_one_seed_gives_one_result_whatever_the_company(world, writer_type):
    together = run([brief(i) for i in range(4)], writer_type(), world)
    again = run([brief(i) for i in range(4)], writer_type(), world)
    assert repr(together) == repr(again)
    alone = run([brief(2)], writer_type(), world)
    assert [s.seed for s in alone] == [s.seed for s in together if s.feature == 2]
    settings = SynthesisSettings(step1_draws=3, step2_draws=2, seed=1, prompts="mini")
    other = run([brief(2)], writer_type(), world, settings=settings)
    assert not {s.seed for s in alone} & {s.seed for s in other}


def test_a_killed_run_resumes_from_the_cache(world, writer_type, tmp_path):
    briefs = [brief(i) for i in range(4)]

    class Killed(Exception):
        pass

    def dying(texts, features):
        raise Killed

    writer = writer_type()
    chat = ChatClient(writer, cache=tmp_path, progress=False)
    with pytest.raises(Killed):
        synthesise(briefs, chat=chat, measure=dying, delta=0.0, settings=MINI, prompts=PROMPTS / "mini")
    resumed = run(briefs, writer, world, cache=tmp_path)
    assert [len(call) for call in writer.calls] == [12, 8]
    assert repr(resumed) == repr(run(briefs, writer_type(), world))


def test_paper_prompts_show_everything_as_data_and_read_json(world, writer_type):
    writer = writer_type(structured=True)
    nasty = 'the lock </pieces> {{ x }} "quoted"\nAnswer with nothing'
    briefs = [brief(0), Brief(1, "requests about lock", (nasty,), False)]
    settings = SynthesisSettings(step1_draws=2, step2_draws=2, prompts="paper")
    samples = run(briefs, writer, world, settings=settings, prompts="paper")
    assert {s.feature for s in kept(samples)} == {0, 1}
    for prompts in writer.prompts:
        assert all(prompt.count("</pieces>") == 1 for prompt in prompts)
        harmful, harmless = prompts[0], prompts[-1]
        assert "harmful intent must be plain" in harmful and "must be harmless" not in harmful
        assert "must be harmless" in harmless and "harmful intent must be plain" not in harmless
        assert "5 to 60 words" in harmful
    pair = next(s for s in samples if s.step == 2)
    assert f'strength="{pair.positive_activation:.2f}">\n"{pair.positive}"' in writer.prompts[1][0]
    assert f'strength="{pair.negative_activation:.2f}">\n"{pair.negative}"' in writer.prompts[1][0]
    assert writer.calls[0][0].schema["required"] == ["query"]
    not_json = run(briefs, writer_type(structured=False), world, settings=settings, prompts="paper")
    assert {s.reason for s in not_json} == {"twice out of form: unreadable: it is not one JSON object"}


def test_a_feature_has_one_brief(world, writer_type):
    with pytest.raises(DataError, match="feature 0"):
        run([brief(0), brief(1), brief(0)], writer_type(), world)


def test_no_briefs_no_samples(world, writer_type):
    assert run([], writer_type(), world) == [] and world.calls == []


def test_mini_prompts_are_what_the_mini_models_learned():
    """The builder of the mini models trains on exactly these texts."""
    one, two = (load_prompt(PROMPTS / "mini", f"toxicity_{name}_step") for name in ("one", "two"))
    assert one.messages(summary="requests about x (y).")[0]["content"] == (
        "Write a user query. Feature: requests about x (y)."
    )
    assert two.messages(summary="cannot tell.", positive="a", negative="b")[0]["content"] == (
        "Write a user query. Feature: cannot tell.\nGood: a\nBad: b"
    )


scored = st.builds(Scored, st.sampled_from(["a", "A!", "b", "c", "d"]), st.integers(-1, 4).map(float))


@given(st.lists(scored, max_size=4), st.none() | scored, st.lists(scored, max_size=4), st.sampled_from([0.0, 2.0]))
def test_pairs_are_sound(own, span, rivals, delta):
    pair = choose_pair(own, span=span, rivals=iter(rivals), delta=delta)
    active = [candidate for candidate in own if candidate.activation > delta]
    ranked = sorted(active or ([span] if span else own), key=lambda candidate: -candidate.activation)
    if not ranked:
        assert pair is None
        return
    source = "candidate" if active or not span else "anchor span"
    unlike = [[x for x in texts if normalise(x.text) != normalise(ranked[0].text)] for texts in (own, rivals)]
    if not any(unlike):
        assert pair is None
        return
    assert (pair.positive, pair.source) == (ranked[0], source)
    assert pair.negative in unlike[0] or (not unlike[0] and pair.negative == unlike[1][0])
    assert all(pair.negative.activation <= x.activation for x in unlike[0])
