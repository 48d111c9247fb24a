"""JSON and YAML that others wrote: read, or refused by a ValueError, however it is made."""

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
