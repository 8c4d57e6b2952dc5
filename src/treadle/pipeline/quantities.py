"""Parse durations, amounts of resources, and seeds: `"5m"` is 300 seconds, `"4GB"` is 4,000,000,000 bytes. State: none.

Neighbours: `policy.py` parses the fields of a policy with it; settings, runners and commands parse theirs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeAlias

Duration: TypeAlias = "float | str"
"""Seconds, or a string with a unit: `30`, `"30s"`, `"5m"`."""
Amount: TypeAlias = "int | str"
"""An integer, or a string with a unit of bytes: `1`, `"4GB"`, `"512MiB"`."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER_AND_UNIT = r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*"


def read_duration(value: object) -> float:
    """Parse a duration.

    Args:
        value: a number of seconds, or a string such as `"30s"`, `"5m"`, `"1.5h"`.

    Returns:
        Seconds, 0 or more.

    Raises:
        ValueError: it is neither; the message describes valid values.
    """
    if isinstance(value, str) and (found := re.fullmatch(_NUMBER_AND_UNIT, value)) and (found[2] or "s") in _SECONDS:
        return round(float(found[1]) * _SECONDS[found[2] or "s"], 9)  # so that 700 ms are exactly 0.7 s
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    msg = 'give seconds, as a number or a text like "30s", "5m", "1h"'
    raise ValueError(msg)


def read_amount(value: object) -> int:
    """Parse an amount of a resource.

    Args:
        value: an integer, or a string with a unit of bytes: `"4GB"` (1 GB is 10^9 bytes), `"512MiB"` (1 MiB is 2^20 bytes).

    Returns:
        The number, 0 or more.

    Raises:
        ValueError: it is neither; the message describes valid values.
    """
    if isinstance(value, str) and (found := re.fullmatch(_NUMBER_AND_UNIT, value)) and (found[2] or "B") in _BYTES:
        amount = float(found[1]) * _BYTES[found[2] or "B"]
        if found[2] or amount.is_integer():
            return round(amount)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf and value == int(value):
        return int(value)
    msg = 'give a whole number, or bytes as a text like "4GB" or "512MiB"'
    raise ValueError(msg)


def read_resources(value: object) -> tuple[tuple[str, int], ...]:
    """Parse amounts by name.

    Args:
        value: a mapping of names to amounts.

    Returns:
        (name, amount) pairs, sorted.

    Raises:
        ValueError: it is not a mapping, or an amount is invalid; the message names it.
    """
    if not isinstance(value, Mapping):
        msg = "give amounts by name, like {gpu: 1, memory: 4GB}"
        raise ValueError(msg)  # noqa: TRY004 - one exception type for all invalid values
    amounts = {}
    for name, amount in value.items():
        if not isinstance(name, str) or not name.strip():
            msg = f"{name!r} is no name of a resource; give amounts by name, like {{gpu: 1, memory: 4GB}}"
            raise ValueError(msg)
        try:
            amounts[name] = read_amount(amount)
        except ValueError as exc:
            msg = f"{name} is {amount!r}; {exc}"
            raise ValueError(msg) from None
    return tuple(sorted(amounts.items()))


def read_seed(value: object) -> int:
    """Parse a seed.

    Args:
        value: an integer, 0 or more.

    Raises:
        ValueError: it is something else; the message describes valid values.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    msg = "give a whole number, 0 or more"
    raise ValueError(msg)
