"""Asking a generator for one query, and reading what comes back."""

from collections.abc import Collection, Mapping, Sequence

from fac_lab.annotation.styles import Style, Unreadable, answer_schema, json_object
from fac_lab.chat.client import ChatReply, ChatRequest
from fac_lab.profile import SynthesisSettings


def query_request(
    messages: Sequence[Mapping[str, str]], *, settings: SynthesisSettings, style: Style, seed: int
) -> ChatRequest:
    """The request for one query, sampled as the settings say."""
    return ChatRequest(
        tuple(messages),
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=seed,
        schema=answer_schema("query") if style.structured else None,
    )


def read_query(reply: ChatReply, style: Style) -> tuple[str, str]:
    """The query in a reply, and why there is none: one of the two is empty."""
    if not reply.ok:
        return "", f"no reply: {reply.error}"
    if reply.finish == "length":
        return "", "cut off at max_tokens"
    text = reply.text or ""
    if style.structured:
        try:
            text = json_object(text, "query")["query"]
        except Unreadable as error:
            return "", f"unreadable: {error}"
    text = text.strip()
    return (text, "") if text else ("", "empty")


def instructions(messages: Sequence[Mapping[str, str]], shown: Collection[str], style: Style) -> list[str]:
    """The lines of a prompt that are not one of the `shown` texts alone."""
    data = {style.quote(text) for text in shown}
    lines = (line.strip() for turn in messages for line in turn["content"].splitlines())
    return [line for line in lines if line and line not in data]
