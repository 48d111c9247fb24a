"""Self-BLEU in near-linear time against the quadratic way, and by hand."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from fac_lab.diversity.bleu import self_bleu
from fac_lab.diversity.words import WORD

TEXTS = st.lists(st.text(alphabet="aabc  ", max_size=14), max_size=8)


def slow(texts):
    """BLEU of each text against all the others, by NLTK."""
    held = [found for text in texts if (found := WORD.findall(text.lower()))]
    scores = [
        sentence_bleu(held[:i] + held[i + 1 :], text, smoothing_function=SmoothingFunction().method1, auto_reweigh=True)
        for i, text in enumerate(held)
    ]
    return sum(scores) / len(scores)


@settings(max_examples=60)
@given(TEXTS)
def test_it_is_the_quadratic_one(texts):
    if sum(bool(text.split()) for text in texts) < 2:
        assert math.isnan(self_bleu(texts)) and self_bleu(texts).reason
    else:
        assert self_bleu(texts) == pytest.approx(slow(texts), abs=1e-12)


def test_it_is_the_quadratic_one_on_longer_texts(sentences):
    for seed in range(5):
        texts = sentences(25, seed=seed, longest=15)
        assert self_bleu(texts) == pytest.approx(slow(texts), abs=1e-12)


def test_by_hand():
    """a b c d against a b c d e: all n-grams match, shorter than the other by one: exp(1 - 5/4). The other way round
    4/5, 3/4, 2/3 and 1/2 match, whose product is 1/5, and no penalty."""
    assert self_bleu(["a b c d", "a b c d e"]) == pytest.approx((math.exp(-1 / 4) + (1 / 5) ** (1 / 4)) / 2)
    # Two words have two orders: 1/2 and, smoothed, 0.1/1.
    assert self_bleu(["a b", "a c"]) == pytest.approx(math.sqrt(1 / 2 * 0.1))
    # A count is clipped at the largest in any other text.
    assert self_bleu(["a a", "a"]) == pytest.approx((math.sqrt(1 / 2 * 0.1) + math.exp(1 - 2)) / 2)


def test_its_bounds():
    assert self_bleu(["one two three four"] * 3 + ["x"] * 2) == pytest.approx(1)
    assert self_bleu(["one two", "three four", "five"]) == 0


def test_order_is_nothing_and_copies_raise_it(sentences):
    texts = sentences(40)
    shuffled = random.Random(1).sample(texts, len(texts))
    assert self_bleu(shuffled) == pytest.approx(self_bleu(texts), abs=1e-12)
    assert self_bleu([*texts, "", "..."]) == pytest.approx(self_bleu(texts), abs=1e-12)
    assert self_bleu(texts) < self_bleu(texts + texts[:20]) < self_bleu(texts * 2) == pytest.approx(1)


@pytest.mark.parametrize("texts", [[], [""], ["one text of words"], ["words", "..."]])
def test_it_takes_two(texts):
    assert math.isnan(self_bleu(texts)) and "text" in self_bleu(texts).reason
