"""Register secret values, and mask them in text.

State: the registered values of this process. They stay until it ends, because a text that contains one may appear at any time;
but only the newest `MAX_SECRETS` are stored, so that a service that gets a new token with each request does not leak memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "***"
"""The text that replaces a secret."""

MAX_SECRETS = 1000
SHORTEST_SECRET = 4
"""Shorter values are not masked, because they appear in too many harmless words and numbers."""
_SHORTEST_INSIDE_WORDS = 6
"""Shorter values are masked only as whole words."""
_SHORTEST_LINE = 12
"""Lines of a multi-line secret, such as a private key, are masked one by one if they have at least this length."""
_HARMLESS = frozenset({"true", "false", "none", "null"})


class _Registry:
    """The values in the order of registration, and a compiled pattern that matches them.

    It has no lock, because a forked child could inherit it locked; every access is one atomic operation on a dict.
    """

    def __init__(self) -> None:
        self.values: dict[str, None] = {}
        self.compiled: tuple[tuple[str, ...], re.Pattern[str] | None] = ((), None)


_registry = _Registry()


def add_secrets(secrets: Any) -> bool:
    """Register values, and return whether any of them is new.

    Args:
        secrets: the argument of `register_secrets`.
    """
    registry = _registry
    new = [text for text in dict.fromkeys(_texts(secrets)) if text not in registry.values]
    registry.values.update(dict.fromkeys(new))
    for text in tuple(registry.values)[:-MAX_SECRETS]:
        registry.values.pop(text, None)
    return bool(new)


def known_secrets() -> tuple[str, ...]:
    """Return the registered values, for example to register them in another process."""
    return tuple(_registry.values)


def mask_secrets(text: str) -> str:
    """Mask the registered secrets in a text.

    Args:
        text: any text.

    Returns:
        The text with `***` in their place, even if they are escaped as in a repr, in JSON or in a URL.
    """
    pattern = _pattern()
    return text if pattern is None else pattern.sub(MASK, text)


def secrets_in(pickled: bytes, secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the secrets that a pickle contains.

    Args:
        pickled: the pickle.
        secrets: the candidates, such as `known_secrets()`.
    """
    return tuple(secret for secret in secrets if secret.encode("utf-8", "surrogatepass") in pickled)


def _pattern() -> re.Pattern[str] | None:
    values = tuple(_registry.values)
    if not values:
        return None
    compiled = _registry.compiled
    if compiled[0] != values:
        spellings = {spelling for text in values for spelling in _spellings(text)}
        # The longest come first, because one secret may be the beginning of another.
        parts = [_expression(each) for each in sorted(spellings, key=lambda each: (-len(each), each))]
        compiled = _registry.compiled = (values, re.compile("|".join(parts)))
    return compiled[1]


def _expression(text: str) -> str:
    escaped = re.escape(text)
    return escaped if len(text) >= _SHORTEST_INSIDE_WORDS else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def _spellings(text: str) -> Iterator[str]:
    """Yield the forms in which a text may contain a secret: plain, escaped, in a URL, base64-encoded, line by line."""
    import base64
    import json
    from urllib.parse import quote, quote_plus

    encoded = text.encode("utf-8", "surrogatepass")  # an environment variable may not be valid UTF-8
    yield text
    yield repr(text)[1:-1]
    yield repr(text + '"')[1:-2]  # as escaped inside single quotes
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(encoded)
    yield quote(encoded, safe="")
    yield quote_plus(encoded)
    if len(encoded) >= _SHORTEST_INSIDE_WORDS:
        yield base64.b64encode(encoded).decode("ascii").rstrip("=")
    lines = text.split("\n")
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _SHORTEST_LINE)


def _texts(value: Any) -> Iterator[str]:
    """Yield the text of every value, at any depth, that is long enough to be masked."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
        return
    if isinstance(value, (str, int, float)):
        text = str(value).strip()
    elif isinstance(value, (bytes, bytearray)):
        text = bytes(value).decode("utf-8", "backslashreplace").strip()
    elif isinstance(value, (list, tuple, set, frozenset, Iterator)):
        for each in value:
            yield from _texts(each)
        return
    else:
        get = getattr(value, "get_secret_value", None)  # pydantic's SecretStr
        if callable(get):
            yield from _texts(get())
        return
    if len(text) >= SHORTEST_SECRET and text.lower() not in _HARMLESS:
        yield text
