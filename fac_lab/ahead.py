"""Work ahead: the next items of an iterator are made in a thread of their own while the last one is used.

Tokenizers, matrix products and sorts of arrays let go of Python's lock, so what is made and what is done with it
take the time of the longer of the two.
"""

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 0.05
"""Seconds after which a waiting thread looks whether it is still wanted."""
_END = object()


def ahead(items: Iterable[T], depth: int = 1) -> Iterator[T]:
    """The same items in the same order, `depth` of them made before they are asked for.

    An error in `items` is raised where its item would have come. Closing the iterator (as leaving a `for` loop by an
    exception does in the end) stops the thread behind the item in work and closes `items`.
    """
    queue: Queue[tuple[Any, BaseException | None]] = Queue(depth)
    unwanted = threading.Event()

    def give(item: Any, error: BaseException | None = None) -> bool:
        while not unwanted.is_set():
            try:
                queue.put((item, error), timeout=_PATIENCE)
                return True
            except Full:
                pass
        return False

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if not give(item):
                    return
            give(_END)
        except BaseException as error:  # raised again where the items are used
            give(_END, error)
        finally:
            if hasattr(source, "close"):
                source.close()

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item, error = queue.get(timeout=_PATIENCE)  # with a limit, so that Ctrl-C is heard at once
            except Empty:
                continue
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        unwanted.set()
        thread.join()
