"""How a command shows a run: drawn on a terminal, in log lines elsewhere. Keeps no state."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.observe.progress import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.events import Observer


@contextmanager
def watching() -> Iterator[Observer]:
    """Show the run that happens inside.

    Yields:
        The observer that the run is to be given.
    """
    if is_terminal():
        from treadle.observe.progress import Progress

        with Progress(at_once=False) as progress:
            yield progress
    else:
        from treadle.observe.log import LogObserver
        from treadle.observe.output import nodes_named

        with nodes_named():
            yield LogObserver()
