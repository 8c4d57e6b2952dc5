"""Let Ctrl-C, SIGTERM and SIGHUP interrupt a run only where that loses nothing.

Python calls a signal handler between any two bytecodes of the main thread, and the handler's exception is raised there, for
example after the report of a finished node was taken from its queue and before it is handled. So while a run is in progress, a
signal waits for the next safe point: a wait for workers, or code of the user, which may take long::

    with interrupts_at_safe_points():
        ...                                     a signal waits
        with safe_point():
            selector.select()                   a signal interrupts
        ...                                     a signal waits

A second signal does not wait, because a program that hangs must end. After an interrupt the run only reports what is finished:
there are no safe points any more, and one more signal waits until the end of the block.

State: the handlers of the process, replaced during a run in the main thread and then restored. Runs in the parent. Neighbour:
`interrupts.py` defers signals also in the processes that are started meanwhile.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.interrupts import DEFERRED, restore_handlers

if TYPE_CHECKING:
    from types import FrameType, TracebackType


class interrupts_at_safe_points:  # noqa: N801 - used like a function; a generator-based context manager has more frames that a signal could interrupt
    """Let signals interrupt the block only inside a `safe_point`. Does nothing outside of the main thread.

    At the end of the block, a signal that is still waiting is passed to its handler, unless another interrupt is propagating.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._outer: interrupts_at_safe_points | None = None
        self.thread: int | None = None
        """The thread of the run; None if it is not the main thread."""
        self._waiting: int | None = None
        self._is_safe = False
        self.has_interrupted = False
        """Whether a handler has raised its exception, which is propagating."""

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            for number in DEFERRED:
                if callable(handler := signal.getsignal(number)):  # neither SIG_DFL nor SIG_IGN
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
            self.thread = threading.get_ident()
            self._outer, _current.block = _current.block, self
        except BaseException:
            self._restore()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.thread is None:
            return
        self._is_safe = False
        self._restore()
        if self._waiting is not None and not isinstance(error, KeyboardInterrupt):
            signal.raise_signal(self._waiting)

    def _restore(self) -> None:
        if _current.block is self:
            _current.block = self._outer
        # A handler that the application has installed meanwhile stays.
        restore_handlers({number: each for number, each in self._handlers.items() if signal.getsignal(number) == self._handle})

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._waiting is None and (self.has_interrupted or not self._is_safe):
            self._waiting = number
        else:
            self._interrupt(number, frame)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Call the handler of a signal that was installed before the block."""
        self._waiting = None
        try:
            self._handlers[number](number, frame)
        except BaseException:
            self.has_interrupted = True
            raise

    def begin_safe_point(self) -> None:
        """Let signals interrupt from here on; the one that waits does so now."""
        self._is_safe = True
        if self._waiting is not None:
            self._interrupt(self._waiting, sys._getframe())  # noqa: SLF001 - documented for this: a handler gets a frame

    def end_safe_point(self, error: BaseException | None) -> None:
        """Let signals wait from here on."""
        self._is_safe = False
        if not isinstance(error, KeyboardInterrupt):
            self.has_interrupted = False  # if there was an interrupt, the code inside has handled it


class safe_point:  # noqa: N801 - as above
    """Let signals interrupt this block: it holds nothing that would be lost. Does nothing outside of a run in the main thread."""

    __slots__ = ("_block",)

    def __enter__(self) -> None:
        block = _current.block
        if block is None or block.has_interrupted or threading.get_ident() != block.thread:
            self._block = None
        else:
            self._block = block
            block.begin_safe_point()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._block is not None:
            self._block.end_safe_point(error)


class _Current:
    block: interrupts_at_safe_points | None = None


_current = _Current()
"""The innermost block; global, because signal handlers are."""
