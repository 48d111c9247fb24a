"""Traces against the definition, token by token."""

import numpy as np
import pytest
import torch

from fac_lab.errors import DataError
from fac_lab.features.collect import measure
from fac_lab.features.traces import Trace, trace
from fac_lab.profile import CollectSettings

TEXTS = ["How do I bake bread", "hi", "Zwölf Bäume 🌳 am Fluss", "hi", ""]
SETTINGS = CollectSettings(batch_tokens=60)


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_a_trace_is_the_features_column_and_its_maximum_is_the_measure(any_subject, make_sae, architecture):
    sae = make_sae(architecture)
    features = [3, 5, 7, 11, 2]
    traces = trace(any_subject, sae, TEXTS, features, SETTINGS)
    measured = measure(any_subject, sae, TEXTS, None, SETTINGS)
    for found, text, feature, row in zip(traces, TEXTS, features, measured, strict=True):
        assert (found.feature, found.text) == (feature, text)
        tokens = any_subject.tokenize([text])[0]
        assert len(found.values) == len(found.offsets) == tokens.stop - tokens.start
        assert max(found.values, default=0.0) == pytest.approx(row[feature], rel=1e-4, abs=1e-5)
        if len(found.values):
            with torch.inference_mode():
                part = any_subject.activations(*any_subject.batch([tokens]))[0, tokens.start : tokens.stop]
                np.testing.assert_allclose(found.values, sae.encode(part)[:, feature], rtol=1e-4, atol=1e-5)


def made(values, text="one two three four"):
    ends = [i for i, c in enumerate(text + " ") if c == " "]
    offsets = [(0 if not i else ends[i - 1], end) for i, end in enumerate(ends)]
    return Trace(1, text, np.array(values, np.float32), (*offsets, (len(text), len(text))))


def test_peak_and_silent_tokens_by_hand():
    found = made([0, 2, 0, 2, 1])
    assert found.position == 1 and found.silent == (0, 2)  # the template's token has no characters
    assert [found.token(i) for i in range(5)] == ["one", " two", " three", " four", ""]
    assert made([0, 0, 0, 0, 0]).position is None
    assert Trace(1, "", np.zeros(0, np.float32), ()).position is None


def test_a_short_text_is_its_own_piece_and_a_long_one_is_cut_around_the_token():
    span = made([0, 2, 0, 0, 0]).piece(8, sample_id="s")
    assert span == (1, 2.0, "s", "one two three four", (3, 7))
    assert made([0, 0, 0, 0, 3]).piece(8).peak == (18, 18)
    # Two tokens: the peak and the one before it; a quarter of two behind it is none.
    cut = made([0, 0, 2, 0, 0]).piece(2)
    assert cut.text == " two three" and cut.text[slice(*cut.peak)] == " three"
    assert made([0, 0, 2, 0, 0]).piece(2, 1).text == "one two"
    silent = made([0, 0, 0, 0, 0]).piece(2)
    assert silent.text == " two three" and silent.peak == (10, 10)


def test_what_cannot_be_traced_is_refused(make_subject, make_sae):
    subject, sae = make_subject("llama"), make_sae("topk")
    with pytest.raises(DataError, match="2 texts and 1 features"):
        trace(subject, sae, ["a", "b"], [1])
    with pytest.raises(DataError, match="features lie in 0 to"):
        trace(subject, sae, ["a"], [10**6])
    assert trace(subject, sae, [], []) == []
