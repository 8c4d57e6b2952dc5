"""Runners by name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOMES = {
    "sequential": "treadle.execution.runner.SequentialRunner",
    "thread": "treadle.execution.runner.ThreadRunner",
    "parallel": "treadle.execution.runner.ParallelRunner",
}


def resolve_runner(runner: str | Runner | None, params: Mapping[str, Any] | None = None) -> Runner:
    """Return the runner that is meant.

    Args:
        runner: a name (`"sequential"`, `"thread"`, `"parallel"`), the dotted path of a Runner class, a Runner, or None
            for the sequential one.
        params: arguments of the runner's class, where a name or path is given.

    Raises:
        RunnerError: no such name or path, arguments for a runner that is already made, or that the class refuses.
    """
    if isinstance(runner, Runner):
        if params:
            msg = f"Runner parameters ({', '.join(params)}) cannot change a runner that is already made: {runner!r}."
            raise RunnerError(msg, name=str(runner))
        return runner
    name = runner or "sequential"
    path = _HOMES.get(name.lower(), name)
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(import_module(module_name), class_name) if module_name else None
    except (ImportError, AttributeError) as exc:
        msg = f"There is no runner '{name}': {exc}. Give a name ({', '.join(_HOMES)}) or the dotted path of a Runner class."
        raise RunnerError(msg, name=name) from exc
    if kind is None:
        close = tuple(get_close_matches(name, _HOMES, n=1))
        hint = f" Did you mean '{close[0]}'?" if close else ""
        msg = f"There is no runner '{name}'.{hint} Give a name ({', '.join(_HOMES)}) or the dotted path of a Runner class."
        raise RunnerError(msg, name=name, close=close)
    try:
        made = kind(**(params or {}))
    except TypeError as exc:
        msg = f"Runner '{name}' does not take these parameters: {exc}."
        raise RunnerError(msg, name=name) from exc
    if not isinstance(made, Runner):
        msg = f"'{name}' is not a Runner class: it made a {type(made).__name__}."
        raise RunnerError(msg, name=name)
    return made
