"""Say in words why a node has to run again: what has changed since its last success. State: none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.planning.reuse.facts import Parts

_SHOWN: Final = 60
"""Maximum length of a value that is shown; hashes are never shown."""
_HASH: Final = r"([a-z0-9]+:)?[0-9a-f]{12,}"


def changes(before: Parts, now: Parts) -> Iterator[str]:
    """Yield one sentence for each part that differs, in the order of the present parts.

    Args:
        before: the parts of the last success.
        now: the present parts.

    Yields:
        For example `param model.alpha: 0.1 → 0.2`, `input table: content changed`, `helper demo.nodes.trim changed`.
    """
    for name, value in now.items():
        if name not in before:
            yield f"{name} is new"
        elif before[name] != value:
            yield _changed(name, before[name], value)
    yield from (f"{name} is no longer used" for name in before if name not in now)


def _changed(name: str, before: str, now: str) -> str:
    if name.startswith("input "):
        return f"{name}: content changed"
    if re.fullmatch(_HASH, before) or re.fullmatch(_HASH, now):
        return f"{name} changed"
    return f"{name}: {_short(before)} → {_short(now)}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
