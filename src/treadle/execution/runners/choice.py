"""Choose the runner of a run from the arguments `runner=` and `runner_params=`.

Runs in the parent. A session or service reads its arguments here once and keeps the `RunnerChoice`. `registry.py` makes a runner
from a name; it is imported only then. State: none.
"""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from treadle.execution.runners.runner import Runner

_BUILT_IN_PREFIX = "treadle.execution."
_RUNNER_PARAMETERS = ("max_workers", "start_method", "resources", "on_failure", "seed")


class RunnerChoice(NamedTuple):
    """The runner that a run uses.

    Attributes:
        name: its name or the dotted path of its class, from which another process can make the same runner; None for the default.
        params: the arguments of its class.
        instance: the runner that the caller made and will close; None if the runner is to be made from the name.
    """

    name: str | None
    params: Mapping[str, Any] = MappingProxyType({})
    instance: Runner | None = None

    def opened(self) -> AbstractContextManager[Runner]:
        """Return a context manager that enters with the runner. It closes the runner on exit, unless the caller made it.

        Raises:
            RunnerError: there is no such runner, or its class does not accept the parameters.
        """
        if self.instance is not None:
            return nullcontext(self.instance)
        from treadle.execution.runners.registry import make_runner

        return make_runner(self.name, self.params)


def choose_runner(runner: str | Runner | type[Any] | None, params: Mapping[str, Any] | None = None) -> RunnerChoice:
    """Read the arguments `runner=` and `runner_params=`. The runner is not made yet.

    Args:
        runner: a name, the dotted path of a class, a runner, or None for the default runner. A custom runner needs only a `run`
            method.
        params: the arguments of the runner's class, if `runner` is a name or path.

    Raises:
        RunnerError: `runner` is a class or has no `run` method, or there are parameters for a runner that is already made.
    """
    if runner is None or isinstance(runner, str):
        return RunnerChoice(runner, dict(params or {}))
    if isinstance(runner, type):
        msg = f"runner= was given the class {runner.__name__}. Give an instance, {runner.__name__}(), or the name of a runner."
        raise RunnerError(msg, name=runner.__name__)
    kind = type(runner)
    if not callable(getattr(runner, "run", None)):
        msg = f"runner= was given {runner!r}, a {kind.__name__}. Give the name of a runner, such as 'parallel', or a Runner."
        raise RunnerError(msg, name=str(runner))
    if params:
        msg = (
            f"runner_params ({', '.join(params)}) cannot change a runner that is already made: {runner!r}. Give them to its "
            "class, or give the runner's name."
        )
        raise RunnerError(msg, name=str(runner))
    path = f"{kind.__module__}.{kind.__qualname__}"
    name = str(getattr(runner, "name", path)) if path.startswith(_BUILT_IN_PREFIX) else path
    values = {each: getattr(runner, each, None) for each in _accepted_parameters(kind)}
    if getattr(runner, "start_method_reason", None) is not None:
        values["start_method"] = None  # it was inferred, for this process only
    return RunnerChoice(name, {each: value for each, value in values.items() if value is not None}, runner)


@lru_cache(maxsize=16)  # a service runs many times
def _accepted_parameters(kind: type[Any]) -> tuple[str, ...]:
    """Return the parameters worth recording that a runner's class accepts."""
    accepted = inspect.signature(kind).parameters
    return tuple(each for each in _RUNNER_PARAMETERS if each in accepted)
