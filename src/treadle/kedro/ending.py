"""How a failed run ends for Kedro's users: with the node's own exception, and with the flag that resumes the run.

State: the nodes to resume from, of one run.
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


class Ending:
    """An observer of a run that logs how to resume it.

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

    def log_how_to_resume(self, error: NodeError | WorkerSetupError | KeyboardInterrupt, logger: logging.Logger) -> None:
        """Log the flag that runs the remaining nodes.

        Args:
            error: the error of the run; a node's error has the nodes to start from, for others the last event has them.
            logger: receives the message.
        """
        start = (error.resume_from or ()) if isinstance(error, NodeError) else self._resume_from
        if self._first.issubset(start) or not start:
            logger.warning("No node can be skipped in another attempt: repeat the same command.")
        else:
            logger.warning('To run only the remaining nodes, add this to the command:\n  --from-nodes "%s"', ",".join(start))


def users_error(error: NodeError) -> Exception:
    """Return the exception that the node raised, as Kedro's users expect it, with the engine's message as a note.

    Args:
        error: the error of the engine.

    Returns:
        The node's own exception; the engine's error if that is not available, or if the worker died.
    """
    own = error.__cause__
    if isinstance(own, DatasetError) and own.__cause__ is not None:
        own = own.__cause__  # the engine wraps an error that Kedro's own dataset raised
    error.__traceback__ = None  # frames of the engine do not help the user
    if not isinstance(own, Exception) or isinstance(own, OriginalError):
        return error
    own.__dict__.setdefault("__notes__", []).append(str(error.args[0]))  # the last line that is shown, from Python 3.11 on
    if own.__traceback__ is None:
        error.__cause__ = None
        own.__cause__ = error
    return own


def exit_of(error: NodeError, manager: pluggy.PluginManager | None, logger: logging.Logger, **arguments: Any) -> SystemExit:
    """Return the exit that a node requested with `sys.exit`, which ends the process as under Kedro's SequentialRunner.

    Kedro's session calls no hook for an exit; if its code is not 0, `on_pipeline_error` is called here.

    Args:
        error: the error of the engine, which has an exit code.
        manager: Kedro's hook manager; None if the run has no hooks.
        logger: receives a line that names the node.
        **arguments: the other arguments of `on_pipeline_error`.
    """
    logger.warning("Node '%s' ended the run with sys.exit(%s).", error.node, error.exit_code)
    if error.exit_code != 0 and manager is not None:
        manager.hook.on_pipeline_error(error=error, **arguments)
    leaving = SystemExit(error.exit_code)
    leaving.__cause__ = error
    return leaving
