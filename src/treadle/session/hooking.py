"""Call hooks in the main process, and convert their exceptions to errors that name the hook and the plugin.

State: none. Neighbours: `session.py`, `service.py`, `context.py` and `running.py` call hooks here; `treadle.hooks` finds the
plugin that raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import HookError
from treadle.secrets import masked_exception

if TYPE_CHECKING:
    from pluggy import PluginManager


def call_hook(hooks: PluginManager, name: str, **arguments: Any) -> list[Any]:
    """Call one hook of all plugins.

    Args:
        hooks: the hook manager.
        name: name of the hook.
        **arguments: arguments of the hook.

    Returns:
        The results of the plugins, without None.

    Raises:
        HookError: a plugin raised an exception, which is the cause; the error names the hook and the plugin.
    """
    try:
        answers: list[Any] = getattr(hooks.hook, name)(**arguments)
    except Exception as exc:  # noqa: BLE001 - raised again as the cause of a HookError
        from treadle.execution.attempt.failure import record_failure
        from treadle.hooks import plugin_at_fault

        plugin = plugin_at_fault(hooks, name, exc)
        failure = record_failure(exc, phase="hook", hook=name, plugin=plugin)
        text = f": {failure.message}" if failure.message else ""
        msg = f"The hook {name} of {plugin or 'a plugin'} failed: {failure.type_name}{text}"
        raise HookError(msg, hook=name, plugin=plugin, failure=failure) from masked_exception(exc)
    return answers
