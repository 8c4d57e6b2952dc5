"""The lock of a runner: it runs one pipeline at a time, and a run inside another one on the same runner is an error.

Runs in the parent. State: the run in progress. Neighbours: `runner.py` holds the lock during a run.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from treadle.errors import RunnerError
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENCLOSING_RUNS: ContextVar[tuple[object, ...]] = ContextVar("treadle_enclosing_runs", default=())
"""The runs that this code is part of: those of its thread, and those whose context its thread was started with."""


class RunLock:
    """Allows one run at a time; other runs wait.

    Args:
        name: the runner's name, for the error.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = fork_safe(threading.Lock())
        self._current: object = None  # a marker for the run in progress

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, and hold it during a run.

        Raises:
            RunnerError: this code is part of a run that holds the lock, and would wait for itself.
        """
        if self._current is not None and self._current in _ENCLOSING_RUNS.get():
            msg = (
                "This runner is already running a pipeline, and a node of the main process, a hook or an observer of that run "
                "started another one on it: the run would wait for itself. Make another runner for the inner run."
            )
            raise RunnerError(msg, name=self._name)
        with self._lock:
            marker = object()
            token = _ENCLOSING_RUNS.set((*_ENCLOSING_RUNS.get(), marker))
            try:
                self._current = marker
                yield
            finally:
                self._current = None  # first, so that an interrupt here does not leave an ended run as the current one
                _ENCLOSING_RUNS.reset(token)

    def forget_run(self) -> None:
        """Forget the run in progress in a forked child: it belongs to the parent."""
        self._current = None
