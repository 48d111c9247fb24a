"""SAE quality against direct computation, and at its two ends: a perfect SAE and one that gives nothing."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from fac_lab.errors import DataError
from fac_lab.features.evaluation import evaluate_sae

TEXTS = ["How do I bake bread?", "hi", "Tell me two facts about the moon.", "a b c d e f g", "café 🌳"] * 3
D = 32


@pytest.fixture
def identity_sae(make_sae):
    """`relu(x) - relu(-x) = x`: perfect, with two features per dimension."""
    sae = make_sae("standard", d_sae=2 * D)
    with torch.no_grad():
        sae.W_enc.copy_(torch.cat([torch.eye(D), -torch.eye(D)], dim=1))
        sae.W_dec.copy_(sae.W_enc.T)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    return sae


def pooled_vectors(subject):
    vectors = []
    for text in subject.tokenize(TEXTS):
        vectors.append(subject.activations(*subject.batch([text]))[0, text.start : text.stop])
    return torch.cat(vectors)


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "gpt2"])
def test_a_perfect_sae_recovers_all_of_the_loss(make_subject, identity_sae, architecture):
    report = evaluate_sae(make_subject(architecture), identity_sae, TEXTS, progress=False)
    assert report.explained_variance == pytest.approx(1, abs=1e-6)
    assert report.loss_spliced == pytest.approx(report.loss, abs=1e-5)
    assert abs(report.loss_zeroed - report.loss) > 0.01
    assert report.loss_recovered == pytest.approx(1, abs=1e-3)
    assert report.l0 == pytest.approx(D)
    assert report.dead_share == 0


def test_an_sae_that_reconstructs_zero_recovers_nothing(make_subject, identity_sae):
    with torch.no_grad():
        identity_sae.W_dec.zero_()
    report = evaluate_sae(make_subject("llama"), identity_sae, TEXTS, progress=False)
    assert report.loss_spliced == pytest.approx(report.loss_zeroed)
    assert report.loss_recovered == pytest.approx(0, abs=1e-6)


def test_explained_variance_sparsity_and_dead_share_by_hand(make_subject, make_sae):
    subject, sae = make_subject("llama"), make_sae("topk", d_sae=128)
    report = evaluate_sae(subject, sae, TEXTS, progress=False)
    x = pooled_vectors(subject)
    with torch.no_grad():
        features = sae.encode(x)
        missed = (x - sae.decode(features)).square().sum()
    expected = 1 - missed / (x - x.mean(0)).square().sum()
    assert report.explained_variance == pytest.approx(expected.item(), rel=1e-4)
    assert report.l0 == pytest.approx((features > 0).sum(1).float().mean().item())
    assert report.dead_share == pytest.approx((features > 0).any(0).logical_not().float().mean().item())
    assert report.dead_share > 0


def test_loss_counts_predictions_between_pooled_tokens(make_subject, identity_sae):
    subject = make_subject("llama")
    report = evaluate_sae(subject, identity_sae, TEXTS, progress=False)
    losses = []
    for text in subject.tokenize(TEXTS):
        ids, mask = subject.batch([text])
        with torch.inference_mode():
            logits = subject.model(input_ids=ids, attention_mask=mask).logits[0]
        for position in range(text.start, text.stop - 1):
            losses.append(cross_entropy(logits[position], ids[0, position + 1]).item())
    assert report.loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_batches_do_not_matter_and_prefixes_stay(make_subject, make_sae):
    """Padding and the template's prefix are not replaced: alone or together, the numbers are the same."""
    subject, sae = make_subject("qwen2"), make_sae("topk")
    together = evaluate_sae(subject, sae, TEXTS, batch_tokens=10_000, progress=False)
    alone = evaluate_sae(subject, sae, TEXTS, batch_tokens=1, progress=False)
    assert together == pytest.approx(alone, rel=1e-4)


def test_encoders_have_no_loss(make_subject, identity_sae):
    report = evaluate_sae(make_subject("bert"), identity_sae, TEXTS, progress=False)
    assert report.explained_variance == pytest.approx(1, abs=1e-6)
    assert report[3:] == (None, None, None, None)


def test_no_hook_stays(make_subject, identity_sae):
    subject = make_subject("llama", layer=0)
    before = list(subject.hook_module._forward_hooks)
    evaluate_sae(subject, identity_sae, TEXTS, progress=False)
    assert list(subject.hook_module._forward_hooks) == before


def test_nothing_to_evaluate_on(make_subject, identity_sae):
    with pytest.raises(DataError, match="No text has a token"):
        evaluate_sae(make_subject("bert"), identity_sae, ["", ""], progress=False)
