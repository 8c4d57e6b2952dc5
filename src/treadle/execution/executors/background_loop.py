"""Keeping a run going while its thread is inside a node.

A node of the worker MAIN runs in the very thread that turns the loop, because what may not leave the process (an open
connection, a window) often may not leave its thread either. Where such a node takes long, another thread turns the loop
in its place, so that the worker processes never wait for it::

    the run's thread    ── turns ──┤ a node of MAIN ····················├── turns ──
    background thread                 patience ├── turns ──────────────┤ (woken, joined)

One of the two turns at a time; the executor's own lock keeps apart what the node takes and gives meanwhile.
State: that of one node.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PATIENCE_SECONDS = 0.01
"""How long a node may take before another thread runs the loop."""

GRACE_SECONDS = 2.0
"""How long a turn may go on once the run was interrupted."""


class BackgroundLoop:
    """A thread that runs the loop while the `with` block lasts.

    Args:
        turns: turns the loop until what it is given says that it is over.
        wake: ends the wait that a turn may be in; called from this thread.

    Raises:
        BaseException: at the end of the block, what a turn raised meanwhile.
    """

    def __init__(self, turns: Callable[[Callable[[], bool]], None], wake: Callable[[], None]) -> None:
        self._turns = turns
        self._wake = wake
        self._over = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._go_on,), name="treadle-loop", daemon=True)

    def _go_on(self) -> None:
        try:
            if not self._over.wait(PATIENCE_SECONDS):
                self._turns(self._over.is_set)
        except BaseException as exc:  # noqa: BLE001 - the run's own thread raises it, whatever it is
            self._error = exc
        finally:
            self._ended.set()

    def __enter__(self) -> None:
        try:
            self._thread.start()
        except BaseException:  # an interrupt: there is no end of the block to come
            self._over.set()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._over.set()
            self._wake()
            self._ended.wait()  # not join() alone: interrupted, Python takes a thread that still runs for one that has ended
            self._thread.join()
        except BaseException:  # an interrupt: what comes now takes away what a turn is at
            self._over.set()
            self._wake()
            self._ended.wait(GRACE_SECONDS)
            raise
        if error is None and self._error is not None:
            raise self._error
