import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fac_lab import __version__, cli
from fac_lab.commands import audit
from fac_lab.errors import SettingsError
from fac_lab.plain import build
from fac_lab.profile import Profile, load_profile
from fac_lab.settings import CoverageRule, ModelSettings, SaeSettings

AUDIT = ["audit", "mine.csv", "--anchor", "wide.csv"]


def audit_profile(*options: str) -> Profile:
    return audit.audit_profile(cli._parser().parse_args([*AUDIT, *options]))


def test_version_and_help(capsys):
    for option, said in (("--version", __version__), ("--help", "audit")):
        with pytest.raises(SystemExit) as caught:
            cli.main([option])
        assert caught.value.code == 0 and said in capsys.readouterr().out


def test_profile_shows_every_setting(capsys):
    assert cli.main(["profile", "mini"]) == 0
    assert build(Profile, yaml.safe_load(capsys.readouterr().out)) == load_profile("mini")
    assert cli.main(["profile", "--list"]) == 0
    assert capsys.readouterr().out.split() == ["gpt2", "llama", "mini", "minilm", "mistral", "qwen", "smoke"]


def test_an_error_of_ours_is_one_message_and_status_2(capsys):
    assert cli.main(["profile", "smok"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("fac-lab: unknown profile 'smok'")
    assert len(captured.err.splitlines()) == 1


def test_an_interrupt_is_one_message_and_status_130(tmp_path):
    """A real Ctrl-C, into a command that waits."""
    script = (
        # A shell's background jobs ignore the signal, and hand that down.
        "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from fac_lab import cli, check\n"
        "def wait(profile):\n    print('waiting', flush=True)\n    time.sleep(60)\n    yield\n"
        "check.iter_check = wait\nsys.exit(cli.main(['check']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in errors and "Traceback" not in errors


def test_any_other_error_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("fac_lab.profile.load_profile", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["profile", "mini"])


def test_check_ends_in_1_where_something_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAC_LAB_HOME", str(tmp_path))
    assert cli.main(["check", "--profile", "smoke"]) == 1
    output = capsys.readouterr().out
    assert "FAIL  subject" in output and "make mini" in output and "OK    python" in output


def test_audit_takes_the_profile_or_a_model_with_its_sae():
    assert audit_profile("--profile", "minilm") == load_profile("minilm")
    profile = audit_profile("--model", "org/name", "--layer", "15", "--sae", "a-release:layer_15")
    assert profile.subject == ModelSettings(path="org/name", layer=15)
    assert profile.sae == SaeSettings(source="release", path="a-release", sae_id="layer_15")
    assert profile.generator is None and profile.annotator is None and not profile.corpora


def test_paths_on_the_command_line_are_relative_to_where_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model", "sae"):
        Path(name).mkdir()
    Path("authors.pth").touch()
    both = ["--model", "model", "--layer", "1", "--template", "none"]
    profile = audit_profile(*both, "--sae", "sae")
    assert profile.subject == ModelSettings(path=str(tmp_path / "model"), layer=1, template="none")
    assert profile.sae == SaeSettings(source="folder", path=str(tmp_path / "sae"))
    on_hub = audit_profile(*both, "--sae", "org/name/TopK_l16_.pth")
    assert on_hub.sae == SaeSettings(source="authors", path="org/name", file="TopK_l16_.pth")
    authors = audit_profile(*both, "--sae", "authors.pth")
    assert authors.sae == SaeSettings(source="authors", path=str(tmp_path / "authors.pth"))


def test_audit_puts_the_rule_in_place():
    assert audit_profile("--rule", "absolute", "--delta", "1.5", "--support", "3").rule == CoverageRule(
        kind="absolute", delta=1.5, quantile=load_profile().rule.quantile, support=3
    )
    assert audit_profile("--quantile", "0.9", "--support", "auto").rule == CoverageRule(
        kind="anchor_quantile", quantile=0.9, support=None
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "x"], "--model needs --layer and --sae"),
        (["--sae", "x", "--layer", "1"], "needs --model beside it"),
        (["--profile", "mini", "--model", "x", "--layer", "1", "--sae", "y"], "exclude each other"),
        (["--delta", "1"], "--delta means nothing under rule anchor_quantile"),
        (["--rule", "absolute", "--quantile", "0.5"], "--quantile means nothing"),
        (["--support", "many"], "--support is 'many'"),
        (["--model", "x", "--layer", "-1", "--sae", "y"], "layer .counted from 0. is -1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        audit_profile(*options)
