"""How a run that did not succeed ends for Kedro's users: with what the node raised, and with the flag that resumes the run.

State: what the run's last event said, of one run.
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
    """Observes a run, to say how to resume it.

    Args:
        plan: the run's.
    """

    def __init__(self, plan: Plan) -> None:
        self._first = {node.name for node in plan.nodes if not node.parents}
        self._resume_from: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        """Take one event of the run."""
        if isinstance(event, RunFinished):
            self._resume_from = event.resume_from

    def tell_how_to_resume(self, error: NodeError | WorkerSetupError | KeyboardInterrupt, logger: logging.Logger) -> None:
        """Log the flag that runs what is missing.

        Args:
            error: what ended the run: a node's error knows where to start; for others, the run's last event does.
            logger: what tells it.
        """
        start = (error.resume_from or ()) if isinstance(error, NodeError) else self._resume_from
        if self._first.issubset(start) or not start:
            logger.warning("No node can be left out of another attempt: repeat the command as it was.")
        else:
            logger.warning('To run what is missing, add this to the command:\n  --from-nodes "%s"', ",".join(start))


def users_error(error: NodeError) -> Exception:
    """Return what the node raised, as Kedro's users catch it, with the engine's error and its traceback beside it.

    Args:
        error: the engine's.

    Returns:
        The node's own exception; the engine's where that cannot be had, or where the worker died.
    """
    own = error.__cause__
    if isinstance(own, DatasetError) and own.__cause__ is not None:
        own = own.__cause__  # the engine's word for an input that Kedro's own dataset refused
    error.__traceback__ = None  # the way through the engine, which tells nothing of the project
    if not isinstance(own, Exception) or isinstance(own, OriginalError):
        return error
    own.__dict__.setdefault("__notes__", []).append(str(error.args[0]))  # the last line that is shown, from Python 3.11 on
    if own.__traceback__ is None:
        error.__cause__ = None
        own.__cause__ = error
    return own


def exit_of(error: NodeError, manager: pluggy.PluginManager | None, logger: logging.Logger, **arguments: Any) -> SystemExit:
    """Return the exit that a node asked for by `sys.exit`, which ends the process as under Kedro's SequentialRunner.

    Kedro's session calls no hook for an exit; where it stands for a failure, `on_pipeline_error` is called here.

    Args:
        error: the engine's, which has an exit code.
        manager: Kedro's hook manager; None where the run has no hooks.
        logger: takes a line that says which node it was.
        **arguments: what `on_pipeline_error` is given beside the error.
    """
    logger.warning("Node '%s' ended the run with sys.exit(%s).", error.node, error.exit_code)
    if error.exit_code != 0 and manager is not None:
        manager.hook.on_pipeline_error(error=error, **arguments)
    leaving = SystemExit(error.exit_code)
    leaving.__cause__ = error
    return leaving
