"""Texts as tokens in their template, each with the range of tokens to pool over.

Texts are placed in the template as strings, one tokenizer call serves a whole batch, and the pooled tokens are
found from character offsets, so one code serves every template.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fac_lab.collect_protocol import CollectProtocol
from fac_lab.errors import ModelError
from fac_lab.features.frame import Frame


class TokenizedText(NamedTuple):
    """One text in its template; the tokens that count for pooling are `start` .. `stop - 1`."""

    ids: np.ndarray
    """Token ids of the whole prompt, int64 `[n_tokens]`."""
    start: int
    """First pooled token."""
    stop: int
    """One after the last pooled token; equal to `start` when nothing is left to pool."""
    offsets: list[tuple[int, int]]
    """Character span in the original text of each pooled token; tokens of the suffix get `(len, len)`, of the
    prefix, where any is pooled, `(0, 0)`."""
    truncated: bool
    """Whether tokens were cut from the right of the text to fit the limit."""


def tokenize(
    tokenizer, texts: Sequence[str], frame: Frame | None, protocol: CollectProtocol, *, pool: str, max_tokens: int
) -> list[TokenizedText]:
    """What `Subject.tokenize` says, for a tokenizer and the frame that goes around a text (None: no template)."""
    around = frame or Frame("", "", strips=False)
    bodies = [text.strip() for text in texts] if around.strips else texts
    prompts = [around.prefix + body + around.suffix for body in bodies]
    encoded = tokenizer(
        prompts,
        add_special_tokens=frame is None or protocol.second_bos,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    tokenized = []
    for index, (text, body) in enumerate(zip(texts, bodies, strict=True)):
        ids = np.array(encoded["input_ids"][index], dtype=np.int64)
        inner = _between_specials(encoded["special_tokens_mask"][index])
        spans = list(encoded["offset_mapping"][index])
        spans[inner[1] :] = [(len(prompts[index]),) * 2] * (len(spans) - inner[1])
        if frame is None:
            (start, end), stop = inner, inner[1]
        else:
            left = len(frame.prefix)
            start = bisect_right(spans, left, key=lambda span: span[1])
            end = max(start, bisect_left(spans, left + len(body), key=lambda span: span[0]))
            stop = len(ids) if pool == "paper" else end
        excess = max(0, len(ids) - max_tokens)
        if excess and protocol.cut == "prompt":
            ids, spans = ids[:max_tokens], spans[:max_tokens]
            start, end, stop = (min(bound, max_tokens) for bound in (start, end, stop))
        elif excess:
            # At least one token of the text has to survive, or every long text would look the same.
            if end - start <= excess:
                raise ModelError(
                    f"max_tokens={max_tokens} leaves no room for text: the template of {tokenizer.name_or_path} "
                    f"takes {len(ids) - (end - start)} tokens. Raise subject.max_tokens."
                )
            ids = np.concatenate([ids[: end - excess], ids[end:]])
            spans = spans[: end - excess] + spans[end:]
            end, stop = end - excess, stop - excess
        # Characters of the prompt -> characters of the original text, stripped white space put back.
        shift = (len(text) - len(text.lstrip()) if around.strips else 0) - len(around.prefix)
        last = shift + len(around.prefix) + len(body)
        first = min(protocol.prefix_tokens, stop) if protocol.prefix == "fixed" else start
        offsets = [
            *[(0, 0)] * (start - first),
            *((min(max(a + shift, 0), last), min(max(b + shift, 0), last)) for a, b in spans[max(first, start) : end]),
            *[(len(text), len(text))] * (stop - max(first, end)),
        ]
        tokenized.append(TokenizedText(ids, first, stop, offsets, bool(excess)))
    return tokenized


def _between_specials(special: Sequence[int]) -> tuple[int, int]:
    """Range of the tokens between the special tokens at both ends."""
    start = 0
    while start < len(special) and special[start]:
        start += 1
    stop = len(special)
    while stop > start and special[stop - 1]:
        stop -= 1
    return start, stop


def token_texts(tokenizer, ids: Sequence[int]) -> list[str]:
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
