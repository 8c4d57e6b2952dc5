"""Who is at fault when a hook fails: the plugin, by its class and by where it came from.

Nothing is asked while hooks go well. When one has failed, its traceback tells which implementation raised: among those of the
hook, the one whose code is furthest down in it. State: none. Neighbours: `manager.py` gives plugins the names that say
where they came from; whoever calls hooks (sessions, workers) asks here and says it in its error.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.hooks.manager import describe_plugin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, TracebackType

    import pluggy


def plugin_at_fault(manager: pluggy.PluginManager, hook_name: str, error: BaseException) -> str | None:
    """Say which plugin raised an error out of a call of a hook.

    Args:
        manager: the manager through which the hook was called.
        hook_name: the hook.
        error: what came out of the call, with its traceback.

    Returns:
        The plugin as `describe_plugin` says it; where the traceback does not tell (compiled code), all that it may have been;
        None where nothing implements the hook.
    """
    caller = getattr(manager.hook, hook_name, None)
    implementations: Sequence[Any] = caller.get_hookimpls() if caller is not None else ()
    guilty = None
    trace = error.__traceback__
    while trace is not None:
        guilty = _whose(trace, implementations) or guilty
        trace = trace.tb_next
    return _one_of(manager, implementations if guilty is None else [guilty])


def plugin_that_answered(manager: pluggy.PluginManager, hook_name: str, position: int, answers: int) -> str | None:
    """Say which plugin gave one of a hook's answers.

    Args:
        manager: the manager through which the hook was called.
        hook_name: the hook.
        position: the place of the answer in the list that the call returned.
        answers: how many there were: plugins that answer None are left out of the list.

    Returns:
        The plugin; all that it may have been, where some plugins did not answer; None where nothing implements the hook.
    """
    plain = [each for each in getattr(manager.hook, hook_name).get_hookimpls() if not (each.hookwrapper or each.wrapper)]
    plain.reverse()  # the last one is called first
    return _one_of(manager, [plain[position]] if len(plain) == answers else plain)


def _one_of(manager: pluggy.PluginManager, implementations: Sequence[Any]) -> str | None:
    names = list(dict.fromkeys(describe_plugin(manager, each.plugin) for each in implementations))
    if len(names) < 2:
        return names[0] if names else None
    return f"one of {', '.join(names)}"


def _whose(trace: TracebackType, implementations: Sequence[Any]) -> Any:
    """Return the implementation that a frame belongs to; of several with the same code the one whose object it has."""
    frame = trace.tb_frame
    same = [each for each in implementations if _code_of(each.function) is frame.f_code]
    if len(same) < 2:
        return same[0] if same else None
    given = list(frame.f_locals.values())[:2]  # self, or what a decorator passes on
    given += [value for each in given if isinstance(each, tuple) for value in each[:1]]
    return next((each for each in same if any(value is each.plugin for value in given)), same[-1])


def _code_of(function: Any) -> CodeType | None:
    while isinstance(function, partial):
        function = function.func
    if inspect.ismethod(function):
        function = function.__func__
    code: CodeType | None = getattr(function, "__code__", None)
    return code
