"""Rows of text as lines with aligned columns. Keeps no state."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

from treadle.printable import printable


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Align the columns of rows; on a terminal the last column is cut at its edge.

    Args:
        rows: cells by row, all rows of one length.

    Yields:
        Each row as a line.
    """
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    room = get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        yield line if room is None or len(line) <= room else line[: room - 1] + "…"
