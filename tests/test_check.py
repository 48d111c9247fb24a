import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from fac_lab import check, model_hub
from fac_lab.check import CheckRow, iter_check, package_row
from fac_lab.profile import load_profile
from fac_lab.settings import ChatSettings, ModelSettings, SaeSettings


def test_packages_are_held_against_range_and_lock():
    version = metadata.version("pytest")
    cases = {
        True: package_row(Requirement("pytest>=1"), version),
        None: package_row(Requirement("pytest>=1"), "1.2.3"),
        False: package_row(Requirement("pytest>=999"), "999.1"),
    }
    assert {ok: row.ok for ok, row in cases.items()} == {ok: ok for ok in cases}
    assert cases[None].detail == f"{version}; tested with 1.2.3"
    assert cases[False].cure == "pip install 'pytest==999.1'"
    absent = package_row(Requirement("no-such-package-anywhere>=2"), None)
    assert absent == CheckRow(
        "no-such-package-anywhere", False, "not installed", "pip install 'no-such-package-anywhere>=2'"
    )


def test_a_cpu_build_of_torch_is_the_locked_version():
    version = metadata.version("torch").split("+")[0]
    assert package_row(Requirement("torch>=2"), version).ok is True


@contextmanager
def server(answer, status=200):
    """A real HTTP server on a free port; `seen` holds the paths and keys it was asked with."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1", seen
        finally:
            http.shutdown()
            thread.join()


def generator_row(profile, url, model="writer"):
    settings = ChatSettings(backend="endpoint", model=model, base_url=url, api_key_env="TEST_KEY")
    return next(row for row in iter_check(replace(profile, generator=settings)) if row.name == "generator")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A profile whose models are three files in an empty project."""
    monkeypatch.setenv("FAC_LAB_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder, name in (("model", "config.json"), ("model/sae", "cfg.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")
    return replace(
        load_profile("smoke"),
        subject=ModelSettings(path="model", layer=0),
        sae=SaeSettings(source="folder", path="model/sae"),
        generator=ChatSettings(backend="local", model="model"),
        annotator=None,
    )


def test_endpoints_are_asked_for_their_models(small, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "secret")
    served = json.dumps({"data": [{"id": "writer"}, {"id": "other"}]}).encode()
    with server(served) as (url, seen):
        row = generator_row(small, url)
        assert row.ok is True and seen == [("/v1/models", "Bearer secret")]
        row = generator_row(small, url, model="absent")
        assert row.ok is False and row.cure.endswith("one of: writer, other")
        assert "secret" not in "".join(map(str, row))
    row = generator_row(small, url)  # the server is gone
    assert row.ok is False and "start the server" in row.cure


def test_every_address_of_an_endpoint_is_asked(small):
    with server(json.dumps({"data": [{"id": "writer"}]}).encode()) as (first, _), server(b"{}", 500) as (second, _):
        settings = ChatSettings(backend="endpoint", model="writer", base_url=(first, second))
        rows = [row for row in iter_check(replace(small, generator=settings)) if row.name == "generator"]
    assert [row.ok for row in rows] == [True, False]
    assert first in rows[0].detail and second in rows[1].detail


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"<html>", 200, "not as an OpenAI-compatible server"),
        (b'{"models": []}', 200, "not as an OpenAI-compatible server"),
        (b"{}", 401, r"put a valid key into $TEST_KEY (it is not set)"),
        (b"{}", 500, "HTTP 500"),
    ],
)
def test_an_endpoint_that_answers_nonsense_fails_with_a_cure(small, monkeypatch, answer, status, said):
    monkeypatch.delenv("TEST_KEY", raising=False)
    with server(answer, status) as (url, _):
        row = generator_row(small, url)
    assert row.ok is False and said in str(row) and row.cure


def test_models_and_data_that_are_not_there_fail_with_a_cure(small, tmp_path):
    rows = {row.name: row for row in iter_check(small)}
    assert all(rows[name].ok for name in ("subject", "SAE", "generator", "run folder", "import sae_lens"))

    (tmp_path / "model/sae/cfg.json").unlink()
    broken = replace(
        small,
        subject=ModelSettings(path="data/mini/llama", layer=0),
        generator=ChatSettings(backend="local", model="nobody/no-such-model"),
    )
    rows = {row.name: row for row in iter_check(broken)}
    assert rows["subject"].ok is False and "make mini" in rows["subject"].cure
    assert rows["SAE"].ok is False and rows["SAE"].cure
    assert rows["generator"].ok is False and "HF_HUB_OFFLINE" in rows["generator"].cure


def on_hub(profile):
    """The profile with a model and an SAE that live on the hub."""
    return replace(
        profile,
        subject=ModelSettings(path="org/model", layer=0),
        sae=SaeSettings(source="authors", path="org/sae", file="TopK_l1_.pth"),
        generator=None,
    )


def rows_of(profile):
    return {row.name: row for row in iter_check(profile)}


def test_files_on_the_hub_are_asked_for_and_not_downloaded(small, local_hub):
    local_hub.files |= {("org/model", "config.json"): b"{}", ("org/sae", "TopK_l1_.pth"): b"x" * 100}
    rows = rows_of(on_hub(small))
    assert all(rows[name].ok for name in ("subject", "SAE", "Hugging Face hub"))
    assert {method for method, _ in local_hub.seen} == {"HEAD"}
    assert rows["Hugging Face hub"].detail == local_hub.url

    del local_hub.files["org/sae", "TopK_l1_.pth"]
    local_hub.files["org/sae", "README.md"] = b""
    local_hub.trouble["org/model"] = (401, "GatedRepo")
    rows = rows_of(on_hub(small))
    assert rows["subject"].ok is False and "https://huggingface.co/org/model" in rows["subject"].cure
    assert rows["SAE"].ok is False and "no file TopK_l1_.pth" in rows["SAE"].detail
    assert rows["Hugging Face hub"].ok is True  # it answers; what it refuses stands in its own rows


def test_a_hub_that_does_not_answer_is_asked_once(small, local_hub):
    local_hub.trouble |= {"org/model": (503, ""), "org/sae": (503, "")}
    rows = rows_of(on_hub(small))
    assert len(local_hub.seen) == 1
    for name in ("subject", "SAE", "Hugging Face hub"):
        assert rows[name].ok is False and "hub cannot be reached" in rows[name].detail and rows[name].cure


def test_offline_means_that_nobody_is_asked(small, local_hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    rows = rows_of(on_hub(small))
    assert local_hub.seen == []
    for name in ("subject", "SAE"):
        assert rows[name].ok is False and "HF_HUB_OFFLINE" in rows[name].cure
    assert rows["Hugging Face hub"].ok is None


def test_a_model_in_the_cache_needs_no_hub(small, local_hub):
    local_hub.files |= {("org/model", "model.safetensors"): b"weights", ("org/sae", "TopK_l1_.pth"): b"weights"}
    for repo, file in local_hub.files:
        model_hub.fetch(repo, file)
    local_hub.close()
    rows = rows_of(on_hub(small))
    assert rows["subject"].ok and rows["SAE"].ok and "cache" in rows["SAE"].detail
    assert rows["Hugging Face hub"].ok is None


def test_a_paid_endpoint_without_a_key_fails_unasked(small, monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)
    row = generator_row(small, "https://paid.invalid/v1")
    assert row.ok is False and "no key in $TEST_KEY" in row.detail and "set the environment variable" in row.cure


def test_an_endpoint_that_never_answers_does_not_hang_the_check(small, monkeypatch):
    monkeypatch.setattr(check, "ENDPOINT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        row = generator_row(small, f"http://127.0.0.1:{mute.getsockname()[1]}/v1")
    assert row.ok is False and "start the server" in row.cure


def test_the_llama_profile_wants_a_gpu_and_room(monkeypatch, local_hub):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=1e11, used=9e10, free=1e10))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    local_hub.files["Zhongzhi1228/sae_llama_l16_h65536", "README.md"] = b""
    local_hub.trouble["meta-llama/Llama-3.1-8B-Instruct"] = (403, "GatedRepo")
    llama = load_profile("llama")
    closed = replace(llama.generator, base_url="http://127.0.0.1:9/v1")  # the discard port: nobody listens
    rows = rows_of(replace(llama, generator=closed))
    failed = {name for name, row in rows.items() if row.ok is False and row.cure}
    assert failed >= {"GPU", "subject", "SAE", "generator", "annotator", "room for downloads"}
    assert "28 GB" in rows["GPU"].cure and "fac-lab plan --profile llama" in rows["GPU"].cure
    assert rows["room for downloads"].detail.startswith("17.1 GB wanted, 10.0 GB free")
    assert "$OPENAI_API_KEY" in rows["annotator"].detail
    assert rows["Hugging Face hub"].ok is True


def test_releases_of_the_registry_are_asked_for_by_their_repository(small, local_hub):
    sae = SaeSettings(source="release", path="gpt2-small-res-jb", sae_id="blocks.8.hook_resid_pre")
    local_hub.files["jbloom/GPT2-Small-SAEs-Reformatted", "blocks.8.hook_resid_pre/cfg.json"] = b"{}"
    row = rows_of(replace(small, sae=sae))["SAE"]
    assert row.ok is True and "0.2 GB to download" in row.detail
    row = rows_of(replace(small, sae=replace(sae, sae_id="blocks.99.hook_resid_pre")))["SAE"]
    assert row.ok is False and "sae.sae_id" in row.cure
