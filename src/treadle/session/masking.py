"""What a record must not tell: values under secret-looking names, passwords in addresses.

Names are looked at word by word (`apiKey`, `API_KEY` and `api-key` are alike), so `token` is secret and `tokenizer` is
not. Better one harmless value too many is masked than one password kept: the record is for people to read and share.

No state. Neighbours: `facts.py` masks environment variables, `session.py` params, the command and errors.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

MASK = "***"

SECRET_WORDS = frozenset(
    {
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "dsn",
        "key",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pat",
        "pin",
        "private",
        "pwd",
        "secret",
        "secrets",
        "signature",
        "token",
    }
)
"""A name with one of these words is secret."""

SECRET_PARTS = ("accesskey", "apikey", "credential", "passphrase", "passwd", "password", "secret")
"""A name that holds one of these letters in a row is secret, also where words are not parted: PGPASSWORD."""

SECRET_ENDINGS = ("token",)
"""A name with a word that ends so is secret: authtoken."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_ADDRESS_PASSWORD = re.compile(r"(?<=://)(?P<user>[^\s/@:]*):(?P<password>[^\s/]+)@")
_NAME = re.compile(r"(?P<name>[A-Za-z_][\w.\-]*)[\"']?\s*[=:]\s*")
_SHORTEST_KNOWN_SECRET = 4
"""Shorter values stand in too many innocent words to be looked for in a text."""


def looks_secret(name: str) -> bool:
    """Say whether a name promises a secret.

    Args:
        name: of a param, an environment variable or a flag.

    Returns:
        True where its value must not be told.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    joined = "".join(words)
    return (
        any(word in SECRET_WORDS or word.endswith(SECRET_ENDINGS) for word in words)
        or any(part in joined for part in SECRET_PARTS)
        or joined in SECRET_WORDS
    )


def mask_text(text: str) -> str:
    """Mask the passwords of addresses in a text, such as `postgresql://user:password@host`.

    Args:
        text: any text.

    Returns:
        The text without them.
    """
    return _ADDRESS_PASSWORD.sub(rf"\g<user>:{MASK}@", text)


def mask_params(value: Any, name: str = "") -> Any:
    """Mask the secret values in nested params.

    Args:
        value: a param or all of them.
        name: what the param is called.

    Returns:
        The same, with new mappings and lists, and a mask for every value under a secret-looking name; None, True and
        False stay, since they tell nothing.
    """
    if value is None or isinstance(value, bool):
        return value
    if name and looks_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: mask_params(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_params(item) for item in value]
    return mask_text(value) if isinstance(value, str) else value


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
            masked.append(mask_text(_mask_assignments(argument)))
    return command if masked == arguments else shlex.join(masked)


def secret_values(value: Any, name: str = "") -> frozenset[str]:
    """Collect the values that `mask_params` masks, to look for them in texts.

    Args:
        value: a param or all of them.
        name: what the param is called.

    Returns:
        Their texts; those too short to be told from other words are left out.
    """
    if isinstance(value, Mapping):
        secret = bool(name) and looks_secret(name)
        return frozenset().union(*(secret_values(item, name if secret else str(key)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return frozenset().union(*(secret_values(item, name) for item in value))
    text = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    return frozenset([text]) if name and looks_secret(name) and len(text) >= _SHORTEST_KNOWN_SECRET else frozenset()


def mask_known(text: str, known: frozenset[str]) -> str:
    """Mask known secrets, and the passwords of addresses, wherever they stand in a text.

    Args:
        text: an error's message or traceback.
        known: from `secret_values`.

    Returns:
        The text without them.
    """
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, MASK)
    return mask_text(text)


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
