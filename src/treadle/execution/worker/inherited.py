"""What a worker process inherits from the parent: open resources, and signals that it leaves to the parent. State: none."""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


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
