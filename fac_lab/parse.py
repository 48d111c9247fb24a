"""JSON, YAML and texts that others wrote: read, or refused by a ValueError, however they are made."""

import json
from typing import Any

import yaml

# libyaml's loader where it is there: ten times as fast, and as safe.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for anything else, and for one that is nested too deeply to read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """The plain value of a YAML text, which makes no object of any class. Raises ValueError likewise."""
    try:
        return yaml.load(text, _SafeLoader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def sound(text: str) -> str:
    """The text with halves of surrogate pairs, which JSON can spell, replaced by U+FFFD: no tokenizer takes them, and
    no file in UTF-8 can hold them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
