"""Pairs of replies of which one is preferred: what reward models learn from and are examined on.

Apart from what trains them, which takes seconds to import.
"""

from typing import NamedTuple


class Comparison(NamedTuple):
    """Two replies to one prompt."""

    id: str
    prompt: str
    chosen: str
    """The better one."""
    rejected: str
    subset: str = ""
    """Where a test set has parts: which one it is of."""
