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
    """The values in the order of registration, and the forms in which a text may contain them.

    It has no lock, because a forked child could inherit it locked; every access is one atomic operation on a dict.
    """

    def __init__(self) -> None:
        self.values: dict[str, None] = {}
        self.spelled: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # the values, and all their spellings
        self.spellings: dict[str, tuple[str, ...]] = {}  # of each value


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
    # Most texts contain no secret. A pattern of all spellings would be compiled after each new value, which takes 0.3 s for a
    # thousand values, and `re` would keep hundreds of such patterns.
    found = [spelling for spelling in _all_spellings() if spelling in text]
    if not found:
        return text
    # The longest come first, because one secret may be the beginning of another.
    parts = [_expression(each) for each in sorted(found, key=lambda each: (-len(each), each))]
    return re.sub("|".join(parts), MASK, text)


def secrets_in(pickled: bytes, secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the secrets that a pickle contains.

    Args:
        pickled: the pickle.
        secrets: the candidates, such as `known_secrets()`.
    """
    return tuple(secret for secret in secrets if secret.encode("utf-8", "surrogatepass") in pickled)


def _all_spellings() -> tuple[str, ...]:
    """Return the spellings of all registered values, each once. After a new value, only its own are computed."""
    registry = _registry
    values = tuple(registry.values)
    spelled = registry.spelled
    if spelled[0] != values:
        before = registry.spellings
        spellings = {text: before.get(text) or tuple(_spellings(text)) for text in values}
        found = dict.fromkeys([each for of_text in spellings.values() for each in of_text])
        # Another thread may do the same for more values: what this one stores must agree with what it has computed.
        registry.spellings = spellings
        spelled = registry.spelled = (values, tuple(found))
    return spelled[1]


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
