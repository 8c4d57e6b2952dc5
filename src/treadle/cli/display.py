"""How a command runs a session and shows it: drawn on a terminal, in log lines elsewhere. Keeps no state."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.observe.progress import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import click

    from treadle.events import Observer
    from treadle.session import Session


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


def run_session(context: click.Context, create: Callable[[], Session], run: Callable[[Session, Observer], object]) -> None:
    """Create a session, run it and close it. From its first moment a signal leaves a record of an interrupted session.

    Args:
        context: click's context of the command.
        create: makes the session.
        run: runs it, with an observer that shows the run.

    Raises:
        TreadleError: whatever the session raises.
        KeyboardInterrupt: a signal arrived.
    """
    from treadle.session.interruption import signals_interrupt, signals_wait

    context.find_root().with_resource(signals_interrupt(until_exit=True))
    session: Session | None = None
    try:
        with signals_wait():
            session = create()
        with session, watching() as observer:
            run(session, observer)
    except KeyboardInterrupt as interrupt:
        if session is not None:  # the signal may have come before the `with` began, or at its very end; closing twice is fine
            session.__exit__(type(interrupt), interrupt, interrupt.__traceback__)
        raise
