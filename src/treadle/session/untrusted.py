"""Check the params of a run that come from outside, such as from an HTTP request.

A catalog may contain params (`filepath: data/${runtime_params:day}.csv`). Whoever may pass params to a service must not be able
to choose classes, credentials or files outside the folder that the catalog names. Any key of an entry may be that of a path
(`filename`, `con`, a mapping of names to files), so no value may get a path that leads elsewhere from a param. The configuration
is read with each string of the params replaced by a mark, so that it shows where they end up.

State: none. Neighbours: `service.py` calls this; `treadle.config.loader` reads the configuration.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from treadle.errors import ConfigError
from treadle.named_tuple import NamedTuple

_CHOOSES_CODE = frozenset({"type", "dataset"})
_CODE_ENDINGS = ("class", "cls", "validator", "credentials", "backend", "module", "callable", "factory")
"""Keys of a catalog entry, and endings of them, whose string value names a class, a module or credentials, in any case."""
_PATH_ENDINGS = ("path", "paths", "file", "dir", "folder", "url", "uri", "location", "root", "prefix")
_DESCRIPTIVE = "metadata"
"""The key of a catalog entry whose values no dataset reads, so that they may contain any text."""
_SEPARATOR = r"[\s'\"`=:,;(\[{<>|?&/\\]"
_LEADS_ELSEWHERE = re.compile(rf"(?:^|(?<={_SEPARATOR}))(?:[/~]|\.\.(?=$|[)\]}}]|{_SEPARATOR}))|\0|(?<=:)\\")
"""What leads to another folder, wherever it is in a text: an absolute path, `~`, a part `..` of a path, the slashes of a URL."""


class _Marked(NamedTuple):
    """A value of the configuration that contains a param."""

    keys: tuple[str, ...]
    template: str
    actual: Any


def check_untrusted(read: Callable[[Mapping[str, Any]], Any], params: Mapping[str, Any]) -> None:
    """Raise if params choose a class, credentials, or a file outside the folder that the catalog names.

    Args:
        read: returns a config loader with the given params.
        params: the params of the run.

    Raises:
        ConfigError: they do; or the configuration cannot be read with them.
    """
    if not any(True for _ in _strings(params)):
        return
    mark = f"{secrets.randbelow(9 * 10**17) + 10**17}"  # digits, so that resolvers which expect a number accept it
    marked, given = read(_with_mark(params, mark)), read(params)
    for kind in ("credentials", "execution"):
        if any(True for _ in _marked(marked.get(kind) or {}, None, mark)):
            msg = f"The params of this run are part of the configuration '{kind}', which params from outside may not change."
            raise ConfigError(msg, key=kind)
    for each in _marked(marked.get("catalog") or {}, given.get("catalog") or {}, mark):
        key = each.keys[-1] if each.keys else ""
        place = f"'{'.'.join(each.keys[1:]) or key}' of dataset '{''.join(each.keys[:1])}'"
        if key.lower() in _CHOOSES_CODE or key.lower().endswith(_CODE_ENDINGS):
            msg = f"The params of this run choose the {place}, which params from outside may not do. Write it into the catalog."
            raise ConfigError(msg, key=".".join(each.keys))
        is_path = key.lower().endswith(_PATH_ENDINGS)
        if (is_path and not _stays_inside(each.template.partition(mark)[0], each.actual)) or _leads_elsewhere(each):
            msg = (
                f"The params of this run lead the {place} outside the folder that the catalog names, or contain what may do so. "
                "Pass a plain name, without '..', '~' and '://' and without a leading '/'."
            )
            raise ConfigError(msg, key=".".join(each.keys))


def _leads_elsewhere(value: _Marked) -> bool:
    """Return whether the params add a path or a URL to a value, which the catalog itself may contain as well."""
    if value.keys[1:2] == (_DESCRIPTIVE,):
        return False
    return len(_LEADS_ELSEWHERE.findall(str(value.actual))) > len(_LEADS_ELSEWHERE.findall(value.template))


def _stays_inside(prefix: str, actual: Any) -> bool:
    """Return whether a path that begins with a fixed prefix stays in the folder of the prefix."""
    if not isinstance(actual, str):
        return False
    folder = prefix[: prefix.rfind("/") + 1]
    if not actual.startswith(folder):
        return False
    rest = actual[len(folder) :]
    outside = rest.startswith(("/", "~")) if not folder else False
    foreign = "://" in rest or "::" in rest or "\0" in rest or "\\" in rest
    return not outside and not foreign and ".." not in rest.split("/")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _strings(each)


def _with_mark(value: Any, mark: str) -> Any:
    if isinstance(value, str):
        return mark
    if isinstance(value, Mapping):
        return {key: _with_mark(each, mark) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_mark(each, mark) for each in value]
    return value


def _marked(value: Any, actual: Any, mark: str, keys: tuple[str, ...] = ()) -> Iterator[_Marked]:
    """Yield the values that contain the mark, or a number made from it, with the same values under the given params."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _marked(each, actual.get(key) if isinstance(actual, Mapping) else None, mark, (*keys, str(key)))
    elif isinstance(value, (list, tuple)):
        for position, each in enumerate(value):
            same = actual[position] if isinstance(actual, (list, tuple)) and position < len(actual) else None
            yield from _marked(each, same, mark, keys)
    elif mark in str(value):
        yield _Marked(keys, str(value), actual)
