import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from fac_lab.mini import build as world
from fac_lab.mini.build import TOLERANCE, build_model, differences, source_digest
from fac_lab.mini.training import RECIPES
from fac_lab.profile import project_root


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One model and its SAE, made in seconds: nothing they do means anything."""
    folder = tmp_path_factory.mktemp("mini") / "mistral"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "SAE_QUERIES", 200)
        patch.setattr(world, "FIT_QUERIES", 2)
        patch.setattr(world, "HELD_QUERIES", 1)
        patch.setattr(world, "SKILL_PROMPTS", 3)
        report = build_model(
            "mistral", folder, tokens=2000, sae=replace(world.SAES["mistral"], d_sae=64, tokens=4096, batch=512)
        )
    return folder, report


@pytest.mark.slow
def test_a_model_its_sae_and_their_report_are_written(built):
    folder, report = built
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report))
    assert report["entropy"] < report["loss"] < 10
    assert report["sae"]["l0"] <= world.SAES["mistral"].k
    assert {skill["skill"] for skill in report["skills"]} >= {
        "chat",
        "write one-step",
        "write two-step",
        "name",
        "judge",
    }


@pytest.mark.slow
def test_weights_are_stored_in_half_precision(built):
    folder, _ = built
    for path in (folder / "model.safetensors", folder / "sae" / "sae_weights.safetensors"):
        assert {weight.dtype for weight in load_file(path).values()} == {torch.float16}


@pytest.mark.slow
def test_differences_name_every_figure_with_a_tolerance(built):
    _, report = built
    assert differences(report, report) == dict.fromkeys(TOLERANCE, 0.0)
    other = {**report, "loss": report["loss"] + 1}
    assert differences(report, other)["loss"] == pytest.approx(1.0)


def test_the_shipped_world_is_whole_small_and_made_by_this_code():
    folder = project_root() / "data" / "mini"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["models"]) == set(RECIPES)
    assert manifest["source"] == source_digest(), "the world's sources changed: run `make mini`"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 25e6
