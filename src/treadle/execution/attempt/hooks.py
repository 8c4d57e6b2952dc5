"""Call the hooks of a node and its datasets in the process that runs the node, and find the plugin behind a hook's error.

Runs wherever nodes run. `attempt.py` calls the hooks around each step; `Steps` (`context.py`) records the last hook called.
State: none.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from treadle.errors import HookError
from treadle.execution.attempt.failure import format_user_traceback
from treadle.execution.processes.safe_points import is_interrupt
from treadle.hooks.registered import implemented

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pluggy

    from treadle.execution.attempt.context import RunContext, Steps
    from treadle.pipeline import Node

_logger = logging.getLogger(__name__)


def call_hook(context: RunContext, steps: Steps, name: str, **arguments: Any) -> list[Any]:
    """Call a hook of the run; the phase of the attempt is `hook` until it returns."""
    if context.hooks is None or not implemented(context.hooks, name):
        return []
    phase, steps.phase, steps.hook = steps.phase, "hook", name
    answers: list[Any] = getattr(context.hooks.hook, name)(**arguments)
    steps.phase = phase
    return answers


def node_arguments(context: RunContext, node: Node, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that every hook of a node receives."""
    return {"node": node, "catalog": context.catalog, "inputs": inputs, "is_async": context.is_async, "run_id": context.run_id}


def override_inputs(context: RunContext, steps: Steps, node: Node) -> dict[str, Any]:
    """Call `before_node_run`, and replace inputs by the values that it returns."""
    inputs = steps.inputs
    answers = call_hook(
        context, steps, "before_node_run", **node_arguments(context, node, dict(inputs))
    )  # a hook may modify its copy
    phase, steps.phase = steps.phase, "hook"  # an invalid return value is the hook's failure
    for position, answer in enumerate(answers):
        if not isinstance(answer, dict):
            msg = (
                f"A before_node_run hook returned {type(answer).__name__} for node '{node.name}'. It may return a dictionary "
                "of input dataset names and their new values, or None."
            )
            raise _wrong_answer(context, msg, position, len(answers))
        unknown = sorted(set(answer) - set(node.inputs))
        if unknown:
            msg = (
                f"A before_node_run hook returned a value for '{unknown[0]}', which is not an input of node '{node.name}'. "
                f"Its inputs are {', '.join(node.inputs) or 'none'}."
            )
            raise _wrong_answer(context, msg, position, len(answers))
        inputs = {**inputs, **answer}
    steps.phase = phase
    return inputs


def _wrong_answer(context: RunContext, message: str, position: int, answers: int) -> HookError:
    name = "before_node_run"
    from treadle.hooks.blame import plugin_that_answered

    plugin = plugin_that_answered(context.hooks, name, position, answers) if context.hooks is not None else None
    return HookError(message, hook=name, plugin=plugin)


def hook_at_fault(context: RunContext, steps: Steps, exc: BaseException) -> dict[str, str | None]:
    """Return the hook and the plugin that raised an error, as keyword arguments of `record_failure`; empty if none did."""
    if steps.phase != "hook" or steps.hook is None:
        return {}
    plugin = steps.plugin or (exc.plugin if isinstance(exc, HookError) else None)
    if plugin is None and context.hooks is not None:
        from treadle.hooks.blame import plugin_at_fault

        plugin = plugin_at_fault(context.hooks, steps.hook, exc)
    return {"hook": steps.hook, "plugin": plugin}


def report_error(context: RunContext, node: Node, steps: Steps, exc: BaseException) -> None:
    """Call `on_node_error` for a failed attempt; if the hook itself raises, log its error."""
    try:
        call_hook(context, steps, "on_node_error", error=exc, **node_arguments(context, node, steps.inputs))
    except BaseException as hook_error:  # the caller must see the node's failure; the hook's, SystemExit included, is only logged
        if context.interruptible and is_interrupt(hook_error):
            raise
        log_failed_error_hook(_logger, context.hooks, "on_node_error", hook_error, f"node '{node.name}'")


def log_failed_error_hook(
    logger: logging.Logger, hooks: pluggy.PluginManager | None, name: str, exc: BaseException, subject: str
) -> None:
    """Log that a hook which was called for an error failed itself; the caller then raises the error that it was called for.

    Args:
        logger: the caller's.
        hooks: the manager through which the hook was called.
        name: the hook.
        exc: what it raised.
        subject: what the first error belongs to: a node or the run.
    """
    failure = exc.failure if isinstance(exc, HookError) else None  # a caller that already knows the plugin raises a HookError
    plugin = exc.plugin if isinstance(exc, HookError) else None
    if plugin is None and hooks is not None:
        from treadle.hooks.blame import plugin_at_fault

        plugin = plugin_at_fault(hooks, name, exc)
    trace = failure.traceback if failure is not None else format_user_traceback(exc)
    logger.error("The %s hook of %s itself failed for %s\n%s", name, plugin or "a plugin", subject, trace)
