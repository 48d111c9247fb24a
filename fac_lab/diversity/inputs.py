"""What the metrics read, checked, and the NaN that says why there is no number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fac_lab.errors import DataError
from fac_lab.shapes import Float, Int

# Rows that are worked on in double precision at once.
BLOCK_ROWS = 4096


class Undefined(float):
    """NaN with a reason: a metric that does not exist for this data, such as a distance between one text and none.

    It computes, prints in tables and tests as any NaN; `reason` says in words what was missing.
    """

    reason: str

    def __new__(cls, reason: str) -> "Undefined":
        made = super().__new__(cls, "nan")
        made.reason = reason
        return made

    def __getnewargs__(self) -> tuple[str]:
        return (self.reason,)

    def __repr__(self) -> str:
        return f"nan ({self.reason})"


def checked_texts(texts: Sequence[str]) -> Sequence[str]:
    """The texts, if that is what they are. Raises DataError for one string, and for anything that is none."""
    if isinstance(texts, str):
        raise DataError("one string was given where a list of texts belongs: put it into a list")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {place} is {text!r:.40}, not a string: drop such rows or write them out")
    return texts


def checked_vectors(vectors: Any, n: int | None = None) -> Float[np.ndarray, "n_vectors d"]:
    """The vectors as a float array `[n, d]`.

    Raises DataError where they are not that, are not one per text (`n` of them), or are not finite.
    """
    made = np.asarray(vectors)
    if made.ndim != 2 or made.dtype.kind not in "fiu":
        raise DataError(f"vectors have to be numbers [n, d], one row per text, not {made.dtype} of shape {made.shape}")
    if n is not None and len(made) != n:
        raise DataError(f"there are {len(made)} vectors for {n} texts: give one per text, in the same order")
    if made.dtype.kind != "f":
        made = made.astype(np.float64)
    for start in range(0, len(made), BLOCK_ROWS):
        finite = np.isfinite(made[start : start + BLOCK_ROWS]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise DataError(f"vector {row} holds NaN or infinity: look at its text, or at the model's precision")
    return made


def directions(vectors: Any, n: int | None = None) -> tuple[Float[np.ndarray, "n_kept d"], Int[np.ndarray, " n_kept"]]:
    """Unit vectors `[n_kept, d]` in the precision given, and the rows they came from, int64 `[n_kept]`.

    A vector of length 0 (a text without a token) has no direction and is left out. Raises DataError as
    `checked_vectors` does.
    """
    made = checked_vectors(vectors, n)
    rows = np.flatnonzero(made.any(axis=1))
    units = np.empty((len(rows), made.shape[1]), made.dtype)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = made[rows[start : start + BLOCK_ROWS]].astype(np.float64)
        # Over the largest number first, so that squares neither overflow nor vanish.
        block /= np.abs(block).max(axis=1, keepdims=True)
        units[start : start + BLOCK_ROWS] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return units, rows
