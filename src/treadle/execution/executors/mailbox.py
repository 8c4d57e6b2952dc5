"""A queue from other threads to the thread that runs the loop, which loses nothing when Ctrl-C interrupts the reader.

`queue.SimpleQueue.get` may have removed an item when the interrupt comes, before the caller has it. Here the reader looks at the
first item, handles it, and then removes it: after an interrupt it may see an item again, but none is lost. State: the items.
Runs in the parent.
"""

from __future__ import annotations

import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """The items that have arrived and were not handled yet, in order. One thread reads; any thread may put."""

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        """The reader removes each of them after it has handled it."""
        self._arrivals: SimpleQueue[None] = SimpleQueue()  # at least one for each item that the reader does not know of

    def put(self, item: T) -> None:
        """Add an item."""
        self.items.append(item)
        self._arrivals.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until there is an item.

        Args:
            timeout: seconds to wait at most; None for no limit.

        Returns:
            False if there is none.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.items:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                self._arrivals.get(timeout=left) if left is None or left > 0 else self._arrivals.get_nowait()
            except Empty:
                break
        return bool(self.items)
