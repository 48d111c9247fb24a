"""A tokenizer's chat template: what it writes around a message, prompts as tokens, and the tokens that end a turn.

A tokenizer reads "<|im_end|>" as the end of a turn wherever it stands, so a text that says so would end its own turn
and could begin another. Here messages make no token of the template's: in them such words are read in two pieces, as
the characters they are.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from jinja2 import TemplateError
from tokenizers import Encoding

from fac_lab.errors import ModelError

Talk = Sequence[Mapping[str, str]]

_SENTINEL = "FacLabSentinel"
# Llama 3.2's template writes today's date into every prompt unless told one; a fixed date keeps activations
# the same from one day to the next. Templates that know no date ignore it.
_TEMPLATE_DATE = "26 Jul 2024"


class Frame(NamedTuple):
    """What the template puts around a user message."""

    prefix: str
    suffix: str
    strips: bool
    """Whether the template strips white space around the message, as Llama's does."""


def chat_frame(tokenizer: Any, name: str, *, generation_prompt: bool = True) -> Frame:
    """What the tokenizer's chat template writes before and after a user message.

    With `generation_prompt`, the opening of the model's reply is part of what comes after.

    Raises ModelError, with the cure, where there is no template or where it writes the message not just once.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            f'{name} has no chat template. Set subject.template to "none" to read plain texts, or add a '
            "chat_template.jinja to the model's folder."
        )

    def written(message: str) -> str:
        talk = [{"role": "user", "content": message}]
        return _templated(tokenizer, talk, add_generation_prompt=generation_prompt)

    try:
        parts = written(_SENTINEL).split(_SENTINEL)
        strips = f" {_SENTINEL} " not in written(f" {_SENTINEL} ")
    except TemplateError as error:
        raise ModelError(
            f'The chat template of {name} cannot be filled in ({error}). Mend it, or set subject.template to "none".'
        ) from error
    if len(parts) != 2:
        raise ModelError(
            f"The chat template of {name} writes the user's message {len(parts) - 1} times instead of once, "
            "so its tokens cannot be told from the template's. Mend the template, or set subject.template to "
            '"none".'
        )
    return Frame(parts[0], parts[1], strips)


def render(tokenizer: Any, messages: Talk, *, generation_prompt: bool = True) -> str:
    """The prompt in the chat template; without messages, what the template puts before a user's turn.

    Raises jinja2's TemplateError where the template refuses the messages.
    """
    if not messages:
        return _templated(tokenizer, [{"role": "user", "content": _SENTINEL}]).partition(_SENTINEL)[0]
    return _templated(tokenizer, [dict(turn) for turn in messages], add_generation_prompt=generation_prompt)


def encode(
    tokenizer: Any, talks: Sequence[Talk], *, generation_prompt: bool = True, behind: str = ""
) -> list[list[int]]:
    """The tokens of each talk's rendered prompt, in which messages make no token of the template's.

    `behind` stands behind every prompt, such as the beginning of a reply, and makes none either.
    Raises ModelError where the template refuses the messages, or changes one that says words of its own.
    """
    if not talks:
        return []
    try:
        return _encode(tokenizer, talks, generation_prompt, behind)
    except TemplateError as error:
        raise ModelError(
            f"the chat template of {tokenizer.name_or_path} refuses the messages: {error}. Mend it, or leave these out"
        ) from error


def _encode(tokenizer: Any, talks: Sequence[Talk], generation_prompt: bool, behind: str) -> list[list[int]]:
    prompts = [render(tokenizer, talk, generation_prompt=generation_prompt) for talk in talks]
    texts = [prompt + behind for prompt in prompts]
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    spelled = spelling(tokenizer)
    for row, (talk, prompt) in enumerate(zip(talks, prompts, strict=True)):
        if any(spelled.search(said) for said in (behind, *(turn["content"] for turn in talk))):
            places = _places(tokenizer, talk, prompt, generation_prompt)
            places.append((len(prompt), len(texts[row])))
            ids[row] = as_characters(tokenizer, texts[row], places, add_special_tokens=False).ids
    return ids


def spelling(tokenizer: Any) -> re.Pattern[str]:
    """Finds the words that steer a model and that its tokenizer reads as one token wherever they stand.

    They are its special tokens, and other added ones that its chat template writes.
    """
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    words = {
        added.content
        for added in tokenizer.added_tokens_decoder.values()
        if len(added.content.strip()) > 1 and (added.special or added.content in template)
    }
    # Without a word, a pattern that never matches.
    return re.compile("|".join(map(re.escape, sorted(words))) or r"(?!)")


class Characters(NamedTuple):
    """A text in which no word of a template was read as its token; what of `tokenizers.Encoding` is needed of it."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """Characters of each token, (0, 0) for the tokenizer's own special tokens."""
    special_tokens_mask: list[int]
    """1 for the tokenizer's own special tokens, else 0."""

    def char_to_token(self, place: int) -> int | None:
        """The first token that holds a character, None where none does."""
        held = (i for i, (start, stop) in enumerate(self.offsets) if start <= place < stop)
        return next(held, None)

    def token_to_chars(self, token: int) -> tuple[int, int]:
        return self.offsets[token]


def as_characters(
    tokenizer: Any, text: str, places: Sequence[tuple[int, int]], *, add_special_tokens: bool
) -> Characters:
    """`text` as tokens, where words of the template that stand in `places` (first character, one after the last) are
    read as characters. Raises ModelError for a tokenizer without a fast version."""
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"The tokenizer of {tokenizer.name_or_path} has no fast version, which is needed here.")
    # Cut behind its first letter, a word is none any more.
    cuts = {word + 1 for start, stop in places for word in _words(spelling(tokenizer), text, start, stop)}
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(bounds)]
    read = tokenizer(pieces, add_special_tokens=False, truncation=False, padding=False, verbose=False).encodings
    offsets = [(a + begin, b + begin) for begin, piece in zip(bounds, read, strict=False) for a, b in piece.offsets]
    joined = Encoding.merge(read)
    whole = tokenizer.backend_tokenizer.post_process(joined, None, add_special_tokens)
    around = list(whole.special_tokens_mask)
    own = iter(offsets)  # `whole` has some of its own, moved twice by tokenizers that take blanks off them
    return Characters(whole.ids, [(0, 0) if special else next(own) for special in around], around)


def turn_ends(tokenizer: Any, config: Any) -> list[int]:
    """Tokens that end a turn: the model's own, and the first special token behind each kind of turn."""
    configured = config.get_text_config().eos_token_id
    ends = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    turns = [{"role": role, "content": _SENTINEL} for role in ("user", "assistant")]
    for messages in (turns[:1], turns):
        behind = _templated(tokenizer, messages).rpartition(_SENTINEL)[2]
        tokens = tokenizer(behind, add_special_tokens=False)["input_ids"]
        ends.add(next((token for token in tokens if token in special), None))
    return sorted(ends - {None})


def _words(spelled: re.Pattern[str], text: str, start: int, stop: int) -> Iterator[int]:
    """Where words begin within `text[start:stop]`, such as begin in others too."""
    while match := spelled.search(text, start, stop):
        yield match.start()
        start = match.start() + 1


def _places(tokenizer: Any, talk: Talk, text: str, generation_prompt: bool) -> list[tuple[int, int]]:
    """Where each message stands in the prompt `text`: found by rendering others in their place, not by its words."""
    marks = [f"{_SENTINEL}-{i}-" for i in range(len(talk))]
    marked = [{**turn, "content": mark} for turn, mark in zip(talk, marks, strict=True)]
    rest = render(tokenizer, marked, generation_prompt=generation_prompt)
    around = []
    for mark in marks:
        before, _, rest = rest.partition(mark)
        around.append(before)
    for said in ([turn["content"] for turn in talk], [turn["content"].strip() for turn in talk]):
        if text == "".join(before + content for before, content in zip(around, said, strict=True)) + rest:
            places, end = [], 0
            for before, content in zip(around, said, strict=True):
                start = end + len(before)
                end = start + len(content)
                places.append((start, end))
            return places
    raise TemplateError("it changes a message that holds tokens of the template")


def _templated(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, date_string=_TEMPLATE_DATE, **options)
