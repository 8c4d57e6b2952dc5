"""SIGTERM and SIGHUP during a run, made to act like Ctrl-C.

What a batch system sends to end a job, and what a process gets whose terminal is closed, must stop the workers, keep what is
finished and leave a record, like Ctrl-C does, so during a run in the main thread it raises `Terminated` there. Where the
application has a handler of its own, or ignores the signal as `nohup` has it done, that stays.

State: the process's signal handlers, changed for the length of a `with` and put back. Neighbour: `session.py`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from treadle.errors import Terminated

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Raise `Terminated` in the main thread when SIGTERM or SIGHUP arrives; do nothing elsewhere, or for one with a handler.

    Raises:
        Terminated: the first of them; later ones are ignored, because cleaning up is under way.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def terminate(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) == 1:
            msg = f"{signal.Signals(number).name} arrived during the run"
            raise Terminated(msg, number)

    ours = [number for number in _ENDINGS if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, terminate)
        yield
    finally:
        for number in ours:
            # Not where the application set a handler meanwhile: its own is the later word.
            if signal.getsignal(number) is terminate:
                signal.signal(number, signal.SIG_DFL)
