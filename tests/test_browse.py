"""What `fac-lab browse` opens, and what it says where it cannot."""

import json

import pytest

from fac_lab import browse, cli
from fac_lab.errors import ArtifactError, SettingsError
from fac_lab.plain import build
from fac_lab.profile import Profile, load_profile


def test_what_is_asked_survives_the_way_to_another_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = json.loads(json.dumps(browse.ask("runs/mine", "smoke")))
    assert asked["audit"] == str(tmp_path / "runs" / "mine") and asked["here"] == str(tmp_path)
    assert build(Profile, asked["profile"]) == load_profile("smoke")
    assert browse.ask("runs/mine", None)["profile"] is None, "an audit has its own"


def test_without_a_folder_the_default_profile_is_opened():
    assert build(Profile, browse.ask(None, None)["profile"]) == load_profile()  # $FAC_LAB_PROFILE


def test_data_other_than_the_mini_world_need_an_audit():
    with pytest.raises(SettingsError, match="minilm is no mini world.*fac-lab audit"):
        browse.ask(None, "minilm")


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    assert cli.main(["browse", str(tmp_path), "--no-open"]) == 2
    assert capsys.readouterr().err.startswith("fac-lab: ")
    with pytest.raises(ArtifactError):
        browse.open_asked(browse.ask(tmp_path, None))
    for wrong in ("0", "-1", "http"):
        with pytest.raises(SystemExit):
            cli.main(["browse", "--port", wrong])


def test_what_is_wrong_is_said_on_the_page_too(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "<b>audit"
    folder.mkdir()
    monkeypatch.setenv(browse.ASKED, json.dumps(browse.ask(folder, None)))
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    browse.page()
    (said,) = shown
    assert "cannot be opened" in said.data and "&lt;b&gt;audit" in said.data and "<b>audit" not in said.data
