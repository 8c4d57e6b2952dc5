"""Let Ctrl-C, SIGTERM and SIGHUP interrupt a run only where that loses nothing.

Python calls a signal handler between any two bytecodes of the main thread, and the handler's exception is raised there, for
example after the report of a finished node was taken from its queue and before it is handled. So while a run is in progress, a
signal waits for the next safe point: a wait for workers, or code of the user, which may take long::

    with interrupts_at_safe_points():
        ...                                     a signal waits
        with safe_point():
            selector.select()                   a signal interrupts
        ...                                     a signal waits

If the same signal comes again, a second or more after the one that still waits, it does not wait, because a program that hangs
must end. (If it comes sooner it is the same request: `timeout` signals a process and its group, a closed terminal and its shell
both send SIGHUP.) After an interrupt the run only reports what is finished: there are no safe points any more, and signals wait
until the end of the block.

State: the handlers of the process, replaced during a run in the main thread and then restored. Runs in the parent. Neighbour:
`interrupts.py` defers signals also in the processes that are started meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.interrupts import DEFERRED, restore_handlers

if TYPE_CHECKING:
    from types import FrameType, TracebackType

INTERRUPTS = (KeyboardInterrupt, SystemExit)
"""What handlers of these signals raise: Python's own and a session's raise the first, those of many applications the second."""

_SIGNAL = "_treadle_signal"
"""Attribute of a SystemExit that the handler of a signal raised."""

REPEAT_SECONDS = 1.0
"""A signal does not wait if it arrives again this many seconds after the one that waits."""


class interrupts_at_safe_points:  # noqa: N801 - used like a function; a generator-based context manager has more frames that a signal could interrupt
    """Let signals interrupt the block only inside a `safe_point`. Does nothing outside of the main thread.

    At the end of the block, each signal that is still waiting is passed to its handler, unless its own interrupt is propagating.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._outer: interrupts_at_safe_points | None = None
        self._process: int | None = None
        """The process of the run; None when the block has ended."""
        self.thread: int | None = None
        """The thread of the run; None if it is not the main thread."""
        self._waiting: dict[int, float] = {}
        """When each waiting signal arrived first, by the monotonic clock, in that order."""
        self._is_safe = False
        self.has_interrupted = False
        """Whether an interrupt has left its safe point, or was raised outside of one."""
        self._raised: int | None = None
        """The last signal whose handler raised an exception."""

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._process = os.getpid()
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
        propagating = self._raised if isinstance(error, INTERRUPTS) else None
        try:
            self._restore()
        finally:
            _raise_all([number for number in self._waiting if number != propagating])

    def _restore(self) -> None:
        if _current.block is self:
            _current.block = self._outer
        # A handler that the application has installed meanwhile stays.
        ours = {number: handler for number, handler in self._handlers.items() if signal.getsignal(number) == self._handle}
        try:
            restore_handlers(ours)
        finally:
            self._process = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # This is a forked child, or the application has kept this handler and installed it again after the run.
            self._handlers[number](number, frame)
            return
        now = monotonic()
        is_repeated = now - self._waiting.get(number, now) >= REPEAT_SECONDS
        if is_repeated or (self._is_safe and not self.has_interrupted):
            self._interrupt(number, frame)
        else:
            self._waiting.setdefault(number, now)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Call the handler of a signal that was installed before the block."""
        self._waiting.pop(number, None)
        try:
            self._handlers[number](number, frame)
        except BaseException as exc:
            self._raised = number
            mark_exit(exc, number)
            # Code inside a safe point may handle the exception. This module, where a safe point begins and ends, does not.
            if not self._is_safe or (frame is not None and frame.f_globals is globals()):
                self.has_interrupted = True
            raise

    def begin_safe_point(self) -> bool:
        """Let signals interrupt from here on; those that wait do so now. Return whether they could interrupt before."""
        was_safe, self._is_safe = self._is_safe, True
        if self._waiting and os.getpid() == self._process:  # what waits in its parent does not concern a forked child
            for number in list(self._waiting):
                self._interrupt(number, sys._getframe())  # noqa: SLF001 - documented for this: a handler gets a frame
        return was_safe

    def end_safe_point(self, error: BaseException | None, *, was_safe: bool) -> None:
        """Let signals wait from here on, unless this safe point is inside another one."""
        self._is_safe = was_safe
        self.has_interrupted = not was_safe and isinstance(error, INTERRUPTS)


class safe_point:  # noqa: N801 - as above
    """Let signals interrupt this block: it holds nothing that would be lost. Does nothing outside of a run in the main thread."""

    __slots__ = ("_block", "_was_safe")

    def __enter__(self) -> None:
        block = _current.block
        if block is None or block.has_interrupted or threading.get_ident() != block.thread:
            self._block = None
        else:
            self._block = block
            self._was_safe = block.begin_safe_point()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._block is not None:
            self._block.end_safe_point(error, was_safe=self._was_safe)


def mark_exit(error: BaseException, number: int) -> None:
    """Mark a SystemExit that the handler of a signal raised, so that `is_interrupt` recognizes it.

    Args:
        error: the exception that the handler raised.
        number: the signal.
    """
    if isinstance(error, SystemExit):
        setattr(error, _SIGNAL, number)


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception that left code of the project in the main thread is an interrupt, and not that code's failure.

    Args:
        error: the exception: a KeyboardInterrupt, or a SystemExit. The latter may also be the code's own call of `sys.exit`.
    """
    return isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and hasattr(error, _SIGNAL))


def _raise_all(numbers: list[int]) -> None:
    """Send signals to this process, even if the handler of one of them raises."""
    if numbers:
        try:
            signal.raise_signal(numbers[0])
        finally:
            _raise_all(numbers[1:])


class _Current:
    block: interrupts_at_safe_points | None = None


_current = _Current()
"""The innermost block; global, because signal handlers are."""
