"""Promoted tokens against the model's own head: push the residual stream along a feature and watch the logits."""

import numpy as np
import pytest
import torch

from fac_lab.errors import DataError
from fac_lab.features.lens import no_lens, promoted
from fac_lab.features.tokens import token_texts

CAUSAL = ("llama", "mistral", "qwen2", "gpt2")


def head_of(subject):
    """The model's own final norm and unembedding, by the names its family gives them."""
    inner = subject.model.transformer if hasattr(subject.model, "transformer") else subject.model.model
    norm = inner.ln_f if hasattr(inner, "ln_f") else inner.norm
    return lambda x: subject.model.lm_head(norm(x))


@pytest.mark.parametrize("architecture", CAUSAL)
def test_effects_are_those_of_the_models_own_head(architecture, make_subject, make_sae, monkeypatch):
    subject, sae = make_subject(architecture), make_sae()
    norm = [m for n, m in subject.model.named_modules() if n.endswith(("model.norm", "ln_f"))][0]
    weight = torch.linspace(0.2, 3, subject.d_model)
    with torch.inference_mode():
        before = norm.weight.clone()
        norm.weight.copy_(weight)
        if architecture == "gpt2":
            norm.bias.copy_(weight.flip(0))
    try:
        head, feature = head_of(subject), 11
        direction = sae.W_dec[feature].detach() / sae.W_dec[feature].detach().norm()
        with torch.inference_mode():
            # Along the direction and against it: what is even in it (biases) cancels, the length of the input
            # is that of the direction itself.
            logits = (head(1000 * direction) - head(-1000 * direction))[: len(subject.tokenizer)] / 2
        effect = (logits - logits.mean()).numpy()
        lens = promoted(subject, sae, feature, k=8)
        order = np.argsort(-effect)
        assert [t.token_id for t in lens.promoted] == order[:8].tolist()
        assert [t.token_id for t in lens.suppressed] == order[::-1][:8].tolist()
        found = np.array([t.effect for t in (*lens.promoted, *lens.suppressed)])
        expected = effect[[*order[:8], *order[::-1][:8]]]
        np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-3, atol=1e-4)
        texts = token_texts(subject.tokenizer, [t.token_id for t in lens.promoted])
        assert texts == [t.text for t in lens.promoted]
    finally:
        with torch.inference_mode():
            norm.weight.copy_(before)
            if architecture == "gpt2":
                norm.bias.zero_()


def test_it_says_why_there_is_none(make_subject, make_sae):
    sae = make_sae()
    encoder = make_subject("bert")
    assert promoted(encoder, sae, 3) is None
    assert "no unembedding" in no_lens(encoder, sae, 3)
    subject = make_subject("llama")
    assert no_lens(subject, sae, 3) is None
    with torch.no_grad():
        sae.W_dec[3] = 0
    assert promoted(subject, sae, 3) is None and "no direction" in no_lens(subject, sae, 3)
    wide = make_sae(d_in=48)
    assert promoted(subject, wide, 3) is None and "width" in no_lens(subject, wide, 3)
    for feature in (-1, 64):
        with pytest.raises(DataError, match="0 to 63"):
            promoted(subject, sae, feature)


def test_all_of_a_small_vocabulary(make_subject, make_sae):
    subject = make_subject("llama")
    lens = promoted(subject, make_sae(), 0, k=10_000)
    assert len(lens.promoted) == len(subject.tokenizer)
    assert [t.token_id for t in lens.suppressed] == [t.token_id for t in lens.promoted[::-1]] or np.isclose(
        [t.effect for t in lens.suppressed], [t.effect for t in lens.promoted[::-1]]
    ).all()
    assert sum(t.effect for t in lens.promoted) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_tokens_read_as_inside_a_text(architecture, make_subject):
    tokenizer = make_subject(architecture).tokenizer
    ids = tokenizer("about the moon, 🌳", add_special_tokens=False)["input_ids"]
    whole = [text for text in token_texts(tokenizer, ids) if text.isascii()]
    assert "".join(whole).startswith("about the moon,")
    texts = token_texts(tokenizer, [*ids, tokenizer.convert_tokens_to_ids("<|eot|>")])
    assert texts[-1] == "<|eot|>" and all(texts) and "\ufffd" not in "".join(texts)
