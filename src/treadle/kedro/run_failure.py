"""Report a failed run as Kedro's users expect: raise the node's own exception, and log the flag that resumes the run.

Runs in the main process. State: the nodes to resume one run from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, NodeError, WorkerSetupError
from treadle.events import RunFinished
from treadle.execution.attempt.failure import OriginalError

if TYPE_CHECKING:
    import logging

    import pluggy

    from treadle.events import Event
    from treadle.planning import Plan


class ResumeHint:
    """Observe a run, and log how to resume it if it failed.

    Args:
        plan: the plan of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self._first = {node.name for node in plan.nodes if not node.parents}
        self._resume_from: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        """Handle one event of the run."""
        if isinstance(event, RunFinished):
            self._resume_from = event.resume_from

    def log_how_to_resume(
        self, error: NodeError | WorkerSetupError | KeyboardInterrupt | SystemExit, logger: logging.Logger
    ) -> None:
        """Log the flag that runs the remaining nodes.

        Args:
            error: the error of the run. A NodeError has the nodes to start from; for other errors the RunFinished event has them.
            logger: receives the message.
        """
        start = (error.resume_from or ()) if isinstance(error, NodeError) else self._resume_from
        if self._first.issubset(start) or not start:
            logger.warning("No node can be skipped in another attempt: repeat the same command.")
        else:
            logger.warning('To run only the remaining nodes, add this to the command:\n  --from-nodes "%s"', ",".join(start))


def original_exception(error: NodeError) -> Exception:
    """Return the exception that the node raised, with the engine's message as a note.

    Args:
        error: the error of the engine.

    Returns:
        The node's own exception; the engine's error if that is not available, or if the worker died.
    """
    own = error.__cause__
    if isinstance(own, DatasetError) and own.__cause__ is not None:
        own = own.__cause__  # the engine wraps an error that Kedro's own dataset raised
    error.__traceback__ = None  # the engine's frames do not help the user
    if not isinstance(own, Exception) or isinstance(own, OriginalError):
        return error
    own.__dict__.setdefault("__notes__", []).append(str(error.args[0]))  # shown below the traceback from Python 3.11 on
    if own.__traceback__ is None:
        error.__cause__ = None
        own.__cause__ = error
    return own


def exit_requested_by_node(
    error: NodeError, manager: pluggy.PluginManager | None, logger: logging.Logger, **arguments: Any
) -> SystemExit:
    """Return the SystemExit of a node that called `sys.exit`; it ends the process, as under Kedro's SequentialRunner.

    Kedro's session does not call `on_pipeline_error` for an exit, so it is called here unless the exit code is 0.

    Args:
        error: the error of the engine, which has an exit code.
        manager: Kedro's hook manager; None if the run has no hooks.
        logger: receives a line that names the node.
        **arguments: the other arguments of `on_pipeline_error`.
    """
    own = error.__cause__
    given = own.code if isinstance(own, SystemExit) else None
    # Python prints anything that is not a number when the process ends, which then has the exit code 1.
    code = error.exit_code if given is None or isinstance(given, int) else given
    logger.warning("Node '%s' ended the run with sys.exit(%r).", error.node, code)
    if error.exit_code != 0 and manager is not None:
        manager.hook.on_pipeline_error(error=error, **arguments)
    exit_error = SystemExit(code)
    exit_error.__cause__ = error
    return exit_error
