"""Plans: what they add up to, what they say, and that they load nothing."""

import subprocess
import sys
from dataclasses import replace

import pytest

from fac_lab import cli
from fac_lab.display.plan import plan_text
from fac_lab.errors import SettingsError
from fac_lab.planning.assumptions import devices
from fac_lab.planning.plan import make_plan
from fac_lab.planning.steps import gpu_memory_gb
from fac_lab.planning.workload import Sizes
from fac_lab.profile import load_profile
from fac_lab.settings import ChatSettings, ModelSettings, SaeSettings


def priced(profile, role, prompt, completion):
    settings = replace(getattr(profile, role), price_prompt=prompt, price_completion=completion)
    return replace(profile, **{role: settings})


@pytest.mark.parametrize("study", ["demo", "audit", "recovery", "arms", "toxicity"])
def test_the_mini_profile_is_local_and_free(study):
    plan = make_plan(load_profile("mini"), study)
    assert plan.downloads == [] and plan.gated == []
    assert plan.paid_calls == 0 and plan.cost == 0
    assert all(step.hours is not None for step in plan.steps)
    text = plan_text(plan)
    assert "downloads: none" in text and "paid to anybody" in text or study == "recovery"


def test_the_llama_profile_needs_consent_a_gpu_and_a_paid_annotator():
    plan = make_plan(load_profile("llama"), "arms")
    assert [download.name for download in plan.downloads] == [
        "meta-llama/Llama-3.1-8B-Instruct",
        "Zhongzhi1228/sae_llama_l16_h65536/TopK7_l16_h4096_epoch3.pth",
    ]
    assert plan.gated == ["https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct"]
    assert plan.download_bytes == 16060522496 + 1074282496
    assert plan.device.gpu and 20 < plan.memory_gb < plan.device.memory_gb
    # The writer is a server of one's own: it takes time and memory, but is paid by nobody.
    assert {chat.role: chat.paid for chat in plan.chats} == {"generator": False, "annotator": True}
    assert plan.paid_calls == 3 * round(65536 * 1.02)
    assert plan.cost is None and "give --annotator-price" in plan_text(plan)


def test_another_subject_adds_the_writers_download():
    plan = make_plan(load_profile("qwen"), "demo")
    assert [download.name for download in plan.downloads][0] == "Qwen/Qwen2-7B-Instruct"
    assert plan.gated == ["https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct"]
    # An audit writes nothing, so the writer stays away.
    assert make_plan(load_profile("qwen"), "audit").gated == []


def test_cost_is_calls_times_tokens_times_price():
    profile = priced(load_profile("llama"), "annotator", 2.0, 5.0)
    plan = make_plan(profile, "audit", sizes=Sizes(missing=1000))
    by_hand = sum(
        1020 * (chat.calls.prompt_tokens * 2.0 + chat.calls.completion_tokens * 5.0) / 1e6 for chat in plan.chats
    )
    assert plan.cost == pytest.approx(by_hand) and len(plan.chats) == 3
    assert f"cost {by_hand:,.2f}" in plan_text(plan)
    assert make_plan(priced(load_profile("llama"), "annotator", 2.0, None), "audit").cost is None


def test_a_price_of_ones_own_server_counts_too():
    plan = make_plan(priced(priced(load_profile("llama"), "annotator", 0, 0), "generator", 1.0, 1.0), "demo")
    own = [chat for chat in plan.chats if chat.role == "generator"]
    tokens = sum(chat.calls.calls * (chat.calls.prompt_tokens + chat.calls.completion_tokens) for chat in own)
    assert plan.cost == pytest.approx(tokens / 1e6)


def test_hours_scale_with_the_device_and_every_device_has_a_source():
    slow, fast = (make_plan(load_profile("llama"), "demo", device=name) for name in ("a100", "h100"))
    assert slow.hours / fast.hours == pytest.approx(989 / 312)
    assert all(device.why and device.tflops > 0 for device in devices().values())
    assert not devices()["cpu"].gpu
    assert "too large for NVIDIA RTX 4090" in plan_text(make_plan(load_profile("llama"), "demo", device="rtx4090"))


def test_reading_a_hundred_thousand_texts_by_hand():
    """19.0 M tokens of 178: 16 layers of 218 M parameters, their attention, and an encoder of 4,096 x 65,536."""
    plan = make_plan(load_profile("llama"), "toxicity")
    layers = 16 * (2 * 218112000 + 4 * 178 * 4096)
    operations = 106696 * 178 * (layers + 2 * 4096 * 65536)
    assert plan.steps[0].hours == pytest.approx(operations / (312e12 * 0.4) / 3600, rel=1e-4)


def test_small_models_want_no_gpu():
    assert gpu_memory_gb(load_profile("mini")) is None and gpu_memory_gb(load_profile("gpt2")) is None
    # 16.1 GB of weights, 2.1 of SAE, twice 4.3 of encoder outputs, 1 in reserve.
    assert gpu_memory_gb(load_profile("llama")) == pytest.approx(27.8, abs=0.1)


def test_what_nobody_knows_is_said():
    profile = replace(
        load_profile("llama"),
        subject=ModelSettings(path="nobody/no-such-model", layer=3),
        sae=SaeSettings(source="authors", path="nobody/sae", file="TopK_l4_.pth"),
        generator=ChatSettings(backend="endpoint", model="mine", base_url="http://127.0.0.1:8000/v1"),
    )
    plan = make_plan(profile, "demo")
    assert [download.size for download in plan.downloads] == [None, None, None]
    assert all(step.hours is None for step in plan.steps) and plan.hours == 0
    text = plan_text(plan)
    assert "sizes of nobody/no-such-model are not known" in text and "give --features" in text and "?" in text
    assert make_plan(profile, "demo", sizes=Sizes(features=100)).paid_calls == 3 * 102


def test_a_missing_sae_that_would_be_trained_is_a_note(tmp_path):
    profile = replace(load_profile("mini"), sae=SaeSettings("folder", str(tmp_path / "none")))
    plan = make_plan(profile, "recovery")
    assert plan.downloads == [] and "trains it, on 800,000 tokens" in plan.notes[0]


def test_wrong_devices_and_profiles_without_a_writer_are_refused():
    with pytest.raises(SettingsError, match="unknown device 'h1000' .did you mean 'h100'"):
        make_plan(load_profile("llama"), "demo", device="h1000")
    with pytest.raises(SettingsError, match="demo needs a generator, and profile llama names none"):
        make_plan(replace(load_profile("llama"), generator=None), "demo")


def test_the_text_names_every_assumption_and_fits_a_terminal():
    plan = make_plan(load_profile("mistral"), "toxicity")
    text = plan_text(plan)
    assert all(f"{name} = " in text for name, _, _ in plan.assumed) and plan.device.why in text
    for part in ("accept first", "16.06 GB", "14.48 GB", "by these formulas", "calls are paid to somebody"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 140


def test_the_command_loads_nothing_and_asks_nobody():
    script = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('a plan used the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from fac_lab.cli import main\n"
        "status = main(['plan', 'demo', '--profile', 'llama', '--annotator-price', '1', '2', '--device', 'h200'])\n"
        "heavy = {'torch', 'transformers', 'sae_lens', 'pandas', 'openai', 'huggingface_hub'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), status)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert output.splitlines()[-1] == "HEAVY [] 0" and "NVIDIA H200" in output and "; cost " in output


def test_options_of_the_command(capsys):
    assert cli.main(["plan", "audit", "--profile", "llama", "--missing", "10", "--anchor-rows", "40"]) == 0
    assert "read 40 texts: anchor" in capsys.readouterr().out
    assert cli.main(["plan", "audit", "--profile", "minilm", "--annotator-price", "1", "1"]) == 2
    assert "profile minilm names no annotator" in capsys.readouterr().err
    for wrong in (
        ["--missing", "0"],
        ["--missing", "many"],
        ["--annotator-price", "1", "-2"],
        ["--annotator-price", "x", "1"],
    ):
        with pytest.raises(SystemExit):
            cli.main(["plan", "audit", "--profile", "llama", *wrong])
        assert "is no" in capsys.readouterr().err
