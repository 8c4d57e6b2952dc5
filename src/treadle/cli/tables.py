"""Print rows of text with aligned columns. State: none."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

from treadle.printable import printable

_GAP = "  "


def aligned(rows: Sequence[tuple[str, ...]], *, below: int = 1) -> Iterator[str]:
    """Align the columns of rows. If the terminal is too narrow, the last columns are printed below each row.

    Args:
        rows: the cells of each row; all rows have the same length, and the first has the headings.
        below: how many columns may be printed below, each with its heading.

    Yields:
        Each row as one line, or as several lines if the terminal is too narrow.
    """
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    available = get_terminal_size().columns if sys.stdout.isatty() else None
    inline = len(widths)
    if available is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > available:
        inline -= min(below, len(widths) - 1)
    headings = rows[0]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row[: inline - 1], widths, strict=False)]
        line = _GAP.join([*cells, row[inline - 1]]).rstrip()
        yield line if available is None or len(line) <= available else line[: available - 1] + "…"
        if number and available is not None:
            rest = [f"{heading.lower()} {cell}" for heading, cell in zip(headings[inline:], row[inline:], strict=True) if cell]
            yield from textwrap.wrap(
                "; ".join(rest), available, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False
            )
