"""The queue of a service: submitted runs, which one thread runs in order.

State: the handles that wait, the one that runs, and the thread, which is started by the first submitted run. Neighbours:
`service.py` owns the queue, `handle.py` has the state of each run.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from treadle.session.handle import RunHandle

_logger = logging.getLogger(__name__)


class RunQueue:
    """Runs that are waiting, and the thread that runs them one after the other."""

    def __init__(self) -> None:
        self._changed = fork_safe(threading.Condition())
        self._waiting: deque[RunHandle] = deque()
        self._current: RunHandle | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._process = os.getpid()

    def put(self, handle: RunHandle) -> None:
        """Append a run.

        Args:
            handle: its handle.
        """
        with self._changed:
            self._discard_inherited()
            self._waiting.append(handle)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="treadle-service", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def is_own_thread(self) -> bool:
        """Whether this is called in the thread that runs the runs."""
        return threading.current_thread() is self._thread

    def close(self, *, cancel: bool = False) -> None:
        """Wait for all runs, and end the thread.

        Args:
            cancel: cancel them first.
        """
        with self._changed:
            self._discard_inherited()
        if cancel:
            with self._changed:
                handles = [*self._waiting, *([self._current] if self._current is not None else [])]
            for handle in handles:
                handle.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _discard_inherited(self) -> None:
        """Forget the runs and the thread in a forked child: they belong to the parent. The caller holds the lock."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._waiting.clear()
            self._current = self._thread = None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                handle = self._current = self._waiting.popleft()
            try:
                handle.run()
            except BaseException:  # the other runs must not wait for ever for a thread that has ended
                _logger.exception("An error that is not part of the run occurred at the end of the run %s.", handle.id)
            self._current = handle = None  # type: ignore[assignment]  # keeps no result alive while the thread waits
