"""How a command runs a session, shows it and says what came of it: drawn on a terminal, else in log lines. Keeps no state."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.observe.progress import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import click

    from treadle.events import Observer
    from treadle.session import Session

_logger = logging.getLogger("treadle.run")
_LISTED = 10
"""How many outputs are listed."""


@contextmanager
def watching() -> Iterator[Observer]:
    """Show the run that happens inside.

    Yields:
        The observer that the run is to be given.
    """
    if is_terminal() and _logger.isEnabledFor(logging.INFO):
        from treadle.observe.progress import Progress

        with Progress(at_once=False) as progress:
            yield progress
    else:
        from treadle.observe.log import LogObserver
        from treadle.observe.output import nodes_named

        with nodes_named():
            yield LogObserver()


def run_session(context: click.Context, create: Callable[[], Session], run: Callable[[Session, Observer], Any]) -> None:
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
            result = run(session, observer)
        show_outputs(session, result)
    except KeyboardInterrupt as interrupt:
        if session is not None:  # the signal may have come before the `with` began, or at its very end; closing twice is fine
            session.__exit__(type(interrupt), interrupt, interrupt.__traceback__)
        raise


def change_levels(*, quiet: bool, verbose: bool) -> None:
    """Show less or more than logging was set up for, of Treadle and of the project.

    Args:
        quiet: warnings and errors alone.
        verbose: everything; where both are asked for, this counts.
    """
    if quiet or verbose:
        from treadle.project import configured_project

        for name in ("treadle", configured_project().package_name):
            logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.WARNING)


def show_outputs(session: Any, result: Mapping[str, Any] | None) -> None:
    """Say where the outputs of a run that succeeded are, and which session it was.

    Args:
        session: the session; one of the project's own class may not say its id.
        result: what its run returned; of a class of the project's own this may be anything.
    """
    session_id = getattr(session, "session_id", None)
    if session_id is None or not hasattr(result, "keys") or not _logger.isEnabledFor(logging.INFO):
        return
    from treadle.planning.datasets import place_of

    catalog = session.load_context().catalog
    names = list(result or ())
    rows = [(name, place_of(name, catalog) or "(in memory, not saved)") for name in names[:_LISTED]]
    if len(names) > _LISTED:
        rows.append(("…", f"and {len(names) - _LISTED} more"))
    if is_terminal():
        import click

        width = max((len(name) for name, _ in rows), default=0)
        for name, place in rows:
            click.echo(f"  {name:<{width}}  {place}", err=True)
        click.echo(f"  session {session_id}", err=True)
        return
    for name, place in rows:
        _logger.info("Output %s: %s", name, place)
    _logger.info("Session %s", session_id)
