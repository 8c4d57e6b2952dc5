"""Amounts as texts for people: seconds, bytes, shares and counts. State: none."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_time(seconds: float) -> str:
    """Return a duration with a fitting unit: `850 µs`, `12.3 ms`, `4.56 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 0.0005:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def format_size(size: float) -> str:
    """Return a number of bytes with a fitting unit, in powers of 1000."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.3g} {_UNITS[unit]}"


def format_share(share: float) -> str:
    """Return a share as a whole percentage; small and large ones never as 0 or 100 %."""
    if 0 < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 0.995:
        return "99 %"
    return f"{share * 100:.0f} %"


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shortened(name: str, most: int = 60) -> str:
    """Return a name for a sentence: its beginning if it is long."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
