"""Encoding and pooling against sae-lens itself and a slow loop over samples, features and tokens."""

import numpy as np
import pytest
import torch

from fac_lab.features import encoder as encoder_module
from fac_lab.features.encoder import Encoder

D_IN, D_SAE = 16, 48
SAES = {
    "topk": ("topk", {}),
    "topk, rescaled": ("topk", {"rescale_acts_by_decoder_norm": True}),
    "topk, layer norm": ("topk", {"normalize_activations": "layer_norm"}),
    "topk, constant norm": ("topk", {"normalize_activations": "constant_norm_rescale"}),
    "topk, input bias off": ("topk", {"apply_b_dec_to_input": False}),
    "topk, k = d_sae": ("topk", {"k": D_SAE}),
    "abstopk": ("abstopk", {}),
    "standard": ("standard", {}),
    "standard, layer norm": ("standard", {"normalize_activations": "layer_norm"}),
    "jumprelu": ("jumprelu", {}),
    "gated": ("gated", {}),
}


@pytest.fixture
def build(make_sae):
    def build(name: str, seed: int = 0):
        architecture, settings = SAES[name]
        return make_sae(architecture, d_in=D_IN, d_sae=D_SAE, seed=seed, **settings)

    return build


def slow_pool(sae, x, segments, positions):
    """The definition, one number at a time."""
    features = sae.encode(x)
    best = {}
    for token in range(len(x)):
        for feature in range(features.shape[1]):
            value = features[token, feature].item()
            key = (int(segments[token]), feature)
            if value > 0 and value > best.get(key, (0.0, 0))[0]:
                best[key] = (value, int(positions[token]))
    return [(*key, *best[key]) for key in sorted(best)]


def batch(seed: int = 0):
    torch.manual_seed(seed)
    lengths = [3, 1, 7, 2, 12]
    segments = torch.repeat_interleave(torch.tensor([0, 2, 3, 7, 8]), torch.tensor(lengths))
    positions = torch.cat([torch.arange(5, 5 + n) for n in lengths])
    return torch.randn(sum(lengths), D_IN) * 2, segments, positions


@pytest.mark.parametrize("name", SAES)
def test_encode_is_the_saes_own(name, build):
    sae = build(name)
    x = torch.randn(9, D_IN)
    torch.testing.assert_close(Encoder(sae).encode(x), sae.encode(x).detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("tokens", [None, 4])
@pytest.mark.parametrize("name", SAES)
def test_pool_is_the_maximum_over_each_sample(name, tokens, build, monkeypatch):
    if tokens:  # so short that the longest samples are split
        monkeypatch.setitem(encoder_module._CHUNK_TOKENS, "cpu", tokens)
    sae = build(name)
    x, segments, positions = batch()
    pooled = Encoder(sae).pool(x, segments, positions)
    expected = slow_pool(sae, x, segments, positions)
    assert len(expected) > 20
    sample, feature, value, position = (np.array(column) for column in zip(*expected, strict=True))
    np.testing.assert_array_equal(pooled.sample, sample)
    np.testing.assert_array_equal(pooled.feature, feature)
    np.testing.assert_allclose(pooled.value, value, atol=1e-5)
    np.testing.assert_array_equal(pooled.position, position)
    assert [column.dtype for column in pooled] == [np.int64, np.int64, np.float32, np.int64]


@pytest.mark.parametrize("tokens", [None, 3])
@pytest.mark.parametrize("name", ["topk", "standard"])
def test_ties_go_to_the_earliest_token(name, tokens, build, monkeypatch):
    if tokens:
        monkeypatch.setitem(encoder_module._CHUNK_TOKENS, "cpu", tokens)
    x = torch.randn(1, D_IN).repeat(8, 1)
    segments = torch.tensor([0] * 5 + [1] * 3)
    positions = torch.tensor([4, 5, 6, 7, 8, 2, 3, 4])
    pooled = Encoder(build(name)).pool(x, segments, positions)
    assert set(pooled.sample) == {0, 1}
    np.testing.assert_array_equal(pooled.position, np.where(pooled.sample == 0, 4, 2))


@pytest.mark.parametrize("name", ["topk", "standard"])
def test_pool_of_nothing_and_of_nothing_positive(name, build):
    sae = build(name)
    nothing = torch.zeros(0, dtype=torch.int64)
    assert all(len(column) == 0 for column in Encoder(sae).pool(torch.zeros(0, D_IN), nothing, nothing))
    with torch.no_grad():
        sae.b_enc.fill_(-1e6)
    x, segments, positions = batch()
    assert all(len(column) == 0 for column in Encoder(sae).pool(x, segments, positions))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_sparse_activations_of_a_training_sae_are_made_dense():
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    config = TopKTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, k=4, use_sparse_activations=True)
    torch.manual_seed(0)
    sae = TopKTrainingSAE(config)
    x, segments, positions = batch()
    assert sae.encode(x).is_sparse
    encoder = Encoder(sae)
    dense = encoder.encode(x)
    torch.testing.assert_close(dense, sae.encode(x).to_dense().detach(), atol=1e-5, rtol=0)
    pooled = encoder.pool(x, segments, positions)
    highest = dense[segments == 8].amax(0)
    np.testing.assert_allclose(pooled.value[pooled.sample == 8], highest[highest > 0], atol=1e-5)


def test_half_precision_is_pooled_as_float32(build):
    sae = build("topk").to(dtype=torch.bfloat16)
    x, segments, positions = batch()
    pooled = Encoder(sae).pool(x.bfloat16(), segments, positions)
    assert pooled.value.dtype == np.float32
    expected = slow_pool(sae, x.bfloat16(), segments, positions)
    # Equal bfloat16 numbers are common, so which of two candidates enters the top k is not compared.
    assert abs(len(expected) - len(pooled.value)) <= 3


def test_digests_tell_saes_apart(build):
    saes = [build("topk"), build("topk", seed=1), build("topk, rescaled"), build("standard")]
    assert len({Encoder(sae).digest for sae in saes}) == len(saes)
    labelled = build("topk")
    labelled.cfg.metadata.hook_name = "blocks.3.hook_resid_post"
    assert Encoder(labelled).digest == Encoder(build("topk")).digest
