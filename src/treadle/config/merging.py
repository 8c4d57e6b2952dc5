"""Merge configuration: the files of an environment, one environment over another, runtime parameters over both.

No value is lost silently: a key in two files of one environment is a conflict. State: none. Neighbours: `loader.py` parses the
files and resolves the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from treadle.config.params import merge_params
from treadle.config.resolvers import Literal
from treadle.named_tuple import NamedTuple

__all__ = ["Conflict", "MergedEnvironment", "Strategy", "merge_environments", "merge_files", "overlay"]

_WHOLE_ENTRIES = frozenset({"catalog", "credentials"})
"""Kinds whose top-level entries cannot be spread over two files."""


class Strategy(Enum):
    """How an environment is merged over the base."""

    DESTRUCTIVE = "destructive"
    SOFT = "soft"


class Conflict(NamedTuple):
    """A key that two files of one environment define.

    Attributes:
        path: the keys that lead to it.
        first: the file that defines it first.
        second: the other file.
    """

    path: tuple[Any, ...]
    first: str
    second: str


class MergedEnvironment:
    """The files of one environment, and their merged content.

    Attributes:
        env: the environment's name.
        files: parsed content by file name.
        merged: the content of all files as one tree.
        conflicts: keys that two files define, except templates.
        templates: templates (`_key`) that two files define with different values.
    """

    __slots__ = ("conflicts", "env", "files", "merged", "templates")

    def __init__(self, env: str, files: dict[str, dict[Any, Any]]) -> None:
        self.env = env
        self.files = files
        self.merged: dict[Any, Any] = {}
        self.conflicts: list[Conflict] = []
        self.templates: list[Conflict] = []


def merge_files(kind: str, env: str, files: dict[str, dict[Any, Any]]) -> MergedEnvironment:
    """Merge the files of one environment.

    Args:
        kind: the kind of configuration; an entry of the catalog or of credentials cannot be spread over files.
        env: the environment's name.
        files: parsed content by file name.

    Returns:
        The environment, with the conflicts that were found.
    """
    result = MergedEnvironment(env, files)
    owners: dict[tuple[Any, ...], str] = {}
    for file, data in files.items():
        for key, value in data.items():
            if isinstance(key, str) and key.startswith("_"):
                if key in result.merged and result.merged[key] != value:
                    result.templates.append(Conflict((key,), owners[key,], file))
                result.merged[key] = value
                owners.setdefault((key,), file)
            else:
                _add(result, owners, result.merged, (key,), value, file, deep=kind not in _WHOLE_ENTRIES)
    return result


def merge_environments(environments: Sequence[MergedEnvironment], strategy: Strategy) -> dict[Any, Any]:
    """Merge one environment over another.

    Args:
        environments: the environments, the base first.
        strategy: whether a top-level key replaces that of the base, or is merged with it.

    Returns:
        One new tree.
    """
    tree: dict[Any, Any] = {}
    for each in environments:
        tree = merge_params(tree, each.merged) if strategy is Strategy.SOFT else {**tree, **each.merged}
    return tree


def overlay(tree: Mapping[Any, Any], runtime_params: Mapping[Any, Any]) -> dict[Any, Any]:
    """Merge runtime parameters over unresolved parameters, so that interpolations use them.

    Args:
        tree: the parameters of files.
        runtime_params: the parameters of a session.

    Returns:
        A new tree, in which runtime values are literals. A mapping that would override an interpolation is omitted: the caller
        merges it after the interpolation is resolved.
    """
    result = dict(tree)
    for key, value in runtime_params.items():
        base = result.get(key)
        if not isinstance(value, Mapping):
            result[key] = Literal(value)
        elif isinstance(base, Mapping):
            result[key] = overlay(base, value)
        elif not (isinstance(base, str) and "${" in base):
            result[key] = overlay({}, value)
    return result


def used_template(tree: Any, conflict: Conflict) -> bool:
    """Return whether an interpolation refers to a template that two files define differently.

    Args:
        tree: the merged tree.
        conflict: the template.

    Returns:
        True if a string in the tree refers to it.
    """
    if isinstance(tree, str):
        return re.search(r"\$\{\s*" + re.escape(conflict.path[0]) + r"\s*[.\[}]", tree) is not None
    if isinstance(tree, Mapping):
        return any(used_template(value, conflict) for value in tree.values())
    return isinstance(tree, list) and any(used_template(value, conflict) for value in tree)


def _add(
    result: MergedEnvironment,
    owners: dict[tuple[Any, ...], str],
    target: dict[Any, Any],
    path: tuple[Any, ...],
    value: Any,
    file: str,
    *,
    deep: bool,
) -> None:
    key = path[-1]
    if key not in target:
        target[key] = merge_params(value, {}) if isinstance(value, Mapping) else value
        _record_owner(owners, path, value, file)
    elif deep and isinstance(value, Mapping) and isinstance(target[key], dict):
        for inner, each in value.items():
            _add(result, owners, target[key], (*path, inner), each, file, deep=True)
    else:
        result.conflicts.append(Conflict(path, owners[path], file))


def _record_owner(owners: dict[tuple[Any, ...], str], path: tuple[Any, ...], value: Any, file: str) -> None:
    owners[path] = file
    if isinstance(value, Mapping):
        for key, each in value.items():
            _record_owner(owners, (*path, key), each, file)
