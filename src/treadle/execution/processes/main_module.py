"""Hides the main script while a worker process starts, so that the worker does not run it again.

State: how many starts are under way, and the attributes that were removed meanwhile. Runs in the parent.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Hiding:
    """Removes the attributes with the first start, and restores them after the last: starts may overlap in any order."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._starts = 0
        self._removed: dict[str, Any] = {}

    def begin(self) -> None:
        with self._lock:
            self._starts += 1
            if self._starts == 1:
                main = vars(sys.modules["__main__"])
                self._removed = {name: main[name] for name in ("__file__", "__spec__") if name in main}
                main.pop("__file__", None)
                main["__spec__"] = None

    def end(self) -> None:
        with self._lock:
            self._starts -= 1
            if not self._starts:
                main = vars(sys.modules["__main__"])
                del main["__spec__"]
                main.update(self._removed)


_hiding = _Hiding()


@contextmanager
def hidden_main() -> Iterator[None]:
    """Hide the file of `__main__`: otherwise a child would run the script again.

    Functions and classes of the main script are pickled by value instead.
    """
    _hiding.begin()
    try:
        yield
    finally:
        _hiding.end()
