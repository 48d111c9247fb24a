"""Padding, template, BOS, layers, limits and decoder norms on the mini models: equal within rounding, or refused."""

import json

import numpy as np
import pytest

from fac_lab.features.saes import load_sae
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab
from fac_lab.profile import project_root
from fac_lab.settings import ModelSettings, SaeSettings
from fac_lab.studies.equalities import EQUAL, REFUSED, TOLERANCE, WAYS, equalities, equalities_study

TEXTS = [
    "How do I bake sourdough bread at home, and how long does it take in a small old oven on a cold winter day?",
    "a",
    "Tell me two facts about the moon.\nKeep it short.",
    "Zwölf Bäume — 🌳 and a naïve café",
]
REFUSALS = {
    "padded left, and alone": "padded on the left",
    "a layer behind the last": "does not exist",
    "a limit without room for text": "leaves no room for text",
}


@pytest.fixture(scope="module", params=["llama", "mistral", "qwen"])
def models(request):
    """A mini model and its SAE, as they are shipped."""
    folder = project_root() / "data" / "mini" / request.param
    layer = json.loads((folder / "sae" / "cfg.json").read_text())["metadata"]["layer"]
    subject = Subject.load(ModelSettings(str(folder), layer=layer, max_tokens=128), device="cpu")
    return subject, load_sae(SaeSettings("folder", str(folder / "sae")), subject)


@pytest.fixture(scope="module")
def table(models):
    return equalities(*models, TEXTS).set_index("what")


@pytest.mark.parametrize("what", WAYS)
def test_two_ways_are_equal_or_one_is_refused(table, what):
    row = table.loc[what]
    if what in REFUSALS:
        assert row.outcome == REFUSED and REFUSALS[what] in row.said
    else:
        assert row.outcome == EQUAL and row.said == "", row.said
        assert 0 <= row.difference <= TOLERANCE * row.largest and row.largest > 1


def test_a_difference_is_called_one(models):
    """One weight of the encoder moved: what was equal is not, and so the table can tell."""
    subject, sae = models
    before = sae.encode

    class Moved:
        """The same SAE but for its plain encoder, by which the slow ways go."""

        def __getattr__(self, name):
            return getattr(sae, name)

        def eval(self):
            return sae

        def encode(self, states):
            return before(states) * 1.01

    found = equalities(subject, Moved(), TEXTS[:2]).set_index("what")
    for what in ("BOS and template counted", "BOS masked, no template", "a text of one token"):
        assert found.outcome[what] == "different" and found.difference[what] > TOLERANCE * found.largest[what]
    assert found.outcome["padded right, and alone"] == EQUAL
    assert np.isnan(found.difference["a layer behind the last"])


def test_the_study_has_every_way_of_every_model(tmp_path):
    found = equalities_study(Lab.open("smoke", out=tmp_path))
    assert found.groupby("model").what.apply(list).to_dict() == dict.fromkeys(["llama", "mistral", "qwen"], list(WAYS))
    assert not found.said.str.contains(str(project_root()), regex=False).any(), "the same on every machine"
    assert set(found.outcome) == {EQUAL, REFUSED} and ((found.said == "") == (found.outcome == EQUAL)).all()
