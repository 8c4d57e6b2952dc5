"""Runs the loop in another thread while the run's own thread is inside a node.

A node of the worker MAIN runs in the same thread as the loop, because an object that cannot leave the process (an open
connection, a window) often cannot be used in another thread either. If such a node takes long, a background thread runs the
loop meanwhile, so that the worker processes never wait for the node::

    the run's thread    ── loop ──┤ a node of MAIN ···················├── loop ──
    background thread                 patience ├── loop ─────────────┤ (woken, joined)

Only one of the two runs the loop at a time; the lock of the value store protects the values that the node loads and saves
meanwhile. State: that of one node. Runs in the parent.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PATIENCE_SECONDS = 0.01
"""How long a node may take before the background thread runs the loop."""

GRACE_SECONDS = 5.0
"""How long to wait for the background thread after the run was interrupted: an observer in it may write to a slow disk."""


class BackgroundLoop:
    """A thread that runs the loop while the `with` block lasts.

    Args:
        run_loop: runs the loop until the function that it gets returns True.
        wake: ends the wait that the loop may be in; called from the thread of the `with` block.

    Raises:
        BaseException: at the end of the block, the exception that the loop raised meanwhile.
    """

    def __init__(self, run_loop: Callable[[Callable[[], bool]], None], wake: Callable[[], None]) -> None:
        self._run_loop = run_loop
        self._wake = wake
        self._node_finished = threading.Event()
        self._loop_stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="treadle-loop", daemon=True)

    def _run(self) -> None:
        try:
            if not self._node_finished.wait(PATIENCE_SECONDS):
                self._run_loop(self._node_finished.is_set)
        except BaseException as exc:  # noqa: BLE001 - raised again in the run's own thread
            self._error = exc
        finally:
            self._loop_stopped.set()

    def __enter__(self) -> None:
        try:
            self._thread.start()
        except BaseException:  # an interrupt: __exit__ will not be called
            self._node_finished.set()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._node_finished.set()
            self._wake()
            self._loop_stopped.wait()  # not join() alone: after an interrupted join(), Python considers a running thread finished
            self._thread.join()
        except BaseException:  # an interrupt: the workers are about to be stopped, so the loop must not run on
            self._node_finished.set()
            self._wake()
            self._loop_stopped.wait(GRACE_SECONDS)
            raise
        if error is None and self._error is not None:
            raise self._error
