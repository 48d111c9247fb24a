"""Dataclasses from plain values (what YAML and JSON hold), with errors that name the key."""

import difflib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from fac_lab.errors import SettingsError

LATER = {"later": True}
"""Metadata of a dataclass field that came after results were made: at its default it leaves digests as they were,
so that a new setting orphans nothing of what is on disk."""


def build(cls: type, values: Any, where: str = "") -> Any:
    """An instance of the dataclass `cls` from plain values, every key and type checked.

    `where` is the path of keys that led here, for messages. Raises SettingsError for an unknown key (with the
    nearest that exists), a missing one, or a value of another type.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{where or 'the profile'} has to be a mapping of keys, not {values!r}")
    known = {field.name: field for field in fields(cls)}
    hints = typing.get_type_hints(cls)
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in known:
            raise SettingsError(f"unknown key {prefix}{key}{nearest(str(key), known)}; there are: {', '.join(known)}")
    for name, field in known.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if required and name not in values:
            raise SettingsError(f"key {prefix}{name} is missing")
    return cls(**{key: _convert(hints[key], value, prefix + key) for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        options = [option for option in inner if option is not type(None)]
        lists = [option for option in options if typing.get_origin(option) is tuple]
        return _convert((lists if lists and isinstance(value, list) else options)[0], value, where)
    if is_dataclass(hint):
        return build(hint, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise SettingsError(f"{where} has to be a mapping, not {value!r}")
        return {str(key): _convert(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is tuple:
        if not isinstance(value, list):
            raise SettingsError(f"{where} has to be a list, not {value!r}")
        return tuple(_convert(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 1e-4 (no dot) as text, which is how people write learning rates.
        try:
            return float(value)
        except ValueError:
            pass
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if type(value) is not hint:
        raise SettingsError(f"{where} is {value!r}; it has to be of type {hint.__name__}")
    return value


def nearest(word: str, known: Iterable[str]) -> str:
    """ " (did you mean ...?)" where a known word is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
