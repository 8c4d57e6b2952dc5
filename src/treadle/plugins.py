"""Find the plugins of installed packages by their entry points.

::

    [project.entry-points."treadle.hooks"]      an object with functions marked by hook_impl
    [project.entry-points."treadle.commands"]   a click command
    [project.entry-points."treadle.runners"]    a Runner class
    [project.entry-points."treadle.datasets"]   a dataset class; the entry's name is its `type:`

This module only finds entry points. `hooks`, `io.types`, `execution.runners.registry` and the command line import them and report
those that are broken. State: a cache of the entry points for the current `sys.path`, because the search takes milliseconds.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from treadle.collector import collection_paused

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

HOOKS = "treadle.hooks"
COMMANDS = "treadle.commands"
RUNNERS = "treadle.runners"
DATASETS = "treadle.datasets"
GROUPS = (HOOKS, COMMANDS, RUNNERS, DATASETS)
"""Every entry-point group of Treadle."""


def offered(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, of all installed packages.

    Args:
        group: one of `GROUPS`.

    Returns:
        The entry points, sorted by `plugin_name`, not imported.
    """
    return _offered(tuple(sys.path))[group]


def find_offer(group: str, name: str) -> EntryPoint | None:
    """Find one entry point.

    Args:
        group: one of `GROUPS`.
        name: its name.

    Returns:
        The entry point; None if there is none. If several packages have the name, the first by `plugin_name`.
    """
    return next((entry for entry in offered(group) if entry.name == name), None)


def plugin_name(entry: EntryPoint) -> str:
    """Return a name for an entry point that includes its distribution.

    Args:
        entry: the entry point.

    Returns:
        `distribution:entry point`.
    """
    return f"{entry.dist.name}:{entry.name}" if entry.dist is not None else entry.name


@lru_cache(maxsize=8)
def _offered(_path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    with collection_paused():  # the import of twenty modules, and objects that are kept
        from importlib.metadata import entry_points

        found = entry_points()
    return {group: tuple(sorted(found.select(group=group), key=plugin_name)) for group in GROUPS}
