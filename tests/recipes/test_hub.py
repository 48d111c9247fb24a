"""Against a real server on this machine that answers as the hub does (and as GitHub does)."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fac_lab.errors import DataError
from fac_lab.recipes import hub

OLD, NEW = "a" * 40, "b" * 40


@contextmanager
def server(answers: dict):
    """`answers`: path -> (status, headers, body). `seen` lists what was asked for."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(f"{self.command} {self.path}")
            status, headers, body = answers.get(self.path, (404, {"X-Error-Code": "RepoNotFound"}, b""))
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", seen
        finally:
            http.shutdown()
            thread.join()


def held(commit: str, body: bytes):
    return 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}, body


@pytest.fixture
def online(tmp_path, monkeypatch):
    """The hub's client with an empty cache, allowed to use the network; call it with the server's address."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return lambda address: monkeypatch.setenv("HF_ENDPOINT", address)


def test_a_file_is_fetched_once_and_its_commit_is_known(online):
    pinned, newest = f"/datasets/org/set/resolve/{OLD}/a/x.jsonl", "/datasets/org/set/resolve/main/a/x.jsonl"
    with server({pinned: held(OLD, b"old"), newest: held(NEW, b"new")}) as (address, seen):
        online(address)
        path, revision = hub.fetch("org/set", "a/x.jsonl", OLD)
        assert (path.read_bytes(), revision) == (b"old", OLD)
        path, revision = hub.fetch("org/set", "a/x.jsonl", None)
        assert (path.read_bytes(), revision) == (b"new", NEW), "the branch is resolved to its commit"
        asked = len(seen)
        assert hub.fetch("org/set", "a/x.jsonl", OLD).path.read_bytes() == b"old"
        assert not any(line.startswith("GET") for line in seen[asked:]), "a second time it comes from the cache"


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "GatedRepo", r"gated; accept its terms at https://huggingface.co/datasets/org/set, then set HF_TOKEN"),
        (404, "RevisionNotFound", rf"org/set, x.csv at {OLD}.*no such revision.*RECIPE@COMMIT"),
        (404, "EntryNotFound", r"there is no such file; it was moved"),
        (404, "RepoNotFound", r"no such data set, or it is private"),
    ],
)
def test_what_the_hub_refuses_is_said_with_its_cure(online, status, code, said):
    answer = (status, {"X-Error-Code": code, "X-Repo-Commit": OLD}, b"")
    with server({f"/datasets/org/set/resolve/{OLD}/x.csv": answer}) as (address, _):
        online(address)
        with pytest.raises(DataError, match=said):
            hub.fetch("org/set", "x.csv", OLD)


def test_an_address_that_is_no_hub(online):
    with server({f"/datasets/org/set/resolve/{OLD}/x.csv": (200, {}, b"<html>")}) as (address, _):
        online(address)
        with pytest.raises(DataError, match="check HF_ENDPOINT"):
            hub.fetch("org/set", "x.csv", OLD)


def test_offline_the_cache_still_serves_a_commit(online, monkeypatch):
    from huggingface_hub import constants

    with server({f"/datasets/org/set/resolve/{OLD}/x.csv": held(OLD, b"text\n")}) as (address, _):
        online(address)
        hub.fetch("org/set", "x.csv", OLD)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch("org/set", "x.csv", OLD).revision == OLD
    with pytest.raises(DataError, match=r"HF_HUB_OFFLINE is set.*FAC_LAB_DATA"):
        hub.fetch("org/set", "y.csv", OLD)


def test_github_is_asked_for_the_commit_and_then_for_the_file(online, monkeypatch):
    answers = {
        "/repos/org/set/commits/HEAD": (200, {}, NEW.encode()),
        f"/org/set/{NEW}/a/x.json": (200, {}, b"[]"),
    }
    with server(answers) as (address, seen):
        monkeypatch.setattr(hub, "GITHUB_API", address)
        monkeypatch.setattr(hub, "GITHUB_RAW", address)
        path, revision = hub.fetch("org/set", "a/x.json", None, host="github")
        assert (path.read_bytes(), revision) == (b"[]", NEW)
        assert hub.fetch("org/set", "a/x.json", NEW, host="github").path == path
        assert seen == ["GET /repos/org/set/commits/HEAD", f"GET /org/set/{NEW}/a/x.json"]
        with pytest.raises(DataError, match=rf"a/x.json at {OLD}: GitHub answers 404; there is no such"):
            hub.fetch("org/set", "a/x.json", OLD, host="github")
    with pytest.raises(DataError, match="GitHub cannot be reached"):
        hub.fetch("org/set", "a/y.json", NEW, host="github")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        hub.fetch("org/set", "a/y.json", NEW, host="github")
