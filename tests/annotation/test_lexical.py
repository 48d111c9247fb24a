import math

import numpy as np
import pytest

from fac_lab.annotation.lexical import feature_words, lexical_relevance, lexical_summaries, spans_of
from fac_lab.errors import DataError
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import FeatureStats

SPANS = {
    4: ["How do I pick a lock", "pick the lock of the bike"],
    1: ["bake the bread", "How do I knead bread, please"],
    7: ["12 ?!"],
}


def test_weights_by_hand():
    words = feature_words(SPANS)
    assert words.features.tolist() == [4, 1, 7]
    weights = {(int(words.features[i]), words.vocabulary[j]): value for (i, j), value in words.weights.todok().items()}
    # Words of one letter do not count: 10 and 8 words, none in the third.
    mean = 18 / 3
    assert weights[4, "lock"] == pytest.approx(2 * math.log(1 + mean / 2))
    assert weights[4, "the"] == pytest.approx(2 * math.log(1 + mean / 3))
    assert weights[1, "how"] == pytest.approx(1 * math.log(1 + mean / 2))
    assert (1, "lock") not in weights


def test_summaries_name_the_words_of_the_feature():
    summaries = lexical_summaries(feature_words(SPANS), n=2, lead="requests about")
    assert summaries.feature.tolist() == [4, 1, 7]
    assert summaries.summary.tolist() == ["requests about lock, pick", "requests about bread, bake", None]


def test_other_scripts_have_words_too():
    assert feature_words({0: ["замок от двери"], 1: ["كسر القفل"]}).top(1) == [["двери"], ["القفل"]]


def test_no_words_at_all():
    with pytest.raises(DataError, match="no span"):
        feature_words({0: ["12"], 1: [""]})


def test_spans_come_from_the_statistics_in_the_order_asked_for():
    stats = FeatureStats.empty(d_sae=8, top_spans=10)
    stats.top.offer(
        SpanTable(
            np.array([3, 3, 5]),
            np.array([1.0, 2.0, 1.0], np.float32),
            np.array(["a", "b", "c"], object),
            np.array(["weak", "strong", "other"], object),
            np.zeros((3, 2), int),
        )
    )
    assert spans_of([5, 2, 3], stats) == {5: ["other"], 2: [], 3: ["strong", "weak"]}


TEXTS = ["pick the lock", "open the lock", "pick it open"] * 6 + ["bake the bread", "knead the bread", "bake it"] * 6
LABELS = np.array([1] * 18 + [0] * 18)


def test_words_of_positive_texts_make_a_feature_relevant():
    words = feature_words({0: ["lock pick", "pick the lock"], 1: ["bread bake"], 2: ["unheard of"], 3: ["the"]})
    frame = lexical_relevance(words, TEXTS, LABELS)
    assert list(frame) == ["feature", "score", "p", "q", "sign", "relevant"]
    assert frame.relevant.tolist() == [True, False, False, False]
    assert frame.sign.tolist() == [1, -1, 0, 0]
    assert frame.p[1] > 0.99 and frame.p[2] == 1.0
    assert lexical_relevance(words, TEXTS, 1 - LABELS).relevant.tolist() == [False, True, False, False]


def test_score_by_hand():
    # "lock" is in 12 of 18 positive texts and in no other, "bread" the other way round.
    words = feature_words({0: ["lock"], 1: ["bread"]})
    score = lexical_relevance(words, TEXTS, LABELS).score
    assert score.tolist() == pytest.approx([math.log(13 / 20) - math.log(1 / 20), math.log(1 / 20) - math.log(13 / 20)])


def test_shuffled_labels_yield_relevant_features_no_oftener_than_stated():
    rng = np.random.default_rng(0)
    vocabulary = [a + b for a in "bcdfghjk" for b in ("an", "on", "in", "un", "at")]
    texts = [" ".join(rng.choice(vocabulary, 6)) for _ in range(200)]
    words = feature_words({i: [" ".join(rng.choice(vocabulary, 5))] for i in range(50)})
    labels = np.arange(200) % 3 == 0
    found = [lexical_relevance(words, texts, rng.permutation(labels), fdr=0.1, seed=i) for i in range(60)]
    # Features share words, so a try with one often has several: tries count. Above 13 of 60 the chance is below 0.005.
    assert sum(frame.relevant.any() for frame in found) <= 13
    assert sum((frame.p <= 0.05).any() for frame in found) > 45
