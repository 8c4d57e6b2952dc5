"""Format sizes for messages. State: none."""

from __future__ import annotations


def format_bytes(size: float) -> str:
    """Format a number of bytes as readable text: `1.5 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
