"""How a command shows a run: drawn on a terminal, in log lines elsewhere. Keeps no state."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.events import Observer


def is_terminal() -> bool:
    """Say whether a person watches standard error, on a terminal that can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


@contextmanager
def watching() -> Iterator[Observer]:
    """Show the run that happens inside.

    Yields:
        The observer that the run is to be given.
    """
    if is_terminal():
        from treadle.observe.progress import Progress

        with Progress() as progress:
            yield progress
    else:
        from treadle.observe.log import LogObserver

        yield LogObserver()
