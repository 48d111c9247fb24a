"""Every test runs without the hub, in the smoke profile, on one thread (pytest-xdist has the other core)."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["FAC_LAB_PROFILE"] = "smoke"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings  # noqa: E402  (the variables above must be set before anything is imported)

# The same examples on every run, and no time limit per example: machines are slow and noisy.
settings.register_profile("fac_lab", deadline=None, derandomize=True)
settings.load_profile("fac_lab")


class LocalHub:
    """A real HTTP server that answers for files of repositories as the Hugging Face hub does."""

    commit = "c0ffee" + "0" * 34

    def __init__(self):
        self.files: dict[tuple[str, str], bytes] = {}
        """Content by repository and file."""
        self.trouble: dict[str, tuple[int, str]] = {}
        """Status and X-Error-Code of repositories that are refused."""
        self.seen: list[tuple[str, str]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self._answer(body=False)

            def do_GET(self):
                self._answer(body=True)

            def _answer(self, *, body):
                hub.seen.append((self.command, self.path))
                status, code, content = hub.answer(self.path)
                self.send_response(status)
                if code:
                    self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", str(len(content)))
                if status == 200:
                    self.send_header("X-Repo-Commit", hub.commit)
                    self.send_header("ETag", f'"{len(content)}-{hash(content) & 0xFFFFFF:x}"')
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, error code and content for /OWNER/NAME/resolve/REVISION/FILE."""
        owner, name, _, revision, file = path.lstrip("/").split("/", 4)
        repo = f"{owner}/{name}"
        if repo in self.trouble:
            return (*self.trouble[repo], b"")
        if repo not in {known for known, _ in self.files}:
            return 404, "RepoNotFound", b""
        if revision not in ("main", self.commit):
            return 404, "RevisionNotFound", b""
        if (repo, file) not in self.files:
            return 404, "EntryNotFound", b""
        return 200, "", self.files[repo, file]

    def close(self):
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


@pytest.fixture
def local_hub(tmp_path, monkeypatch):
    """A hub on this machine with an empty cache; huggingface_hub and the package both ask it, online."""
    from huggingface_hub import constants

    hub = LocalHub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "hub-cache"), raising=False)
    yield hub
    hub.close()


Answer = Callable[[Any, Mapping[str, str]], tuple[int, Any, dict[str, str]]]
"""What is posted, and its headers -> status, what is answered, and further headers."""


@contextmanager
def _json_server(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body, headers = answer(posted, self.headers)
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture(scope="session")
def json_server():
    """`json_server(answer)`: the address of a real server that answers what is posted, until the block ends."""
    return _json_server


@pytest.fixture(scope="module")
def chromium():
    """A real browser, playwright's object; skips where there is none. While it is open no other event loop can run."""
    from fac_lab.display.saving import find_browser

    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[test]'")
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()
