"""HTTP that no server can abuse: answers are bounded in size and time, and nobody is sent elsewhere."""

import logging
import time
from collections.abc import Iterator
from typing import cast

import httpx2
import openai

MOST_BYTES = 2_000_000
"""Bytes of an answer, after decompression; the longest that anything here asks for has some ten thousand."""


# Its debug lines hold headers as they come, and a server may send the key back in one.
logging.getLogger("httpcore2").setLevel(logging.INFO)


class AnswerRefused(httpx2.ReadError):
    """An answer that is larger, or takes longer, than any sound one."""


def bounded_client(seconds: float, most_bytes: int = MOST_BYTES) -> httpx2.Client:
    """A client that breaks off an answer beyond `most_bytes`, or one that is not over `seconds` after it began, and
    follows no redirect.

    The library's own limit is one between two bytes, which a server that sends a byte now and then never reaches. A
    redirect would take what is asked, and the key with it, to an address that nobody named.
    """

    def bound(response: httpx2.Response) -> None:
        # Of a client that is not asynchronous, neither is the stream.
        stream = cast(httpx2.SyncByteStream, response.stream)
        response.stream = _Bounded(stream, time.monotonic() + seconds, seconds, most_bytes)
        # What is small on the wire may be large once unpacked, so that nothing packed is read at all.
        if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise AnswerRefused("it is compressed, which was not asked for")

    return openai.DefaultHttpxClient(
        timeout=seconds,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [bound]},
    )


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, until: float, seconds: float, most_bytes: int) -> None:
        self._stream, self._until, self._seconds, self._most_bytes = stream, until, seconds, most_bytes

    def __iter__(self) -> Iterator[bytes]:
        n = 0
        for part in self._stream:
            n += len(part)
            if n > self._most_bytes:
                raise AnswerRefused(f"it is longer than {self._most_bytes:,} bytes")
            if time.monotonic() > self._until:
                raise AnswerRefused(f"it was not over after {self._seconds:g} s")
            yield part

    def close(self) -> None:
        self._stream.close()
