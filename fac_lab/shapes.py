"""Shapes of arrays: names for annotations that tests check, and the shape of a sparse matrix.

`Float[np.ndarray, "n d_sae"]` is an array of real numbers with these axes; an axis that is named twice in a signature
has one length. The names are jaxtyping's, and where it is loaded already (a test does that first, see
`tests/test_shapes.py`) so are the types, which a checker can hold against arrays. Anywhere else such an annotation is
the array's plain type: nothing is imported for it, which on a slow machine would take a fifth of a second.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Shaped
else:

    class _Unchecked:
        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = Shaped = _Unchecked

__all__ = ["Bool", "Float", "Int", "Shaped", "size"]


def size(matrix: Any) -> tuple[int, int]:
    """Rows and columns of a sparse matrix, whose own `shape` type checkers take for None."""
    n_rows, n_columns = matrix.shape
    return n_rows, n_columns
