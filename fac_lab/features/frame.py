"""The frame that a chat template puts around a user's message, read off by rendering a sentinel in it."""

from typing import NamedTuple

from fac_lab.errors import ModelError

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


def chat_frame(tokenizer, name: str, *, generation_prompt: bool = True) -> Frame:
    """What the tokenizer's chat template writes before and after a user message.

    With `generation_prompt`, the opening of the model's reply is part of what comes after.

    Raises ModelError, with the cure, where there is no template or where it writes the message not just once.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            f'{name} has no chat template. Set subject.template to "none" to read plain texts, or add a '
            "chat_template.jinja to the model's folder."
        )

    def render(message: str) -> str:
        return tokenizer.apply_chat_template(
            [{"role": "user", "content": message}],
            tokenize=False,
            add_generation_prompt=generation_prompt,
            date_string=_TEMPLATE_DATE,
        )

    parts = render(_SENTINEL).split(_SENTINEL)
    if len(parts) != 2:
        raise ModelError(
            f"The chat template of {name} writes the user's message {len(parts) - 1} times instead of once, "
            "so its tokens cannot be told from the template's. Mend the template, or set subject.template to "
            '"none".'
        )
    strips = f" {_SENTINEL} " not in render(f" {_SENTINEL} ")
    return Frame(parts[0], parts[1], strips)
