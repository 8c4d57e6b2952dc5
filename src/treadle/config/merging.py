"""Merge configuration: files within an environment, one environment over another, runtime parameters over both.

Job: merge parsed files without silently losing anything. State: none. Neighbours: `loader.py` parses the files
and resolves the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from treadle.config.params import merge_params
from treadle.config.resolvers import Literal

__all__ = ["Conflict", "MergedEnvironment", "Strategy", "merge_environments", "merge_files", "overlay"]

_WHOLE_ENTRIES = frozenset({"catalog", "credentials"})
"""Kinds whose top-level entries belong together, so that two files may not share one."""


class Strategy(Enum):
    """How an environment is merged over the base."""

    DESTRUCTIVE = "destructive"
    SOFT = "soft"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A key that two files of one environment give.

    Attributes:
        path: the keys that lead to it.
        first: the file that gave it first.
        second: the other file.
    """

    path: tuple[Any, ...]
    first: str
    second: str


@dataclass(slots=True)
class MergedEnvironment:
    """The files of one environment, and what they make together.

    Attributes:
        env: the environment's name.
        files: parsed content by file name.
        merged: all of it in one tree.
        conflicts: keys that two files give, templates left out.
        templates: templates (`_key`) that two files give with different values.
    """

    env: str
    files: dict[str, dict[Any, Any]]
    merged: dict[Any, Any] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    templates: list[Conflict] = field(default_factory=list)


def merge_files(kind: str, env: str, files: dict[str, dict[Any, Any]]) -> MergedEnvironment:
    """Merge the files of one environment.

    Args:
        kind: the kind of configuration; entries of the catalog and of credentials may not be spread over files.
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
                _lay(result, owners, result.merged, (key,), value, file, deep=kind not in _WHOLE_ENTRIES)
    return result


def merge_environments(environments: Sequence[MergedEnvironment], strategy: Strategy) -> dict[Any, Any]:
    """Merge one environment over another.

    Args:
        environments: the base first.
        strategy: whether a top-level key replaces the one below, or merges with it.

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
        A new tree, in which runtime values are literals. A mapping laid over an interpolation waits: the caller merges it
        once the interpolation is resolved.
    """
    laid = dict(tree)
    for key, value in runtime_params.items():
        below = laid.get(key)
        if not isinstance(value, Mapping):
            laid[key] = Literal(value)
        elif isinstance(below, Mapping):
            laid[key] = overlay(below, value)
        elif not (isinstance(below, str) and "${" in below):
            laid[key] = overlay({}, value)
    return laid


def used_template(tree: Any, conflict: Conflict) -> bool:
    """Return whether an interpolation refers to a template that two files give differently.

    Args:
        tree: the merged tree.
        conflict: the template.

    Returns:
        True where a text of the tree interpolates it.
    """
    if isinstance(tree, str):
        return re.search(r"\$\{\s*" + re.escape(conflict.path[0]) + r"\s*[.\[}]", tree) is not None
    if isinstance(tree, Mapping):
        return any(used_template(value, conflict) for value in tree.values())
    return isinstance(tree, list) and any(used_template(value, conflict) for value in tree)


def _lay(
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
        _own(owners, path, value, file)
    elif deep and isinstance(value, Mapping) and isinstance(target[key], dict):
        for inner, each in value.items():
            _lay(result, owners, target[key], (*path, inner), each, file, deep=True)
    else:
        result.conflicts.append(Conflict(path, owners[path], file))


def _own(owners: dict[tuple[Any, ...], str], path: tuple[Any, ...], value: Any, file: str) -> None:
    owners[path] = file
    if isinstance(value, Mapping):
        for key, each in value.items():
            _own(owners, (*path, key), each, file)
