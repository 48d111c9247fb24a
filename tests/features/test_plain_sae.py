"""SAEs without sae-lens: the same values, settings and digests, and collection that imports nothing else."""

import subprocess
import sys

import pytest
import torch

from fac_lab.errors import ModelError
from fac_lab.features.encoder import Encoder
from fac_lab.features.plain_sae import PlainSae
from fac_lab.profile import resolve

CFG = {"architecture": "topk", "d_in": 6, "d_sae": 20, "k": 3, "metadata": {"hook_name": "blocks.1.hook_resid_post"}}


def drawn(d_in: int = 6, d_sae: int = 20) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("architecture", ["topk", "standard"])
@pytest.mark.parametrize("centred", [True, False])
def test_it_is_the_sae_of_sae_lens(tmp_path, architecture, rescale, centred):
    from fac_lab.features.saes import quiet_sae_lens

    with quiet_sae_lens():
        from sae_lens import SAE, StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
    sizes = {"d_in": 6, "d_sae": 20, "apply_b_dec_to_input": centred}
    top_k = {"k": 3, "rescale_acts_by_decoder_norm": rescale}
    theirs: SAE = (
        TopKSAE(TopKSAEConfig(**sizes, **top_k)) if architecture == "topk" else StandardSAE(StandardSAEConfig(**sizes))
    )
    theirs.load_state_dict(drawn())
    theirs.save_model(tmp_path)
    ours = PlainSae.load(tmp_path)
    x = torch.randn(50, 6)
    features = theirs.encode(x)
    features = features.to_dense() if features.is_sparse else features
    torch.testing.assert_close(ours.encode(x), features)
    torch.testing.assert_close(ours.decode(features), theirs.decode(features))
    assert Encoder(ours).digest == Encoder(theirs).digest


def test_what_needs_sae_lens_is_refused():
    for change in ({"architecture": "jumprelu"}, {"normalize_activations": "layer_norm"}, {"reshape_activations": "x"}):
        with pytest.raises(ModelError, match="needs sae-lens"):
            PlainSae(CFG | change, drawn())


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match=r"W_enc is \(6, 20\), but its settings ask for \(7, 20\)"):
        PlainSae(CFG | {"d_in": 7}, drawn())
    with pytest.raises(ModelError, match="b_dec is missing"):
        PlainSae(CFG, {key: value for key, value in drawn().items() if key != "b_dec"})


# On a bare machine there is torch and what transformers brings along.
BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.partition(".")[0] in {absent} else found(name, *rest)
from fac_lab.corpora import Corpus, Row
from fac_lab.features.collect import collect
from fac_lab.features.saes import load_sae
from fac_lab.features.subject import Subject
from fac_lab.settings import CollectSettings, ModelSettings, SaeSettings
subject = Subject.load(ModelSettings(path="data/mini/llama", layer=1))
sae = load_sae(SaeSettings(source="folder", path="data/mini/llama/sae"), subject)
rows = [Row("a", "How do I bake bread?"), Row("b", "Tell me about the moon.")]
stats = collect(subject, sae, Corpus.from_rows("two", rows), CollectSettings(), progress=False)
print(type(sae).__name__, stats.made_by["sae"], int(stats.histogram.sum()))
"""
ABSENT = {
    "sae_lens", "transformer_lens", "pandas", "scipy", "pyarrow", "sklearn", "plotly", "ray", "openai", "trl", "peft",
    "datasets", "jsonschema", "ipywidgets", "matplotlib", "accelerate",
}  # fmt: skip


def test_collection_runs_with_torch_and_transformers_alone():
    script = BARE.replace("{absent}", repr(ABSENT))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    kind, digest, n = done.stdout.split() if done.returncode == 0 else pytest.fail(done.stderr[-2000:])
    assert kind == "PlainSae" and int(n) > 0
    from fac_lab.features.saes import quiet_sae_lens

    with quiet_sae_lens():
        from sae_lens import SAE

        assert digest == Encoder(SAE.load_from_disk(resolve("data/mini/llama/sae"))).digest
