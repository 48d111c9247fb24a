"""Texts as tokens in their template, each with the range of tokens to pool over.

Texts are placed in the template as strings, one tokenizer call serves a whole batch, and the pooled tokens are
found from character offsets, so one code serves every template.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fac_lab.collect_protocol import CollectProtocol
from fac_lab.errors import ModelError
from fac_lab.template import Frame, as_characters, spelling

Offsets = list[tuple[int, int]]
Encoded = Any  # tokenizers.Encoding or template.Characters


class TokenizedText:
    """One text in its template; the tokens that count for pooling are `start` .. `stop - 1`."""

    __slots__ = ("ids", "start", "stop", "truncated", "_offsets")

    def __init__(
        self, ids: np.ndarray, start: int, stop: int, offsets: Offsets | Callable[[], Offsets], truncated: bool
    ):
        self.ids = ids
        """Token ids of the whole prompt, int64 `[n_tokens]`."""
        self.start = start
        """First pooled token."""
        self.stop = stop
        """One after the last pooled token; equal to `start` when nothing is left to pool."""
        self.truncated = truncated
        """Whether tokens were cut from the right of the text to fit the limit."""
        self._offsets = offsets

    @property
    def offsets(self) -> Offsets:
        """Character span in the original text of each pooled token; tokens of the suffix get `(len, len)`, of the
        prefix, where any is pooled, `(0, 0)`. Made when first asked for: few texts of a large corpus own a span."""
        if callable(self._offsets):
            self._offsets = self._offsets()
        return self._offsets


def tokenize(
    tokenizer, texts: Sequence[str], frame: Frame | None, protocol: CollectProtocol, *, pool: str, max_tokens: int
) -> list[TokenizedText]:
    """What `Subject.tokenize` says, for a tokenizer and the frame that goes around a text (None: no template)."""
    around = frame or Frame("", "", strips=False)
    bodies = [text.strip() for text in texts] if around.strips else texts
    encodings = _encodings(tokenizer, bodies, around, frame is None or bool(protocol.second_bos))
    left, tokenized = len(around.prefix), []
    for text, body, encoding in zip(texts, bodies, encodings, strict=True):
        ids = np.array(encoding.ids, dtype=np.int64)
        if frame is None:
            start, end = _between_specials(encoding.special_tokens_mask)
            stop = end
        else:
            start, end = _within(encoding, left, left + len(body))
            stop = len(ids) if pool == "paper" else end
        excess = max(0, len(ids) - max_tokens)
        if excess and protocol.cut == "prompt":
            ids = ids[:max_tokens]
            start, end, stop = (min(bound, max_tokens) for bound in (start, end, stop))
        elif excess:
            # At least one token of the text has to survive, or every long text would look the same.
            if end - start <= excess:
                raise ModelError(
                    f"max_tokens={max_tokens} leaves no room for text: the template of {tokenizer.name_or_path} "
                    f"takes {len(ids) - (end - start)} tokens. Raise subject.max_tokens."
                )
            ids = np.concatenate([ids[: end - excess], ids[end:]])
            end, stop = end - excess, stop - excess
        first = min(protocol.dropped, stop) if protocol.prefix == "fixed" else start
        # Characters of the prompt -> characters of the original text, stripped white space put back.
        stripped = len(text) - len(text.lstrip()) if around.strips else 0
        offsets = partial(
            _offsets, encoding, (start, end), (first, stop), stripped - left, stripped + len(body), len(text)
        )
        tokenized.append(TokenizedText(ids, first, stop, offsets, bool(excess)))
    return tokenized


def _encodings(tokenizer, bodies: Sequence[str], around: Frame, special_tokens: bool) -> list[Encoded]:
    """Each text in its frame. One that spells tokens of a template is read as the characters it has."""
    prompts = [around.prefix + body + around.suffix for body in bodies]
    encodings = tokenizer(
        prompts,
        add_special_tokens=special_tokens,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    ).encodings
    left, spelled = len(around.prefix), spelling(tokenizer)
    for row, body in enumerate(bodies):
        if spelled.search(body):
            place = (left, left + len(body))
            encodings[row] = as_characters(tokenizer, prompts[row], [place], add_special_tokens=special_tokens)
    return encodings


def _within(encoding: Encoded, left: int, right: int) -> tuple[int, int]:
    """Range of the tokens that hold any of the prompt's characters `left` .. `right - 1`."""
    start, end = encoding.char_to_token(left), encoding.char_to_token(right)
    if start is None or end is None:
        # No token holds that character: it is behind the end, or the tokenizer leaves it out.
        spans = encoding.offsets[: _between_specials(encoding.special_tokens_mask)[1]]
        start = bisect_right(spans, left, key=lambda span: span[1])
        return start, max(start, bisect_left(spans, right, key=lambda span: span[0]))
    while encoding.token_to_chars(end)[0] < right:  # it holds the text's last character too
        end += 1
    return start, max(start, end)


def _offsets(
    encoding: Encoded,
    content: tuple[int, int],
    pooled: tuple[int, int],
    shift: int,
    last: int,
    n_text: int,
) -> Offsets:
    """`TokenizedText.offsets`: of the pooled tokens, those in the range `content` are the text's own.

    `shift` takes characters of the prompt to characters of the text, in which the body ends at `last`.
    """
    (start, end), (first, stop) = content, pooled
    own = [(a + shift, b + shift) for a, b in encoding.offsets[max(first, start) : end]]
    if own and (own[0][0] < 0 or own[-1][1] > last):  # tokens at its ends may hold characters of the template
        own = [(min(max(a, 0), last), min(max(b, 0), last)) for a, b in own]
    return [*[(0, 0)] * (start - first), *own, *[(n_text, n_text)] * (stop - max(first, end))]


def _between_specials(special: Sequence[int]) -> tuple[int, int]:
    """Range of the tokens between the special tokens at both ends."""
    start = 0
    while start < len(special) and special[start]:
        start += 1
    stop = len(special)
    while stop > start and special[stop - 1]:
        stop -= 1
    return start, stop


def token_texts(tokenizer, ids: Sequence[int] | np.ndarray) -> list[str]:
    """How each token reads inside a text, white space before it included; special tokens as they are written.

    A token that is only part of a character reads as the tokenizer's vocabulary writes it.
    """
    # Alone, many tokenizers drop a token's leading blank, so each is read behind a letter.
    letter = tokenizer("a", add_special_tokens=False)["input_ids"][-1]
    plain = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    skip = len(tokenizer.decode([letter], **plain))
    texts = [tokenizer.decode([letter, int(token)], **plain)[skip:] for token in ids]
    as_written = set(tokenizer.all_special_ids)
    return [
        tokenizer.convert_ids_to_tokens(int(token)) if "\ufffd" in text or not text or token in as_written else text
        for token, text in zip(ids, texts, strict=True)
    ]
