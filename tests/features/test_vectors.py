"""Streams of activation vectors: every row once a pass, in random order, from any row on."""

import pytest
import torch

from fac_lab.features import vectors
from fac_lab.features.vectors import vector_rounds


@pytest.mark.parametrize("round_bytes", [vectors.ROUND_BYTES, 1])
def test_rounds_cover_the_corpus_and_can_begin_anywhere(make_subject, corpus, vectors_of, monkeypatch, round_bytes):
    monkeypatch.setattr(vectors, "ROUND_BYTES", round_bytes)
    monkeypatch.setattr(vectors, "_CHUNK_ROWS", 40)
    subject = make_subject("llama")
    rounds, row, passes = vector_rounds(subject, corpus, batch=64, seed=0), 0, [[]]
    starts, seen = [], []
    while len(passes) < 3:
        found, next_row = next(rounds)
        starts.append(row)
        seen.append(found)
        passes[-1].append(found)
        if next_row == 0:
            passes.append([])
        row = next_row
    # Memory: a full round, and one chunk of texts beyond it at most.
    assert round_bytes > 1 or max(map(len, seen)) < 16 * 64 + 40 * subject.max_tokens < len(vectors_of(subject, corpus))
    whole = vectors_of(subject, corpus)
    assert len(passes[0]) == 1 if round_bytes > 1 else len(passes[0]) > 3
    for one in passes[:2]:
        together = torch.cat(one)
        assert together.shape == whole.shape
        torch.testing.assert_close(together.sum(0), whole.sum(0), atol=0.01, rtol=1e-4)
    middle = len(passes[0]) // 2
    resumed, _ = next(vector_rounds(subject, corpus, batch=64, seed=0, row=starts[middle]))
    assert torch.equal(resumed, seen[middle])


def test_texts_are_shuffled_within_the_window(monkeypatch):
    monkeypatch.setattr(vectors, "_SHUFFLED_ROWS", 10)
    texts = [str(number) for number in range(50)]
    once, again = (list(vectors._shuffled(texts, 3)) for _ in range(2))
    assert once == again != texts
    assert sorted(once) == sorted(texts)
    assert list(vectors._shuffled(texts, 4)) != once
    assert list(vectors._shuffled([], 0)) == []
