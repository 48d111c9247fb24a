"""How a family of prompts shows untrusted text and reads answers: `paper` for large models, `mini` for ours.

Spans come from data sets, summaries from a model that read them: neither may give orders. In `paper` prompts
each is one JSON string on a line of its own, in which no markup can be forged; in `mini` prompts, whose
models follow no orders, it is one line of words. Answers are read strictly: what is not in the asked form is
refused, with a reason.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fac_lab.chat.client import ChatRequest
from fac_lab.features.spans import Span
from fac_lab.parse import parse_json

VERDICTS = ("Yes", "Probably", "Maybe", "No")
MAX_SUMMARY_WORDS = 40
MINI_SPAN_WORDS, MINI_WORDS_BEHIND_PEAK = 12, 4
"""The mini annotator learned from pieces of this length that end soon after the words that matter."""


# Beyond JSON's own: no text can end the block of data it stands in, nor break its line.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>\x85\u2028\u2029"}
# Nor spell a token of a chat template in square brackets, such as Mistral's, which some servers take from any text.
_BRACKETED = re.compile(r"\[(?=/?[A-Z_]+\])")


class Unreadable(ValueError):
    """Why an answer is not in the form that was asked for."""


@dataclass(frozen=True)
class Style:
    """One family of prompts."""

    spans: int
    """Spans shown per feature."""
    structured: bool
    """Whether answers are JSON objects."""
    show_span: Callable[[Span], str]
    """A span as it stands in a prompt, its peak marked where the models know the mark."""
    quote: Callable[[str], str]
    """Any other untrusted text as it stands in a prompt, on one line."""
    phrase: Callable[[str | None], str]
    """A summary as it stands in a prompt; None is a feature that could not be named."""
    read_summary: Callable[[str], str | None]
    """The summary in an answer, None where it says that it cannot tell. Raises Unreadable."""
    read_verdict: Callable[[str], tuple[str, str]]
    """Verdict and reason in an answer. Raises Unreadable."""
    ask_again: Callable[[ChatRequest, str, str], ChatRequest]
    """The request that gives an unreadable answer, refused for a reason, one more chance."""
    names_only: bool
    """Whether the models can only name spans and judge names: any other question is put to them as naming."""


def style_of(prompts: str | Path) -> Style:
    """The style of a folder of prompts: `MINI` if that is its name, else `PAPER`."""
    return MINI if Path(prompts).name == "mini" else PAPER


def json_object(text: str, key: str) -> dict[str, Any]:
    """The JSON object that is the whole of `text`, alone or in a code fence, with a text at `key`."""
    value = _any_object(text)
    if not isinstance(value.get(key), str) or not value[key].strip():
        raise Unreadable(f'its "{key}" is missing, or not a text')
    return value


def read_choices(text: str, key: str, n: int, choices: Sequence[str]) -> tuple[str, ...]:
    """The `n` choices listed at `key` of the JSON object that is the whole of `text`. Raises Unreadable."""
    values = _any_object(text).get(key)
    if not isinstance(values, list) or len(values) != n:
        raise Unreadable(f'its "{key}" is missing, or not a list of {n}')
    if not all(isinstance(value, str) and value in choices for value in values):
        raise Unreadable(f'its "{key}" holds something that is none of {", ".join(choices)}')
    return tuple(values)


def _any_object(text: str) -> dict[str, Any]:
    inside = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    try:
        value = parse_json(inside[1] if inside else text)
    except ValueError:
        raise Unreadable("it is not one JSON object") from None
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")
    try:
        # JSON can spell what no file and no request can hold: "\\ud83d".
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:  # it could be read, and only just
        raise Unreadable("it is not one JSON object") from None
    except UnicodeEncodeError:
        raise Unreadable("it holds half of a surrogate pair") from None
    return value


def answer_schema(key: str, **allowed: Any) -> Mapping[str, Any]:
    """JSON schema of an object with a text at `key`, restricted by `allowed` (such as `enum`)."""
    return object_schema({key: {"type": "string", **allowed}})


def object_schema(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON schema of an object that has these properties, all of them and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _json_quote(text: str) -> str:
    quoted = _BRACKETED.sub(r"\\u005b", json.dumps(text, ensure_ascii=False).translate(_ESCAPES))
    # Half a surrogate pair cannot be sent; spelled out it can.
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", quoted)


def _json_span(span: Span) -> str:
    text = span.text.replace("«", '"').replace("»", '"')
    start, stop = span.peak
    # A peak behind the text, in the chat template, has no token to mark.
    marked = f"{text[:start]}«{text[start:stop]}»{text[stop:]}" if start < stop else text
    return _json_quote(marked)


def _read_json_summary(answer: str) -> str | None:
    if _cannot_tell(answer):
        return None
    summary = " ".join(json_object(answer, "summary")["summary"].split())
    if _cannot_tell(summary):
        return None
    if len(summary.split()) > MAX_SUMMARY_WORDS:
        raise Unreadable(f"the summary has more than {MAX_SUMMARY_WORDS} words")
    return summary


def _read_json_verdict(answer: str) -> tuple[str, str]:
    value = json_object(answer, "verdict")
    if value["verdict"] not in VERDICTS:
        raise Unreadable(f'its "verdict" is none of {", ".join(VERDICTS)}')
    reason = value.get("reason", "")
    return value["verdict"], " ".join(reason.split()) if isinstance(reason, str) else ""


def _point_out(request: ChatRequest, answer: str, reason: str) -> ChatRequest:
    correction = (
        f"That answer cannot be read: {reason}. Answer again, with the JSON object that was asked for and nothing else."
    )
    turns = ({"role": "assistant", "content": answer}, {"role": "user", "content": correction})
    return replace(request, messages=(*request.messages, *turns))


def _plain_quote(text: str) -> str:
    return " ".join(text.split())


def _plain_span(span: Span) -> str:
    end = len(span.text[: span.peak[1]].split()) + MINI_WORDS_BEHIND_PEAK
    return " ".join(span.text.split()[:end][-MINI_SPAN_WORDS:])


def _plain_phrase(summary: str | None) -> str:
    return f"{_plain_quote(summary).rstrip('.') if summary else 'cannot tell'}."


def _read_plain_summary(answer: str) -> str | None:
    if _cannot_tell(answer):
        return None
    match = re.fullmatch(r"[Rr]equests about (\w.*?)\.?", answer.strip())
    if not match or len(answer.split()) > MAX_SUMMARY_WORDS:
        raise Unreadable('it is neither "Requests about ..." nor "Cannot tell."')
    return f"requests about {match[1]}"


def _read_plain_verdict(answer: str) -> tuple[str, str]:
    verdict = answer.strip().removesuffix(".")
    if verdict not in VERDICTS:
        raise Unreadable(f"it is none of {', '.join(VERDICTS)}")
    return verdict, ""


def _draw_again(request: ChatRequest, answer: str, reason: str) -> ChatRequest:
    # Too small to take a correction: the same question, with some chance in the answer.
    return replace(request, temperature=0.7, seed=request.seed + 1)


def match_names(a: str | None, b: str | None) -> str:
    """How well two names by a model that only names agree, one of VERDICTS.

    Such a name is a thing with its domain in brackets, or a domain alone. "Yes": the same. "Probably": one is the
    domain of the other. "Maybe": two things of one domain. "No": anything else, and where either is None.
    """
    if a is None or b is None:
        return "No"
    (thing, domain), (other, other_domain) = _named(a), _named(b)
    if (thing, domain) == (other, other_domain):
        return "Yes"
    if domain is None or other_domain is None:
        return "Probably" if (domain or thing) == (other_domain or other) else "No"
    return "Maybe" if domain == other_domain else "No"


def _named(name: str) -> tuple[str, str | None]:
    """Thing and domain of `requests about THING (DOMAIN)`; the domain is None where there is none."""
    words = _plain_quote(name).rstrip(".").lower().removeprefix("requests about ")
    match = re.fullmatch(r"(.+) \(([^()]+)\)", words)
    return (match[1], match[2]) if match else (words, None)


def _cannot_tell(text: str) -> bool:
    return text.strip().strip("\"'.").lower() == "cannot tell"


PAPER = Style(
    spans=10,
    structured=True,
    show_span=_json_span,
    quote=_json_quote,
    phrase=lambda summary: _json_quote(summary or "not known: go by the examples"),
    read_summary=_read_json_summary,
    read_verdict=_read_json_verdict,
    ask_again=_point_out,
    names_only=False,
)
MINI = Style(
    spans=6,
    structured=False,
    show_span=_plain_span,
    quote=_plain_quote,
    phrase=_plain_phrase,
    read_summary=_read_plain_summary,
    read_verdict=_read_plain_verdict,
    ask_again=_draw_again,
    names_only=True,
)
