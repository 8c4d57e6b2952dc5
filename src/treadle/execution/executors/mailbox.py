"""What other threads send to the thread that runs the loop. An interrupt of the reader loses nothing.

`queue.SimpleQueue.get` removes an item before its caller has it, so an interrupt in between loses the item. Here an item is
removed only after it has been handled: after an interrupt it may be handled again. State: the items. Runs in the parent.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from treadle.execution.processes.safe_points import safe_point

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items that have arrived and are not handled yet, in order. One thread reads; any thread may put."""

    def __init__(self) -> None:
        self._items: deque[T | None] = deque()  # None: `wake` was called
        # One for each item that has arrived since they were last handled. An interrupt may leave a threading.Event locked.
        self._arrivals: SimpleQueue[None] = SimpleQueue()

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.append(item)
        self._arrivals.put(None)

    def wake(self) -> None:
        """End a `wait`."""
        self._items.append(None)
        self._arrivals.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until there is an item, or `wake` is called.

        Args:
            timeout: seconds to wait at most; None for no limit.

        Returns:
            False if nothing has come.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with suppress(Empty), safe_point():
            while not self._items:
                self._arrivals.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        return bool(self._items)

    def handle_all(self, handle: Callable[[T], object]) -> bool:
        """Call a function with each item, and then remove the item.

        Args:
            handle: the function. If it raises an exception, the item is removed as well; after a KeyboardInterrupt it stays.

        Returns:
            Whether `wake` was called.
        """
        items, is_woken = self._items, False
        with suppress(Empty):
            while True:
                self._arrivals.get_nowait()  # its item is here already
        while items:
            item = items[0]
            if item is None:
                is_woken = True
            else:
                try:
                    handle(item)
                except Exception:
                    items.popleft()
                    raise
            items.popleft()
        return is_woken
