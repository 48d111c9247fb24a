"""The arithmetic inside the baselines, and the judge of texts."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab import annotation
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.synthesis.baselines import text_judge
from fac_lab.synthesis.baselines.alpaca import closest, rouge_l
from fac_lab.synthesis.baselines.cot_self_instruct import read_letter
from fac_lab.synthesis.baselines.prismatic import find_clusters
from fac_lab.synthesis.baselines.skills import Topic, read_topic
from fac_lab.synthesis.baselines.synalign import NOISE, explore, herd, median_distance
from fac_lab.synthesis.pre_query import query_in

WORDS = st.lists(st.sampled_from("abcd"), max_size=9)


def common(a, b):
    """Length of the longest common subsequence, as it is defined."""
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return 1 + common(a[:-1], b[:-1])
    return max(common(a[:-1], b), common(a, b[:-1]))


@given(WORDS, WORDS)
def test_rouge_l_is_that_of_the_longest_common_subsequence(a, b):
    expected = 2 * common(a, b) / (len(a) + len(b)) if a or b else 0.0
    assert rouge_l(a, b) == pytest.approx(expected) == pytest.approx(rouge_l(b, a))


def test_closest_is_the_nearest_of_the_pool():
    assert closest(list("abc"), []) == 0.0
    assert closest(list("abcd"), [list("xy"), list("acde")]) == pytest.approx(0.75)


def test_exploring_goes_where_a_gaussian_process_is_least_certain():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    places = np.random.default_rng(0).normal(size=(9, 3))
    picked = explore(places, 14, width=1.5, seed=4)
    for t in range(1, 14):
        seen = places[picked[:t]]
        process = GaussianProcessRegressor(RBF(1.5), alpha=NOISE, optimizer=None).fit(seen, np.zeros(t))
        spread = process.predict(places, return_std=True)[1]
        assert spread[picked[t]] == pytest.approx(spread.max(), abs=1e-6)
    # Each once before any for the second time, as long as they are far from each other.
    far = explore(10.0 * np.eye(4), 8, width=1.0, seed=0)
    assert sorted(far[:4]) == sorted(far[4:]) == [0, 1, 2, 3]


def squared_mmd(a, b, width):
    def kernel(x, y):
        return np.exp(-0.5 * np.square(x[:, None] - y).sum(axis=2) / width**2).mean()

    return kernel(a, a) - 2 * kernel(a, b) + kernel(b, b)


def test_herding_comes_nearer_to_the_real_texts_than_chance():
    dice = np.random.default_rng(1)
    real = np.concatenate([dice.normal(size=(30, 2)), dice.normal(size=(10, 2)) + 6])
    candidates = np.concatenate([dice.normal(size=(60, 2)) + 3, real + dice.normal(size=real.shape) / 5])
    width = median_distance(real)
    chosen = herd(candidates, real, 12, width=width)
    assert len(set(chosen)) == 12
    drawn = [dice.permutation(100)[:12] for _ in range(200)]
    ours = squared_mmd(candidates[chosen], real, width)
    assert ours < min(squared_mmd(candidates[rows], real, width) for rows in drawn)
    one = herd(candidates, real, 1, width=width)[0]
    assert one == min(range(100), key=lambda i: squared_mmd(candidates[[i]], real, width))
    assert sorted(herd(candidates[:3], real, 9, width=width)) == [0, 1, 2]


def test_the_largest_third_of_the_clusters_is_dense():
    units = np.eye(3)[[0] * 6 + [1] * 2 + [2]]
    clusters = find_clusters(units, seed=0)
    assert clusters.sparse.sum() == 2 and not clusters.sparse[clusters.members[0]]
    assert np.array_equal(clusters.nearest(units), clusters.members)
    assert find_clusters(np.ones((4, 2)), seed=0).sparse.tolist() == [True]
    assert sorted(find_clusters(np.eye(2)[[0, 0, 1]], seed=0).sparse.tolist()) == [False, True]


def test_names_and_letters_are_read_strictly():
    assert read_topic("Watered drinks (cooking).") == Topic("watered drinks", "cooking")
    assert read_topic("watered drinks (cooking).").summary == "requests about watered drinks (cooking)"
    assert [read_topic(text) for text in ("", "Cooking.", "Cannot tell.", "(cooking).")] == [None] * 4
    assert query_in("Say it another way: How do I rest?") == query_in("What is this about? How do I rest?")
    assert query_in("How do I rest? Say it another way:") == "How do I rest? Say it another way:"
    assert read_letter('{"answer": "B"}') == "B" and read_letter('{"answer": "C"}') is None and read_letter("A") is None


class Annotator:
    """Names a text by its last word, and finds that dogs are harmful."""

    name = "annotator"

    def __init__(self, structured):
        self.structured, self.asked = structured, []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            prompt = request.messages[-1]["content"]
            self.asked.append(prompt)
            naming = "about?" in prompt if not self.structured else "What is it about" in prompt
            if naming:
                thing = "dogs" if "dog" in prompt else "what" if "?!" in prompt else "cats"
                text = (
                    json.dumps({"summary": f"the user asks about {thing}"}) if self.structured else f"{thing} (pets)."
                )
                text = "who knows" if thing == "what" else text
            else:
                verdict = "Yes" if "dogs" in prompt else "No"
                text = json.dumps({"verdict": verdict, "reason": "so it is"}) if self.structured else f"{verdict}."
            done(i, ChatReply(request, text, "stop"))


@pytest.mark.parametrize("style", ["mini", "paper"])
def test_the_judge_names_a_text_and_judges_the_name(style):
    annotator = Annotator(structured=style == "paper")
    prompts = Path(annotation.__file__).parent / "prompts" / style
    judge = text_judge(ChatClient(annotator, cache=None, progress=False), prompts, "the rubric of pets")
    reasons = judge(["my dog and me", "my cat", "eh ?!"])
    assert reasons[:2] == ["", "the judge says No"] and reasons[2].startswith("not judged: unreadable twice")
    judging = annotator.asked[-2:]
    assert all("the rubric of pets" in prompt for prompt in judging)
    # Large models see the text as well, as material.
    assert ('"my dog and me"' in judging[0]) == (style == "paper")
    assert judge([]) == []
