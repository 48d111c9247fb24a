"""The server behind `fac-lab browse`, with a cell of its own in place of the browser."""

import http.client
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import fac_lab
from fac_lab.display import page
from fac_lab.errors import SettingsError

SECONDS = 240
# Ctrl-C is ignored by what a shell started in the background, and by all its children.
SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fac_lab.display.page import serve
code, page_bytes = "secret_name = 6 * 7; print('shown', secret_name)", int(sys.argv[2])
serve(code, "A <title>", port=int(sys.argv[1]) or None, page_bytes=page_bytes)
print("stopped")
"""


def ask(address: str, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, str, dict]:
    """Status, content and headers of an answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=SECONDS)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        # An accepted websocket never ends.
        content = "" if answer.status == 101 else answer.read().decode("utf-8", "replace")
        cookies = "\n".join(answer.headers.get_all("Set-Cookie", []))
        return answer.status, content, {**dict(answer.getheaders()), "Set-Cookie": cookies}
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(served):
    with served("-c", SERVE, "0", str(page.PAGE_BYTES)) as (address, process):
        yield address, process


@pytest.fixture(scope="module")
def opened(server) -> tuple[str, dict]:
    """The page's HTML and headers, and with it a kernel."""
    address = urlsplit(server[0])
    status, html, headers = ask(server[0], f"/?{address.query}")
    assert status == 200
    return html, headers


def test_it_listens_on_this_machine_only(server):
    port = urlsplit(server[0]).port
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for other in addresses - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((other, port), timeout=2)
    listening = [
        int(line.split()[1].split(":")[0], 16)
        for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        if table.exists()
        for line in table.read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].split(":")[1], 16) == port
    ]
    assert listening in ([], [0x0100007F]), "the address is 127.0.0.1 as the kernel writes it"


def test_the_page_has_a_title_its_output_and_no_code(opened):
    html, _ = opened
    assert "<title>A &lt;title&gt;</title>" in html
    assert "shown 42" in html and "secret_name" not in html


def test_it_needs_nothing_from_elsewhere(opened):
    html, headers = opened
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    sources = {source for part in policy.split("; ") for source in part.split()[1:]}
    assert not any("http" in source or "*" in source for source in sources)


def test_it_follows_light_and_dark(opened):
    html, _ = opened
    dark, light = (re.search(rf"<link[^>]*theme-{name}\.css[^>]*>", html)[0] for name in ("dark", "light"))
    assert 'media="(prefers-color-scheme: dark)"' in dark and "media" not in light


def test_strangers_are_kept_out(server, opened):
    address = server[0]
    query = urlsplit(address).query
    status, _, headers = ask(address, "/")
    assert status == 302 and headers["Location"].startswith("/login")
    assert ask(address, "/?token=guessed")[0] == 302
    # A foreign site whose name was pointed at this machine passes for the same origin, but for its name.
    assert ask(address, f"/?{query}", {"Host": "evil.example"})[0] == 403
    assert ask(address, f"/voila/files/page.ipynb?{query}")[0] == 403
    assert ask(address, f"/voila/files/%2e%2e/page.ipynb?{query}")[0] in (403, 404)


def test_a_websocket_of_another_origin_is_refused(server, opened):
    html, headers = opened
    own = f"http://{urlsplit(server[0]).netloc}"
    kernel = re.search(r'"kernelId": "([\w-]+)"', html)[1]
    given = headers["Set-Cookie"].splitlines()
    assert len(given) == 2 and all("SameSite=Strict" in cookie for cookie in given)
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    path = f"/api/kernels/{kernel}/channels"
    assert ask(server[0], path, {**upgrade, "Origin": own})[0] == 403, "without the cookie"
    known = {**upgrade, "Cookie": "; ".join(cookie.split(";")[0] for cookie in given)}
    assert ask(server[0], path, {**known, "Origin": "http://evil.example"})[0] == 403
    assert ask(server[0], path, {**known, "Origin": own})[0] == 101


def test_a_page_that_would_not_fit_waits_until_another_is_closed(served):
    """Pages of a size that no machine holds: the first is served all the same, the second when the first is gone."""
    with served("-c", SERVE, "0", str(2**60)) as (address, _):
        query = urlsplit(address).query
        status, html, headers = ask(address, f"/?{query}")
        assert status == 200 and "shown 42" in html
        kernel = re.search(r'"kernelId": "([\w-]+)"', html)[1]
        cookies = "; ".join(cookie.split(";")[0] for cookie in headers["Set-Cookie"].splitlines())
        status, words, waits = ask(address, f"/?{query}")
        assert status == 503 and "Pages that are open: 1." in words
        assert int(waits["Retry-After"]) > 0 and 'http-equiv="refresh"' in words and "Traceback" not in words
        assert "default-src 'none'" in waits["Content-Security-Policy"]
        token = re.search(r"_xsrf=([^;]+)", cookies)[1]
        closing = {"Cookie": cookies, "X-XSRFToken": token, "Origin": address.split("/?")[0]}
        assert ask(address, f"/voila/api/shutdown/{kernel}", closing, method="POST")[0] == 204
        assert ask(address, f"/?{query}")[0] == 200


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        script = f"from fac_lab.display.page import serve\nserve('1', 't', port={port})"
        environment = {**os.environ, "PYTHONPATH": str(Path(fac_lab.__file__).parents[1])}
        failed = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, env=environment
        )
    assert SettingsError.__name__ in failed.stderr and f"port {port} cannot be listened on" in failed.stderr


def test_the_policy_lets_the_pages_own_websocket_pass():
    assert "ws://127.0.0.1:1234" in page.headers(1234)["Content-Security-Policy"]
