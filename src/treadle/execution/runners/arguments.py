"""Reads and checks the arguments of runners, so that errors are raised before a run starts.

State: none. Runs in the parent. Neighbours: the runners use it; `treadle.pipeline.policy` reads amounts as in node policies.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.errors import RunnerError
from treadle.execution.executors.loky.recycling import Recycling
from treadle.pipeline import Pipeline
from treadle.pipeline.policy import FailurePolicy, read_amount, read_failure_policy, read_resources, read_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.pipeline.policy import Amount

_T = TypeVar("_T")


def check_arguments(pipeline: Any, catalog: Any) -> None:
    """Raise if the pipeline or the catalog of a run has the wrong type, such as a node in place of a pipeline.

    Args:
        pipeline: what should be a pipeline.
        catalog: what should be a catalog.

    Raises:
        RunnerError: one of them is something else.
    """
    if not isinstance(pipeline, Pipeline):
        msg = f"A runner was given {pipeline!r} to run, a {type(pipeline).__name__}. Give a Pipeline: Pipeline([node(...), ...])."
        raise RunnerError(msg, name="pipeline")
    if not callable(getattr(catalog, "for_run", None)):
        kind = type(catalog).__name__
        msg = f"A runner was given {catalog!r} as its catalog, a {kind}. Give a Catalog: Catalog({{'raw': data}})."
        raise RunnerError(msg, name="catalog")


def check_run_options(hooks: Any, observers: Any, inputs: Any, run_id: Any, durations: Any) -> None:
    """Raise if an option of a run is of the wrong kind, such as a list of hooks in place of their manager.

    Args:
        hooks: what should be a plugin manager, or None.
        observers: what should be callables.
        inputs: what should be a mapping, or None.
        run_id: what should be a text, or None.
        durations: what should be a callable, or None.

    Raises:
        RunnerError: one of them is something else.
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
        max_workers: a number; as many as the process has cores to use where None.

    Raises:
        RunnerError: it is not a whole number of at least 1.
    """
    if max_workers is None:
        from treadle.execution.packing.worker_spec import usable_cores

        return usable_cores()
    if not isinstance(max_workers, int) or isinstance(max_workers, bool) or max_workers < 1:
        msg = f"max_workers must be a whole number of at least 1, not {max_workers!r}"
        raise RunnerError(msg, name="max_workers")
    return max_workers


def checked_resources(resources: Mapping[str, Amount] | None) -> dict[str, int]:
    """Read a runner's `resources`.

    Args:
        resources: amounts by name, texts like `"16GB"` among them.

    Raises:
        RunnerError: it is not such a mapping.
    """
    return dict(_checked("resources", resources, read_resources, said=f"A runner was given {resources=}") or ())


def checked_failure_policy(on_failure: str | FailurePolicy | None) -> FailurePolicy | None:
    """Read an `on_failure`.

    Args:
        on_failure: `"stop"`, `"continue"` or None.

    Raises:
        RunnerError: it is something else.
    """
    return _checked("on_failure", on_failure, read_failure_policy)


def checked_memory(exchange_memory: Amount | None) -> int | None:
    """Read a runner's `exchange_memory`.

    Args:
        exchange_memory: bytes, as a number or a text like `"4GB"`; None is half of what the process may use.

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
        The limits of a worker process; None if it has none.

    Raises:
        RunnerError: they are not such amounts.
    """
    if max_nodes is not None and (not isinstance(max_nodes, int) or isinstance(max_nodes, bool) or max_nodes < 1):
        msg = f"max_nodes_per_worker must be a whole number of at least 1, not {max_nodes!r}"
        raise RunnerError(msg, name="max_nodes_per_worker")
    memory = _checked("max_worker_memory", max_memory, read_amount)
    return Recycling(max_nodes, memory) if max_nodes is not None or memory is not None else None


def checked_seed(seed: int | None) -> int | None:
    """Read a runner's `seed`.

    Args:
        seed: a whole number, 0 or more; None if the run has no seed.

    Raises:
        RunnerError: it is something else.
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


def _checked(name: str, given: Any, read: Callable[[Any], _T], *, said: str | None = None) -> _T | None:
    if given is None:
        return None
    try:
        return read(given)
    except ValueError as exc:
        msg = f"{said or f'{name} is {given!r}'}: {exc}."
        raise RunnerError(msg, name=name) from None
