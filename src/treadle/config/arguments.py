"""The arguments of a config loader that a project writes in its settings, checked before they are used. No state.

Neighbour: `loader.py` is made with them; `merging.py` knows the merge strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treadle.errors import ConfigError


def checked_patterns(given: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Return file patterns by kind.

    Args:
        given: for each kind a list of patterns, or one.

    Returns:
        A tuple of patterns for each kind.

    Raises:
        ConfigError: a kind has something else.
    """
    patterns: dict[str, tuple[str, ...]] = {}
    for kind, value in (given or {}).items():
        some = (value,) if isinstance(value, str) else value
        if not isinstance(some, Sequence) or not all(isinstance(each, str) for each in some):
            msg = (
                f"config_patterns of CONFIG_LOADER_ARGS in settings.py gives {value!r} for {kind!r}. Give a list of patterns, "
                f"such as ['{kind}*', '{kind}*/**']."
            )
            raise ConfigError(msg, key="config_patterns")
        patterns[kind] = tuple(some)
    return patterns


def checked_resolvers(given: Mapping[str, Any] | None) -> dict[str, Callable[..., Any]]:
    """Return resolvers by name.

    Args:
        given: a function for each name.

    Returns:
        The same, as a dictionary of its own.

    Raises:
        ConfigError: one cannot be called.
    """
    for name, function in (given or {}).items():
        if not callable(function):
            msg = (
                f"custom_resolvers of CONFIG_LOADER_ARGS in settings.py gives {function!r} for {name!r}. Give a function: what "
                f"it returns stands in place of ${{{name}:...}}."
            )
            raise ConfigError(msg, key="custom_resolvers")
    return dict(given or {})
