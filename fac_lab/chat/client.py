"""One client for every chat model: cached answers, a budget, failures kept in a file.

A request that fails is a reply with a reason, never an exception: in a run of thousands some do, and the rest
must not be lost with them. Every answer is stored as it arrives, so a run that is killed resumes by being
started again.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from fac_lab.chat.cache import ReplyCache
from fac_lab.chat.failures import FailureFile
from fac_lab.digests import digest
from fac_lab.errors import SettingsError
from fac_lab.parse import sound
from fac_lab.settings import ChatSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChatRequest:
    """What is asked, and how the answer is sampled."""

    messages: tuple[Mapping[str, str], ...]
    """Turns as `{"role", "content"}`. Empty: the model writes the user's turn itself (local only)."""
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Share of the probability that sampling keeps, likeliest tokens first."""
    max_tokens: int = 256
    """Longest completion."""
    seed: int = 0
    """Seed of the sampling. Two draws of one prompt differ by it, in the cache too."""
    schema: Mapping[str, Any] | None = None
    """JSON schema for endpoints that enforce one. Local backends do not: parse strictly all the same."""


@dataclass(frozen=True)
class ChatReply:
    """An answer, or the reason why there is none."""

    request: ChatRequest
    text: str | None
    """The answer; None where the request failed. Halves of surrogate pairs, which an endpoint's JSON may spell, are
    U+FFFD in it."""
    finish: str
    """"stop", "length" (cut at max_tokens), "failed", or the endpoint's own word."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False
    """Whether this answer was paid earlier, or by an identical request of the same call."""
    error: str | None = None
    """Why the request failed; begins with "budget" where it was never sent for want of one."""

    def __post_init__(self) -> None:
        if self.text is not None:
            object.__setattr__(self, "text", sound(self.text))

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @classmethod
    def failed(cls, request: ChatRequest, error: str) -> "ChatReply":
        """A reply that says why there is none."""
        return cls(request, None, "failed", error=error)


class Backend(Protocol):
    """What answers requests."""

    @property
    def name(self) -> str:
        """Identifies everything about the backend that decides an answer; part of the cache's key."""
        ...

    def generate(self, requests: Sequence[ChatRequest], done: Callable[[int, ChatReply], None]) -> None:
        """Answer each request once, in any order: `done(index, reply)` as it is ready, from this thread."""


class ChatClient:
    """Asks a backend, once per different request.

    `cache` is a folder, `failures` a JSONL file; None keeps neither. `max_requests` and `max_tokens_total`
    limit what this client sends over its life; cached answers are free, and a backend's own retries are not
    counted. The token budget is not overrun: a request is sent only when its worst case (its `max_tokens`,
    and one token per byte of its messages) still fits.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        cache: str | Path | None,
        max_requests: int | None = None,
        max_tokens_total: int | None = None,
        failures: str | Path | None = None,
        progress: bool = True,
    ) -> None:
        self.backend = backend
        self.cache = ReplyCache(cache) if cache is not None else None
        self.max_requests = max_requests
        self.max_tokens_total = max_tokens_total
        self.failures = FailureFile(failures) if failures is not None else None
        self.progress = progress
        self.requests_sent = 0
        """Requests paid so far."""
        self.tokens_spent = 0
        """Prompt and completion tokens paid so far, as the backend counts them."""

    def complete(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in their order. Failed ones carry their reason and are added to the file."""
        questions = [self._question(request) for request in requests]
        keys = [digest(question) for question in questions]
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        replies: dict[str, ChatReply] = {}
        for key, i in first.items():
            answer = self.cache.get(questions[i]) if self.cache else None
            if answer:
                replies[key] = ChatReply(requests[i], **answer, cached=True)
        n_cached = len(replies)

        def keep(i: int, reply: ChatReply) -> None:
            replies[keys[i]] = reply
            self.tokens_spent += _spent(reply)
            if reply.ok and self.cache:
                self.cache.put(questions[i], _answer(reply))
            elif not reply.ok and self.failures:
                self.failures.append(self._failure(reply))

        self._send([i for key, i in first.items() if key not in replies], requests, keep)
        failed = sum(not reply.ok for reply in replies.values())
        log.info(
            "%s: %d requests, %d different, %d from the cache, %d failed",
            self.backend.name, len(requests), len(first), n_cached, failed,
        )  # fmt: skip
        if failed:
            reasons = sorted({reply.error for reply in replies.values() if reply.error is not None})
            log.warning("%d of %d chat requests failed, e.g. %s", failed, len(first), reasons[0])
        return [
            replies[key] if first[key] == i else replace(replies[key], cached=replies[key].ok)
            for i, key in enumerate(keys)
        ]

    def stored(self, requests: Sequence[ChatRequest]) -> list[ChatReply | None]:
        """The answers that are in the cache already, None where there is none. Nothing is asked."""
        if self.cache is None:
            return [None] * len(requests)
        found = [(request, self.cache.get(self._question(request))) for request in requests]
        return [ChatReply(request, **answer, cached=True) if answer else None for request, answer in found]

    def replay_failures(self, path: str | Path | None = None) -> list[ChatReply]:
        """Ask again what failed, from `path` (else this client's own file), and leave in it what still fails.

        One reply per different request. Lines that do not parse stay in the file, and are logged.
        """
        failures = FailureFile(path) if path is not None else self.failures
        if failures is None:
            raise SettingsError("this client keeps no file of failures: name one, or open it with failures=...")
        different = {digest(fields): _request(fields) for fields in failures.requests()}
        replies = self.complete(list(different.values()))
        failures.keep_only([self._failure(reply) for reply in replies if not reply.ok])
        return replies

    def _send(self, unpaid: list[int], requests: Sequence[ChatRequest], keep: Callable[[int, ChatReply], None]) -> None:
        """Send the requests numbered `unpaid` in waves that the budget is sure to cover."""
        # The bar stays hidden for calls of under two seconds.
        with tqdm(
            total=len(unpaid), desc=f"ask {self.backend.name}", unit="req", delay=2, disable=not self.progress
        ) as bar:
            while unpaid:
                wave, refusal = self._affordable(unpaid, requests)
                if not wave:
                    for i in unpaid:
                        keep(i, ChatReply.failed(requests[i], refusal))
                    return
                self._send_wave(wave, requests, keep, bar)
                unpaid = unpaid[len(wave) :]

    def _send_wave(
        self,
        wave: list[int],
        requests: Sequence[ChatRequest],
        keep: Callable[[int, ChatReply], None],
        bar: tqdm,
    ) -> None:
        self.requests_sent += len(wave)
        waiting = dict(enumerate(wave))

        def done(place: int, reply: ChatReply) -> None:
            keep(waiting.pop(place), reply)
            bar.set_postfix(tokens=self.tokens_spent, refresh=False)
            bar.update()

        self.backend.generate([requests[i] for i in wave], done)
        for i in waiting.values():
            keep(i, ChatReply.failed(requests[i], f"{self.backend.name} gave no reply"))

    def _affordable(self, unpaid: list[int], requests: Sequence[ChatRequest]) -> tuple[list[int], str]:
        """The first of `unpaid` that the budget covers even in the worst case, and why no more."""
        wave, refusal = unpaid, ""
        if self.max_requests is not None and len(wave) > self.max_requests - self.requests_sent:
            wave = wave[: max(0, self.max_requests - self.requests_sent)]
            refusal = f"budget: all {self.max_requests} requests (max_requests) are spent"
        if self.max_tokens_total is not None:
            left = self.max_tokens_total - self.tokens_spent
            for n, i in enumerate(wave):
                left -= _worst_case(requests[i])
                if left < 0:
                    wave = wave[:n]
                    refusal = (
                        f"budget: {self.tokens_spent} of {self.max_tokens_total} tokens (max_tokens_total) "
                        f"are spent, and this request may need {_worst_case(requests[i])}"
                    )
                    break
        return wave, refusal

    def _question(self, request: ChatRequest) -> dict[str, Any]:
        return {"backend": self.backend.name, **asdict(request)}

    def _failure(self, reply: ChatReply) -> dict[str, Any]:
        return {"backend": self.backend.name, "error": reply.error, "request": asdict(reply.request)}


def open_client(settings: ChatSettings, cache_dir: str | Path | None, *, progress: bool = True) -> ChatClient:
    """The client of a profile's chat model. Answers and failures are kept in `cache_dir`; None keeps none.

    Raises ChatError where the backend cannot be used at all: no model in the folder, no key for a remote
    endpoint.
    """
    # Backends bring heavy packages, and each run needs one of them.
    if settings.backend == "local":
        from fac_lab.chat.local import LocalBackend

        backend: Backend = LocalBackend(settings.model, batch=settings.concurrency)
    else:
        from fac_lab.chat.backends import EndpointBackend

        backend = EndpointBackend.from_settings(settings)
    folder = Path(cache_dir) if cache_dir is not None else None
    return ChatClient(
        backend,
        cache=folder,
        # One file per model: what one model failed at is not to be replayed with another.
        failures=folder / f"failures-{re.sub(r'[^A-Za-z0-9.]+', '-', settings.model)}.jsonl" if folder else None,
        max_requests=settings.max_requests,
        max_tokens_total=settings.max_tokens_total,
        progress=progress,
    )


def _worst_case(request: ChatRequest) -> int:
    """Tokens a request can cost: no tokenizer in use makes more tokens than there are bytes."""
    return request.max_tokens + sum(len(turn["content"].encode(errors="replace")) for turn in request.messages)


def _spent(reply: ChatReply) -> int:
    """Tokens of a reply; where a server does not count them they are taken for as many as they could be, since a
    budget that nothing fills is none."""
    counted = reply.prompt_tokens + reply.completion_tokens
    return counted if counted or not reply.ok else _worst_case(reply.request)


def _answer(reply: ChatReply) -> dict[str, Any]:
    return {
        "text": reply.text,
        "finish": reply.finish,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
    }


def _request(fields: Mapping[str, Any]) -> ChatRequest:
    return ChatRequest(**{**fields, "messages": tuple(fields["messages"])})
