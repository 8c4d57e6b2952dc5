"""The failures of a run: collected as errors, reported to hooks for nodes whose worker is lost, and combined for the caller.

Runs in the parent. `failure_handler.py` adds the failures, `verdict.py` has the messages about lost workers. State: the failures
of one run, in order.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from treadle.errors import NodeError, NodeTimeoutError
from treadle.execution.attempt.failure import restore_exception
from treadle.execution.attempt.hooks import log_failed_error_hook
from treadle.hooks import implemented
from treadle.planning.resume import resume_nodes
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.events import Failure
    from treadle.execution.packing.bundle import RunBundle

_logger = logging.getLogger(__name__)

_MAX_NAMED = 10
"""How many of the other failed nodes a message names."""


class Failures:
    """The nodes that failed and are not attempted again.

    Args:
        bundle: the run.
    """

    def __init__(self, bundle: RunBundle) -> None:
        self._bundle = bundle
        self._errors: list[NodeError] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes, in the order in which they failed."""
        return tuple(error.node for error in self._errors)

    def add(self, error: NodeError) -> None:
        """Add a failure."""
        self._errors.append(error)

    def make_error(
        self, node: int, failure: Failure, original: BaseException | None, *, worker: str | None, attempt: int
    ) -> NodeError:
        """Make the error of a node whose attempt failed, or that could not be assigned to a worker.

        Args:
            node: its index.
            failure: the record of the failure.
            original: the exception object; None to restore it from the record, because it was raised in another process.
            worker: label of the worker, None if the node was not assigned.
            attempt: the attempt's number.
        """
        cause = masked_exception(original) if original is not None else restore_exception(failure)
        facts = {
            "run_id": self._bundle.run_id,
            "node": self._bundle.plan.nodes[node].name,
            "worker": worker,
            "attempt": attempt,
            "failure": failure,
        }
        if failure.phase == "timeout" and isinstance(cause, NodeTimeoutError):
            facts["failure"] = failure._replace(traceback="")  # it shows only the code that checks the time
            return NodeTimeoutError(failure.message, **facts, timeout=cause.timeout, elapsed=cause.elapsed)
        error = NodeError(_describe(facts["node"], worker, attempt, failure), **facts)
        error.__cause__ = cause
        return error

    def combine_errors(self, done: Collection[int]) -> NodeError | None:
        """Combine the failures into the error that the run raises, the first with the others attached; None if none failed.

        Args:
            done: the nodes that finished.
        """
        if not self._errors:
            return None
        first, *others = self._errors
        if others:
            names = ", ".join(f"'{error.node}'" for error in others[:_MAX_NAMED])
            more = f" and {len(others) - _MAX_NAMED} more" if len(others) > _MAX_NAMED else ""
            count = "Another node" if len(others) == 1 else f"{len(others)} other nodes"
            first.args = (f"{first.args[0]}\n{count} failed too: {names}{more}.",)
            first.others = tuple(others)
        first.resume_from = resume_nodes(self._bundle.plan, done)
        return first

    def call_error_hooks(self, node: int, error: NodeError) -> None:
        """Call `on_node_error` in this process, for a node whose worker was lost."""
        hooks = self._bundle.hooks
        if hooks is None or not implemented(hooks, "on_node_error"):
            return
        try:
            hooks.hook.on_node_error(
                error=error,
                node=self._bundle.plan.nodes[node].node,
                catalog=self._bundle.catalog,
                inputs={},
                is_async=self._bundle.is_async,
                run_id=self._bundle.run_id,
            )
        except KeyboardInterrupt:
            raise
        except BaseException as broken:  # noqa: BLE001 - the caller needs the error of the lost worker; the hook's is logged
            log_failed_error_hook(_logger, hooks, "on_node_error", broken, f"node '{self._bundle.plan.nodes[node].name}'")


def _describe(node: object, worker: str | None, attempt: int, failure: Failure) -> str:
    where = f" on {worker}" if worker not in (None, "main") else ""
    again = f", attempt {attempt}" if attempt > 1 else ""
    doing = {
        "load": f"could not load '{failure.dataset}'",
        "save": f"could not save '{failure.dataset}'",
        "confirm": f"could not confirm '{failure.dataset}'",
        "setup": "could not be prepared",
        "hook": f"failed in the hook {failure.hook} of {failure.plugin or 'a plugin'}" if failure.hook else "failed in a hook",
    }.get(failure.phase, "failed")
    if failure.phase == "save" and failure.message.startswith(f"Node '{node}' "):  # one of our own messages, which is complete
        return failure.message
    what = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
    return f"Node '{node}' {doing}{where}{again}: {what}"
