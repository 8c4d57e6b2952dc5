"""Rows of text as lines with aligned columns. Keeps no state."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

from treadle.printable import printable

_GAP = "  "


def aligned(rows: Sequence[tuple[str, ...]], *, below: int = 1) -> Iterator[str]:
    """Align the columns of rows; on a terminal that is too narrow, the last columns of each row stand below it.

    Args:
        rows: cells by row, all rows of one length; the first row has the headings.
        below: how many columns may stand below, each with its heading.

    Yields:
        Each row as one line, or as several on a terminal that is too narrow.
    """
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = get_terminal_size().columns if sys.stdout.isatty() else None
    beside = len(widths)
    if room is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > room:
        beside -= min(below, len(widths) - 1)
    headings = rows[0]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row[: beside - 1], widths, strict=False)]
        line = _GAP.join([*cells, row[beside - 1]]).rstrip()
        yield line if room is None or len(line) <= room else line[: room - 1] + "…"
        if number and room is not None:
            rest = [f"{heading.lower()} {cell}" for heading, cell in zip(headings[beside:], row[beside:], strict=True) if cell]
            yield from textwrap.wrap(
                "; ".join(rest), room, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False
            )
