"""What settings may hold, refused by the key's name."""

from collections.abc import Sequence

from fac_lab.errors import SettingsError


def require(condition: bool, message: str) -> None:
    """Raise SettingsError unless the condition holds."""
    if not condition:
        raise SettingsError(message)


def one_of(key: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices."""
    require(value in choices, f"{key} is {value!r}; choose one of {', '.join(map(repr, choices))}")


def at_least(key: str, value: float | None, least: float) -> None:
    """Refuse a number below the least; None passes."""
    require(value is None or value >= least, f"{key} is {value}; it has to be at least {least}")
