"""All metrics at once: names, reasons, and that each goes to its own function."""

import math

import numpy as np
import pandas as pd
import pytest

from fac_lab.diversity import METRICS, diversity, find_clusters, reasons
from fac_lab.diversity.bleu import self_bleu
from fac_lab.diversity.lexical import distinct
from fac_lab.diversity.vectors import pairwise_distance, vendi
from fac_lab.errors import DataError, SettingsError


def relations(texts):
    return [text.split() for text in texts]


@pytest.fixture(scope="module")
def everything(sentences, scattered):
    return {
        "texts": sentences(60),
        "vectors": scattered(60, 8),
        "gradients": scattered(60, 16, seed=1),
        "clusters": find_clusters(scattered(200, 8), 9),
        "parser": relations,
    }


@pytest.fixture(scope="module")
def found(everything):
    return diversity(**everything)


def test_every_metric_of_the_table_is_there(everything, found):
    assert list(found) == list(METRICS) and not reasons(found)
    assert found["self_bleu"] == self_bleu(everything["texts"])
    assert found["distinct_2"] == distinct(everything["texts"], 2)
    assert found["pairwise_distance"] == pairwise_distance(everything["vectors"])
    assert found["vendi"] == vendi(everything["vectors"]) != found["g_vendi"] == vendi(everything["gradients"])
    assert diversity(**everything, q=2, only=["vendi"]) == {"vendi": vendi(everything["vectors"], 2)}


def test_the_table_is_whole():
    assert all(name == metric.name and metric.what for name, metric in METRICS.items())
    assert {metric.direction for metric in METRICS.values()} == {-1, 0, 1}
    assert {metric.level for metric in METRICS.values()} == {"word", "syntax", "embedding", "gradient"}


def test_a_set_of_copies_is_less_diverse_by_every_metric(everything, found):
    """Ten texts six times over against sixty, in the direction that the table states. The spread of ten is that of
    sixty, and both have as many clusters of their own as are asked for."""
    rows = np.arange(60) % 10
    copies = diversity(
        [everything["texts"][row] for row in rows],
        vectors=everything["vectors"][rows],
        gradients=everything["gradients"][rows],
        clusters=everything["clusters"],
        parser=relations,
    )
    for name, metric in METRICS.items():
        if metric.direction and name not in ("covariance_trace", "cluster_entropy"):
            assert metric.direction * (found[name] - copies[name]) > 0, name


def test_order_is_nothing(everything, found):
    order = np.random.default_rng(0).permutation(60)
    shuffled = diversity(
        [everything["texts"][row] for row in order],
        vectors=everything["vectors"][order],
        gradients=everything["gradients"][order],
        clusters=everything["clusters"],
        parser=relations,
    )
    assert shuffled == pytest.approx(found)


def test_what_was_not_given_is_named(sentences):
    found = diversity(sentences(5))
    why = reasons(found)
    assert why["vendi"] == why["semantic_entropy"] == "no vectors were given"
    assert why["g_vendi"] == "no gradients were given"
    assert reasons(diversity(["a"], vectors=[[1.0]]))["dense_coverage"] == "no anchor's clusters were given"
    assert not math.isnan(found["distinct_1"])
    frame = pd.DataFrame([found, diversity(sentences(6))])
    assert frame.vendi.isna().all() and frame.distinct_1.notna().all()


@pytest.mark.parametrize("texts", [[], [""], ["?", "!"], ["one"]])
def test_small_sets_are_no_errors(texts):
    found = diversity(texts, vectors=np.ones((len(texts), 3)), gradients=np.zeros((len(texts), 3)))
    assert set(reasons(found)) == {name for name, value in found.items() if math.isnan(value)}
    assert math.isnan(found["self_bleu"]) and math.isnan(found["g_vendi"])


def test_identical_texts(everything):
    found = diversity(["one two three four"] * 9, vectors=np.ones((9, 4)), parser=relations)
    expected = {"self_bleu": 1, "distinct_1": 1 / 9, "pairwise_distance": 0, "covariance_trace": 0, "vendi": 1}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert found["cluster_entropy"] == 0


def test_wrong_input_is_refused():
    with pytest.raises(SettingsError, match="distinct_3.*did you mean 'distinct_"):
        diversity(["a"], only=["distinct_3"])
    with pytest.raises(DataError, match="2 vectors for 1 texts"):
        diversity(["a"], vectors=np.eye(2))
    with pytest.raises(DataError, match="one string"):
        diversity("a text")
