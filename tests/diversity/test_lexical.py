"""Words, n-grams and the metrics that count them: by hand, and against counting in the plainest way."""

import gzip
import math
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.diversity.inputs import Undefined, checked_texts
from fac_lab.diversity.lexical import compression_ratio, distinct, entropy, mean_length, ngram_entropy
from fac_lab.diversity.words import WORD, ngrams, number, words
from fac_lab.errors import DataError

TEXTS = st.lists(st.text(alphabet="ab c.'", max_size=12), max_size=12)


def plain_ngrams(texts, n):
    """Every n-gram of the set, as tuples."""
    return [
        tuple(found[i : i + n])
        for found in (WORD.findall(text.lower()) for text in texts)
        for i in range(len(found) - n + 1)
    ]


def test_what_a_word_is():
    assert WORD.findall("don't re-heat it, 3 times — naïve_café!") == [
        "don't",
        "re-heat",
        "it",
        "3",
        "times",
        "naïve_café",
    ]
    found = words(["The cat; the CAT", "", "…!", "a cat"])
    assert found.ids.tolist() == [0, 1, 0, 1, 2, 1]
    assert found.starts.tolist() == [0, 4, 4, 4, 6] and found.n_vocabulary == 3
    assert words(found) is found


def test_ngrams_end_with_their_text():
    found = ngrams(words(["a b a", "b a", "c"]), 2)
    assert found.texts.tolist() == [0, 0, 1]
    assert found.ids.tolist() == [0, 1, 1]
    assert len(ngrams(number([]), 3).ids) == 0


def test_distinct_and_entropy_by_hand():
    """a a b / a a: words a 4, b 1; bigrams aa, ab, aa."""
    texts = ["a a b", "A a."]
    assert distinct(texts, 1) == pytest.approx(2 / 5)
    assert distinct(texts, 2) == pytest.approx(2 / 3)
    assert ngram_entropy(texts, 1) == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    assert ngram_entropy(texts, 2) == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    assert mean_length(texts) == 2.5
    assert ngram_entropy(["a", "a"], 1) == 0.0 and math.copysign(1, ngram_entropy(["a", "a"], 1)) == 1


@given(TEXTS, st.integers(1, 4))
def test_they_are_what_counting_gives(texts, n):
    counts = Counter(plain_ngrams(texts, n))
    if not counts:
        assert math.isnan(distinct(texts, n)) and math.isnan(ngram_entropy(texts, n))
        assert str(n) in distinct(texts, n).reason or n == 1
        return
    assert distinct(texts, n) == pytest.approx(len(counts) / counts.total())
    shares = [count / counts.total() for count in counts.values()]
    assert ngram_entropy(texts, n) == pytest.approx(-sum(share * math.log(share) for share in shares), abs=1e-12)
    assert 0 <= ngram_entropy(texts, n) <= math.log(len(counts)) + 1e-12


@given(TEXTS, st.randoms())
def test_order_is_nothing_and_duplicates_lower(texts, dice):
    shuffled = dice.sample(texts, len(texts))
    for metric in (mean_length, compression_ratio, lambda t: distinct(t, 2), lambda t: ngram_entropy(t, 2)):
        assert metric(shuffled) == pytest.approx(metric(texts), nan_ok=True)
    if not math.isnan(distinct(texts, 1)):
        assert distinct(texts * 2, 1) == pytest.approx(distinct(texts, 1) / 2)


def test_compression_is_gzip_once(sentences):
    texts = sentences(50)
    data = "\n".join(texts).encode()
    assert compression_ratio(texts, ordered=True) == len(data) / len(gzip.compress(data, 9))
    assert compression_ratio(texts * 3) > compression_ratio(texts) > 1
    # Repeats further apart than gzip's window of 32 kB are seen once the texts are sorted.
    apart = [f"{dice:030x}" for dice in np.random.default_rng(0).integers(2**62, size=2000)] * 2
    assert compression_ratio(apart) > 1.3 * compression_ratio(apart, ordered=True)
    assert compression_ratio(["x \ud83d"]) < 1


@pytest.mark.parametrize("texts", [[], ["", ""], ["...", "?!"]])
def test_nothing_to_count_is_nan_with_a_reason(texts):
    values = [distinct(texts, 1), distinct(texts, 2), ngram_entropy(texts, 1)]
    assert all(math.isnan(value) and value.reason.startswith("no text holds") for value in values)
    assert mean_length(["", "?"]) == 0 and mean_length([]).reason == "there are no texts"
    assert compression_ratio([]).reason == "there are no texts"
    assert compression_ratio(["", ""]).reason == "all texts are empty"


def test_undefined_is_a_number_that_knows_why():
    value = Undefined("too few")
    assert isinstance(value, float) and value != value and repr(value) == "nan (too few)"
    assert pickle.loads(pickle.dumps(value)).reason == "too few"
    assert np.isnan(np.array([value, 1.0])).tolist() == [True, False]


def test_entropy_leaves_empty_shares_out():
    assert entropy(np.array([3, 0, 3])) == pytest.approx(math.log(2))


def test_what_is_no_list_of_texts_is_refused():
    with pytest.raises(DataError, match="one string"):
        distinct("a text", 1)
    with pytest.raises(DataError, match="text 1 is None"):
        compression_ratio(["a", None])
    assert checked_texts(("a",)) == ("a",)
