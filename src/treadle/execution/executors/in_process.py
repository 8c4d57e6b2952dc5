"""Runs a job in this process, step by step; shared by the serial pool, the thread pool and the main worker.

Runs in the parent, and in workers whose values travel inside messages. `attempt/attempt.py` attempts each node. State: none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from treadle.execution.attempt.attempt import AttemptFailedError, attempt_node
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.events import Report
from treadle.execution.processes.safe_points import is_interrupt, safe_point
from treadle.execution.protocol.messages import Failed, Finished, JobsReturned, Started
from treadle.named_tuple import new_record
from treadle.project.logging import node_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.attempt.context import RunContext, Times
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Job
    from treadle.execution.scheduling.instructions import RunJob


def job_steps(  # noqa: PLR0913 - all but the first four are keyword-only
    run: int,
    context: RunContext,
    worker: int,
    job: RunJob | Job,
    *,
    load_input: Callable[[int, bool], Any],
    store_output: Callable[[int, Any], Handle] | None = None,
    stays: Callable[[int, Any], Handle | None] = lambda _dataset, _value: None,
    keep: Callable[[dict[int, Any], int], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    label: str = "main",
) -> Iterator[Report]:
    """Run a job's nodes, yielding a Started before each and a Finished or Failed after it.

    Args:
        run: number of the run.
        context: the run, as this process knows it.
        worker: the worker that runs the job.
        job: the nodes to run.
        load_input: returns the value of an in-memory dataset; its second argument is True for the last consumer of the value.
        store_output: stores the value of an in-memory output during the attempt, and returns its handle.
        stays: returns the handle of an output that stays in this process as an object, which `keep` stores after the attempt;
            None for one that is passed to `store_output`.
        keep: moves an output from the given dictionary, which has the only reference to it, into the store after the attempt.
            Called for every output if there is no `store_output`, else for those that only this job uses and those that stay.
        cancelled: called before each node; if it returns True, the rest of the job is returned.
        label: the worker's label, for log records.

    Yields:
        The facts, as reports of the worker.
    """
    last, local = dict(job.last), frozenset(job.local)
    for position, index in enumerate(job.nodes):
        if cancelled():
            yield Report(worker, JobsReturned(run, job.nodes[position:]))
            return
        started = time.time()
        yield Report(worker, Started(run, index, started))
        handles: dict[int, Handle] = {}
        made: dict[int, Any] = {}

        def load(dataset: int, index: int = index) -> Any:
            return load_input(dataset, last.get(dataset) == index)

        def store(dataset: int, value: Any, handles: dict[int, Handle] = handles, made: dict[int, Any] = made) -> None:
            if store_output is None or (keep is not None and dataset in local):
                made[dataset] = value
                return
            if dataset in handles:
                handles.pop(dataset).close()  # an earlier chunk of a generator
                made.pop(dataset, None)
            if (handle := stays(dataset, value)) is not None:
                made[dataset], handles[dataset] = value, handle
                return
            handles[dataset] = store_output(dataset, value)

        try:
            with safe_point():
                times = _attempt_as(label, context, index, load, store, handles)
            failed = _keep_outputs(made, keep, run, context, job, position, started) if keep is not None and made else None
        except AttemptFailedError as exc:
            failed = Failed(run, index, exc.started, exc.at, exc.failure, job.nodes[position + 1 :], exc.original)
        if failed is not None:
            yield Report(worker, failed)
            return
        outputs = tuple(handles.items())
        started, at, load_seconds, run_seconds, save_seconds, contents = times
        fields = run, index, started, at, load_seconds, run_seconds, save_seconds, outputs, contents
        yield Report(worker, new_record(Finished, fields))


def _keep_outputs(
    made: dict[int, Any],
    keep: Callable[[dict[int, Any], int], None],
    run: int,
    context: RunContext,
    job: RunJob | Job,
    position: int,
    started: float,
) -> Failed | None:
    """Store the outputs of a node; return its failure if that raises."""
    for dataset in list(made):
        try:
            keep(made, dataset)
        except BaseException as exc:  # copying a value runs the code of its class
            if context.interruptible and is_interrupt(exc):
                raise
            index, *rest = job.nodes[position:]
            return failed_outside(run, index, started, exc, tuple(rest), dataset=context.dataset_names[dataset])
    return None


def failed_outside(
    run: int, index: int, started: float, exc: BaseException, rest: tuple[int, ...], *, dataset: str | None = None
) -> Failed:
    """Return the fact of a node that failed with an error outside its attempt, before or after it.

    Args:
        run: number of the run.
        index: plan index of the node.
        started: when its attempt started, in seconds since the epoch.
        exc: the error.
        rest: nodes of the same job that were not started.
        dataset: name of the output that was being stored, if any.
    """
    failure = record_failure(exc, phase="save" if dataset is not None else "run", dataset=dataset)
    return Failed(run, index, started, max(started, time.time()), failure, rest, exc)


def _attempt_as(
    label: str,
    context: RunContext,
    index: int,
    load_input: Callable[[int], Any],
    store_output: Callable[[int, Any], None],
    handles: dict[int, Handle],
) -> Times:
    """Attempt a node; log records of the attempt name the node and the worker. If it fails, close the handles of its outputs."""
    try:
        token = node_here.set((context.node(index).name, label))
    except Exception as exc:  # unpickling a node or its datasets imports the project's code
        now = time.time()
        raise AttemptFailedError(record_failure(exc, phase="setup"), now, now, exc) from exc
    try:
        return attempt_node(context, index, load_input=load_input, store_output=store_output)
    except AttemptFailedError:
        _close_all(handles)
        raise
    except BaseException as exc:  # an interrupt, or an error in the code of an exception while it was recorded
        _close_all(handles)
        if context.interruptible and is_interrupt(exc):
            raise
        now = time.time()
        raise AttemptFailedError(record_failure(exc, phase="run"), now, now, exc) from exc
    finally:
        node_here.reset(token)


def _close_all(handles: dict[int, Handle]) -> None:
    for handle in handles.values():
        handle.close()
