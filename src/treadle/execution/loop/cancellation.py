"""A request to stop one run, made from another thread than the one that runs it.

The run stops as after a failed node: no further node starts, and queued jobs are returned. Nodes that are still running after a
moment are ended with their worker process, which is replaced; the other workers stay as they are. A node in a thread cannot be
ended: the run ends without it, and its thread is abandoned.

State: whether the request was made, and what wakes the loop of the run. Runs in the parent. Neighbours: `loop.py` checks for the
request, `treadle.session.handle` makes it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.errors import RunCancelledError
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE_SECONDS = 0.2
"""How long running nodes may take to finish after the request."""


class Cancellation:
    """A request to stop a run; it can be made at any time, from any thread."""

    def __init__(self) -> None:
        self.is_requested = False
        """Whether the run shall stop."""
        self._lock = fork_safe(threading.Lock())
        self._wake: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask the run to stop. Later calls have no effect."""
        with self._lock:  # so that the loop is not woken after its pool was closed
            self.is_requested = True
            if self._wake is not None:
                self._wake()

    def check(self, run_id: str) -> None:
        """Raise if the request was made, before a run begins.

        Args:
            run_id: the run.

        Raises:
            RunCancelledError: it was made.
        """
        if self.is_requested:
            raise cancelled_error(run_id)

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call a function at the request, for the length of the block.

        Args:
            wake: ends the wait that the loop may be in.
        """
        with self._lock:
            self._wake = wake
        try:
            yield
        finally:
            with self._lock:
                self._wake = None


def cancelled_error(run_id: str, abandoned: tuple[str, ...] = ()) -> RunCancelledError:
    """Make the error of a run that was cancelled.

    Args:
        run_id: its id.
        abandoned: the nodes that are still running, in threads.
    """
    msg = f"The run {run_id} was cancelled."
    if abandoned:
        names = ", ".join(f"'{name}'" for name in abandoned)
        msg += f" A thread cannot be ended, so these nodes run on until they return, and then save their outputs: {names}."
    return RunCancelledError(msg, run_id=run_id, abandoned=abandoned)
