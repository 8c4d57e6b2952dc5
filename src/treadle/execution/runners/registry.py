"""Make runners by name: Treadle's own, those of the entry-point group `treadle.runners`, or any class by its dotted path.

Runs in the parent. State: none.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.runners.runner import Runner
from treadle.plugins import RUNNERS, find_offer, offered, plugin_name
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUNNER_CLASSES = {
    "sequential": "treadle.execution.runners.sequential.SequentialRunner",
    "thread": "treadle.execution.runners.thread.ThreadRunner",
    "parallel": "treadle.execution.runners.parallel.ParallelRunner",
    "auto": "treadle.execution.runners.auto.AutoRunner",
    "dask": "treadle.execution.runners.dask.DaskRunner",
}


def runner_names() -> tuple[str, ...]:
    """Return the names that `make_runner` accepts.

    Returns:
        The names of Treadle's own runners, then those of installed packages.
    """
    return tuple(dict.fromkeys((*_RUNNER_CLASSES, *(entry.name for entry in offered(RUNNERS)))))


def make_runner(name: str | None, params: Mapping[str, Any] | None = None) -> Runner:
    """Make a runner.

    Args:
        name: its name (`"sequential"`, `"thread"`, `"parallel"`, or one that a plugin offers), the dotted path of a Runner
            class, or None for the sequential one.
        params: arguments of the runner's class.

    Raises:
        RunnerError: there is no such name or path, or the class does not accept the arguments.
    """
    name = name or "sequential"
    kind = _offered_class(name) or _imported_class(name)
    try:
        made = kind(**(params or {}))
    except TypeError as exc:
        raise _arguments_error(name, kind, params or {}, exc) from exc
    if not isinstance(made, Runner):
        msg = f"'{name}' is not a Runner class: it made a {type(made).__name__}. Give a class that derives from treadle.Runner."
        raise RunnerError(msg, name=name)
    return made


def _offered_class(name: str) -> Any:
    """Import the runner class of a plugin; None if no plugin offers the name, or it is the name of one of Treadle's runners."""
    entry = None if name.lower() in _RUNNER_CLASSES else find_offer(RUNNERS, name)
    if entry is None:
        return None
    try:
        return entry.load()
    except Exception as exc:
        why = f"{type(exc).__name__}: {exc}"
        msg = (
            f"The runner '{name}' of the plugin {plugin_name(entry)} ({entry.value}) cannot be imported: {why}. "
            "Repair or uninstall the plugin."
        )
        raise RunnerError(msg, name=name) from exc


def _imported_class(name: str) -> Any:
    module_name, _, class_name = _RUNNER_CLASSES.get(name.lower(), name).rpartition(".")
    known = runner_names()
    if not module_name:
        close = close_names(name, known, most=1)
        hint = did_you_mean(close)
        msg = f"There is no runner '{name}'.{hint} Give a name ({', '.join(known)}) or the dotted path of a Runner class."
        raise RunnerError(msg, name=name, close=close)
    try:
        kind = getattr(import_module(module_name), class_name)
    except Exception as exc:
        close = _close_paths(module_name, class_name)
        msg = (
            f"There is no runner '{name}': {type(exc).__name__}: {exc}.{did_you_mean(close)} Give a name ({', '.join(known)}) or "
            "the dotted path of a Runner class."
        )
        raise RunnerError(msg, name=name, close=close) from exc
    if not (isinstance(kind, type) and issubclass(kind, Runner)):  # before the call: a flags file may name any class
        found = f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else f"a {type(kind).__name__}"
        msg = (
            f"'{name}' is not a Runner class but {found}. Give a name ({', '.join(known)}), or the path of a class that derives "
            "from treadle.Runner."
        )
        raise RunnerError(msg, name=name)
    return kind


def _close_paths(module_name: str, class_name: str) -> tuple[str, ...]:
    """Return the dotted path of the class in a module whose name is most similar; empty if the module is not imported."""
    module = sys.modules.get(module_name)
    names = [name for name, kind in list(vars(module).items()) if isinstance(kind, type)] if module is not None else []
    return tuple(f"{module_name}.{name}" for name in close_names(class_name, names, most=1))


def _arguments_error(name: str, kind: Any, params: Mapping[str, Any], exc: TypeError) -> RunnerError:
    try:
        accepted = [parameter.name for parameter in inspect.signature(kind).parameters.values()]
    except (TypeError, ValueError):
        accepted = []
    unknown = next((key for key in params if key not in accepted), None)
    close = close_names(unknown, accepted, most=1) if unknown is not None else ()
    hint = did_you_mean(close, f"It takes: {', '.join(accepted) or 'none'}.")
    msg = f"Runner '{name}' does not take these parameters: {exc}.{hint}"
    return RunnerError(msg, name=unknown or name, close=close)
