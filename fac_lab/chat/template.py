"""A tokenizer's chat template: messages as the tokens of a prompt, and the tokens that end a turn."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

_SENTINEL = "FacLabSentinel"
# Some templates write today's date into every prompt unless told one.
_TEMPLATE_DATE = "26 Jul 2024"


def render(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """The prompt in the chat template; without messages, what the template puts before a user's turn.

    Raises jinja2's TemplateError where the template refuses the messages.
    """
    if not messages:
        return _templated(tokenizer, [{"role": "user", "content": _SENTINEL}]).partition(_SENTINEL)[0]
    return _templated(tokenizer, [dict(turn) for turn in messages], add_generation_prompt=True)


def encode(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """The tokens of the rendered prompt, in which messages make no token of the template's.

    A tokenizer reads "<|im_end|>" as the end of a turn wherever it stands: a text that says so would end its own turn
    and could begin another. In messages such words are read in two halves, as the characters they are. Raises
    TemplateError where the template refuses the messages, or changes one that says such words.
    """
    text = render(tokenizer, messages)
    added = [word for word in tokenizer.get_added_vocab() if len(word) > 1]
    cuts: set[int] = set()
    if any(word in turn["content"] for turn in messages for word in added):
        for start, stop in _places(tokenizer, messages, text):
            cuts.update(place + 1 for word in added for place in _occurrences(word, text, start, stop))
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[start:stop] for start, stop in zip(bounds, bounds[1:], strict=False)]
    return [token for piece in pieces for token in tokenizer(piece, add_special_tokens=False)["input_ids"]]


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


def _places(tokenizer: Any, messages: Sequence[Mapping[str, str]], text: str) -> list[tuple[int, int]]:
    """Where each message stands in the prompt `text`: found by rendering others in their place, not by its words."""
    marks = [f"{_SENTINEL}-{i}-" for i in range(len(messages))]
    rest = render(tokenizer, [{**turn, "content": mark} for turn, mark in zip(messages, marks, strict=True)])
    around = []
    for mark in marks:
        before, _, rest = rest.partition(mark)
        around.append(before)
    for said in ([turn["content"] for turn in messages], [turn["content"].strip() for turn in messages]):
        if text == "".join(before + content for before, content in zip(around, said, strict=True)) + rest:
            places, end = [], 0
            for before, content in zip(around, said, strict=True):
                start = end + len(before)
                end = start + len(content)
                places.append((start, end))
            return places
    raise TemplateError("it changes a message that holds tokens of the template")


def _occurrences(word: str, text: str, start: int, stop: int) -> Iterator[int]:
    """Where `word` begins within `text[start:stop]`, overlapping ones too."""
    place = text.find(word, start, stop)
    while place >= 0:
        yield place
        place = text.find(word, place + 1, stop)


def _templated(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, date_string=_TEMPLATE_DATE, **options)
