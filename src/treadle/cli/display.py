"""Run a session for a command, and show its progress and outputs: as a display on a terminal, otherwise as log lines.

State: none.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.observe.output import is_terminal
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import click

    from treadle.events import Observer
    from treadle.session import Session

_logger = logging.getLogger("treadle.run")
_MAX_LISTED = 10
"""Maximum number of outputs that are listed."""


@contextmanager
def watching() -> Iterator[Observer]:
    """Show a run that is started in the `with` block.

    Yields:
        The observer to pass to the run.
    """
    if is_terminal() and _logger.isEnabledFor(logging.INFO):
        from treadle.observe.progress import Progress

        with Progress(start_immediately=False) as progress:
            yield progress
    else:
        from treadle.observe.log import LogObserver
        from treadle.observe.output import nodes_named

        with nodes_named():
            yield LogObserver()


def run_session(context: click.Context, create: Callable[[], Session], run: Callable[[Session, Observer], Any]) -> None:
    """Create a session, run it and close it. Once the session exists, a signal still leaves a record of it.

    Args:
        context: click's context of the command.
        create: creates the session.
        run: runs the session with an observer, which shows the run.

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
        if session is not None:  # the signal may have arrived outside the `with` block; closing twice does no harm
            session.__exit__(type(interrupt), interrupt, interrupt.__traceback__)
        raise


def change_levels(*, quiet: bool, verbose: bool) -> None:
    """Change the log levels of Treadle and of the project.

    Args:
        quiet: show only warnings and errors.
        verbose: show all records; takes precedence over `quiet`.
    """
    if quiet or verbose:
        from treadle.project import configured_project

        for name in ("treadle", configured_project().package_name):
            logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.WARNING)


def show_outputs(session: Any, result: Mapping[str, Any] | None) -> None:
    """Print the location of each output of a successful run, and the id of the session.

    Args:
        session: the session. The project's own session class may lack a session id.
        result: the result of its run. The project's own session class may return any value.
    """
    session_id = getattr(session, "session_id", None)
    if session_id is None or not hasattr(result, "keys") or not _logger.isEnabledFor(logging.INFO):
        return
    from treadle.planning.datasets import place_of

    catalog = session.load_context().catalog
    names = list(result or ())
    rows = [(name, place_of(name, catalog) or "(in memory, not saved)") for name in names[:_MAX_LISTED]]
    if len(names) > _MAX_LISTED:
        rows.append(("…", f"and {len(names) - _MAX_LISTED} more"))
    if is_terminal():
        import click

        shown = [(printable(name), printable(place)) for name, place in rows]
        width = max((len(name) for name, _ in shown), default=0)
        for name, place in shown:
            click.echo(f"  {name:<{width}}  {place}", err=True)
        click.echo(f"  session {session_id}", err=True)
        return
    for name, place in rows:
        _logger.info("Output %s: %s", name, place)
    _logger.info("Session %s", session_id)
