"""Damage to files: bytes lost, doubled or changed, and values of JSON and YAML replaced by any other."""

import json
import random
from collections.abc import Iterator
from typing import Any

import yaml

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 10**400, -(2**70), 2**63, 1e308, float("nan"), float("inf"), "", "1", "é" * 50, "../../x",
    "\udc80", [], {}, [1], [[]], [None], [{}], {"a": 1},
)  # fmt: skip
WHOLE = (
    b"", b"{}", b"[]", b"null", b'"x"', b"1e999", b"\xff\xfe", b"\n\n\n", b"\0" * 100, b"a,b\n", b"- &a [*a]",
    b"[" * 15_000, b'{"a":' * 15_000,
)  # fmt: skip
"""Files that are something else altogether."""


def damaged(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """The content of a file as it must not be."""
    if suffix in (".json", ".jsonl", ".yaml") and rng.random() < 0.6:
        return _other_value(content, suffix, rng)
    at = rng.randrange(len(content) + 1)
    upto = at + rng.randrange(1, 200)
    kind = rng.randrange(6)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[upto:]
    if kind == 2:
        return content[:at] + content[at:upto] + content[at:]
    if kind == 3:
        return content[:at] + rng.randbytes(rng.randrange(1, 30)) + content[at:]
    if kind == 4:
        return rng.choice(WHOLE)
    changed = bytearray(content)
    for _ in range(rng.choice((1, 3, 20)) if content else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _other_value(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """One value, at any depth, gone or another."""
    if suffix == ".yaml":
        changed = _changed(yaml.safe_load(content), rng)
        return yaml.safe_dump(changed).encode("utf-8", "surrogatepass")
    if suffix == ".json":
        return json.dumps(_changed(json.loads(content), rng)).encode()
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    lines[place] = json.dumps(_changed(json.loads(lines[place]), rng)).encode()
    return b"\n".join(lines) + b"\n"


def _changed(value: Any, rng: random.Random) -> Any:
    place = rng.choice(list(_places(value)))
    gone = bool(place) and rng.random() < 0.2
    return _with(value, place, gone, rng.choice(ODD))


def _places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value[:5]) if isinstance(value, list) else ()
    for key, item in inside:
        yield from _places(item, (*place, key))


def _with(value: Any, place: tuple, gone: bool, new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if gone and len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = _with(copy[place[0]], place[1:], gone, new)
    return copy
