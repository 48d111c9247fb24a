"""Many browsers of one audit at a time: pages of one `fac-lab browse`, each with its process, held open together."""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fac_lab.cli import main
sys.exit(main(["-q", "browse", *sys.argv[1:], "--no-open"]))
"""
SECONDS = 1200
"""Longest wait for one page; a full machine starts processes slowly."""


class Line(NamedTuple):
    """A websocket to the process of a page."""

    socket: WebSocketClientConnection
    said: asyncio.Queue
    """What came over it; None when it was shut."""


class Opened(NamedTuple):
    """One page that was asked for."""

    status: int
    seconds: float
    """From the question to the last byte of the page, which is when all widgets are in it."""
    whole: bool
    """Whether the browser's widgets are in the page."""
    kernel: str | None
    """Id of its process; None where it was refused."""
    line: Line | None
    """Held open, as a browser does."""


class Held(NamedTuple):
    """What many pages took together."""

    pages: list[Opened]
    """In the order in which they were asked for."""
    answered: int
    """Pages whose process answered over its websocket once all were open."""
    unique_mb: float
    """Median over pages of the memory that their process has alone, in MB of a million bytes."""
    shared_mb: float
    """The same, with what processes share divided among them."""
    available_gb: float
    """How much less memory the machine had to give than before the first."""


@contextmanager
def browsing(*arguments: str) -> Iterator[tuple[str, int]]:
    """`fac-lab browse` with some arguments until the block ends: its address, and its process id."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stdout.readline, "")
        address = next(filter(None, (re.search(r"http://\S+", line) for line in lines)), None)
        if address is None:
            raise RuntimeError("the browser printed no address")
        yield address[0], process.pid
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def hold(
    address: str, server: int, n: int, *, at_once: int = 2, meanwhile: Callable[[], object] = lambda: None
) -> Held:
    """Open `n` pages, `at_once` at the same time, keep all of them open, ask each process whether it lives.

    `server` is the id of the process that serves them; `meanwhile` is called, in a thread, while all are open.
    """
    return asyncio.run(_hold(address, server, n, at_once, meanwhile))


async def _hold(address: str, server: int, n: int, at_once: int, meanwhile: Callable[[], object]) -> Held:
    AsyncHTTPClient.configure(None, max_clients=n + 10)
    before, gate = psutil.virtual_memory().available, asyncio.Semaphore(at_once)

    async def one() -> Opened:
        async with gate:
            return await _open(address)

    pages = await asyncio.gather(*(one() for _ in range(n)))
    lines = [page.line for page in pages if page.line is not None]
    answered = sum(await asyncio.gather(*map(_answers, lines)))
    memory = [process.memory_full_info() for process in psutil.Process(server).children()]
    lost = before - psutil.virtual_memory().available
    await asyncio.to_thread(meanwhile)
    for line in lines:
        line.socket.close()
    return Held(
        list(pages),
        answered,
        unique_mb=statistics.median(found.uss for found in memory) / 1e6 if memory else 0.0,
        shared_mb=statistics.median(found.pss for found in memory) / 1e6 if memory else 0.0,
        available_gb=lost / 1e9,
    )


async def _open(address: str) -> Opened:
    client, began = AsyncHTTPClient(), perf_counter()
    request = HTTPRequest(address, connect_timeout=SECONDS, request_timeout=SECONDS, follow_redirects=False)
    answer = await client.fetch(request, raise_error=False)
    seconds, html = perf_counter() - began, (answer.body or b"").decode("utf-8", "replace")
    found = re.search(r'"kernelId": "([\w-]+)"', html)
    whole = "application/vnd.jupyter.widget-view+json" in html
    if answer.code != 200 or found is None:
        return Opened(answer.code, seconds, whole, None, None)
    place = urlsplit(address)
    said: asyncio.Queue[str | bytes | None] = asyncio.Queue()
    # Taken off at once, as a browser does: one that does not read answers no ping either, and is shut out.
    socket = await websocket_connect(
        HTTPRequest(
            f"ws://{place.netloc}/api/kernels/{found[1]}/channels",
            headers={"Cookie": _cookies(answer), "Origin": f"http://{place.netloc}"},
            request_timeout=SECONDS,
        ),
        on_message_callback=said.put_nowait,
    )
    return Opened(answer.code, seconds, whole, found[1], Line(socket, said))


def _cookies(answer: HTTPResponse) -> str:
    return "; ".join(cookie.split(";")[0] for cookie in answer.headers.get_list("Set-Cookie"))


async def _answers(line: Line) -> bool:
    """Whether the process behind a page still answers."""
    asked = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "kernel_info_request",
        "username": "",
        "session": uuid.uuid4().hex,
        "date": datetime.now(UTC).isoformat(),
        "version": "5.3",
    }
    message = {"header": asked, "parent_header": {}, "metadata": {}, "content": {}, "channel": "shell", "buffers": []}
    try:
        await line.socket.write_message(json.dumps(message))
    except WebSocketClosedError:
        return False
    while True:
        try:
            said = await asyncio.wait_for(line.said.get(), SECONDS)
        except TimeoutError:
            return False
        if said is None:
            return False
        if isinstance(said, str) and json.loads(said)["header"]["msg_type"] == "kernel_info_reply":
            return True
