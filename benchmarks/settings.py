"""What is measured: subjects with an SAE and a protocol, and texts of any number and length.

`mini` is the embedded model with its trained SAE. `minilm` is a real encoder, `wide` a random model of width 512
with a random SAE of 65,536 features: the time of a product does not depend on what it multiplies. With Top-K a
random SAE keeps as many values as a trained one; without, half of its values are positive where a trained one has
few, so what is measured without Top-K is the worst case.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from fac_lab import world
from fac_lab.collect_protocol import CollectProtocol
from fac_lab.corpora import Corpus, Row
from fac_lab.features.saes import load_sae
from fac_lab.features.subject import Subject
from fac_lab.profile import load_profile, resolve
from fac_lab.settings import CollectSettings


@dataclass(frozen=True)
class Setting:
    """A subject, an SAE for it and the way it is read."""

    name: str
    subject: Subject
    sae: object
    collect: CollectSettings

    def with_protocol(self, *, top_k: bool) -> "Setting":
        """The same under the paper's protocol, with the SAE's Top-K selection on or off."""
        return replace(self, collect=replace(self.collect, protocol=CollectProtocol(top_k=top_k)))

    @property
    def facts(self) -> dict[str, object]:
        """What a table says of it."""
        return {
            "setting": self.name,
            "top_k": self.collect.protocol.top_k,
            "width": self.subject.d_model,
            "features": self.sae.cfg.d_sae,
            "layers": self.subject.layer + 1,
        }


def texts(n: int, *, mean: float = 1.0, spread: float = 0.0, seed: int = 0) -> Corpus:
    """`n` texts of `mean` queries of the embedded world each, joined; `spread` is the sigma of their log-length."""
    rng = np.random.default_rng(seed)
    lengths = np.maximum(1, np.rint(mean * np.exp(rng.normal(-(spread**2) / 2, spread, n)))).astype(int)
    queries = iter(world.queries(int(lengths.sum()), seed=seed))
    rows = (Row(f"{i}", " ".join(text for _, text in islice(queries, int(k)))) for i, k in enumerate(lengths))
    return Corpus.from_rows(f"{n} texts", rows)


def random_sae(d_in: int, d_sae: int, k: int, hook_name: str, seed: int = 0):
    """A Top-K SAE with unit decoder directions that nobody has trained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import TopKSAE, TopKSAEConfig
        from sae_lens.saes.sae import SAEMetadata

        sae = TopKSAE(TopKSAEConfig(d_in=d_in, d_sae=d_sae, k=k, metadata=SAEMetadata(hook_name=hook_name)))
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)
    sae.W_dec.data = directions
    sae.W_enc.data = directions.T.contiguous()
    sae.b_dec.data.zero_()
    return sae.eval()


def mini() -> Setting:
    """The embedded model and its SAE: width 160, 4,096 features."""
    profile = load_profile("mini")
    subject = Subject.load(profile.subject)
    return Setting("mini", subject, load_sae(profile.sae, subject), profile.collect)


def minilm(d_sae: int = 6144, k: int = 16) -> Setting:
    """all-MiniLM-L6-v2 after layer 3, width 384, with a random SAE of the size that the profile trains."""
    profile = load_profile("minilm")
    subject = Subject.load(profile.subject)
    return Setting("minilm", subject, random_sae(subject.d_model, d_sae, k, subject.hook_name), profile.collect)


def wide(d_sae: int = 65_536, k: int = 20) -> Setting:
    """A random Llama of width 512 and four layers, read after the second, and as many features as in the paper."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("data/mini/llama"))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1376, num_hidden_layers=4, num_attention_heads=8
    )
    torch.manual_seed(0)
    subject = Subject(LlamaModel(config), tokenizer, name="random Llama of width 512", layer=1)
    return Setting("wide", subject, random_sae(512, d_sae, k, subject.hook_name), CollectSettings())


SETTINGS: dict[str, Callable[[], Setting]] = {"mini": mini, "minilm": minilm, "wide": wide}
