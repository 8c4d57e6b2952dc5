"""Restrict what a logging configuration file may call.

`logging.config.dictConfig` imports and calls everything that the file names under `()`, `class`, `queue` and `listener`, and
resolves every `ext://` value, so a file could run arbitrary code. Each name is checked first: handler, formatter, filter and
queue classes are allowed, everything else must be listed in the project's setting LOGGING_FACTORIES.

State: none. Neighbours: `logging.py` checks a file before it applies it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from treadle.errors import ConfigError

_CALLED = frozenset({"()", "class", "queue", "listener", "queue_listener"})
"""Keys whose value `dictConfig` resolves and calls."""
_STREAMS = frozenset({"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"})
_QUEUES = frozenset({"queue.Queue", "queue.SimpleQueue", "multiprocessing.Queue"})
_EXTERNAL = "ext://"
_INTERNAL = "cfg://"


def check_callables(conf: Mapping[str, Any], allowed: Collection[str], file: str) -> None:
    """Raise if a logging configuration names a callable that is not allowed.

    Args:
        conf: the parsed configuration.
        allowed: the dotted names in the project's LOGGING_FACTORIES.
        file: the configuration's file, for the message.

    Raises:
        ConfigError: a name is neither a handler, formatter, filter, queue or queue listener class nor in `allowed`.
    """
    for path, name, is_called in _names(conf, ()):
        key = ".".join(path)
        if is_called and name.startswith(_INTERNAL):
            msg = f"{file}: {key} is {name!r}. What logging calls must be named outright; write the class's dotted name there."
            raise ConfigError(msg, file=file, key=key)
        if name in allowed or _is_harmless(name, is_called=is_called):
            continue
        msg = (
            f"{file}: {key} names {name!r}, which is not a class of handlers, formatters or filters. A logging file may call "
            f"nothing else. If the project needs it, add LOGGING_FACTORIES = ({name!r},) to its settings.py."
        )
        raise ConfigError(msg, file=file, key=key)


def _names(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Yield each dotted name with its path, and whether `dictConfig` would call it or only look it up."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _names(each, (*path, str(key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _names(each, (*path, str(index)))
    elif isinstance(value, str) and path and path[-1] in _CALLED and len(path) > 1:
        yield path, value.removeprefix(_EXTERNAL), True
    elif isinstance(value, str) and value.startswith(_EXTERNAL):
        yield path, value.removeprefix(_EXTERNAL), False


def _is_harmless(name: str, *, is_called: bool) -> bool:
    from logging.config import BaseConfigurator
    from logging.handlers import QueueListener

    if name in _STREAMS | _QUEUES:
        return True
    try:
        found = BaseConfigurator({}).resolve(name)
    except (ValueError, AttributeError):  # the name does not exist; dictConfig raises an error for it
        return True
    if isinstance(found, type):
        return issubclass(found, (logging.Handler, logging.Formatter, logging.Filter, QueueListener))
    return not is_called and not callable(found)
