"""A real OpenAI-compatible server that remembers what it was sent."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Annotator:
    """Answers each prompt by `answer(prompt)`, and keeps every body it answered, in order.

    After `stop_after` answers it holds the next request until `close`: whoever asks can be killed meanwhile.
    """

    def __init__(self, answer: Callable[[str], str], stop_after: int | None = None) -> None:
        self.answer = answer
        self.stop_after = stop_after
        self.answered: list[dict] = []
        self.held, self._over = threading.Event(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802 - the library's name
                server.handle(self)

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def prompts(self) -> list[str]:
        """What it was asked, first messages only."""
        return [body["messages"][0]["content"] for body in self.answered]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if self.stop_after is not None and len(self.answered) >= self.stop_after:
            self.held.set()
            self._over.wait()
            return
        message = {"role": "assistant", "content": self.answer(body["messages"][0]["content"])}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        content = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self.answered.append(body)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self) -> None:
        self._over.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def annotator():
    """`annotator(answer, stop_after=None)`: a running server; all are closed at the end."""
    running: list[Annotator] = []

    def start(answer: Callable[[str], str], **options) -> Annotator:
        running.append(Annotator(answer, **options))
        return running[-1]

    yield start
    for server in running:
        server.close()
