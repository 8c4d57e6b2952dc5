"""The paths in the entries of a catalog: which arguments are paths, and what they mean in any process of the project.

State: none. Neighbours: `recipe` has the entry of a dataset, `storage` tells local files from remote ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any, Final

from treadle.io.storage import split_prefix

PATH_KEYS: Final = ("filepath", "path", "filename")
"""Arguments of datasets that are paths."""
_PARTS_WITH_PATHS: Final = ("dataset", "checkpoint")
"""Keys of a wrapped dataset or a checkpoint file, which have paths of their own."""


def absolute_path(path: Any, project_path: str | None) -> Any:
    """Return a path that no longer depends on the working directory.

    Args:
        path: a path to make absolute, also after `file://`, or one in the home folder (`~`); a URL such as `s3://bucket/key`, or
            a value that is not a path, is returned unchanged.
        project_path: the folder that relative paths start from; None for the working directory.

    Returns:
        the absolute path, as a string.
    """
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        return path
    prefix, rest = split_prefix(path)
    if rest.startswith("~"):
        return f"{prefix}{os.path.expanduser(rest)}"  # noqa: PTH111 - also where there is no home folder
    if not is_relative(rest):
        return path
    base = os.path.abspath(project_path or os.curdir)  # noqa: PTH100 - path objects take several times as long
    return f"{prefix}{os.path.normpath(os.path.join(base, rest))}"  # noqa: PTH118 - likewise


def is_relative(path: str) -> bool:
    """Return whether a path is relative to the project: not absolute, not in the home folder, and not a URL."""
    path = split_prefix(path)[1]
    if "://" in path or path.startswith(("/", "memory:", "~")):
        return False
    return not (":" in path or path.startswith("\\")) or not PureWindowsPath(path).is_absolute()


def depend_on_process(config: Mapping[str, Any]) -> Iterator[bool]:
    """Yield whether each path of an entry depends on the home folder or the working directory."""
    for key in PATH_KEYS:
        path = config.get(key)
        yield isinstance(path, str) and (path.startswith("~") or ("://" in path and absolute_path(path, "/") != path))
    for part in _PARTS_WITH_PATHS:
        if isinstance(inner := config.get(part), Mapping):
            yield from depend_on_process(inner)


def is_process_bound(filepath: Any) -> bool:
    """Return whether a path is on a file system that exists only in its process (`memory://`)."""
    return isinstance(filepath, str) and filepath.startswith("memory:")


def make_absolute(arguments: dict[str, Any], project_path: str | None) -> None:
    """Make the paths among the arguments of a dataset, and of the datasets in it, absolute, in place."""
    for key in PATH_KEYS:
        if key in arguments:
            arguments[key] = absolute_path(arguments[key], project_path)
    for part in _PARTS_WITH_PATHS:
        if isinstance(arguments.get(part), dict):
            make_absolute(arguments[part], project_path)
