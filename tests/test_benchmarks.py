"""The benchmarks run; how fast is not a test's business."""

import numpy as np
import pytest

from benchmarks import generate, scaling, timing, ways
from benchmarks.collect import measure
from benchmarks.settings import mini, texts


def test_ratios_come_with_their_spread():
    frame = measure(["mini"], rounds=2, share=0.001)
    assert frame.top_k.tolist() == [True, False] and (frame.rounds == 2).all()
    for ratio in ("over_floor", "over_reference"):
        assert (frame[f"{ratio}_least"] <= frame[ratio]).all() and (frame[ratio] <= frame[f"{ratio}_most"]).all()
    assert (frame[["floor_tokens_per_second", "ours_tokens_per_second", "one_tokens_per_second"]] > 0).all(axis=None)


def test_ways_take_turns():
    order = []
    seconds = timing.in_turns({name: (lambda name=name: order.append(name)) for name in "ab"}, 2)
    assert order == list("ababab") and {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}
    assert timing.spread(np.array([3.0, 1.0, 2.0])) == (2.0, 1.0, 3.0)


def test_lengths_spread_as_asked():
    even, uneven = ([len(row.text) for row in texts(400, mean=4, spread=spread, seed=1)] for spread in (0.0, 1.0))
    assert np.std(uneven) > 3 * np.std(even)
    assert [row.text for row in texts(5, seed=2)] == [row.text for row in texts(5, seed=2)]


@pytest.mark.slow
def test_a_point_runs_in_a_process_of_its_own():
    found, peak = timing.alone(scaling.point, "batch", 512, 0.002, 1)
    assert found["tokens_per_second"] > 0 and 0.1 < peak < 10


def test_tokens_that_are_written_are_counted():
    frame = generate.measure(rounds=1, share=0.01)
    assert frame.model.tolist() == ["mistral", "qwen", "llama"] and (frame.requests == 5).all()
    longest = generate.requests(1)[0].max_tokens
    assert frame.tokens.between(5, 5 * longest).all() and (frame.least <= frame.tokens_per_second).all()


@pytest.mark.parametrize("top_k", [True, False])
def test_one_text_at_a_time_reads_what_collect_reads(top_k):
    """The slow way ends, on the tokens that `n_tokens` counts."""
    setting, corpus = mini().with_protocol(top_k=top_k), texts(2)
    ways.one_at_a_time(setting, corpus)()
    tokens = setting.subject.tokenize([row.text for row in corpus])
    assert ways.n_tokens(setting, corpus) == sum(len(text.ids) for text in tokens)
