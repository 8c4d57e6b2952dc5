"""Running a job in this process, step by step: shared by the serial pool, the thread pool and the main worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from treadle.execution.attempt.attempt import AttemptFailedError, attempt_node
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.events import Report
from treadle.execution.protocol.messages import Failed, Finished, JobsReturned, Started
from treadle.project.logging import node_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.attempt.context import RunContext, Times
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Job
    from treadle.execution.scheduling.instructions import RunJob


def job_steps(  # noqa: PLR0913 - what a job takes, each by its name
    run: int,
    scope: RunContext,
    worker: int,
    job: RunJob | Job,
    *,
    take: Callable[[int, bool], Any],
    give: Callable[[int, Any], Handle] | None = None,
    keep: Callable[[dict[int, Any], int], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    label: str = "main",
) -> Iterator[Report]:
    """Run a job's nodes, yielding a Started before each and a Finished or Failed after it.

    Args:
        run: number of the run.
        scope: the run.
        worker: the worker that runs it.
        job: what to run.
        take: returns the value of an in-memory dataset; told whether nobody takes it after.
        give: takes the value of an in-memory output while the attempt lasts, and returns its handle.
        keep: takes the value after the attempt, out of the dictionary that then alone holds it (one of the two is given).
        cancelled: asked before each node; True gives the rest of the job back.
        label: the worker's label, for log records.

    Yields:
        The facts, as the worker's reports.
    """
    last = dict(job.last)
    for position, index in enumerate(job.nodes):
        if cancelled():
            yield Report(worker, JobsReturned(run, job.nodes[position:]))
            return
        begun = time.time()
        yield Report(worker, Started(run, index, begun))
        handles: dict[int, Handle] = {}
        made: dict[int, Any] = {}

        def take_over(dataset: int, index: int = index) -> Any:
            return take(dataset, last.get(dataset) == index)

        def hand_over(dataset: int, value: Any, handles: dict[int, Handle] = handles, made: dict[int, Any] = made) -> None:
            if give is None:
                made[dataset] = value
                return
            if dataset in handles:
                handles.pop(dataset).close()  # a generator's earlier chunk
            handles[dataset] = give(dataset, value)

        rest = job.nodes[position + 1 :]
        try:
            times = _attempt_as(label, scope, index, take_over, hand_over, handles)
            failed = _keep_all(made, keep, run, scope, index, rest, begun) if keep is not None and made else None
        except AttemptFailedError as exc:
            failed = Failed(run, index, exc.started, exc.at, exc.failure, rest, exc.original)
        if failed is not None:
            yield Report(worker, failed)
            return
        outputs = tuple(handles.items())
        yield Report(
            worker,
            Finished(run, index, times.started, times.at, times.load_seconds, times.run_seconds, times.save_seconds, outputs),
        )


def _keep_all(
    made: dict[int, Any],
    keep: Callable[[dict[int, Any], int], None],
    run: int,
    scope: RunContext,
    index: int,
    rest: tuple[int, ...],
    begun: float,
) -> Failed | None:
    """Keep the values that a node made; return its failure where that is not possible."""
    for dataset in list(made):
        try:
            keep(made, dataset)
        except BaseException as exc:  # copying a value runs the code of its class
            if scope.interruptible and isinstance(exc, KeyboardInterrupt):
                raise
            return failed_outside(run, index, begun, exc, rest, dataset=scope.dataset_names[dataset])
    return None


def failed_outside(
    run: int, index: int, begun: float, exc: BaseException, rest: tuple[int, ...], *, dataset: str | None = None
) -> Failed:
    """Return the report of a node whose attempt was over, or not begun, when an error ended it.

    Args:
        run: number of the run.
        index: plan index of the node.
        begun: when its attempt began, in seconds since the epoch.
        exc: the error.
        rest: nodes of the same job that were not begun.
        dataset: name of the output that was being kept, where there is one.
    """
    failure = record_failure(exc, phase="save" if dataset is not None else "run", dataset=dataset)
    return Failed(run, index, begun, max(begun, time.time()), failure, rest, exc)


def _attempt_as(
    label: str,
    scope: RunContext,
    index: int,
    take: Callable[[int], Any],
    give: Callable[[int, Any], None],
    handles: dict[int, Handle],
) -> Times:
    """Attempt a node; what is logged meanwhile is known to be its, and this worker's; where it fails, handles are given back."""
    here = node_here.set((scope.node(index).name, label))
    try:
        return attempt_node(scope, index, take=take, give=give)
    except AttemptFailedError:
        _give_up(handles)
        raise
    except BaseException as exc:  # an interrupt; or what an exception's own code raised while it was recorded
        _give_up(handles)
        if scope.interruptible and isinstance(exc, KeyboardInterrupt):
            raise
        now = time.time()
        raise AttemptFailedError(record_failure(exc, phase="run"), now, now, exc) from exc
    finally:
        node_here.reset(here)


def _give_up(handles: dict[int, Handle]) -> None:
    """Give back what an attempt that failed had handed over."""
    for handle in handles.values():
        handle.close()
