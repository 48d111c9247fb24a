"""Mean hidden states of texts against one text at a time."""

import numpy as np
import pytest
import torch

from fac_lab.features.embeddings import embed

TEXTS = ["How do I bake bread?", "hi", "", "Tell me two facts about the moon, then one about the tide."] * 3


def test_it_is_the_mean_of_the_texts_own_tokens(any_subject):
    vectors = embed(any_subject, TEXTS, batch_tokens=64)
    assert vectors.shape == (len(TEXTS), any_subject.d_model) and vectors.dtype == np.float32
    for text, vector in zip(TEXTS[:4], vectors, strict=False):
        (token,) = any_subject.tokenize([text], pool="content")
        if token.stop == token.start:
            assert not vector.any()
            continue
        states = any_subject.activations(*any_subject.batch([token]))[0, token.start : token.stop]
        torch.testing.assert_close(torch.from_numpy(vector), states.mean(0), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(vectors[:4], vectors[4:8], atol=1e-5)


def test_no_text_at_all(make_subject):
    assert embed(make_subject("llama"), []).shape == (0, 32)


@pytest.mark.parametrize("chunk", [1, 5])
def test_chunks_change_nothing(make_subject, monkeypatch, chunk):
    whole = embed(make_subject("llama"), TEXTS)
    monkeypatch.setattr("fac_lab.features.embeddings._CHUNK_TEXTS", chunk)
    np.testing.assert_allclose(embed(make_subject("llama"), TEXTS), whole, atol=1e-5)
