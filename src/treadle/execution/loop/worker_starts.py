"""Log how long the workers of a run took to start, and what for. State: none. Runs in the parent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.events import WorkerStart

_logger = logging.getLogger(__name__)

_SHORTEST_SHOWN = 0.005
"""The shortest part of the start that the line shows, in seconds."""


def log_worker_starts(starts: Sequence[WorkerStart]) -> None:
    """Log how long the workers that a run has started took to start; nothing if it has started none.

    Args:
        starts: one for each worker.
    """
    if starts and _logger.isEnabledFor(logging.DEBUG):
        _logger.debug("%s.", describe_starts(starts))


def describe_starts(starts: Sequence[WorkerStart]) -> str:
    """Describe how long workers took to start, and what for, as in `2 workers were ready after 0.8 s on average: …`.

    Args:
        starts: the starts of at least one worker.
    """
    count = len(starts)
    parts = {
        "interpreter": sum(each.interpreter for each in starts) / count,
        "imports of Treadle": sum(each.imports for each in starts) / count,
        "import of the project": sum(each.project for each in starts) / count,
        "set-up": sum(each.set_up for each in starts) / count,
    }
    shown = ", ".join(f"{seconds:.2f} s {name}" for name, seconds in parts.items() if seconds >= _SHORTEST_SHOWN)
    workers = "1 worker was ready after" if count == 1 else f"{count} workers were ready after"
    average = "" if count == 1 else " on average"
    return f"{workers} {sum(parts.values()):.2f} s{average}{': ' if shown else ''}{shown}"
