"""Find the plugin whose hook failed, by its class and origin.

It costs nothing while hooks succeed. After a failure, the traceback shows which implementation raised: of the implementations of
the hook, the one whose code is deepest in the traceback. State: none. Neighbours: `manager.py` gives plugins names that contain
their origin; the callers of hooks (sessions, workers) add the result to their errors.
"""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from treadle.hooks.registered import describe_plugin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, TracebackType

    import pluggy


def plugin_at_fault(manager: pluggy.PluginManager, hook_name: str, error: BaseException) -> str | None:
    """Return the plugin that raised an error in a hook call.

    Args:
        manager: the manager through which the hook was called.
        hook_name: the hook.
        error: the exception of the call, with its traceback.

    Returns:
        The plugin as described by `describe_plugin`; all candidates if the traceback does not show it (compiled code);
        None if nothing implements the hook.
    """
    caller = getattr(manager.hook, hook_name, None)
    implementations: Sequence[Any] = caller.get_hookimpls() if caller is not None else ()
    found = None
    trace = error.__traceback__
    while trace is not None:
        found = _implementation_of(trace, implementations) or found
        trace = trace.tb_next
    return _one_of(manager, implementations if found is None else [found])


def plugin_that_answered(manager: pluggy.PluginManager, hook_name: str, position: int, results: int) -> str | None:
    """Return the plugin that returned one of the results of a hook.

    Args:
        manager: the manager through which the hook was called.
        hook_name: the hook.
        position: the index of the result in the list that the call returned.
        results: the length of that list, which omits results that are None.

    Returns:
        The plugin; all candidates if some plugins returned None; None if nothing implements the hook.
    """
    plain = [each for each in getattr(manager.hook, hook_name).get_hookimpls() if not (each.hookwrapper or each.wrapper)]
    plain.reverse()  # the last one is called first
    return _one_of(manager, [plain[position]] if len(plain) == results else plain)


def _one_of(manager: pluggy.PluginManager, implementations: Sequence[Any]) -> str | None:
    names = list(dict.fromkeys(describe_plugin(manager, each.plugin) for each in implementations))
    if len(names) < 2:
        return names[0] if names else None
    return f"one of {', '.join(names)}"


def _implementation_of(trace: TracebackType, implementations: Sequence[Any]) -> Any:
    """Return the implementation that a frame belongs to; if several have the same code, the one of the frame's object."""
    frame = trace.tb_frame
    same = [each for each in implementations if _code_of(each.function) is frame.f_code]
    if len(same) < 2:
        return same[0] if same else None
    arguments = list(frame.f_locals.values())[:2]  # self, or the arguments of a decorator's wrapper
    arguments += [value for each in arguments if isinstance(each, tuple) for value in each[:1]]
    return next((each for each in same if any(value is each.plugin for value in arguments)), same[-1])


def _code_of(function: Any) -> CodeType | None:
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, MethodType):
        function = function.__func__
    code: CodeType | None = getattr(function, "__code__", None)
    return code
