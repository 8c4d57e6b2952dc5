"""Keep Python's garbage collector from traversing a large plan, or the modules that are imported, repeatedly.

A plan of many nodes consists of several hundred thousand small, long-lived objects. Garbage collections triggered by new
allocations traverse all of them without finding garbage: for 10,000 nodes this took half of the parent's time.

State: the settings of the process's garbage collector; each context manager restores them, and does nothing if the application
has already disabled or frozen the collector; whether it is paused; and whether `freeze_imports` has frozen objects. Neighbours:
`treadle.planning.plan` compiles with collection paused, as do the imports of pipelines and of sessions; the runner freezes the
plan; the command line freezes what it has imported.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

_MANY_NODES = 1_000
_MANY_OBJECTS = 50_000
"""Beyond this number of new objects, the collection of the young generation that would follow takes milliseconds."""
_MANY_FROZEN = 1_000
"""Up to this count the application has not called `gc.freeze`: Python 3.12 itself freezes some hundreds of objects."""

_has_frozen_imports = False
"""Whether `freeze_imports` has frozen objects: from then on, the collector of this process is Treadle's."""
_is_paused = False
"""Whether a thread is in a block of `collection_paused`. A child that another thread forks now has no such thread."""


@contextmanager
def collection_paused(*, imports: bool = False) -> Iterator[None]:
    """Disable garbage collection during a block that allocates many long-lived objects, and runs no user code but imports.

    Args:
        imports: whether the block only imports modules, so that nearly all that it allocates stays until the process ends. Then
            nothing is done after `freeze_imports`: the end of the pause would unfreeze what it has frozen.
    """
    if not gc.isenabled() or (imports and _has_frozen_imports):
        yield
        return
    global _is_paused  # noqa: PLW0603 - of this process, as the collector is
    gc.disable()
    _is_paused = True
    try:
        yield
    finally:
        if gc.get_count()[0] > (gc.get_threshold()[0] if imports else _MANY_OBJECTS) and not _is_frozen():
            gc.freeze()  # both together move all objects to the oldest generation, without traversing them
            gc.unfreeze()
        _is_paused = False
        gc.enable()


@contextmanager
def plan_excluded_from_gc(nodes: int) -> Iterator[None]:
    """Exclude all current objects from garbage collection during the block; new objects are collected as usual.

    Args:
        nodes: number of nodes of the run; nothing is done for a small run.
    """
    if nodes < _MANY_NODES or _is_frozen():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def freeze_imports(*modules: str) -> None:
    """Exclude what is imported so far from all later garbage collections: the one at exit would take a tenth of a command.

    Only for a process that belongs to Treadle, and before the project's code is imported: what that has left open, Python closes
    at exit as usual.

    Args:
        *modules: names of modules to import first; no collection runs while they are imported.
    """
    global _has_frozen_imports  # noqa: PLW0603 - of this process, as the collector is
    freezes = gc.isenabled() and not _is_frozen()
    with collection_paused():
        for name in modules:
            import_module(name)
        if freezes:
            gc.freeze()
            _has_frozen_imports = True


def has_frozen_imports() -> bool:
    """Return whether `freeze_imports` has been called in this process."""
    return _has_frozen_imports


def _is_frozen() -> bool:
    """Return whether an application has frozen objects, in a process that is not Treadle's own."""
    return not _has_frozen_imports and gc.get_freeze_count() > _MANY_FROZEN  # counting takes as long as traversing them


def _enable_in_child() -> None:
    if _is_paused:
        gc.enable()


os.register_at_fork(after_in_child=_enable_in_child)
