import numpy as np
import pytest
import torch

from fac_lab.features import means
from fac_lab.features.means import mean_vectors

TEXTS = ["the cat sat", "a", "the cat sat on the mat and the cat sat on the mat", "", "dog"]


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_they_are_the_means_of_the_texts_own_tokens(make_subject, monkeypatch, architecture):
    monkeypatch.setattr(means, "TEXTS_AT_ONCE", 2)
    subject = make_subject(architecture)
    found = mean_vectors(subject, TEXTS)
    assert found.shape == (len(TEXTS), subject.d_model) and found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        [tokens] = subject.tokenize([text], pool="content")
        if tokens.start == tokens.stop:
            assert not vector.any()
            continue
        ids = torch.tensor(tokens.ids)[None]
        alone = subject.activations(ids, torch.ones_like(ids))[0, tokens.start : tokens.stop]
        np.testing.assert_allclose(vector, alone.mean(dim=0).numpy(), atol=1e-4, rtol=1e-4)
    assert len(mean_vectors(subject, [])) == 0
