"""The endpoint backend against a real HTTP server that misbehaves in every way named in its docstring."""

import json
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fac_lab.chat.backends import EndpointBackend
from fac_lab.chat.client import ChatClient, ChatRequest, open_client
from fac_lab.errors import ChatError, SettingsError
from fac_lab.plain import build
from fac_lab.profile import as_dict
from fac_lab.settings import ChatSettings

KEY = "sk-a-secret"


def answer(text: str, **choice) -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"} | choice
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})


class Server:
    """Answers by a script: what the user says picks a list of steps, one per attempt, the last one repeated.

    A step is (status, body, headers), or a number of seconds to hang before hanging up.
    """

    def __init__(self) -> None:
        self.script: dict[str, list] = {}
        self.attempts: Counter[str] = Counter()
        self.times: list[float] = []
        self.bodies: list[dict] = []
        self.headers: list[Message] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N802, N805 - names and nesting are the library's and ours
                self.handle(handler)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        said = body["messages"][-1]["content"]
        with self.lock:
            self.bodies.append(body)
            self.headers.append(handler.headers)
            self.times.append(time.monotonic())
            self.attempts[said] += 1
            steps = self.script.get(said, [(200, answer(said[::-1]), {})])
            step = steps[min(self.attempts[said], len(steps)) - 1]
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if not isinstance(step, tuple):
                self.over.wait(step)
                handler.close_connection = True
                return
            status, content, headers = step
            # Answers in another order than the questions, and slow enough to overlap.
            time.sleep(0.02 + 0.02 * (len(said) % 3))
            handler.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content.encode())))
            handler.end_headers()
        finally:
            with self.lock:
                self.in_flight -= 1
        # Counted out before its last byte: whoever has that may ask again at once.
        handler.wfile.write(content.encode())


@contextmanager
def running():
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.http.shutdown()
        thread.join()
        server.http.server_close()


@pytest.fixture
def server():
    with running() as server:
        yield server


def open_chat(url: str | list[str], *, cache=None, failures=None, **options) -> ChatClient:
    options = {"timeout": 5.0, "retries": 3, "backoff": 0.01, "concurrency": 4, "api_key": KEY} | options
    return ChatClient(EndpointBackend("m", base_url=url, **options), cache=cache, failures=failures, progress=False)


def refused(status: int, message: str = "no", code: str | None = None, **headers) -> tuple:
    return status, json.dumps({"error": {"message": message, "code": code}}), headers


def test_a_request_reaches_the_server_whole(server, ask):
    schema = {"type": "object", "properties": {"query": {"type": "string"}}}
    request = ask("hello", temperature=0.8, top_p=0.9, max_tokens=12, seed=5, schema=schema)
    (reply,) = open_chat(server.url).complete([request])
    assert (reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens) == ("olleh", "stop", 7, 3)
    body = server.bodies[0]
    assert body["model"] == "m" and body["messages"] == [{"role": "user", "content": "hello"}]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.8, 0.9, 12, 5)
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_order_is_kept_and_concurrency_is_bounded(server, ask):
    said = ["word" + "!" * (i % 5) + str(i) for i in range(24)]
    replies = open_chat(server.url, concurrency=4).complete([ask(words) for words in said])
    assert [reply.text for reply in replies] == [words[::-1] for words in said]
    assert 2 <= server.most_in_flight <= 4


@pytest.mark.parametrize("status", [429, 500, 502, 503, 408, 409])
def test_what_may_pass_is_tried_again(server, ask, status):
    server.script["hello"] = [refused(status), refused(status), (200, answer("at last"), {})]
    (reply,) = open_chat(server.url).complete([ask("hello")])
    assert reply.text == "at last" and server.attempts["hello"] == 3


def test_retry_after_is_honoured_in_seconds_and_as_a_date(server, ask):
    server.script["in seconds"] = [refused(429, **{"Retry-After": "0.6"}), (200, answer("a"), {})]
    replies = open_chat(server.url).complete([ask("in seconds")])
    assert replies[0].text == "a" and server.times[1] - server.times[0] >= 0.6
    soon = int(time.time() + 2)
    header = formatdate(soon, usegmt=True)
    server.script["by date"] = [refused(503, **{"Retry-After": header}), (200, answer("b"), {})]
    replies = open_chat(server.url).complete([ask("by date")])
    assert replies[0].text == "b" and time.time() >= soon


def test_too_long_a_pause_is_a_failure_to_be_replayed(server, ask, tmp_path):
    server.script["hello"] = [refused(429, **{"Retry-After": "3600"}), (200, answer("fine"), {})]
    chat = open_chat(server.url, failures=tmp_path / "failures.jsonl")
    (reply,) = chat.complete([ask("hello")])
    assert "3600 s" in reply.error and server.attempts["hello"] == 1
    assert [reply.text for reply in chat.replay_failures()] == ["fine"]


def test_attempts_end(server, ask):
    server.script["hello"] = [refused(500, "out of memory")]
    replies = open_chat(server.url).complete([ask("hello"), ask("other")])
    assert replies[1].text == "rehto"
    assert server.attempts["hello"] == 4
    assert "HTTP 500" in replies[0].error and "out of memory" in replies[0].error
    assert "4 attempts" in replies[0].error


def test_a_hanging_server_is_given_up_and_tried_again(server, ask):
    server.script["hello"] = [30, (200, answer("awake"), {})]
    server.script["never"] = [30]
    started = time.monotonic()
    replies = open_chat(server.url, timeout=1.0, retries=1).complete([ask("hello"), ask("never")])
    assert time.monotonic() - started < 20
    assert replies[0].text == "awake"
    assert "in time" in replies[1].error and server.attempts["never"] == 2


def test_a_lost_connection_is_tried_again(server, ask):
    server.script["hello"] = [0, (200, answer("back"), {})]
    assert open_chat(server.url).complete([ask("hello")])[0].text == "back"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>maintenance</html>", "not JSON"),
        ('{"choices": [{"mess', "not JSON"),
        ('{"choices": []}', "without a message"),
        ("[]", "without a message"),
        ("null", "without a message"),
        ('{"choices": [{}]}', "without a message"),
        (
            answer("x", message={"role": "assistant", "content": None}, finish_reason="content_filter"),
            "content_filter",
        ),
        (answer("x", message={"role": "assistant", "content": ["x"]}), "no text"),
    ],
)
def test_nonsense_is_a_failed_reply(server, ask, body, words):
    server.script["hello"] = [(200, body, {})]
    replies = open_chat(server.url).complete([ask("hello"), ask("other")])
    assert words in replies[0].error and replies[0].text is None
    assert server.attempts["hello"] == 1
    assert replies[1].ok


def test_missing_usage_counts_as_nothing(server, ask):
    server.script["hello"] = [(200, '{"choices": [{"message": {"content": "hi"}}], "usage": null}', {})]
    (reply,) = open_chat(server.url).complete([ask("hello")])
    assert (reply.text, reply.finish, reply.prompt_tokens) == ("hi", "stop", 0)


def test_a_bad_request_fails_alone_and_at_once(server, ask):
    server.script["too long"] = [refused(400, "context length exceeded")]
    replies = open_chat(server.url).complete([ask("too long"), ask("fine")])
    assert "context length exceeded" in replies[0].error and server.attempts["too long"] == 1
    assert replies[1].ok


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (refused(401, f"bad key {KEY}"), "refuses the key"),
        (refused(404, "no such model"), "does not know the model 'm'"),
        (refused(429, "pay first", code="insufficient_quota"), "no credit"),
    ],
)
def test_what_nobody_can_get_past_stops_the_rest(server, ask, tmp_path, caplog, step, words):
    said = [f"hello {i}" for i in range(40)]
    server.script = {words: [step] for words in said}
    path = tmp_path / "failures.jsonl"
    replies = open_chat(server.url, concurrency=2, failures=path).complete([ask(words) for words in said])
    assert all(words in reply.error for reply in replies)
    assert sum(server.attempts.values()) <= 4
    assert KEY not in caplog.text + path.read_text() + "".join(reply.error for reply in replies)


def test_a_server_that_is_down_fails_soon_with_the_reason(ask):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    started = time.monotonic()
    replies = open_chat(url, retries=2, backoff=0.1).complete([ask(f"hello {i}") for i in range(200)])
    assert time.monotonic() - started < 20
    assert all("cannot be reached" in reply.error and url in reply.error for reply in replies)


def test_a_request_that_breaks_the_connection_fails_alone(server, ask):
    server.script["poison"] = [0]
    said = ["one", "poison", "two", "three"]
    replies = open_chat(server.url, concurrency=1).complete([ask(words) for words in said])
    assert [reply.ok for reply in replies] == [True, False, True, True]
    assert "broke the connection" in replies[1].error and server.attempts["poison"] == 4


def test_cached_answers_need_no_server(server, ask, tmp_path):
    open_chat(server.url, cache=tmp_path).complete([ask("hello")])
    replies = open_chat(server.url, cache=tmp_path).complete([ask("hello")])
    assert replies[0].cached and server.attempts["hello"] == 1
    stored = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "olleh" in stored and KEY not in stored


def test_an_endpoint_cannot_write_the_users_turn(server):
    (reply,) = open_chat(server.url).complete([ChatRequest(messages=())])
    assert "local backend" in reply.error and not server.bodies


def test_an_interrupted_run_keeps_its_answers(server, ask, tmp_path):
    """Ctrl-C while requests wait: the call ends at once, and what had arrived is not asked again."""
    server.script["hello 3"] = [30]
    backend = EndpointBackend("m", base_url=server.url, concurrency=1, timeout=1.0, retries=50)
    chat = ChatClient(backend, cache=tmp_path, progress=False)
    generate = backend.generate

    def interrupted(requests, done):
        answered = []

        def stop_after_three(i, reply):
            done(i, reply)
            answered.append(i)
            if len(answered) == 3:
                raise KeyboardInterrupt

        generate(requests, stop_after_three)

    backend.generate = interrupted
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        chat.complete([ask(f"hello {i}") for i in range(20)])
    assert time.monotonic() - started < 20
    server.script = {}
    replies = open_chat(server.url, cache=tmp_path).complete([ask(f"hello {i}") for i in range(20)])
    assert all(reply.ok for reply in replies)
    assert sum(reply.cached for reply in replies) == 3


def test_the_key_comes_from_the_environment(server, ask, tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    settings = ChatSettings("endpoint", "m", base_url=server.url, api_key_env="THE_KEY", max_requests=1)
    chat = open_client(settings, tmp_path, progress=False)
    assert [reply.ok for reply in chat.complete([ask("one"), ask("two")])] == [True, False]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(settings) + chat.backend.name
    assert (tmp_path / "failures-m.jsonl").exists()


def test_a_missing_key_matters_only_for_remote_servers(server, ask, monkeypatch):
    monkeypatch.delenv("THE_KEY", raising=False)
    local = ChatSettings("endpoint", "m", base_url=server.url, api_key_env="THE_KEY")
    assert open_client(local, None, progress=False).complete([ask("one")])[0].ok
    assert server.headers[0]["Authorization"] == "Bearer EMPTY"
    for url in (None, "https://api.example.com/v1", "http://127.0.0.1.example.com/v1"):
        with pytest.raises(ChatError, match="THE_KEY"):
            open_client(ChatSettings("endpoint", "m", base_url=url, api_key_env="THE_KEY"), None)


def test_a_password_in_the_address_stays_out_of_the_name():
    name = EndpointBackend("m", base_url="http://user:hidden@localhost:8000/v1").name
    assert name == "m at http://localhost:8000/v1"


@pytest.fixture
def two():
    with running() as first, running() as second:
        yield first, second


def urls(servers) -> list[str]:
    return [server.url for server in servers]


def test_several_servers_share_the_requests(two, ask):
    said = [f"hello {i}" for i in range(40)]
    replies = open_chat(urls(two)).complete([ask(words) for words in said])
    assert [reply.text for reply in replies] == [words[::-1] for words in said]
    shares = [sum(server.attempts.values()) for server in two]
    assert sum(shares) == 40 and min(shares) >= 10
    assert sum(server.most_in_flight for server in two) >= 2
    # Concurrency is that of both together.
    assert all(server.most_in_flight <= 4 for server in two)


def die(server) -> None:
    """What a crash does: nobody listens any more, and what is in flight loses its connection."""
    server.over.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.mark.parametrize("retries", [0, 3])
def test_a_server_that_dies_half_way_costs_nothing(two, ask, tmp_path, caplog, retries):
    """Every request is answered once, in order, and none fails, even where none may be tried again."""
    dying, living = two
    said = [f"hello {i}" for i in range(60)]
    dying.script = {words: [30] for words in said[20:]}  # from the 20th on it hangs, until it dies
    backend = EndpointBackend("m", base_url=urls(two), concurrency=4, timeout=20.0, retries=retries, backoff=0.01)
    chat = ChatClient(backend, cache=tmp_path / "cache", failures=tmp_path / "failures.jsonl", progress=False)
    done: list[int] = []
    generate = backend.generate

    def counted(requests, keep):
        generate(requests, lambda i, reply: (done.append(i), keep(i, reply)))

    backend.generate = counted
    watch = threading.Thread(target=lambda: (wait_for(lambda: dying.in_flight and len(done) > 20), die(dying)))
    watch.start()
    replies = chat.complete([ask(words) for words in said])
    watch.join()
    assert [reply.text for reply in replies] == [words[::-1] for words in said]
    assert sorted(done) == list(range(60))
    assert not (tmp_path / "failures.jsonl").exists()
    # What the dead server answered was not asked again; the living one was asked for nothing twice.
    answered_there = set(dying.attempts) - set(living.attempts)
    assert 5 <= len(answered_there) <= 20 and max(living.attempts.values()) == 1
    assert f"{dying.url} broke the connection" in caplog.text and "go on without it" in caplog.text
    # It rests: nobody waits for it a second time.
    assert sum(dying.attempts.values()) <= 20 + 4


def wait_for(condition, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)


def test_a_server_that_comes_back_is_asked_again(two, ask):
    first, second = two
    first.script["one"] = second.script["one"] = [refused(503), (200, answer("a"), {})]
    chat = open_chat(urls(two), concurrency=1, rest=0.3)
    assert chat.complete([ask("one")])[0].ok  # both refuse once, and rest
    time.sleep(0.4)
    chat.complete([ask(f"hello {i}") for i in range(6)])
    assert [sum(server.attempts[f"hello {i}"] for i in range(6)) for server in two] == [3, 3]


def test_one_server_with_another_model_or_a_shorter_context(two, ask):
    """A server that cannot do it is passed over; what none can do fails with a reason."""
    wrong, right = two
    wrong.script = {f"hello {i}": [refused(404, "no such model")] for i in range(8)}
    wrong.script |= {f"long {i}": [refused(400, "context length exceeded")] for i in range(8)}
    for text in ("hello", "long"):
        replies = open_chat(urls(two)).complete([ask(f"{text} {i}") for i in range(8)])
        assert all(reply.ok for reply in replies)
    wrong.script["longer"] = right.script["longer"] = [refused(400, "context length exceeded")]
    (reply,) = open_chat(urls(two)).complete([ask("longer")])
    assert "context length exceeded" in reply.error
    assert wrong.attempts["longer"] == right.attempts["longer"] == 1


def test_an_overloaded_server_is_left_alone_while_others_go_on(two, ask):
    busy, free = two
    busy.script = {f"hello {i}": [refused(429, **{"Retry-After": "60"})] for i in range(20)}
    started = time.monotonic()
    replies = open_chat(urls(two), concurrency=2).complete([ask(f"hello {i}") for i in range(20)])
    assert all(reply.ok for reply in replies) and time.monotonic() - started < 20
    assert 1 <= sum(busy.attempts.values()) <= 2


def test_all_servers_down_is_one_soon_failure(ask):
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        down = [f"http://127.0.0.1:{free.getsockname()[1]}/v1" for free in (one, two)]
    started = time.monotonic()
    replies = open_chat(down, retries=2, backoff=0.1).complete([ask(f"hello {i}") for i in range(100)])
    assert time.monotonic() - started < 20
    assert all("cannot be reached" in reply.error for reply in replies)


def test_cached_answers_do_not_depend_on_who_answered(two, ask, tmp_path):
    """Both have answered some; alone, and with another beside it, the first finds all of them."""
    first, second = two
    questions = [ask(f"hello {i}") for i in range(12)]
    open_chat(urls(two), cache=tmp_path).complete(questions)
    assert first.attempts and second.attempts
    for addresses in (first.url, urls(two), [first.url, "http://127.0.0.1:9/v1"]):
        assert all(reply.cached for reply in open_chat(addresses, cache=tmp_path).complete(questions))
    assert not any(reply.cached for reply in open_chat(second.url, cache=tmp_path).complete(questions))


def test_a_profile_may_name_several_addresses(two, ask, monkeypatch):
    monkeypatch.delenv("THE_KEY", raising=False)
    values = {"backend": "endpoint", "model": "m", "base_url": urls(two), "api_key_env": "THE_KEY"}
    settings = build(ChatSettings, values)
    assert as_dict(settings)["base_url"] == urls(two)
    assert open_client(settings, None, progress=False).complete([ask("one")])[0].ok
    remote = build(ChatSettings, values | {"base_url": [two[0].url, "https://api.example.com/v1"]})
    with pytest.raises(ChatError, match="api.example.com.*THE_KEY"):
        open_client(remote, None)
    for wrong in ([], [two[0].url] * 2):
        with pytest.raises(SettingsError, match="one address, or several different ones"):
            build(ChatSettings, values | {"base_url": wrong})
    with pytest.raises(SettingsError, match=r"base_url\[0\] is 5"):
        build(ChatSettings, values | {"base_url": [5]})
