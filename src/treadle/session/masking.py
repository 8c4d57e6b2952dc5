"""Masking the secrets of a session's parameters and command in its record.

No state. Neighbours: `treadle.secrets` recognises secrets by name and form, and knows the values that were read; `facts.py` masks
environment variables, `record.py` the rest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from treadle.secrets import MASK, looks_secret, mask_secrets, mask_setting

_NAME = re.compile(r"(?P<name>[A-Za-z_][\w.\-]*)[\"']?\s*[=:]\s*")


def mask_params(value: Any, name: str = "") -> Any:
    """Mask the secret values in nested params.

    Args:
        value: a param or all of them.
        name: what the param is called.

    Returns:
        The same, with new mappings and lists, and a mask for every value under a secret-looking name; None, True and
        False stay, because they reveal nothing.
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
        command: as it was typed.

    Returns:
        The command, quoted anew where something was masked.
    """
    try:
        arguments = shlex.split(command)
    except ValueError:  # a quote without its end: no command a shell would have run, but a program may record what it likes
        arguments = command.split()
    masked: list[str] = []
    for position, argument in enumerate(arguments):
        before = arguments[position - 1] if position else ""
        if before.startswith("--") and "=" not in before and looks_secret(before) and not argument.startswith("-"):
            masked.append(MASK)
        else:
            masked.append(mask_secrets(mask_setting(_mask_assignments(argument))))
    return command if masked == arguments else shlex.join(masked)


def secret_params(value: Any, name: str = "") -> Iterator[Any]:
    """Find the values that `mask_params` masks for their names, to register them as secrets.

    Args:
        value: a param or all of them.
        name: what the param is called.

    Yields:
        The values; one may be a mapping or a list of secrets.
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
    """Mask the value behind every secret name: to its closing quote, or to the next comma, or all behind a bracket."""
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
