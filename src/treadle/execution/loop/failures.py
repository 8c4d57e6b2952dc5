"""The failures of a run: kept as errors, told to the hooks where no worker can, and put together for the caller.

State: the failures of one run, in order. Neighbours: `loop.py` notes them, `verdict.py` has the words about workers and limits.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.errors import NodeError, NodeTimeoutError
from treadle.execution.attempt.failure import format_user_traceback, restore_exception
from treadle.hooks import implemented, plugin_at_fault
from treadle.planning.resume import resume_nodes
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.events import Failure
    from treadle.execution.packing.bundle import RunBundle

_logger = logging.getLogger(__name__)

_NAMED = 10
"""How many other nodes a message names."""


class Failures:
    """The nodes that failed for good.

    Args:
        material: the run.
    """

    def __init__(self, material: RunBundle) -> None:
        self._material = material
        self._errors: list[NodeError] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes, in the order in which they failed."""
        return tuple(error.node for error in self._errors)

    def note(self, error: NodeError) -> None:
        """Keep a failure."""
        self._errors.append(error)

    def error_of(
        self, node: int, failure: Failure, original: BaseException | None, *, worker: str | None, attempt: int
    ) -> NodeError:
        """Make the error of a node that reported its failure, or could not even be handed out.

        Args:
            node: its index.
            failure: the record.
            original: the exception itself, where it is here; restored from the record where None.
            worker: label of the worker, None where it was in none.
            attempt: the attempt's number.
        """
        cause = masked_exception(original) if original is not None else restore_exception(failure)
        facts = {
            "run_id": self._material.run_id,
            "node": self._material.plan.nodes[node].name,
            "worker": worker,
            "attempt": attempt,
            "failure": failure,
        }
        if failure.phase == "timeout" and isinstance(cause, NodeTimeoutError):
            facts["failure"] = replace(failure, traceback="")  # it is no error of the node's code, and says nothing more
            return NodeTimeoutError(failure.message, **facts, timeout=cause.timeout, elapsed=cause.elapsed)
        error = NodeError(_describe(facts["node"], worker, attempt, failure), **facts)
        error.__cause__ = cause
        return error

    def final(self, done: Collection[int]) -> NodeError | None:
        """Return what the run raises: the first failure, with the others; None where nothing failed.

        Args:
            done: the nodes that finished.
        """
        if not self._errors:
            return None
        first, *others = self._errors
        if others:
            names = ", ".join(f"'{error.node}'" for error in others[:_NAMED])
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            count = "Another node" if len(others) == 1 else f"{len(others)} other nodes"
            first.args = (f"{first.args[0]}\n{count} failed too: {names}{more}.",)
            first.others = tuple(others)
        first.resume_from = resume_nodes(self._material.plan, done)
        return first

    def tell_hooks(self, node: int, error: NodeError) -> None:
        """Call `on_node_error` here, for a node whose worker is no more."""
        hooks = self._material.hooks
        if hooks is None or not implemented(hooks, "on_node_error"):
            return
        try:
            hooks.hook.on_node_error(
                error=error,
                node=self._material.plan.nodes[node].node,
                catalog=self._material.catalog,
                inputs={},
                is_async=self._material.is_async,
                run_id=self._material.run_id,
            )
        except KeyboardInterrupt:
            raise
        except BaseException as broken:  # noqa: BLE001 - the loss is what the caller must see; the hook's error is logged, not lost
            plugin = plugin_at_fault(hooks, "on_node_error", broken) or "a plugin"
            name = self._material.plan.nodes[node].name
            told = format_user_traceback(broken)
            _logger.error("The on_node_error hook of %s itself failed for node '%s'\n%s", plugin, name, told)  # noqa: TRY400 - without our frames


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
    if failure.phase == "save" and failure.message.startswith(f"Node '{node}' "):  # it is one of ours, and tells all
        return failure.message
    what = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
    return f"Node '{node}' {doing}{where}{again}: {what}"
