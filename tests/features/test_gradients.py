"""Projected loss gradients against each text's whole gradient, taken by itself and projected."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fac_lab.diversity.vectors import vendi
from fac_lab.errors import ModelError
from fac_lab.features.embeddings import embed
from fac_lab.features.gradients import linear_layers, loss_gradients, random_signs

TEXTS = ["How do I bake bread?", "hi", "Tell me two facts about the moon, then one about the tide.", "a b c", "hi"]
CAUSAL = ("llama", "mistral", "qwen2", "gpt2")


def whole_gradients(subject, text):
    """Gradients of one text's loss with respect to every linear weight, as `[outputs, inputs]`."""
    (token,) = subject.tokenize([text], pool="content")
    ids, mask = subject.batch([token])
    layers = list(linear_layers(subject.model))
    # A head that is tied to the embedding counts as head only.
    cut = subject.model.get_input_embeddings().register_forward_hook(lambda *call: call[2].detach())
    logits = subject.forward(ids, mask).logits[0]
    cut.remove()
    first = max(1, token.start)
    loss = cross_entropy(logits[first - 1 : token.stop - 1], ids[0, first : token.stop], reduction="sum")
    found = torch.autograd.grad(loss, [module.weight for _, module, _ in layers])
    return [
        gradient if isinstance(module, torch.nn.Linear) else gradient.T
        for gradient, (_, module, _) in zip(found, layers, strict=True)
    ]


@pytest.mark.parametrize("architecture", CAUSAL)
def test_they_are_each_texts_own_gradient_projected(make_subject, architecture):
    subject, side = make_subject(architecture), 6
    generator = torch.Generator().manual_seed(3)
    signs = [
        tuple(random_signs(side, width, generator) for width in widths) for _, _, widths in linear_layers(subject.model)
    ]
    assert len(signs) > 6
    found = loss_gradients(subject, TEXTS, side=side, seed=3)
    assert found.shape == (len(TEXTS), 36) and found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        if not vector.any():
            # Without a template nothing predicts the only token of "hi".
            assert text == "hi" and architecture == "gpt2"
            continue
        expected = sum(
            on_outputs @ gradient @ on_inputs.T
            for gradient, (on_inputs, on_outputs) in zip(whole_gradients(subject, text), signs, strict=True)
        )
        expected = expected.flatten().detach().numpy()
        np.testing.assert_allclose(vector, expected, atol=2e-4 * np.abs(expected).max())


def test_projection_keeps_products(make_subject):
    """Cosines of projected gradients are those of the whole ones, up to noise."""
    subject = make_subject("llama")
    whole = np.stack([torch.cat([g.flatten() for g in whole_gradients(subject, t)]).numpy() for t in TEXTS])
    found = np.concatenate([loss_gradients(subject, TEXTS, seed=seed) for seed in range(3)], axis=1)
    cosines = [(made @ made.T) / np.outer(*[np.linalg.norm(made, axis=1)] * 2) for made in (whole.astype(float), found)]
    assert np.abs(cosines[0] - cosines[1]).max() < 0.2 < np.ptp(cosines[0])


def test_batches_and_seeds(make_subject):
    subject = make_subject("qwen2")
    whole = loss_gradients(subject, TEXTS)
    np.testing.assert_allclose(loss_gradients(subject, TEXTS, batch_tokens=1), whole, atol=1e-3 * np.abs(whole).max())
    np.testing.assert_allclose(whole[1], whole[4], atol=1e-3 * np.abs(whole[1]).max())
    assert not np.allclose(loss_gradients(subject, TEXTS, seed=1), whole, atol=0.1 * np.abs(whole).max())
    assert 1 < vendi(whole) < vendi(whole[:4]) + 1e-9 <= 4 + 1e-6


def test_the_model_is_left_as_it_was(make_subject):
    subject = make_subject("mistral")
    before = embed(subject, TEXTS)
    weights = {name: parameter.clone() for name, parameter in subject.model.named_parameters()}
    # transformers leaves hooks of its own where another test asked this model for its hidden states.
    hooks = [len(module._forward_hooks) for module in subject.model.modules()]
    loss_gradients(subject, TEXTS, side=4)
    assert all(p.requires_grad and p.grad is None for p in subject.model.parameters())
    assert all(torch.equal(weights[name], parameter) for name, parameter in subject.model.named_parameters())
    assert [len(module._forward_hooks) for module in subject.model.modules()] == hooks
    np.testing.assert_array_equal(embed(subject, TEXTS), before)


def test_texts_without_tokens_have_no_gradient(make_subject):
    found = loss_gradients(make_subject("llama"), ["", "bread", ""], side=4)
    assert found[1].any() and not found[[0, 2]].any()
    assert loss_gradients(make_subject("llama"), [], side=4).shape == (0, 16)


def test_an_encoder_has_no_loss(make_subject):
    with pytest.raises(ModelError, match="causal language model"):
        loss_gradients(make_subject("bert"), TEXTS)
