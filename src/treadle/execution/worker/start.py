"""The first code of Treadle that runs in a new worker process; it then imports the modules of a worker.

It imports little, because the parent imports it, too, in order to start processes. Neighbours: `bootstrap.py` sets the process
up, `server.py` serves the parent's commands. State: none. Runs in workers.
"""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from treadle.execution.protocol.messages import ProcessSpec


class InheritedResources:
    """The parent's open resources that a forked child must close; empty in a child that was not forked.

    Args:
        close: closes this process's copies only, without notifying the other side.
    """

    def __init__(self, close: Callable[[], None] | None = None) -> None:
        self._close = close

    def close(self) -> None:
        """Close this process's copies."""
        if self._close is not None:
            self._close()

    def __reduce__(self) -> tuple[Callable[[], InheritedResources], tuple[()]]:
        return _nothing_inherited, ()


def _nothing_inherited() -> InheritedResources:
    """Unpickle in a child that was not forked.

    Other children start with SIGINT blocked, but a forkserver's child does not: Ctrl-C would end it with a traceback on the
    terminal, so the handler is installed here.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # multiprocessing sets it while a child is set up
        signal.signal(signal.SIGINT, do_nothing)
    return InheritedResources()


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGINT and SIGHUP in a worker: the parent decides how to react, and ends its workers.

    The signals are not set to SIG_IGN, because programs that a node starts would inherit that.
    """


def run_worker(spec: ProcessSpec, number: int, authkey: bytes, inherited: InheritedResources) -> None:
    """Be a worker: set this process up, and serve the parent until it sends Stop. The target of each worker process.

    Args:
        spec: describes the worker.
        number: the worker's number, starting from 1.
        authkey: authenticates this worker to the parent.
        inherited: the resources that a fork inherited.
    """
    inherited.close()
    set_up_worker, serve = import_worker()
    set_up_worker(spec, number, authkey)
    serve()


def import_worker() -> tuple[Callable[[ProcessSpec, int, bytes], None], Callable[[], None]]:
    """Import the modules of a worker, and return the functions that set it up and serve the parent."""
    from treadle.execution.worker.bootstrap import set_up_worker
    from treadle.execution.worker.server import serve

    return set_up_worker, serve
