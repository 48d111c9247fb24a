"""What is trained: the tied decoder, the falling k, the authors' loss, and the units of what is saved."""

from dataclasses import replace

import pytest
import torch

from fac_lab.errors import SettingsError
from fac_lab.features import training, vectors
from fac_lab.features.saes import authors_loader
from fac_lab.features.trainee import fold_scale, k_at, new_trainee, normalised_error
from fac_lab.features.training import train_sae
from fac_lab.settings import SaeTrainingSettings

SETTINGS = SaeTrainingSettings(d_sae=64, k=4, tokens=10_000, lr=3e-3, batch=128, seed=0)
TIED = replace(SETTINGS, decoder="tied", loss="normalised", k_start=16, k_share=0.5)


def explained(sae, x):
    with torch.inference_mode():
        missed = (x - sae.decode(sae.encode(x))).square().sum()
    return 1 - (missed / (x - x.mean(0)).square().sum()).item()


def test_a_tied_decoder_is_the_encoder_transposed_on_raw_activations(make_subject, corpus, vectors_of, tmp_path):
    subject = make_subject("llama")
    sae, x = train_sae(subject, corpus, TIED, tmp_path / "sae", progress=False), vectors_of(subject, corpus)
    assert torch.equal(sae.W_dec, sae.W_enc.T)
    assert explained(sae, x) > 0.5
    # By hand: the authors' equations, one vector at a time.
    for row in x[:5]:
        before = (row - sae.b_dec) @ sae.W_enc + sae.b_enc
        kept = torch.zeros(64)
        for feature in before.argsort(descending=True)[:4]:
            kept[feature] = max(before[feature].item(), 0.0)
        torch.testing.assert_close(sae.encode(row[None])[0], kept, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(sae.decode(kept), sae.W_enc @ kept + sae.b_dec, rtol=1e-4, atol=1e-4)


def test_a_tied_sae_goes_through_the_authors_format_unchanged(make_subject, corpus, vectors_of, tmp_path):
    subject = make_subject("qwen2")
    sae = train_sae(subject, corpus, replace(TIED, tokens=2_000), tmp_path / "sae", progress=False)
    weight = {name: getattr(sae, name).detach() for name in ("W_enc", "b_enc", "b_dec")} | {"mask": torch.ones(64)}
    path = tmp_path / "TopK7_l2_h64_epoch3.pth"
    torch.save({"weight": weight, "config": {"d_inp": 32, "d_hide": 64, "topK": 4}}, path)
    x = vectors_of(subject, corpus)[:20]
    again = type(sae).load_from_disk(path, converter=authors_loader)
    torch.testing.assert_close(again.encode(x), sae.encode(x))
    torch.testing.assert_close(again.decode(again.encode(x)), sae.decode(sae.encode(x)))


@pytest.mark.parametrize("settings", [SETTINGS, TIED], ids=["untied", "tied"])
def test_folding_the_scale_changes_units_and_nothing_else(make_subject, corpus, settings):
    trainee = new_trainee(make_subject("llama"), corpus, settings, training_tokens=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in trainee.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
        x = torch.randn(9, 32)
        features = trainee.encode(4 * x)
        reconstruction = trainee.decode(features) / 4
        fold_scale(trainee, 4.0)
        torch.testing.assert_close(trainee.encode(x), features / 4)
        torch.testing.assert_close(trainee.decode(trainee.encode(x)), reconstruction)
    assert trainee.cfg.normalize_activations == "none"


def test_the_tied_decoder_is_no_parameter_and_takes_part_in_the_gradient(make_subject, corpus):
    trainee = new_trainee(make_subject("llama"), corpus, TIED, training_tokens=1)
    assert {name for name, _ in trainee.named_parameters()} == {"W_enc", "b_enc", "b_dec"}
    torch.manual_seed(0)
    x = torch.randn(16, 32)
    weights = trainee.W_enc.detach().clone().requires_grad_()
    before = x @ weights
    kept = before.topk(4)
    acts = torch.zeros_like(before).scatter(1, kept.indices, kept.values.relu())
    torch.testing.assert_close(trainee.decode(trainee.encode(x)), acts @ weights.T)
    (acts @ weights.T - x).square().sum().backward()
    (trainee.decode(trainee.encode(x)) - x).square().sum().backward()
    torch.testing.assert_close(trainee.W_enc.grad, weights.grad)


def test_k_falls_in_a_line_over_its_share_of_the_steps():
    authors = SaeTrainingSettings(d_sae=65536, k=20, tokens=10_000, k_start=200, k_share=0.1)
    assert [k_at(step, 1000, authors) for step in (0, 1, 50, 99, 100, 999)] == [200, 198, 110, 22, 20, 20]
    assert {k_at(step, 10, SETTINGS) for step in range(10)} == {4}
    assert [k_at(step, 3, TIED) for step in range(3)] == [16, 10, 4]
    assert [k_at(step, 1, TIED) for step in range(2)] == [16, 4]


def test_every_step_keeps_as_many_features_as_k_says(make_subject, corpus, tmp_path, monkeypatch):
    build, lit = training._build_trainer, []

    def watched(*args):
        trainer = build(*args)
        step = trainer.step

        def seen(batch):
            output = step(batch)
            lit.append(int((output.feature_acts > 0).sum(1).max()))
            return output

        trainer.step = seen
        return trainer

    monkeypatch.setattr(training, "_build_trainer", watched)
    monkeypatch.setattr(vectors, "ROUND_BYTES", 1)  # some 16 steps a round: rounds must not begin k anew
    monkeypatch.setattr(vectors, "_CHUNK_ROWS", 20)
    settings = replace(SETTINGS, k_start=12, k_share=0.25, batch=64, tokens=40 * 64)
    sae = train_sae(make_subject("llama"), corpus, settings, tmp_path, progress=False)
    # Kept values may be negative and are then cut to 0, so k is the most that light up.
    allowed = [k_at(step, 40, settings) for step in range(40)]
    assert all(some <= most for some, most in zip(lit, allowed, strict=True))
    assert lit[0] > 4 and allowed[0] == 12 and allowed[10:] == [4] * 30
    assert sae.cfg.k == 4


def test_the_normalised_loss_is_the_mean_ratio_of_squares():
    torch.manual_seed(0)
    x, y = torch.randn(7, 5) * torch.arange(1, 8)[:, None], torch.randn(7, 5)
    slow = sum(((a - b) ** 2).sum().item() / (a**2).sum().item() for a, b in zip(x, y, strict=True)) / 7
    assert normalised_error(y, x).sum(-1).mean().item() == pytest.approx(5 * slow)
    torch.testing.assert_close(normalised_error(10 * y, 10 * x), normalised_error(y, x))
    assert normalised_error(torch.ones(1, 5), torch.zeros(1, 5)).isfinite().all()


@pytest.mark.parametrize("decoder", ["untied", "tied"])
@pytest.mark.parametrize("loss", ["squared", "normalised"])
def test_rescaled_activations_give_the_same_features(
    make_subject, corpus, vectors_of, tmp_path, monkeypatch, decoder, loss
):
    subject, settings = make_subject("llama"), replace(TIED, decoder=decoder, loss=loss, tokens=4_000)
    plain = train_sae(subject, corpus, settings, tmp_path / "plain", progress=False)
    rounds = training.vector_rounds
    monkeypatch.setattr(
        training, "vector_rounds", lambda *args, **how: ((10 * vectors, row) for vectors, row in rounds(*args, **how))
    )
    scaled = train_sae(subject, corpus, settings, tmp_path / "scaled", progress=False)
    x = vectors_of(subject, corpus)
    before, after = plain.encode(x), scaled.encode(10 * x)
    assert (before > 0).any(0).float().mean() > 0.3
    # Rounding may swap two features that are as good as equal at the edge of the k, no more.
    assert ((before > 0) != (after > 0)).float().mean() < 1e-3
    same = (before > 0) & (after > 0)
    torch.testing.assert_close(after[same], 10 * before[same], rtol=0.01, atol=0.05)
    used = (before > 0).any(0)
    alike = torch.cosine_similarity(plain.W_dec[used], scaled.W_dec[used])
    assert alike.min() > 0.999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "loose"}, "sae_training.decoder is 'loose'; choose one of 'untied', 'tied'"),
        ({"loss": "mse"}, "sae_training.loss is 'mse'"),
        ({"k_start": 3}, "k_start is 3; it has to lie between k = 4 and d_sae = 64"),
        ({"k_start": 65}, "k_start is 65"),
        ({"k_share": 0.0}, r"k_share is 0.0; it has to be in \(0, 1\]"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(SettingsError, match=message):
        replace(SETTINGS, **change)
