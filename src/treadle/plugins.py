"""What installed packages offer Treadle, by entry point.

::

    [project.entry-points."treadle.hooks"]      an object with functions marked by hook_impl
    [project.entry-points."treadle.commands"]   a click command
    [project.entry-points."treadle.runners"]    a Runner class
    [project.entry-points."treadle.datasets"]   a dataset class; the entry's name is its `type:`

Job: find the entry points of a group, each with a name that tells who offers it; nothing is imported here. State: none that
changes: what is found is kept for as long as `sys.path` stays the same, because looking takes milliseconds. Neighbours: `hooks`,
`io.types`, `execution.registry` and the command line, which import what is found and say what is wrong with it.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

HOOKS = "treadle.hooks"
COMMANDS = "treadle.commands"
RUNNERS = "treadle.runners"
DATASETS = "treadle.datasets"
GROUPS = (HOOKS, COMMANDS, RUNNERS, DATASETS)
"""Every group that Treadle looks at."""


def offered(group: str) -> tuple[EntryPoint, ...]:
    """Find what installed packages offer in a group.

    Args:
        group: one of `GROUPS`.

    Returns:
        The entry points, sorted by `plugin_name`; none of them is imported.
    """
    return _offered(group, tuple(sys.path))


def find_offer(group: str, name: str) -> EntryPoint | None:
    """Find one entry point.

    Args:
        group: one of `GROUPS`.
        name: its name.

    Returns:
        The entry point, None where there is none; where several packages offer the name, the first by `plugin_name`.
    """
    return next((entry for entry in offered(group) if entry.name == name), None)


def plugin_name(entry: EntryPoint) -> str:
    """Say who offers an entry point.

    Args:
        entry: the entry point.

    Returns:
        `distribution:entry point`.
    """
    return f"{entry.dist.name}:{entry.name}" if entry.dist is not None else entry.name


@lru_cache(maxsize=32)
def _offered(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=group), key=plugin_name))
