"""Mask secrets in a session's parameters and command line before they are recorded.

State: none. Neighbours: `treadle.secrets` recognises secrets by name and form, and knows the registered values; `facts.py` masks
environment variables, `record.py` the rest of a record.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from treadle.secrets import MASK, looks_secret, mask_secrets, mask_setting

# A name is only looked for at the beginning of a word, so that a long word is not searched from each of its characters.
_NAME = re.compile(r"(?<![\w.\-])(?:[^\WA-Za-z_]|[.\-])*(?P<name>[A-Za-z_][\w.\-]*)[\"']?\s*[=:]\s*")


def mask_params(value: Any, name: str = "") -> Any:
    """Mask the secret values in nested params.

    Args:
        value: one param, or a mapping of all.
        name: name of the param.

    Returns:
        A copy in which every value with a secret-looking name is masked; None, True and False stay, as they reveal nothing.
    """
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: mask_params(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_params(item) for item in value]
    return mask_secrets(mask_setting(value)) if isinstance(value, str) else value


def mask_command(command: str) -> str:
    """Mask the secrets of a command line: `--params password=x`, `--api-token x`, `--password=x`.

    Args:
        command: the command line as typed.

    Returns:
        The command; quoted again if a value was masked.
    """
    arguments = _arguments(command)
    masked: list[str] = []
    for position, argument in enumerate(arguments):
        before = arguments[position - 1] if position else ""
        if before.startswith("--") and "=" not in before and looks_secret(before) and not argument.startswith("-"):
            masked.append(MASK)
        else:
            masked.append(mask_secrets(mask_setting(_mask_assignments(argument))))
    return command if masked == [*arguments] else shlex.join(masked)


@lru_cache(maxsize=4)  # a service records its command with every session
def _arguments(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError:  # an unclosed quote: possible where a program, not a shell, supplied the command
        return tuple(command.split())


def secret_params(value: Any, name: str = "") -> Iterator[Any]:
    """Yield the values whose names look secret, so that they can be registered as secrets.

    Args:
        value: one param, or a mapping of all.
        name: name of the param.

    Yields:
        The secret values; a value may be a mapping or a list.
    """
    if _is_secret(name):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from secret_params(item, str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_params(item)


def _is_secret(name: str) -> bool:
    return bool(name) and looks_secret(name)


def _mask_assignments(argument: str) -> str:
    """Mask the value after every secret-looking name: up to its closing quote or the next comma; after a bracket, to the end."""
    kept: list[str] = []
    done = 0
    for found in _NAME.finditer(argument):
        start = found.end()
        if start <= done or not looks_secret(found["name"]):
            continue
        opening = argument[start : start + 1]
        quoted = opening in ("'", '"')
        end = -1 if opening in ("[", "{", "(") else argument.find(opening if quoted else ",", start + quoted)
        end = len(argument) if end < 0 else end + quoted
        kept += [argument[done:start], MASK]
        done = end
    return "".join([*kept, argument[done:]])
