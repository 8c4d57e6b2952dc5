"""Find the plugins of installed packages by their entry points.

::

    [project.entry-points."treadle.hooks"]      an object with functions marked by hook_impl
    [project.entry-points."treadle.commands"]   a click command
    [project.entry-points."treadle.runners"]    a Runner class
    [project.entry-points."treadle.datasets"]   a dataset class; the entry's name is its `type:`

This module only finds entry points. `hooks`, `io.types`, `execution.runners.registry` and the command line import them and report
those that are broken. State: a cache of the entry points for the current `sys.path`, because the search takes milliseconds.

Most environments have no plugin, and `importlib.metadata` takes a tenth of a short command to import and to read all metadata. So
it is imported only if the metadata of some package mentions a group of Treadle.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.machinery import PathFinder
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
def _offered(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    if not _has_other_finders() and not any(map(_may_offer, path)):
        return dict.fromkeys(GROUPS, ())
    with collection_paused():  # the import of twenty modules, and objects that are kept
        from importlib.metadata import entry_points

        found = entry_points()
    return {group: tuple(sorted(found.select(group=group), key=plugin_name)) for group in GROUPS}


def _has_other_finders() -> bool:
    """Return whether something besides `sys.path` provides metadata."""
    return any(finder is not PathFinder and hasattr(finder, "find_distributions") for finder in sys.meta_path)


def _may_offer(folder: str) -> bool:
    """Return whether the metadata of a package in a folder of `sys.path` mentions a group of Treadle; True for an archive."""
    try:
        with os.scandir(folder or ".") as entries:
            metadata = [entry.path for entry in entries if entry.name.lower().endswith(("dist-info", "egg-info"))]
    except NotADirectoryError:
        return True
    except OSError:
        return False
    return any(map(_mentions_group, metadata))


def _mentions_group(metadata: str) -> bool:
    """Return whether a metadata folder has entry points of a group of Treadle."""
    try:
        with open(os.path.join(metadata, "entry_points.txt"), "rb") as file:  # noqa: PTH118, PTH123 - opens hundreds
            return b"[treadle." in file.read()
    except OSError:
        return False
