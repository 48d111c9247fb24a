"""Maxima in blocks: whatever is held at once, each text is in one block and activates the same."""

import numpy as np
import pytest

from fac_lab.features import pooling
from fac_lab.features.batches import Budget
from fac_lab.features.encoder import Encoder

TEXTS = ["bake bread", "", "moon and tide", "a", "How do I tell facts from Bäume", "b a b a b a", "🌳"]


def dense(subject, encoder) -> tuple[np.ndarray, int]:
    """Maxima of the texts `[n_texts, d_sae]`, and how many blocks they came in."""
    values, blocks = np.full((len(TEXTS), encoder.d_sae), np.nan), 0
    tokens = subject.tokenize(TEXTS, "content")
    with pooling.Progress(len(TEXTS), 0, "test", shown=False) as bar:
        for members, pooled in pooling.blocks(subject, encoder, tokens, Budget(24), bar):
            assert np.isnan(values[members]).all(), "a text came twice"
            values[members] = 0
            values[members[pooled.sample], pooled.feature] = pooled.value
            blocks += 1
    return values, blocks


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_blocks_of_any_size_hold_the_same(make_subject, make_sae, monkeypatch, architecture):
    subject, encoder = make_subject("llama"), Encoder(make_sae(architecture))
    whole, one = dense(subject, encoder)
    monkeypatch.setattr(pooling, "_BLOCK_ENTRIES", 1)
    parts, many = dense(subject, encoder)
    assert one == 1 and many > 2
    assert not np.isnan(whole).any() and not whole[1].any() and whole[0].any()
    np.testing.assert_array_equal(whole, parts)


def test_texts_that_activate_nothing_are_a_block_too(make_subject, make_sae):
    subject, encoder = make_subject("llama"), Encoder(make_sae())
    tokens = subject.tokenize(["", ""], "content")
    with pooling.Progress(2, 0, "test", shown=False) as bar:
        [(members, pooled)] = pooling.blocks(subject, encoder, tokens, Budget(24), bar)
    assert sorted(members) == [0, 1] and not len(pooled.value)
