"""Locks that a forked child can use: each of ours is free there, whichever thread of the parent held it.

A fork copies the forking thread alone. A lock that another thread holds at that moment would never be released in the child,
whoever forks: a pool, a node that uses `multiprocessing`, an application. State: weak references to the locks.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar
from weakref import WeakSet

_Lock = TypeVar("_Lock")

_locks: WeakSet[Any] = WeakSet()


def fork_safe(lock: _Lock) -> _Lock:
    """Have a lock reset in each child process that is forked from now on.

    Args:
        lock: a `Lock`, `RLock` or `Condition` of `threading`.

    Returns:
        The same lock.
    """
    _locks.add(lock)
    return lock


def _reset_locks() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - what threading and logging call on their own locks in a child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_locks)
