"""The executor: a worker pool and a value store, with the main process as an additional worker.

::

    loop ──► Executor ──┬─► WorkerPool    sends jobs, receives facts               (serial, threads, loky, …)
                        ├─► ValueStore    handles of the values that jobs load and save
                        └─► MainWorker    nodes that must run in this thread, if the pool's workers are other processes

State: events of the main worker, and whether its next step was deferred. Runs in the parent; the loop uses it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.executors.events import Report, WorkerUp
from treadle.execution.executors.main_worker import MainWorker
from treadle.execution.protocol.messages import (
    MAIN,
    Cancel,
    Failed,
    Finished,
    FinishedNodes,
    Job,
    JobsReturned,
    Release,
    Transfer,
    Transferred,
)
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from treadle.execution.executors.events import PoolEvent
    from treadle.execution.executors.protocol import Capabilities, ValueStore, WorkerPool
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Fact, Started
    from treadle.execution.protocol.placement import Placement
    from treadle.execution.scheduling.instructions import RunJob


LAST_EVENTS_SECONDS = 0.1
"""How long an interrupted run waits for the reports of finished nodes. A worker collects them for about 10 ms."""


class Executor:
    """Run jobs on the workers of a pool, and on the main process.

    Args:
        pool: the workers.
        store: the values that nodes pass to each other.
    """

    def __init__(self, pool: WorkerPool, store: ValueStore) -> None:
        self.pool = pool
        self.store = store
        self.capabilities: Capabilities = pool.capabilities
        self._main = MainWorker(store, pool.wake) if pool.capabilities.processes else None
        self._run = 0
        self._events: list[PoolEvent] = []  # events of the main worker, which the next `wait` returns
        self._received: list[PoolEvent] = []  # by the last `wait`
        self._main_step_deferred = False  # because the pool had events to return
        self._to_restart: list[int] = []  # workers that were lost while this thread was inside a node

    def label(self, worker: int) -> str:
        """Return a worker's label, as events and logs show it."""
        if worker == MAIN:
            return "main"
        label_of = self.capabilities.label_of
        return f"{self.capabilities.label}-{worker}" if label_of is None else label_of(worker)

    # --- a run -----------------------------------------------------------------------------------------------------------

    def launch(self, workers: Callable[[], int] | None, imports: tuple[str, ...] = ()) -> None:
        """Start workers that take a while to start, before `begin`, which starts those that could not be started here.

        Args:
            workers: returns how many the run can use at most; None if that is not known.
            imports: modules that workers import before they are ready.
        """
        if self.capabilities.launch is not None:
            with suppress(OSError, RunnerError):  # `begin` tries again, and raises when the run has been reported
                self.capabilities.launch(workers, imports)

    def begin(self, run: RunBundle, run_loop: Callable[[Callable[[], bool]], None] | None = None) -> frozenset[int]:
        """Start a run.

        Args:
            run: the run.
            run_loop: runs the loop until a condition holds; called from another thread while `wait` runs a long node.

        Returns:
            The nodes that must run in the main process, in addition to those that the plan names.

        Raises:
            NodeError: a node's function cannot be sent to the workers.
            HookError: a plugin cannot be sent to the workers.
        """
        self._run += 1
        self._events, self._received = [], []
        self.store.begin(run)
        main_only = self.pool.start(self._run, run)
        if self._main is not None:
            self._main.begin(self._run, run, run_loop)
            self._events.append(WorkerUp(MAIN, os.getpid(), 0))
        return main_only

    def submit(self, *jobs: RunJob) -> None:
        """Send jobs to their workers, with the handles of their inputs."""
        main, run = self._main, self._run
        commands: dict[int, list[Job]] = {}
        try:
            for job in jobs:
                worker, nodes, inputs, last, local, independent, returnable = job
                if main is not None and worker == MAIN:
                    main.submit(job)
                    continue
                handles = tuple(self.store.handles(inputs)) if inputs else ()
                command = new_record(Job, (run, nodes, handles, last, local, independent, returnable))
                if worker in commands:
                    commands[worker].append(command)
                else:
                    commands[worker] = [command]
        finally:  # an interrupt, or too many open files: the pool closes the descriptors of the jobs before
            for worker, of_worker in commands.items():
                self.pool.send(worker, *of_worker)

    def cancel(self, worker: int) -> None:
        """Ask a worker to return the jobs that it has not started; each is reported by JobsReturned."""
        if self._main is not None and worker == MAIN:
            self._events += [Report(worker, JobsReturned(self._run, job.nodes)) for job in self._main.cancel()]
        else:
            self.pool.send(worker, Cancel(self._run))

    def restart(self, worker: int) -> None:
        """Start a worker that replaces a lost one. Only the run's own thread starts processes, so this may be delayed."""
        if self._main is not None and self._main.in_node:
            self._to_restart.append(worker)
        else:
            self.pool.restart(worker)

    def worn(self) -> list[int]:
        """Return the workers that have reached a limit; they can be replaced once they are idle and hold no value."""
        return [] if self._main is not None and self._main.in_node else self.pool.worn()

    def retire(self, worker: int) -> None:
        """Stop an idle worker; `restart` replaces it."""
        self.pool.retire(worker)
        self.forget_worker(worker)

    def forget_worker(self, worker: int) -> None:
        """Forget the values that only this worker had. Called once the scheduler, too, is told that the worker is lost."""
        self.store.forget_worker(worker)

    def kill(self, worker: int) -> None:
        """Kill a worker, even in the middle of a node; a WorkerDown follows."""
        self.pool.kill(worker)

    def running(self) -> dict[int, Started]:
        """Return the node that each worker is running now, whether its start was reported or not."""
        running = self.pool.running()
        if self._main is not None and self._main.running is not None:
            running[MAIN] = self._main.running
        return running

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Block until there are events, and return them.

        If the main worker has a job, run its next step when the pool has no events, and at least at every other call.

        Args:
            timeout: seconds to wait at most; None for no limit.
        """
        main = self._main
        if main is None:  # the workers are threads of this process, which store their values themselves
            self._received = self.pool.wait(timeout)
            return self._received
        if self._events:  # at the start of a run, the workers that are ready: the run is sent to them with their first jobs
            events = self._events + self._wait_for_pool(0)
            self._events = []
            return events
        self.pool.flush()
        if not main.has_step:
            return self._wait_for_pool(timeout)
        if self._main_step_deferred:
            self._main_step_deferred = False
            return self._run_main_step(main)
        events = self._wait_for_pool(0)
        self._main_step_deferred = bool(events)
        return events or self._run_main_step(main)

    def last_events(self, waiting: Mapping[int, int]) -> list[PoolEvent]:
        """Return the events of the last `wait` and those that have arrived since, without running a node.

        For the end of an interrupted run: the interrupt may have come before the caller of `wait` had its events. Workers get a
        moment to report the nodes that they have finished, unless the pool can tell that none is missing.

        Args:
            waiting: how many nodes wait in each worker that was asked to return its jobs. Workers get a moment to do so, because
                they run nodes until then.
        """
        unreported = self.capabilities.unreported
        missing = unreported() if unreported is not None else ()  # first: `wait` counts what it has returned before as reported
        events, self._received, self._events = [*self._received, *self._events], [], []
        if not self.capabilities.concurrent:
            return events
        missing_nodes = dict(waiting)
        deadline = time.monotonic() + LAST_EVENTS_SECONDS
        received = self._wait_for_pool(0)
        while True:
            events += received
            for event in received:
                if isinstance(event, Report) and event.worker in missing_nodes:
                    missing_nodes[event.worker] -= _nodes_ended(event.fact)
            left = deadline - time.monotonic()
            if left <= 0 or not (unreported is None or max(missing_nodes.values(), default=0) > 0 or unreported()):
                break
            received = self._wait_for_pool(left)
        return [*events, *(unreported() if unreported is not None else ()), *missing]

    def flush(self) -> None:
        """Send the jobs that were submitted, as far as possible without blocking; `wait` does the same before it waits."""
        self.pool.flush()

    def wake(self) -> None:
        """End a `wait` that another thread is in."""
        self.pool.wake()

    def _wait_for_pool(self, timeout: float | None) -> list[PoolEvent]:
        self._received = self.pool.wait(timeout)
        return [event for event in self._received if self._accept(event)]

    def _accept(self, event: PoolEvent) -> bool:
        """Store the values of an event; return False if its value is no longer expected, so that the event is dropped."""
        if type(event) is Report:
            fact = event.fact
            if type(fact) is FinishedNodes:
                if fact.datasets:
                    self.store.keep(zip(fact.datasets, fact.handles, strict=True), event.worker)
            elif type(fact) is Finished:
                if fact.outputs:
                    self.store.keep(fact.outputs, event.worker)
            elif type(fact) is Transferred:
                if not self.store.keep_transferred(fact.dataset, fact.handle, event.worker):
                    return False
                if fact.handle.placement.worker is None:  # the store has it now, so the worker can release its copy
                    self.pool.send(event.worker, Release(self._run, fact.dataset))
        return True

    def _run_main_step(self, main: MainWorker) -> list[PoolEvent]:
        step = main.run_step()
        lost, self._to_restart = self._to_restart, []
        for worker in lost:  # not reached if an interrupt ends the run, which then needs no workers
            self.pool.restart(worker)
        if step is None:
            return []
        self._received = [step]
        self._accept(step)
        return [step]

    # --- values ----------------------------------------------------------------------------------------------------------

    def put(self, dataset: int, value: Any) -> Placement:
        """Put a value that jobs need into the store; return its placement.

        Raises:
            DatasetError: there is no room for it.
        """
        return self.store.put(dataset, value)

    def transfer(self, dataset: int, worker: int) -> None:
        """Request a value from the worker that has it. The worker reports Transferred when it has pickled the value."""
        self.pool.send(worker, Transfer(self._run, dataset, self.store.expect_transferred(dataset, worker)))

    def release(self, dataset: int, workers: tuple[int, ...] = ()) -> None:
        """Release a value, in the store and in the workers that hold it or a copy of it."""
        self.store.release(dataset)
        for worker in workers:
            if worker != MAIN:
                self.pool.send(worker, Release(self._run, dataset))

    def size(self, dataset: int) -> int:
        """Return the size of a value in bytes, 0 if it is unknown."""
        return self.store.size(dataset)

    def detach(self, datasets: Iterable[int], values: dict[int, Any], handles: dict[int, Handle]) -> None:
        """Remove values from the store and add them to `values`, or their handles, which the caller closes, to `handles`."""
        self.store.detach(datasets, values, handles)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End the run: values that were not detached are freed."""
        self._received = []  # a failure refers to the objects of its node
        self.store.clear()
        if self._main is not None:
            self._main.end()
        self._to_restart.clear()
        self.pool.end()

    def close(self, *, kill: bool = False) -> None:
        """Stop the workers and free everything; `kill` stops them even in the middle of a node."""
        self.store.close()
        self.pool.close(kill=kill)


def _nodes_ended(fact: Fact) -> int:
    """Return how many nodes a fact reports as ended or returned."""
    if isinstance(fact, FinishedNodes | JobsReturned):
        return len(fact.nodes)
    return int(isinstance(fact, Finished | Failed))
