"""The hooks of a node and its datasets, called where the node runs: what they may change of it, and who is at fault.

State: none. Neighbours: `attempt.py` calls them around each step, and `Steps` (`scope.py`) keeps which one was called last.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError
from treadle.execution.attempt.failure import format_user_traceback
from treadle.hooks import implemented, plugin_at_fault, plugin_that_answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.execution.attempt.context import RunContext, Steps
    from treadle.pipeline import Node

_logger = logging.getLogger(__name__)


def call_hook(scope: RunContext, steps: Steps, name: str, **arguments: Any) -> list[Any]:
    """Call a hook of the run; until it returns, it is what the attempt is doing."""
    if scope.hooks is None or not implemented(scope.hooks, name):
        return []
    phase, steps.phase, steps.hook = steps.phase, "hook", name
    answers: list[Any] = getattr(scope.hooks.hook, name)(**arguments)
    steps.phase = phase
    return answers


def node_arguments(scope: RunContext, node: Node, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every hook of a node is told."""
    return {"node": node, "catalog": scope.catalog, "inputs": inputs, "is_async": scope.is_async, "run_id": scope.run_id}


def override_inputs(scope: RunContext, steps: Steps, node: Node) -> dict[str, Any]:
    """Let `before_node_run` replace inputs, as the dictionaries it returns say."""
    inputs = steps.inputs
    answers = call_hook(scope, steps, "before_node_run", **node_arguments(scope, node, dict(inputs)))  # the hook may change it
    phase, steps.phase = steps.phase, "hook"  # what it answered may be wrong
    for position, answer in enumerate(answers):
        if not isinstance(answer, dict):
            msg = (
                f"A before_node_run hook returned {type(answer).__name__} for node '{node.name}'. It may return a dictionary "
                "of input dataset names and their new values, or None."
            )
            raise _wrong_answer(scope, msg, position, len(answers))
        unknown = sorted(set(answer) - set(node.inputs))
        if unknown:
            msg = (
                f"A before_node_run hook returned a value for '{unknown[0]}', which is no input of node '{node.name}'; "
                f"its inputs are {', '.join(node.inputs) or 'none'}."
            )
            raise _wrong_answer(scope, msg, position, len(answers))
        inputs = {**inputs, **answer}
    steps.phase = phase
    return inputs


def _wrong_answer(scope: RunContext, message: str, position: int, answers: int) -> HookError:
    name = "before_node_run"
    plugin = plugin_that_answered(scope.hooks, name, position, answers) if scope.hooks is not None else None
    return HookError(message, hook=name, plugin=plugin)


def hook_at_fault(scope: RunContext, steps: Steps, exc: BaseException) -> dict[str, str | None]:
    """Return which hook of which plugin raised an error, where a hook did."""
    if steps.phase != "hook" or steps.hook is None:
        return {}
    plugin = steps.plugin or (exc.plugin if isinstance(exc, HookError) else None)
    if plugin is None and scope.hooks is not None:
        plugin = plugin_at_fault(scope.hooks, steps.hook, exc)
    return {"hook": steps.hook, "plugin": plugin}


def report_error(scope: RunContext, node: Node, steps: Steps, exc: BaseException) -> None:
    """Tell `on_node_error` that the attempt failed; an error of its own is logged."""
    try:
        call_hook(scope, steps, "on_node_error", error=exc, **node_arguments(scope, node, steps.inputs))
    except BaseException as broken:  # the node's own failure is what the caller must see; the hook's, an exit too, is logged
        if scope.interruptible and isinstance(broken, KeyboardInterrupt):
            raise
        plugin = plugin_at_fault(scope.hooks, "on_node_error", broken) if scope.hooks is not None else None
        told = format_user_traceback(broken)
        _logger.error("The on_node_error hook of %s itself failed for node '%s'\n%s", plugin or "a plugin", node.name, told)  # noqa: TRY400 - without our frames
