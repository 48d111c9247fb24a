"""Any OpenAI-compatible server as a backend: bounded concurrency, retries, and a reason for each failure.

The openai package does the HTTP. Retries are ours, so that Retry-After, jitter and the reasons are under
test, and so is the reading of the answer, because what a server sends need not be what the protocol says.
"""

import email.utils
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

import httpx2
import openai

from fac_lab.chat.client import ChatReply, ChatRequest
from fac_lab.chat.rotation import Address, Rotation
from fac_lab.chat.transport import AnswerRefused, bounded_client
from fac_lab.errors import ChatError, short
from fac_lab.parse import parse_json
from fac_lab.profile import is_loopback
from fac_lab.settings import ChatSettings

log = logging.getLogger(__name__)

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for a longer pause gets a failed reply, to be replayed later."""
NO_KEY = "EMPTY"
"""What servers on this machine are sent, which ask for none."""


class _Failure(Exception):
    """Why one attempt gave no answer."""

    def __init__(
        self,
        reason: str,
        *,
        retry: bool = False,
        wait: float = 0.0,
        hopeless: bool = False,
        down: bool = False,
        elsewhere: bool = True,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        """Whether another attempt may succeed."""
        self.wait = wait
        """Seconds the server asks to wait."""
        self.hopeless = hopeless
        """Whether every other request to this address is bound to fail in the same way."""
        self.down = down or hopeless
        """Whether the server is at fault rather than the request."""
        self.elsewhere = elsewhere
        """Whether another server may answer."""


class EndpointBackend:
    """A chat model behind an OpenAI-compatible HTTP endpoint, or behind several that serve the same model.

    429 (its Retry-After honoured), 5xx, time-outs and lost connections are tried again `retries` times, after
    `backoff` seconds, doubled each time, with jitter. Once the server cannot be reached, or refuses the key
    or the model, and has answered nobody meanwhile, the requests that wait fail at once with that reason.

    Of several addresses the least busy is asked. A request that fails at one goes to the others at once, each
    of which counts as the same attempt; a server that is down, or refuses key or model, is left out for `rest`
    seconds, an overloaded one for as long as it asks. So a server may die in the middle of a run: its requests
    are answered by the others. Which of them answered is not part of a cached answer's key; the first address
    is, so that others may come and go.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Sequence[str] | None = None,
        api_key: str = NO_KEY,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 0.5,
        rest: float = 30.0,
    ) -> None:
        self.model = model
        self.concurrency = concurrency
        self.retries = retries
        self.backoff = backoff
        self.rest = rest
        self._key = api_key
        urls = [base_url] if base_url is None or isinstance(base_url, str) else base_url
        clients = [
            openai.OpenAI(
                api_key=api_key, base_url=url, timeout=timeout, max_retries=0, http_client=bounded_client(timeout)
            )
            for url in urls
        ]
        self._rotation = Rotation([Address(client) for client in clients])
        # The library closes only connections of its own making.
        weakref.finalize(self, _close, clients)

    @classmethod
    def from_settings(cls, settings: ChatSettings) -> "EndpointBackend":
        """The backend a profile names. Raises ChatError where the key of a remote endpoint is not set."""
        key = os.environ.get(settings.api_key_env)
        remote = [url for url in settings.addresses if not is_loopback(url)]
        if not key and remote:
            raise ChatError(
                f"the endpoint {remote[0] or 'of the openai package'} needs a key: set the "
                f"environment variable {settings.api_key_env} (or name another one as api_key_env)"
            )
        return cls(
            settings.model,
            base_url=settings.base_url,
            api_key=key or NO_KEY,
            concurrency=settings.concurrency,
            timeout=settings.timeout,
            retries=settings.retries,
        )

    @property
    def name(self) -> str:
        """First address and model, which is all that is known of what answers."""
        return f"{self.model} at {self._rotation.addresses[0].url}"

    def generate(self, requests: Sequence[ChatRequest], done: Callable[[int, ChatReply], None]) -> None:
        """Answer requests in parallel threads; `done` is called from the calling thread."""
        stop = _Stop()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="chat")
        try:
            waiting = {pool.submit(self._reply, request, stop): i for i, request in enumerate(requests)}
            for future in as_completed(waiting):
                done(waiting[future], future.result())
        finally:
            # Also on Ctrl-C: what waits is dropped, what sleeps wakes, what is in flight runs out.
            stop.set("interrupted")
            pool.shutdown(wait=False, cancel_futures=True)

    def _reply(self, request: ChatRequest, stop: "_Stop") -> ChatReply:
        if not request.messages:
            return ChatReply.failed(
                request,
                "an endpoint cannot write the user's turn: use a local backend for requests without messages",
            )
        answered_before, attempt = stop.answers, 1
        tried: set[Address] = set()
        while True:
            if stop.reason is not None:
                return ChatReply.failed(request, f"not sent: {stop.reason}")
            address, reply = self._rotation.take(tried), None
            try:
                reply = self._attempt(request, address)
            except _Failure as error:
                failure = error
            finally:
                self._rotation.release(address, answered=reply is not None)
            if reply is not None:
                stop.answers += 1
                return replace(reply, text=self._masked(reply.text or ""))
            reason = self._masked(failure.reason)
            log.debug("attempt %d: %s", attempt, reason)
            if failure.down:
                self._rotation.rest(address, failure.wait or self.rest, reason)
            tried.add(address)
            if failure.elsewhere and self._rotation.another(tried):
                continue
            if not failure.retry or attempt > self.retries:
                break
            attempt, tried = attempt + 1, {address}
            pause = self.backoff * 2 ** (attempt - 2) * random.uniform(0.5, 1.0)
            stop.sleep(max(failure.wait, min(pause, LONGEST_WAIT)))
        if failure.hopeless and stop.answers == answered_before:
            stop.set(reason)
        return ChatReply.failed(request, f"{reason} ({attempt} attempts)" if attempt > 1 else reason)

    def _masked(self, text: str) -> str:
        """A server knows the key, and might say it where it would be kept."""
        return text if self._key == NO_KEY else text.replace(self._key, "(key)")

    def _attempt(self, request: ChatRequest, address: Address) -> ChatReply:
        """One HTTP call. Raises _Failure."""
        url = address.url
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(turn) for turn in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
        }
        if request.schema is not None:
            schema = {"name": "answer", "schema": dict(request.schema), "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        try:
            response = address.client.chat.completions.with_raw_response.create(**asked)
            body = response.http_response.content
        except openai.APITimeoutError as error:
            raise _Failure(f"{url} did not answer in time", retry=True, down=True) from error
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, AnswerRefused):
                raise _Failure(f"the answer of {url} was broken off: {error.__cause__}") from error
            if not isinstance(error.__cause__, httpx2.ConnectError):
                raise _Failure(f"{url} broke the connection ({error.__cause__})", retry=True, down=True) from error
            reason = f"{url} cannot be reached ({error.__cause__}): is the server running?"
            raise _Failure(reason, retry=True, hopeless=True) from error
        except openai.APIStatusError as error:
            raise self._refused(error, url) from error
        return _read(body, request, url)

    def _refused(self, error: openai.APIStatusError, url: str) -> _Failure:
        status, said = error.status_code, short(error.message)
        if status in (401, 403):
            return _Failure(f"{url} refuses the key: HTTP {status}, {said}", hopeless=True)
        if status == 404:
            reason = f"{url} does not know the model {self.model!r}, or is not the right address"
            return _Failure(f"{reason}: HTTP 404, {said}", hopeless=True)
        if error.code == "insufficient_quota":
            return _Failure(f"the account behind {url} has no credit left: {said}", hopeless=True)
        if 300 <= status < 400:
            reason = f"{url} sends elsewhere (HTTP {status}): name the address itself as base_url"
            return _Failure(reason)
        wait = _retry_after(error.response.headers.get("retry-after"))
        if wait > LONGEST_WAIT:
            reason = f"{url} asks to wait {wait:.0f} s (HTTP {status}): replay the failures later"
            return _Failure(reason, wait=wait, down=True)
        retry = status in (408, 409, 429) or status >= 500
        # A 500 may be the request's own fault, and a 429 without a time is over soon.
        down = status in (502, 503, 504) or (status == 429 and wait > 0)
        return _Failure(f"{url} answered HTTP {status}: {said}", retry=retry, wait=wait, down=down)


def _close(clients: Sequence[openai.OpenAI]) -> None:
    for client in clients:
        client.close()


class _Stop:
    """Shared by the threads of one call: why no more requests should be sent, if so."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.answers = 0
        """Answers so far: where one request fails while others are answered, only that one is at fault."""
        self._event = threading.Event()

    def set(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._event.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until `set`."""
        self._event.wait(seconds)


def _read(content: bytes, request: ChatRequest, url: str) -> ChatReply:
    """The reply in a response's body; raises _Failure where the protocol is not kept."""
    body = content.decode("utf-8", errors="replace")
    try:
        answer = parse_json(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise _Failure(f"{url} answered something that is not UTF-8: {short(body)!r}") from None
    except ValueError:
        raise _Failure(f"{url} answered something that is not JSON: {short(body)!r}") from None
    try:
        choice = answer["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason") or "stop"
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _Failure(f"{url} answered without a message: {short(body)!r}") from None
    if not isinstance(text, str) or not isinstance(finish, str):
        raise _Failure(f"{url} gave no text (finish reason {finish!r})", elsewhere=False)
    usage = answer.get("usage") or {}
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    # A negative count would give back what a budget has spent.
    spent = [count if type(count) is int and count > 0 else 0 for count in counts]
    return ChatReply(request, text, finish, prompt_tokens=spent[0], completion_tokens=spent[1])


def _retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 where it says nothing."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
