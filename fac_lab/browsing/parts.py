"""Parts of a view that may not be there: the value, or the reason why there is none, in words for people."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from fac_lab.errors import FacLabError

T = TypeVar("T")


class Part(NamedTuple, Generic[T]):
    """A value or a reason; never both, never neither."""

    value: T | None
    reason: str | None

    @classmethod
    def absent(cls, reason: str) -> "Part[T]":
        """A part that is not there."""
        return cls(None, reason)


def part(make: Callable[[], T | None], *, nothing: str = "there is none") -> Part[T]:
    """What `make` returns; `nothing` is the reason where that is None.

    The package's own errors become the reason, because each says what is wrong and how to mend it; so does a module
    or package that is not installed. Any other error is a fault of the program and passes through.
    """
    try:
        value = make()
    except FacLabError as error:
        return Part(None, str(error))
    except ImportError as error:
        return Part(None, f"this installation cannot show it ({error})")
    return Part(None, nothing) if value is None else Part(value, None)
