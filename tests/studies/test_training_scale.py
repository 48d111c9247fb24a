"""PES by hand, parameters counted two ways, and the study on a small gap."""

import math

import pytest

from fac_lab.errors import ArtifactError
from fac_lab.lab import Lab
from fac_lab.planning.estimates import adapter_parameters
from fac_lab.planning.facts import model_facts
from fac_lab.studies.stored import read_result
from fac_lab.studies.training_scale import SIZES, count_trainable, pes, size_settings


def test_parameter_efficiency_by_hand():
    assert pes(0.6, 1000) == pytest.approx(0.2)
    assert pes(62.6, 20_979_712) == pytest.approx(62.6 / 7.32180, rel=1e-5)
    assert math.isnan(pes(0.5, 1)) and math.isnan(pes(0.5, 0))


def test_parameters_counted_in_the_network_are_those_of_its_shape(tmp_path):
    lab = Lab.open("smoke", out=tmp_path)
    shape = model_facts("data/mini/llama")
    head = 2 * shape.width
    counted = {size: count_trainable(lab, size_settings(lab, size)) for size in SIZES}
    expected = {f"LoRA, r = {r}": head + adapter_parameters(shape, r) for r in (1, 8, 64)}
    assert counted == {"head": head, **expected, "all weights": shape.parameters + head}
    assert list(counted.values()) == sorted(counted.values())
    assert not any(p.requires_grad for p in lab.backbone.model.model.parameters()), "counting changes nothing"


def test_adapters_keep_their_scale(tmp_path):
    lab = Lab.open("smoke", out=tmp_path)
    chosen = [size_settings(lab, size) for size in SIZES]
    assert {settings.alpha / settings.r for settings in chosen if settings.mode == "lora"} == {2.0}


def test_the_stored_study_has_every_size_for_both_arms_and_its_own_pes():
    try:
        frame, manifest = read_result("training_scale")
    except ArtifactError as error:
        pytest.skip(str(error))
    assert set(frame["size"]) == set(SIZES) and manifest["profile"]["name"] == "mini"
    assert frame.groupby(["arm", "size"]).size().nunique() == 1
    assert frame.pes.tolist() == pytest.approx([pes(row.auprc, row.n_trainable) for row in frame.itertuples()])
    for mode, size in (("lora", "LoRA, r = 8"), ("head", "head")):
        table = read_result(f"toxicity_{mode}")[0]
        both = frame[frame["size"] == size].merge(table, on=["held_out_set", "arm", "seed"], suffixes=("", "_table"))
        assert len(both) == (frame["size"] == size).sum()
        assert both.auprc.tolist() == pytest.approx(both.auprc_table.tolist(), abs=1e-6)
