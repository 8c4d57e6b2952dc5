"""Read and check the arguments of runners, so that errors are raised before a run starts.

Runs in the parent. `treadle.pipeline.quantities` parses amounts and seeds. State: none.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.errors import RunnerError
from treadle.pipeline import Pipeline
from treadle.pipeline.policy import FailurePolicy, read_failure_policy
from treadle.pipeline.quantities import read_amount, read_resources, read_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.executors.loky.recycling import Recycling
    from treadle.pipeline.quantities import Amount

_T = TypeVar("_T")


def check_arguments(pipeline: Any, catalog: Any) -> None:
    """Raise if the pipeline or the catalog of a run has the wrong type, such as a node in place of a pipeline.

    Args:
        pipeline: the argument that should be a pipeline.
        catalog: the argument that should be a catalog.

    Raises:
        RunnerError: one of them has the wrong type.
    """
    if not isinstance(pipeline, Pipeline):
        msg = f"A runner was given {pipeline!r} to run, a {type(pipeline).__name__}. Give a Pipeline: Pipeline([node(...), ...])."
        raise RunnerError(msg, name="pipeline")
    if not callable(getattr(catalog, "for_run", None)):
        kind = type(catalog).__name__
        msg = f"A runner was given {catalog!r} as its catalog, a {kind}. Give a Catalog: Catalog({{'raw': data}})."
        raise RunnerError(msg, name="catalog")


def check_run_options(hooks: Any, observers: Any, inputs: Any, run_id: Any, durations: Any) -> None:
    """Raise if an option of a run has the wrong type, such as a list of hooks in place of a plugin manager.

    Args:
        hooks: the option that should be a plugin manager or None.
        observers: the option that should be a list of callables.
        inputs: the option that should be a mapping or None.
        run_id: the option that should be a string or None.
        durations: the option that should be a callable or None.

    Raises:
        RunnerError: one of them has the wrong type.
    """
    if hooks is not None and not callable(getattr(hooks, "get_plugins", None)):
        msg = (
            f"A runner was given hooks={hooks!r}, of type {type(hooks).__name__}. Give a plugin manager: make one with "
            "treadle.hooks.create_hook_manager(), and register your hooks with treadle.hooks.register_hooks(manager, [...])."
        )
        raise RunnerError(msg, name="hooks")
    if not isinstance(observers, Collection) or not all(map(callable, observers)):
        msg = f"A runner was given observers={observers!r}. Give a list of callables, each of which takes an event."
        raise RunnerError(msg, name="observers")
    if inputs is not None and not isinstance(inputs, Mapping):
        kind = type(inputs).__name__
        msg = f"A runner was given inputs of type {kind}. Give a mapping of dataset names to values: {{'raw': data}}."
        raise RunnerError(msg, name="inputs")
    if run_id is not None and not isinstance(run_id, str):
        msg = f"A runner was given run_id={run_id!r}, of type {type(run_id).__name__}. Give a text."
        raise RunnerError(msg, name="run_id")
    if durations is not None and not callable(durations):
        msg = f"A runner was given durations={durations!r}. Give a callable that returns seconds by node name."
        raise RunnerError(msg, name="durations")


def checked_workers(max_workers: Any) -> int:
    """Read a runner's `max_workers`.

    Args:
        max_workers: a number; None for the number of cores that the process may use.

    Raises:
        RunnerError: it is not a whole number of at least 1.
    """
    if max_workers is None:
        from treadle.execution.processes.cores import usable_cores

        return usable_cores()
    if not isinstance(max_workers, int) or isinstance(max_workers, bool) or max_workers < 1:
        msg = f"max_workers must be a whole number of at least 1, not {max_workers!r}"
        raise RunnerError(msg, name="max_workers")
    return max_workers


def checked_flag(name: str, value: Any) -> bool:
    """Read an argument that is true or false.

    Args:
        name: the name of the argument.
        value: its value, which can be any text on the command line.

    Raises:
        RunnerError: it is neither.
    """
    if value not in (True, False):  # also 1 and 0
        msg = f"{name} is {value!r}: give true or false."
        raise RunnerError(msg, name=name)
    return bool(value)


def checked_resources(resources: Mapping[str, Amount] | None) -> dict[str, int]:
    """Read a runner's `resources`.

    Args:
        resources: amounts by name, as numbers or texts like `"16GB"`.

    Raises:
        RunnerError: it is not such a mapping.
    """
    return dict(_checked("resources", resources, read_resources, prefix=f"A runner was given {resources=}") or ())


def checked_failure_policy(on_failure: str | FailurePolicy | None) -> FailurePolicy | None:
    """Read the argument `on_failure`.

    Args:
        on_failure: `"stop"`, `"continue"` or None.

    Raises:
        RunnerError: it has another value.
    """
    return _checked("on_failure", on_failure, read_failure_policy)


def checked_memory(exchange_memory: Amount | None) -> int | None:
    """Read a runner's `exchange_memory`.

    Args:
        exchange_memory: bytes, as a number or a text like `"4GB"`; None for half of the memory that the process may use.

    Raises:
        RunnerError: it is not an amount of memory.
    """
    return _checked("exchange_memory", exchange_memory, read_amount)


def checked_recycling(max_nodes: Any, max_memory: Amount | None) -> Recycling | None:
    """Read a runner's `max_nodes_per_worker` and `max_worker_memory`.

    Args:
        max_nodes: a number of nodes; None for no limit.
        max_memory: bytes, as a number or a text like `"4GB"`; None for no limit.

    Returns:
        The limits of a worker process; None if there are none.

    Raises:
        RunnerError: an argument is not such an amount.
    """
    if max_nodes is not None and (not isinstance(max_nodes, int) or isinstance(max_nodes, bool) or max_nodes < 1):
        msg = f"max_nodes_per_worker must be a whole number of at least 1, not {max_nodes!r}"
        raise RunnerError(msg, name="max_nodes_per_worker")
    memory = _checked("max_worker_memory", max_memory, read_amount)
    if max_nodes is None and memory is None:
        return None
    from treadle.execution.executors.loky.recycling import Recycling

    return Recycling(max_nodes, memory)


def checked_seed(seed: int | None) -> int | None:
    """Read a runner's `seed`.

    Args:
        seed: a whole number, 0 or more; None if the run has no seed.

    Raises:
        RunnerError: it has another value.
    """
    return _checked("seed", seed, read_seed)


def refuse_at_exit(runner: str) -> None:
    """Raise if a run needs threads or processes while Python is exiting, when they can no longer be started.

    Args:
        runner: the name of the runner.

    Raises:
        RunnerError: this is called from an exit handler.
    """
    if getattr(threading, "_SHUTTING_DOWN", False):
        msg = (
            f"The runner '{runner}' cannot run a pipeline while Python is exiting, as in an exit handler (atexit): threads and "
            "processes can no longer be started. Run it before the program ends, or with the sequential runner."
        )
        raise RunnerError(msg, name=runner)


def _checked(name: str, argument: Any, read: Callable[[Any], _T], *, prefix: str | None = None) -> _T | None:
    """Return an argument as `read` converts it; None if it is None. `prefix` starts the message of an error."""
    if argument is None:
        return None
    try:
        return read(argument)
    except ValueError as exc:
        msg = f"{prefix or f'{name} is {argument!r}'}: {exc}."
        raise RunnerError(msg, name=name) from None
