"""Calling the hooks of the main process: what one raises becomes an error that names the hook and the plugin. No state.

Neighbours: `session.py`, `service.py`, `context.py` and `running.py` call theirs here; `treadle.hooks` finds out whose it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import HookError
from treadle.hooks import plugin_at_fault
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from pluggy import PluginManager


def call_hook(hooks: PluginManager, name: str, **arguments: Any) -> list[Any]:
    """Call a hook of every plugin that has it.

    Args:
        hooks: has the plugins.
        name: the hook.
        **arguments: the hook's arguments.

    Returns:
        What the plugins answered, those that answered None left out.

    Raises:
        HookError: one of them raised an exception, which is the cause; it names hook and plugin.
    """
    try:
        answers: list[Any] = getattr(hooks.hook, name)(**arguments)
    except Exception as exc:  # noqa: BLE001 - it is the cause of what is raised
        from treadle.execution.attempt.failure import record_failure

        plugin = plugin_at_fault(hooks, name, exc)
        failure = record_failure(exc, phase="hook", hook=name, plugin=plugin)
        text = f": {failure.message}" if failure.message else ""
        msg = f"The hook {name} of {plugin or 'a plugin'} failed: {failure.type_name}{text}"
        raise HookError(msg, hook=name, plugin=plugin, failure=failure) from masked_exception(exc)
    return answers
