"""Check the arguments of a config loader that a project sets in settings.py. State: none.

Neighbours: `loader.py` uses the arguments; `merging.py` checks merge strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treadle.errors import ConfigError


def checked_patterns(given: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Check and return file patterns by kind.

    Args:
        given: for each kind, a list of patterns or one pattern.

    Returns:
        A tuple of patterns for each kind.

    Raises:
        ConfigError: the value of a kind is something else.
    """
    patterns: dict[str, tuple[str, ...]] = {}
    for kind, value in (given or {}).items():
        kind_patterns = (value,) if isinstance(value, str) else value
        if not isinstance(kind_patterns, Sequence) or not all(isinstance(each, str) for each in kind_patterns):
            msg = (
                f"config_patterns of CONFIG_LOADER_ARGS in settings.py gives {value!r} for {kind!r}. Give a list of patterns, "
                f"such as ['{kind}*', '{kind}*/**']."
            )
            raise ConfigError(msg, key="config_patterns")
        patterns[kind] = tuple(kind_patterns)
    return patterns


def checked_resolvers(given: Mapping[str, Any] | None) -> dict[str, Callable[..., Any]]:
    """Check and return resolvers by name.

    Args:
        given: a function for each name.

    Returns:
        A new dictionary of them.

    Raises:
        ConfigError: a resolver is not callable.
    """
    for name, function in (given or {}).items():
        if not callable(function):
            msg = (
                f"custom_resolvers of CONFIG_LOADER_ARGS in settings.py gives {function!r} for {name!r}. Give a function: what "
                f"it returns stands in place of ${{{name}:...}}."
            )
            raise ConfigError(msg, key="custom_resolvers")
    return dict(given or {})
