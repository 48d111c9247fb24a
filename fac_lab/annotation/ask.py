"""Asking for answers that have to be read: one repair, then a reason."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from fac_lab.annotation.styles import Style, Unreadable
from fac_lab.chat.client import ChatClient, ChatReply, ChatRequest
from fac_lab.errors import short

log = logging.getLogger(__name__)

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What an answer said, or why it could not be used."""

    value: T | None
    error: str | None
    """None where `value` was read."""


class Run(NamedTuple):
    """How answers are sampled: what two runs of one annotator differ in."""

    temperature: float = 0.0
    seed: int = 0


PAPER_RUN = Run()
"""The paper's: temperature 0."""


def questions(
    conversations: Sequence[Sequence[Mapping[str, str]]],
    *,
    style: Style,
    max_tokens: int,
    schema: Mapping[str, Any],
    run: Run = PAPER_RUN,
) -> list[ChatRequest]:
    """The requests that `ask` sends first: one per conversation."""
    return [
        ChatRequest(
            tuple(messages),
            temperature=run.temperature,
            max_tokens=max_tokens,
            seed=run.seed,
            schema=schema if style.structured else None,
        )
        for messages in conversations
    ]


def ask(
    chat: ChatClient, requests: Sequence[ChatRequest], read: Callable[[str], T], *, style: Style
) -> list[Answer[T]]:
    """One answer per request. One that cannot be read is asked for once more, as the style does.

    `read` raises Unreadable. All questions go out in one batch, and all repairs in a second one. Each reply is kept
    by the client as it arrives: an annotation that was killed goes on with the questions that have none.
    """
    replies = chat.complete(requests)
    answers = [_read(reply, read) for reply in replies]
    broken = [i for i, reply in enumerate(replies) if reply.ok and answers[i].error is not None]
    repairs = [style.ask_again(requests[i], replies[i].text or "", answers[i].error or "") for i in broken]
    for i, reply in zip(broken, chat.complete(repairs) if repairs else (), strict=True):
        second = _read(reply, read)
        if second.error is not None:
            second = Answer(None, f"unreadable twice: {second.error}; the answer was {short(reply.text or '', 100)!r}")
        answers[i] = second
    failed = [answer.error for answer in answers if answer.error is not None]
    if failed:
        log.warning("%d of %d annotations failed, e.g. %s", len(failed), len(answers), failed[0])
    return answers


def _read(reply: ChatReply, read: Callable[[str], T]) -> Answer[T]:
    if not reply.ok:
        return Answer(None, reply.error)
    try:
        return Answer(read(reply.text or ""), None)
    except Unreadable as error:
        return Answer(None, str(error))
