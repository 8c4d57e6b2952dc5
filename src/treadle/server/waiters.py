"""Who waits for the end of which run. State: the functions to call. `runs.py` calls them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiters:
    """Functions that are called when a run has ended, each once."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._functions: dict[str, list[Callable[[], None]]] = {}

    def add(self, run_id: str, function: Callable[[], None]) -> Callable[[], None]:
        """Add a function.

        Args:
            run_id: the run.
            function: called in any thread; it must return quickly.

        Returns:
            Removes it, so that nothing is kept for clients that have gone.
        """
        with self._lock:
            self._functions.setdefault(run_id, []).append(function)

        def remove() -> None:
            with self._lock:
                functions = self._functions.get(run_id, [])
                if function in functions:
                    functions.remove(function)
                if not functions:
                    self._functions.pop(run_id, None)

        return remove

    def call(self, run_id: str) -> None:
        """Call the functions of a run, and forget them.

        Args:
            run_id: the run.
        """
        with self._lock:
            functions = self._functions.pop(run_id, [])
        for function in functions:
            function()

    def call_all(self) -> None:
        """Call the functions of all runs, and forget them."""
        with self._lock:
            run_ids = list(self._functions)
        for run_id in run_ids:
            self.call(run_id)
