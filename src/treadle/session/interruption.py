"""Handle Ctrl-C, SIGTERM and SIGHUP during a session: interrupt the run once, and never corrupt its record.

SIGTERM (sent by batch systems) and SIGHUP (sent when the terminal closes) must stop the workers, keep finished outputs and
save a record, as Ctrl-C does. In the main thread each signal therefore raises an interrupt: KeyboardInterrupt, or its subclass
`Terminated`. Later signals are ignored for a few seconds while the interrupt propagates, and deferred while a record is saved::

    run …… Ctrl-C ─► KeyboardInterrupt ─► workers end ─► record saved ─► exit code 130
                     └── further signals are ignored ──┴── deferred ──┘

Python ignores an exception that a finalizer or the callback of a weak reference raises, and imports call such callbacks. An
interrupt that came there is raised again a moment later.

A handler that the application installed is kept, but it is called after the record is saved, not meanwhile. An ignored signal
(`nohup`) stays ignored.

State: the signal handlers of the process and `sys.unraisablehook`, replaced during the outermost `with` and then restored; the
signals received.
Neighbours: `session.py`, `recording.py`, and the commands that run a session.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.errors import Terminated
from treadle.execution.processes.interrupts import restore_handlers
from treadle.execution.processes.safe_points import INTERRUPTS, mark_exit
from treadle.exits import signal_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from typing_extensions import Self

STOPPING_SECONDS = 3.0
"""How long further signals are ignored after an interrupt, while the workers end; a later signal interrupts that as well."""

SAVING_SECONDS = 30.0
"""How long signals are deferred while a record is saved; after that a signal aborts the save, as a database may hang."""

REPEAT_SECONDS = 0.01
"""After which time an interrupt that Python has ignored is raised again: the finalizer has ended by then."""

_DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class _Signals:
    """The signals received since the outermost `with` began."""

    def __init__(self) -> None:
        self.raised: float | None = None
        """When the last interrupt was raised (monotonic clock)."""
        self.number = 0
        """Of the signal that raised it."""
        self.is_deferring = False
        self.waiting: list[int] = []
        self.waiting_since = 0.0
        self.ends_with_session = False
        self.is_over = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Raise an interrupt, or defer or ignore the signal."""
        now = time.monotonic()
        if self.is_over:
            return
        if self.is_deferring:
            self.waiting_since = self.waiting_since if self.waiting else now
            self.waiting.append(number)
            if len(self.waiting) == 1 or now - self.waiting_since < SAVING_SECONDS:
                return
        elif self.raised is not None and now - self.raised < STOPPING_SECONDS:
            return
        self.raised, self.number = now, number
        raise interrupt_of(number)

    def note_ignored(self, hook: Callable[[Any], Any], unraisable: Any) -> None:
        """Send the signal again if Python has ignored its interrupt; pass any other ignored exception on.

        Args:
            hook: `sys.unraisablehook`, as it was before.
            unraisable: its argument.
        """
        if self.raised is None or not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)
            return
        self.raised = None
        # Not from here, where the interrupt would be ignored again. A `Thread` takes locks, which the interrupted code may hold.
        _thread.start_new_thread(_send_later, (self.number,))


def _send_later(number: int) -> None:
    time.sleep(REPEAT_SECONDS)
    os.kill(os.getpid(), number)


_active: list[_Signals] = []
"""The state of the outermost `with` in the main thread; global, because signal handlers are."""


def interrupt_of(number: int) -> KeyboardInterrupt:
    """Return the exception to raise for a signal.

    Args:
        number: the signal number.
    """
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return Terminated(f"{signal_name(number)} arrived during the run", number)


class signals_interrupt:  # noqa: N801 - used like a function; a generator-based context manager has more frames that a signal could interrupt
    """Make SIGINT, SIGTERM and SIGHUP raise one interrupt in the main thread; keep handlers that the application installed.

    Args:
        until_exit: the process exits after the session, so signals are ignored once its record is saved.

    Raises:
        KeyboardInterrupt: a signal arrived; `Terminated` for SIGTERM and SIGHUP.
    """

    def __init__(self, *, until_exit: bool = False) -> None:
        self._until_exit = until_exit
        self._signals: _Signals | None = None
        self._handlers: dict[int, tuple[Any, Any]] = {}
        """The handler before, and the one that was installed instead, by signal."""
        self._hooks: tuple[Any, Any] = (None, None)
        """`sys.unraisablehook` before, and the one that was installed instead."""

    def __enter__(self) -> Self:
        if not _active and threading.current_thread() is threading.main_thread():
            self._signals = _Signals()
            self._signals.ends_with_session = self._until_exit
            _active.append(self._signals)
            self._hooks = sys.unraisablehook, partial(self._signals.note_ignored, sys.unraisablehook)
            sys.unraisablehook = self._hooks[1]
            for number, default in _DEFAULTS.items():
                before = signal.getsignal(number)
                handler: Any = self._signals.handle
                if before != default:
                    if not callable(before):  # the signal is ignored
                        continue
                    handler = partial(_call, before)
                self._handlers[number] = before, handler
                signal.signal(number, handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._signals is None:
            return
        self._signals.is_over = True  # no signal may interrupt the restoring of the handlers
        _active.clear()
        # Keep a hook and handlers that the application installed in the meantime.
        before, ours = self._hooks
        if sys.unraisablehook is ours:
            sys.unraisablehook = before
        restore_handlers(
            {number: before for number, (before, ours) in self._handlers.items() if signal.getsignal(number) == ours}
        )


def _call(handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    """Call a handler of the application; if it exits, the exception is marked as an interrupt."""
    try:
        handler(number, frame)
    except SystemExit as exc:
        mark_exit(exc, number)
        raise


class _ApplicationHandlers:
    """Defers signals for which the application has installed handlers, and calls the handlers afterwards.

    Args:
        ours: the handler of the session, which defers its signals itself.
    """

    def __init__(self, ours: Any) -> None:
        self._arrived: dict[int, float] = {}  # when each signal arrived first
        self._handlers: dict[int, Any] = {}
        for number in _DEFAULTS:
            handler = signal.getsignal(number)
            if callable(handler) and handler not in (ours, signal.default_int_handler):
                self._handlers[number] = handler
                signal.signal(number, self._defer)

    def _defer(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._arrived.setdefault(number, now) >= SAVING_SECONDS:
            self._handlers[number](number, frame)

    def restore(self) -> None:
        """Install the handlers again, except where the application has installed another one meanwhile."""
        restore_handlers({number: each for number, each in self._handlers.items() if signal.getsignal(number) == self._defer})

    def call(self, error: BaseException | None) -> None:
        """Call the handlers of the signals that have arrived.

        Args:
            error: the exception that is propagating, if any. If it is an interrupt, handlers do not raise another one.
        """
        with suppress(*(INTERRUPTS if isinstance(error, INTERRUPTS) else ())):
            for number in self._arrived:
                signal.raise_signal(number)


class signals_wait:  # noqa: N801 - as above
    """Defer SIGINT, SIGTERM and SIGHUP until the block ends; a signal `SAVING_SECONDS` after the first one interrupts the block.

    When the block ends, the first deferred signal raises its interrupt, unless another exception is already propagating. Handlers
    of the application are called.

    Args:
        error: the exception that is already propagating, if any.
        last: the block ends the session.
    """

    def __init__(self, error: BaseException | None = None, *, last: bool = False) -> None:
        self._error = error
        self._last = last
        self._handlers = signals_interrupt()
        self._signals: _Signals | None = None
        self._application: _ApplicationHandlers | None = None

    def __enter__(self) -> Self:
        self._handlers.__enter__()
        if threading.current_thread() is threading.main_thread() and not _active[0].is_deferring:
            self._signals = _active[0]
            self._signals.is_deferring = True
            self._application = _ApplicationHandlers(self._signals.handle)
        return self

    def interrupt(self, *, is_final: bool = False) -> KeyboardInterrupt | None:
        """Return the interrupt of the first deferred signal, if any.

        Args:
            is_final: this is the last call; a process that exits after this block ignores later signals.
        """
        if self._signals is None:
            return None
        self._signals.is_over = is_final and self._signals.ends_with_session and self._last
        return interrupt_of(self._signals.waiting[0]) if self._signals.waiting else None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        waiting = self.interrupt(is_final=True)
        if self._error is not None or error is not None:
            waiting = None
        if self._signals is not None:
            self._signals.waiting.clear()
            if waiting is not None:
                self._signals.raised = time.monotonic()
            self._signals.is_deferring = False
        if self._application is not None:
            self._application.restore()
        self._handlers.__exit__(kind, error, trace)
        if self._application is not None:
            self._application.call(self._error or error or waiting)
        if waiting is not None:
            raise waiting
