"""Reset Treadle's locks in forked child processes.

A fork copies only the thread that calls it. A lock that another thread holds at that moment would never be released in the child.
So every registered lock is reset in the child, whether a worker pool, a node or the application forked it.
State: weak references to the locks.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar
from weakref import WeakSet

_Lock = TypeVar("_Lock")

_locks: WeakSet[Any] = WeakSet()


def fork_safe(lock: _Lock) -> _Lock:
    """Register a lock to be reset in every child process that is forked from now on.

    Args:
        lock: a `Lock`, `RLock` or `Condition` of `threading`.

    Returns:
        The same lock.
    """
    _locks.add(lock)
    return lock


def _reset_locks() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - threading and logging reset their own locks with it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_locks)
