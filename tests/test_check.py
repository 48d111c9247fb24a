import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from fac_lab.check import CheckRow, package_row, run_check
from fac_lab.profile import ChatSettings, ModelSettings, SaeSettings, load_profile


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
    return next(row for row in run_check(replace(profile, generator=settings)) if row.name == "generator")


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
        rows = [row for row in run_check(replace(small, generator=settings)) if row.name == "generator"]
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
    rows = {row.name: row for row in run_check(small)}
    assert all(rows[name].ok for name in ("subject", "SAE", "generator", "run folder", "import sae_lens"))

    (tmp_path / "model/sae/cfg.json").unlink()
    broken = replace(
        small,
        subject=ModelSettings(path="data/mini/llama", layer=0),
        generator=ChatSettings(backend="local", model="nobody/no-such-model"),
    )
    rows = {row.name: row for row in run_check(broken)}
    assert rows["subject"].ok is False and "make mini" in rows["subject"].cure
    assert rows["SAE"].ok is False and rows["SAE"].cure
    assert rows["generator"].ok is False and "HF_HUB_OFFLINE" in rows["generator"].cure
