"""Perplexity in batches against the obvious way: one text, one token at a time, plain probabilities."""

import math

import numpy as np
import pytest
import torch

from fac_lab.errors import ModelError
from fac_lab.features.perplexity import perplexity

SAID = ["How do I bake sourdough bread at home?", "a b c d e f g", "Zwölf Bäume", "hi there", ""]


def slowly(subject, text: str) -> float:
    (tokens,) = subject.tokenize([text], pool="content")
    surprise = []
    for place in range(max(tokens.start, 1), tokens.stop):
        with torch.inference_mode():
            logits = subject.model(torch.tensor(tokens.ids[None, :place])).logits[0, -1].double().numpy()
        likely = np.exp(logits - logits.max())
        surprise.append(-math.log(likely[tokens.ids[place]] / likely.sum()))
    return math.exp(sum(surprise) / len(surprise)) if surprise else math.nan


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "gpt2"])
def test_it_is_that_of_a_plain_loop(make_subject, architecture):
    subject = make_subject(architecture)
    expected = [slowly(subject, text) for text in SAID]
    assert math.isnan(expected[-1])
    np.testing.assert_allclose(perplexity(subject, SAID), expected, rtol=1e-4)
    # Batches of one text, and of a few tokens.
    np.testing.assert_allclose(perplexity(subject, SAID, batch_tokens=1), expected, rtol=1e-4)
    assert perplexity(subject, []).shape == (0,)


def test_a_bare_texts_first_token_does_not_count(make_subject):
    # "h" alone has nothing before it in GPT-2, which has no template.
    found = perplexity(make_subject("gpt2"), ["h", "hh"])
    assert math.isnan(found[0]) and found[1] == pytest.approx(slowly(make_subject("gpt2"), "hh"), rel=1e-4)


def test_an_encoder_has_none(make_subject):
    with pytest.raises(ModelError, match="predicts no next token"):
        perplexity(make_subject("bert"), ["hi"])
