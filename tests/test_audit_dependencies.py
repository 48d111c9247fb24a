"""The audit of dependencies against a real service of this machine: what it knows, and what it says when it is away."""

import importlib.util
import socket
import subprocess
import sys

import pytest

from fac_lab.profile import project_root

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pip_audit") is None, reason="pip-audit is not installed: make audit-dependencies does so"
)
FLAW = {
    "id": "FLAW-1",
    "summary": "a flaw",
    "aliases": [],
    "affected": [
        {
            "package": {"name": "flawed", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture
def service(json_server):
    """The address of a service in OSV's protocol that knows of one flaw."""
    with json_server(
        lambda posted, headers: (200, {"vulns": [FLAW]} if posted["package"]["name"] == "flawed" else {}, {})
    ) as address:
        yield f"{address}/v1/query"


def audited(tmp_path, url: str, *packages: str) -> subprocess.CompletedProcess:
    (tmp_path / "lock").write_text("".join(f"{package}\n" for package in packages))
    script = project_root() / ".ci" / "audit_dependencies.py"
    arguments = ["-r", str(tmp_path / "lock"), "-s", "osv", "--osv-url", url, "--cache-dir", str(tmp_path / "cache")]
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=300)


def test_a_flaw_is_named_and_fails(tmp_path, service):
    done = audited(tmp_path, service, "flawed==1.0", "sound==2.0")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "flawed 1.0: FLAW-1, mended in 1.1",
        "2 of 2 packages audited, 1 known vulnerabilities",
    ]


def test_no_flaw_passes(tmp_path, service):
    done = audited(tmp_path, service, "sound==2.0")
    assert (done.returncode, done.stdout) == (0, "1 of 1 packages audited, 0 known vulnerabilities\n")


def test_a_service_that_is_away_is_said_and_passes(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        done = audited(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/", "sound==2.0")
    assert done.returncode == 0 and "not reachable" in done.stdout and "nothing was audited" in done.stdout


def test_a_lock_that_cannot_be_read_is_no_pass(tmp_path):
    done = audited(tmp_path, "http://127.0.0.1:9/", "sound>=2.0 and some more")
    assert done.returncode == 2 and "pip-audit failed" in done.stderr
