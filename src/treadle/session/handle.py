"""The handle of a run that was submitted to a service: its state, its progress, its result, and how to cancel it.

State: that of one run, changed by the thread that runs it and by `cancel`. Neighbours: `service.py` makes handles, `run_queue.py`
runs them.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from treadle.errors import RunCancelledError, SessionError
from treadle.execution.loop.cancellation import Cancellation, cancelled_error
from treadle.forks import fork_safe
from treadle.observe.run_progress import RunProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.events import Event
    from treadle.execution.loop.result import RunResult

_logger = logging.getLogger(__name__)

HandleStatus: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""The states of a submitted run; the last three are final."""


@dataclass(frozen=True, slots=True)
class HandleProgress:
    """How far a run is.

    Attributes:
        nodes: number of its nodes; 0 before it starts.
        done: number of nodes that succeeded.
        reused: number of nodes that did not run because they are up to date.
        skipped: number of nodes that will not run.
        failed: names of the nodes that failed.
        running: names of the nodes that are running.
        seconds_left: estimated time until it ends; None if that is not known.
    """

    nodes: int = 0
    done: int = 0
    reused: int = 0
    skipped: int = 0
    failed: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    seconds_left: float | None = None


class RunHandle:
    """A run that was submitted to a `ServiceSession`; its methods may be called from any thread.

    Args:
        run_id: the id of the run.
        run: runs it; called once, with the handle, in the thread of the queue.
    """

    def __init__(self, run_id: str, run: Callable[[RunHandle], RunResult]) -> None:
        self.id = run_id
        """The id of the run, which is also that of its record."""
        self.cancellation = Cancellation()
        """By which the run is stopped."""
        self._run: Callable[[RunHandle], RunResult] | None = run
        self._process = os.getpid()
        self._changed = fork_safe(threading.Condition())
        self._status: HandleStatus = "queued"
        self._progress = RunProgress()
        self._result: RunResult | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[RunHandle], object]] = []

    @property
    def status(self) -> HandleStatus:
        """`"queued"`, `"running"`, `"succeeded"`, `"failed"` or `"cancelled"`."""
        return self._status

    @property
    def is_done(self) -> bool:
        """Whether the run has ended, in whichever way."""
        return self._status not in ("queued", "running")

    @property
    def progress(self) -> HandleProgress:
        """How far the run is."""
        with self._changed:
            seen = copy.copy(self._progress)
            busy = tuple(node for node, _since in seen.busy.values())
            left = seen.seconds_left(time.time()) if self._status == "running" else None
            counts = (seen.total, seen.done, len(seen.reused), seen.skipped)
            return HandleProgress(*counts, tuple(seen.failed), busy, left)

    def cancel(self) -> bool:
        """Cancel the run: at once if it is queued, and otherwise as soon as its nodes can be stopped.

        No further node starts. Nodes that are running get a moment to finish, and are then ended with their worker process,
        which is replaced; a node that runs in a thread or in the main process cannot be ended.

        Returns:
            False if the run had ended before. It may end successfully even so, if its last node was about to finish.

        Raises:
            SessionError: this process was forked while the run went on, which only its parent can cancel.
        """
        with self._changed:
            if self.is_done:
                return False
            self._refuse_in_child("be cancelled")
            if self._status == "queued":
                self._finish("cancelled", error=cancelled_error(self.id))
        self.cancellation.request()
        self._call_back()
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run.

        Args:
            timeout: seconds to wait at most; None for no limit.

        Returns:
            Whether it has ended.

        Raises:
            SessionError: this process was forked while the run went on, so that it cannot learn of the end.
        """
        with self._changed:
            if not self.is_done:
                self._refuse_in_child("be waited for")
            return self._changed.wait_for(lambda: self.is_done, timeout)

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait for the end of the run and return its result.

        Args:
            timeout: seconds to wait at most; None for no limit.

        Returns:
            The result, as `ServiceSession.run` returns it.

        Raises:
            TimeoutError: the run has not ended in time. It goes on.
            SessionError: this process was forked while the run went on.
            RunCancelledError: the run was cancelled.
            TreadleError: the error of the run, as `ServiceSession.run` raises it.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        assert self._result is not None  # noqa: S101 - a run that has ended without an error has a result
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end of the run and return its error; None if it succeeded.

        Args:
            timeout: seconds to wait at most; None for no limit.

        Raises:
            TimeoutError: the run has not ended in time. It goes on.
            SessionError: this process was forked while the run went on.
        """
        if not self.wait(timeout):
            msg = f"The run {self.id} is still {self._status} after {timeout:g} s. It goes on; wait again, or cancel it."
            raise TimeoutError(msg)
        return self._error

    def add_done_callback(self, function: Callable[[RunHandle], object]) -> None:
        """Call a function with this handle when the run has ended; at once if it has.

        Args:
            function: called in the thread that ends the run; it must return quickly. An exception that it raises is logged.
        """
        with self._changed:
            self._callbacks.append(function)
        self._call_back()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self._status}>"

    # --- called by the service -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run it, unless it was cancelled; the error of the run is kept for `result`."""
        with self._changed:
            run, self._run = self._run, None
            if self.is_done or run is None:
                return
            self._status = "running"
            self._changed.notify_all()
        try:
            result = run(self)
        except BaseException as exc:  # noqa: BLE001 - raised again by `result`, in the thread that asks for it
            status: HandleStatus = "cancelled" if isinstance(exc, RunCancelledError) else "failed"
            with self._changed:
                self._finish(status, error=exc)
        else:
            with self._changed:
                self._finish("succeeded", result=result)
        self._call_back()

    def note(self, event: Event) -> None:
        """Take an event of the run: an observer."""
        with self._changed:
            self._progress.update(event)

    def _refuse_in_child(self, action: str) -> None:
        """Raise in a forked child, in which the thread that runs the run does not exist."""
        if self._process != os.getpid():
            msg = (
                f"The run {self.id} cannot {action} in this process ({os.getpid()}), which was forked while the run was "
                f"{self._status}: it goes on in the process that submitted it ({self._process}). Use the handle there, or submit "
                "another run here."
            )
            raise SessionError(msg, session_id=self.id)

    def _finish(self, status: HandleStatus, *, result: RunResult | None = None, error: BaseException | None = None) -> None:
        """Set the final state; the caller holds the lock."""
        self._result, self._error = result, error
        self._run = None
        self._status = status
        self._changed.notify_all()

    def _call_back(self) -> None:
        with self._changed:
            due, self._callbacks = (self._callbacks, []) if self.is_done else ([], self._callbacks)
        for function in due:
            try:
                function(self)
            except Exception:
                _logger.exception("A done callback of the run %s raised an exception: %r.", self.id, function)
