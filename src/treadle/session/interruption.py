"""Ctrl-C, SIGTERM and SIGHUP during a session: the first one interrupts it, and none of them tears its record apart.

What a batch system sends to end a job, and what a process gets whose terminal is closed, must stop the workers, keep what is
finished and leave a record, like Ctrl-C does. So in the main thread each of them raises an interrupt: KeyboardInterrupt, or
`Terminated`, which is one. Signals that follow while that interrupt unwinds the program are ignored for a while, and while a
record is made and saved they wait::

    run …… Ctrl-C ─► KeyboardInterrupt ─► workers end ─► record saved ─► exit code 130
                     └── further signals are ignored ──┴── they wait ──┘

Where the application has a handler of its own, or ignores a signal as `nohup` makes it do, that stays.

State: the process's signal handlers, changed for the length of the outermost `with` and put back; what has arrived since.
Neighbours: `session.py` and `recording.py`, and the commands that run a session.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from treadle.errors import Terminated

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from typing_extensions import Self

STOPPING_SECONDS = 3.0
"""How long after an interrupt further signals are ignored: so long it may take to end the workers. Then one interrupts that."""

SAVING_SECONDS = 30.0
"""How long after the first signal that waits for a record to be saved another one gives it up: a database may never answer."""

_DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class _Signals:
    """What has arrived since the outermost `with` began."""

    def __init__(self) -> None:
        self.raised: float | None = None
        """When an interrupt was raised last, by the monotonic clock."""
        self.is_deferring = False
        self.waiting: list[int] = []
        self.waiting_since = 0.0
        self.ends_with_session = False
        self.is_over = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Raise an interrupt, or note that there was a signal."""
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
        self.raised = now
        raise interrupt_of(number)


_active: list[_Signals] = []
"""That of the outermost `with` in the main thread. Signal handlers belong to the process, so this does too."""


def interrupt_of(number: int) -> KeyboardInterrupt:
    """Return the interrupt that a signal stands for.

    Args:
        number: the signal's.
    """
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return Terminated(f"{signal.Signals(number).name} arrived during the run", number)


class signals_interrupt:  # noqa: N801 - a context manager that is used like a function; a generator would have more frames to be interrupted in
    """Make SIGINT, SIGTERM and SIGHUP raise one interrupt in the main thread; do nothing elsewhere, or for one with a handler.

    Args:
        until_exit: the process ends after the session: once its record is saved, signals are ignored.

    Raises:
        KeyboardInterrupt: a signal arrived; a `Terminated` for SIGTERM and SIGHUP.
    """

    def __init__(self, *, until_exit: bool = False) -> None:
        self._until_exit = until_exit
        self._signals: _Signals | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if not _active and threading.current_thread() is threading.main_thread():
            self._signals = _Signals()
            self._signals.ends_with_session = self._until_exit
            _active.append(self._signals)
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) == default:
                    self._handlers[number] = self._signals.handle
                    signal.signal(number, self._signals.handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._signals is None:
            return
        self._signals.is_over = True  # from here on no signal interrupts the handlers' way back
        _active.clear()
        for number, ours in self._handlers.items():
            # Not where the application set a handler meanwhile: its own is the later word.
            if signal.getsignal(number) == ours:
                signal.signal(number, _DEFAULTS[number])


class signals_wait:  # noqa: N801 - as above
    """Keep SIGINT, SIGTERM and SIGHUP waiting until the block is over; `SAVING_SECONDS` after the first, another one ends it.

    At its end the first of them raises its interrupt, unless another exception is on its way already.

    Args:
        error: what is on its way.
        last: the block ends the session.
    """

    def __init__(self, error: BaseException | None = None, *, last: bool = False) -> None:
        self._error = error
        self._last = last
        self._handlers = signals_interrupt()
        self._signals: _Signals | None = None

    def __enter__(self) -> Self:
        self._handlers.__enter__()
        if threading.current_thread() is threading.main_thread() and not _active[0].is_deferring:
            self._signals = _active[0]
            self._signals.is_deferring = True
        return self

    def interrupt(self, *, is_final: bool = False) -> KeyboardInterrupt | None:
        """Return the interrupt that waits, if any.

        Args:
            is_final: nothing is asked again: in a process that ends after this block, later signals are ignored.
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
        self._handlers.__exit__(kind, error, trace)
        if waiting is not None:
            raise waiting
