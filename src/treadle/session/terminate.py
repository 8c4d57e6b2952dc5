"""SIGTERM during a run, made to act like Ctrl-C.

What a batch system sends to end a job must stop the workers, keep what is finished and leave a record, like Ctrl-C does, so
during a run in the main thread it raises `Terminated` there. Where the application has a handler of its own, that one
knows better and stays.

State: the process's signal handler, changed for the length of a `with` and put back. Neighbour: `session.py`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from treadle.errors import Terminated


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Raise `Terminated` in the main thread when SIGTERM arrives; do nothing elsewhere, or if it has a handler.

    Raises:
        Terminated: the first SIGTERM; later ones are ignored, because cleaning up is under way.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    arrived: list[int] = []

    def terminate(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) == 1:
            msg = "SIGTERM arrived during the run"
            raise Terminated(msg)

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        # Not where the application set a handler meanwhile: its own is the later word.
        if signal.getsignal(signal.SIGTERM) is terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
