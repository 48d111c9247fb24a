"""A thousand requests to a server on its worst day: nothing is lost, doubled, overspent or leaked."""

import json
import logging
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fac_lab.chat.backends import EndpointBackend
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.chat.transport import MOST_BYTES

KEY = "sk-a-key-that-nobody-may-see"
N = 1000
TIMEOUT, SOON = 5.0, 0.6
"""Seconds until an answer is given up: more than a busy machine takes for one, and less than that."""
PASSING = ("429", "429 with a pause", "500", "hangs", "closes at once", "closes half-way")
"""What may pass: tried again, and answered the second time."""
LASTING = (
    "malformed", "truncated utf-8", "no choices", "wrong schema", "no text", "10 MB", "10 MB packed", "drips",
    "redirect", "400", "deep",
)  # fmt: skip
"""What is a failed reply, with a reason."""
ODD = ("duplicated choices", "negative usage", "no usage", "echoes the key")
"""What is an answer all the same."""


class Hostile:
    """A server whose mood is drawn for each prompt; `mended`, it answers all of them."""

    def __init__(self, moods: dict[str, str]) -> None:
        self.moods, self.mended = moods, False
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.elsewhere: list[str] = []
        self.lock, self.over = threading.Lock(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler):  # noqa: N802, N805
                self.handle(handler)

            do_GET = do_POST  # noqa: N815 - a redirect may change the method

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.path.startswith("/elsewhere"):
            self.elsewhere.append(content.decode())
            self.send(handler, self.answer("from elsewhere"))
            return
        said = json.loads(content)["messages"][-1]["content"]
        with self.lock:
            self.asked[said] += 1
            first = self.asked[said] == 1
        mood = self.moods.get(said, "well")
        if self.mended or mood == "well" or (mood in PASSING and not first):
            self.count(said)
            self.send(handler, self.answer(said[::-1]))
        else:
            getattr(self, "be_" + mood.replace(" ", "_").replace("-", "_"), self.be_refusing)(handler, said, mood)

    def count(self, said: str) -> None:
        with self.lock:
            self.answered[said] += 1

    @staticmethod
    def answer(text, n_choices=1, usage=(7, 3)) -> bytes:
        message = {"role": "assistant", "content": text}
        body = {"choices": [{"index": i, "message": message, "finish_reason": "stop"} for i in range(n_choices)]}
        if usage:
            body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        return json.dumps(body).encode()

    def send(self, handler, body: bytes, status: int = 200, length: int | None = None, **headers) -> None:
        try:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body) if length is None else length))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:  # it broke off, as it should
            handler.close_connection = True

    def be_refusing(self, handler, said, mood):
        status = int(mood.split()[0])
        pause = {"Retry_After": "0.05"} if "pause" in mood else {}
        self.send(handler, b'{"error": {"message": "no"}}', status, **pause)

    def be_hangs(self, handler, said, mood):
        self.over.wait(4 * TIMEOUT)  # or until the test is over
        handler.close_connection = True

    def be_closes_at_once(self, handler, said, mood):
        handler.close_connection = True

    def be_closes_half_way(self, handler, said, mood):
        body = self.answer(said[::-1])
        self.send(handler, body[: len(body) // 2], length=len(body))
        handler.close_connection = True

    def be_malformed(self, handler, said, mood):
        self.send(handler, self.answer(said)[:-3])

    def be_deep(self, handler, said, mood):
        self.send(handler, b"[" * 200_000)

    def be_truncated_utf_8(self, handler, said, mood):
        self.send(handler, self.answer("X").replace(b"X", "€".encode()[:2]))

    def be_no_choices(self, handler, said, mood):
        self.send(handler, self.answer("", n_choices=0))

    def be_duplicated_choices(self, handler, said, mood):
        self.count(said)
        self.send(handler, self.answer(said[::-1], n_choices=3))

    def be_wrong_schema(self, handler, said, mood):
        self.send(handler, b'{"choices": {"0": "text"}, "usage": []}')

    def be_no_text(self, handler, said, mood):
        self.send(handler, self.answer(None))

    def be_10_MB(self, handler, said, mood):  # noqa: N802
        self.send(handler, self.answer("a" * 10_000_000))

    def be_10_MB_packed(self, handler, said, mood):  # noqa: N802
        import gzip

        self.send(handler, gzip.compress(self.answer("a" * 10_000_000)), Content_Encoding="gzip")

    def be_drips(self, handler, said, mood):
        body = self.answer(said)
        self.send(handler, b"", length=len(body))
        for byte in body:
            if self.over.wait(SOON / 4):
                break
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                break
        handler.close_connection = True

    def be_redirect(self, handler, said, mood):
        self.send(handler, b"", 307, Location=f"http://localhost:{self.http.server_port}/elsewhere")

    def be_negative_usage(self, handler, said, mood):
        self.count(said)
        self.send(handler, self.answer(said[::-1], usage=(-1_000_000, -5)))

    def be_no_usage(self, handler, said, mood):
        self.count(said)
        self.send(handler, self.answer(said[::-1], usage=None))

    def be_echoes_the_key(self, handler, said, mood):
        self.count(said)
        self.send(handler, self.answer(f"{said[::-1]} {handler.headers['Authorization']}"))


@contextmanager
def hostile(moods):
    server = Hostile(moods)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def prompts(n: int, seed: int) -> tuple[list[ChatRequest], dict[str, str]]:
    """`n` requests with a mood each, some of them asked twice."""
    dice = random.Random(seed)
    bad = [*PASSING, *LASTING, *ODD]
    moods = {f"prompt {i}": dice.choice(bad) if dice.random() < 0.3 else "well" for i in range(n - n // 20)}
    assert set(bad) <= set(moods.values())
    said = [*moods, *dice.sample(list(moods), n // 20)]
    dice.shuffle(said)
    return [ChatRequest(({"role": "user", "content": words},), max_tokens=20) for words in said], moods


def open_chat(server, folder, timeout=TIMEOUT, **limits) -> ChatClient:
    backend = EndpointBackend(
        "m", base_url=server.url, api_key=KEY, concurrency=24, timeout=timeout, retries=4, backoff=0.01
    )
    return ChatClient(backend, cache=folder / "cache", failures=folder / "failures.jsonl", progress=False, **limits)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_thousand_requests_on_a_bad_day(tmp_path, seed, caplog):
    requests, moods = prompts(N, seed)
    with hostile(moods) as server, caplog.at_level(logging.DEBUG, logger="fac_lab.chat.backends"):
        chat = open_chat(server, tmp_path)
        replies = chat.complete(requests)

        assert [reply.request for reply in replies] == requests
        for reply in replies:
            said = reply.request.messages[-1]["content"]
            if moods[said] in LASTING:
                assert not reply.ok and reply.text is None and reply.error, moods[said]
            elif moods[said] == "echoes the key":
                assert reply.text == f"{said[::-1]} Bearer (key)"
            else:
                assert reply.ok and reply.text == said[::-1], (moods[said], reply)
        assert set(server.answered.values()) == {1}, "no answer was paid twice"
        given_up = caplog.text.count("did not answer in time")
        assert given_up >= sum(mood == "hangs" for mood in moods.values()), "attempts that fail are logged"
        assert server.elsewhere == [], "nobody followed a redirect"
        assert chat.tokens_spent > 0

        # What failed is in the file, each once, and can be asked again.
        failed = {said for said, mood in moods.items() if mood in LASTING}
        lines = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
        assert Counter(line["request"]["messages"][-1]["content"] for line in lines) == dict.fromkeys(failed, 1)
        assert all(line["error"] for line in lines)

        # A second run asks for nothing that was answered, and the day gets better.
        asked_before, server.mended = dict(server.asked), True
        again = open_chat(server, tmp_path)
        replayed = again.replay_failures()
        assert {r.request.messages[-1]["content"]: r.text for r in replayed} == {said: said[::-1] for said in failed}
        assert (tmp_path / "failures.jsonl").read_text() == ""
        assert all(reply.ok and reply.cached for reply in again.complete(requests))
        assert {said for said, n in server.asked.items() if n > asked_before[said]} == failed

    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert path.suffix in (".json", ".jsonl"), "no temporary file is left"
            assert KEY not in path.read_text() and path.stat().st_size < MOST_BYTES
    assert KEY not in caplog.text


@pytest.mark.slow
def test_no_budget_is_overspent_on_a_bad_day(tmp_path):
    requests, moods = prompts(600, seed=3)
    with hostile(moods) as server:
        chat = open_chat(server, tmp_path, max_requests=200)
        replies = chat.complete(requests)
        assert len(server.asked) <= 200 and chat.requests_sent == 200
        assert sum(bool(reply.error and reply.error.startswith("budget")) for reply in replies) >= 380
        tokens = open_chat(server, tmp_path / "tokens", max_tokens_total=3000)
        tokens.complete(requests)
        # Some answers do not count their tokens, or count them wrongly: these are taken for all they could be.
        assert 2000 < tokens.tokens_spent <= 3000


def test_a_slow_answer_is_given_up_in_time(tmp_path):
    request = ChatRequest(({"role": "user", "content": "p"},), max_tokens=20)
    with hostile({"p": "drips"}) as server:
        began = time.monotonic()
        (reply,) = open_chat(server, tmp_path, timeout=SOON).complete([request])
    assert f"broken off: it was not over after {SOON} s" in reply.error and time.monotonic() - began < 5 * SOON
