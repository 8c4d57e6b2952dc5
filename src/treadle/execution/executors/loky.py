"""The process executor: runs on a pool of slots, with a private connection to every one of them.

::

    parent                                                    slot n
    ┌────────────────────────────────┐    ┌──────────────────────────────────────────────┐
    │ LokyExecutor                   │    │ loky executor of one worker                  │
    │   SlotPool                     │    │                                              │
    │     door (0700, authkey) ◄─────┼────┤   initializer: set_up_worker(spec)           │
    │     selector ◄═══ channel ═════╪════╪═► serve(): the one long task                 │
    │   handles of in-memory values  │    │     jobs in, facts, logs and prints out      │
    │   the worker MAIN: this thread │    │     values in memory files, mapped privately │
    └────────────────────────────────┘    └──────────────────────────────────────────────┘
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from treadle.execution.executor import Capabilities, ExecutorEvent, Report, WorkerDown, WorkerUp
from treadle.execution.executors.main_worker import MainWorker
from treadle.execution.executors.pool import SlotPool
from treadle.execution.executors.segments import Segments
from treadle.execution.executors.untold import Untold
from treadle.execution.executors.values import ParentValues
from treadle.execution.forwarding import hand_to_loggers, write_output
from treadle.execution.handles import Handle, Segment
from treadle.execution.job import (
    MAIN,
    BeginRun,
    Broken,
    Cancel,
    Drop,
    Dropped,
    EndRun,
    Finished,
    Hello,
    Job,
    Logged,
    Output,
    Publish,
    Published,
    Started,
)
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.blackboard import Glance
    from treadle.execution.executors.slot import Slot
    from treadle.execution.job import WorkerSpec
    from treadle.execution.material import RunMaterial
    from treadle.execution.placement import Placement
    from treadle.execution.scheduling.instructions import RunJob
    from treadle.execution.start_method import StartMethod


class LokyExecutor:
    """Run jobs in worker processes.

    Args:
        max_workers: number of processes.
        method: how they are started.
        make_spec: makes the spec of the workers from the path of the scratch directory.
        exchange_memory: bytes that values may take in memory; half of what the process may use where None.
    """

    capabilities = Capabilities(processes=True, cancels_running=True, queues=True)

    def __init__(
        self, max_workers: int, method: StartMethod, make_spec: Callable[[str], WorkerSpec], exchange_memory: int | None = None
    ) -> None:
        self._pool = SlotPool(max_workers, method, make_spec, self)
        try:
            self._segments = Segments(self._pool.scratch_path, max_workers, exchange_memory)
        except BaseException:
            self._pool.close(kill=True)
            raise
        self._slots = self._pool.slots
        self._run = 0
        self._running = False
        self._begin_message: BeginRun | None = None
        self._values = ParentValues(self._pool.scratch_path, self._segments, lambda _dataset: None, str)
        self._events: list[ExecutorEvent] = []  # that happened outside of `wait`
        self._lock = fork_safe(threading.RLock())  # of the values: a node that runs here takes and gives while the loop is turned
        self._untold = Untold()
        self._main = MainWorker(self._lock, self._pool.wake)
        self._passed_over = False  # the main worker's next step, because others had something to tell
        self._to_replace: list[int] = []  # workers that were lost while it was in a node

    @property
    def spec(self) -> WorkerSpec:
        """What the workers are set up from."""
        return self._pool.spec

    # --- workers ---------------------------------------------------------------------------------------------------------

    def label(self, worker: int) -> str:
        """Return the worker's label."""
        return "main" if worker == MAIN else f"worker-{worker}"

    def replace(self, worker: int) -> None:
        """Start another process in the place of one that is gone; one thread does all forking."""
        if self._main.in_node:
            self._to_replace.append(worker)
        else:
            self._pool.start(self._slots[worker])

    def keep_turning(self, turns: Callable[[Callable[[], bool]], None]) -> None:
        """While a node runs in this thread, call `turns` in another, until what it is given says that it is over."""
        self._main.keep_turning(turns)

    def greeted(self, slot: Slot, hello: Hello) -> list[ExecutorEvent]:
        """A worker is set up: it gets the run."""
        if self._begin_message is None:
            return []
        self._pool.send(slot, self._begin_message)
        return [WorkerUp(slot.number, hello.pid, hello.configured)]

    def lost(self, slot: Slot, pid: int, exitcode: int | None, glance: Glance) -> list[ExecutorEvent]:
        """A worker is gone, and with it what only it had."""
        with self._lock:
            node = glance.node if glance.run == self._run else None
            started = glance.started if node is not None else None
            untold = self._untold.facts(slot.number, self._pool.untold(slot)) if self._running else []
            events: list[ExecutorEvent] = [Report(slot.number, fact) for fact in untold]
            events.append(WorkerDown(slot.number, pid, exitcode, node, started, glance.peak_memory, slot.broken))
            self._values.forget_worker(slot.number)
            return events

    def forked(self) -> None:
        """In a forked child: close its copies of the values' descriptors."""
        self._values.abandon()
        self._segments.abandon()

    def heard(self, slot: Slot, message: Any, descriptors: list[int]) -> Sequence[ExecutorEvent]:
        """A worker said something."""
        kind = type(message)
        if kind is Logged:
            hand_to_loggers(message)
            return ()
        if kind is Output:
            write_output(message)
            return ()
        if kind is Broken:
            slot.broken = message.failure
            return ()
        if kind is Finished:
            slot.told += 1
        if not self._running or message.run != self._run:
            for fd in descriptors:
                os.close(fd)
            return ()  # of a run that was given up
        if kind is Finished:
            if message.outputs:
                with self._lock:
                    self._keep_outputs(slot, message, descriptors)
        elif kind is Published:
            with self._lock:
                return self._take_published(slot, message, descriptors)
        return [Report(slot.number, message)]

    def _keep_outputs(self, slot: Slot, message: Finished, descriptors: list[int]) -> None:
        arrived = iter(descriptors)
        for dataset, handle in message.outputs:
            if isinstance(handle, Segment) and handle.path is None:
                handle = handle._replace(fd=next(arrived))  # noqa: PLW2901 - the same handle, with its descriptor here
            self._values.keep(dataset, handle, slot.number)

    def _take_published(self, slot: Slot, message: Published, descriptors: list[int]) -> list[ExecutorEvent]:
        """A value that a worker was asked for has arrived: the worker does not need its own any more."""
        handle = message.handle
        if isinstance(handle, Segment) and handle.path is None:
            handle = handle._replace(fd=descriptors[0])
        if not self._values.keep_transferred(message.dataset, handle, slot.number):
            return []
        if handle.placement.worker is None:
            self._pool.send(slot, Drop(self._run, message.dataset))
        return [Report(slot.number, message._replace(handle=handle))]

    # --- a run -----------------------------------------------------------------------------------------------------------

    def begin(self, run: RunMaterial) -> frozenset[int]:
        """Take a run in: start the workers that are missing, send the others the run."""
        spec, main_only = run.spec()
        self._run += 1
        self._running = True
        self._segments.begin()
        datasets = run.plan.datasets
        self._values = ParentValues(self._pool.scratch_path, self._segments, run.copy_mode, lambda index: datasets[index].name)
        self._main.begin(self._run, run, self._values)
        self._begin_message = BeginRun(self._run, spec)
        self._untold.begin(self._run, run.plan)
        self._events = []
        for slot in self._slots.values():
            if slot.ready:
                self._pool.send(slot, self._begin_message)
                self._events.append(WorkerUp(slot.number, slot.pid, slot.configured))
            elif not slot.pid:
                self._pool.start(slot)
        self._events.append(WorkerUp(MAIN, os.getpid(), 0))
        return main_only

    def submit(self, job: RunJob) -> None:
        """Send a job to its worker, with handles of the inputs that travel with it."""
        if job.worker == MAIN:
            self._main.submit(job)
            return
        slot = self._slots[job.worker]
        inputs: tuple[tuple[int, Handle], ...] = ()
        descriptors: Sequence[int] = ()
        if job.inputs:
            with self._lock:
                *before, (handles, descriptors) = self._values.for_message(job.inputs)
            for more, files in before:
                self._pool.send(slot, Job(self._run, (), tuple(more)), files)
            inputs = tuple(handles)
        self._pool.send(slot, Job(self._run, job.nodes, inputs, job.last, job.local), descriptors)

    def cancel(self, worker: int) -> None:
        """Ask a worker to return what it has not started."""
        if worker == MAIN:
            self._events += [Report(worker, Dropped(self._run, job.nodes)) for job in self._main.cancel()]
        else:
            self._pool.send(self._slots[worker], Cancel(self._run))

    def kill(self, worker: int) -> None:
        """End a worker process whatever it does."""
        self._slots[worker].kill()

    def begun(self, worker: int, node: int) -> float | None:
        """Return when a worker began the node that it is in, as the blackboard says."""
        glance = self._pool.glance(self._slots[worker])
        return glance.started if (glance.run, glance.node) == (self._run, node) else None

    def under_way(self) -> list[Report]:
        """Return the starts of what the workers are in, as the blackboard says: their own word may still be on its way."""
        if not self._running:
            return []
        glances = [(worker, self._pool.glance(slot)) for worker, slot in self._slots.items()]
        return [
            Report(worker, Started(self._run, glance.node, glance.started))
            for worker, glance in glances
            if glance.run == self._run and glance.node is not None
        ]

    def wait(self, timeout: float | None = None) -> list[ExecutorEvent]:
        """Block until something happened; where nothing has, and every other time, do a step of a job of the main worker."""
        self._pool.flush()
        if self._events:
            events, self._events = self._events, []
            return events
        busy = self._main.has_step
        if busy and self._passed_over:
            self._passed_over = False
            return self._step()
        events = self._pool.wait(0 if busy else timeout)
        if busy and not events:
            return self._step()
        self._passed_over = busy
        return events

    def _step(self) -> list[ExecutorEvent]:
        step = self._main.step()
        lost, self._to_replace = self._to_replace, []
        for worker in lost:  # not where an interrupt ends the run: nobody wants them then
            self._pool.start(self._slots[worker])
        if step is None:
            return []
        if isinstance(step.fact, Finished):
            for dataset, handle in step.fact.outputs:
                self._values.keep(dataset, handle, MAIN)
        return [step]

    # --- values ----------------------------------------------------------------------------------------------------------

    def put(self, dataset: int, value: Any) -> Placement:
        """Take a value into the store; one that cannot leave this process stays here, for the worker MAIN."""
        with self._lock:
            return self._values.put(dataset, value)

    def transfer(self, dataset: int, worker: int) -> None:
        """Ask a worker for a value that another process needs."""
        with self._lock:
            spare = self._values.spare_for(dataset)
        self._pool.send(self._slots[worker], Publish(self._run, dataset), () if spare is None else (spare,))

    def release(self, dataset: int, workers: tuple[int, ...] = ()) -> None:
        """Forget a value: its memory is freed, here and in the workers that have it."""
        with self._lock:
            self._values.release(dataset)
        for worker in workers:
            if worker != MAIN:
                self._pool.send(self._slots[worker], Drop(self._run, dataset))

    def size(self, dataset: int) -> int:
        """Return the bytes of a value."""
        return self._values.size(dataset)

    def detach(self, dataset: int) -> Handle | None:
        """Hand a value over."""
        return self._values.detach(dataset)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Forget the run: every value of it that was not handed over is given back."""
        self._values.clear()
        self._main.end()
        self._to_replace.clear()
        self._running = False
        self._begin_message = None
        for slot in self._slots.values():
            if slot.ready:
                self._pool.send(slot, EndRun(self._run))
        self._pool.flush()

    def close(self, *, kill: bool = False) -> None:
        """End the workers and remove everything the pool made."""
        if self._pool.is_open:
            self._values.clear()
            self._segments.close()
        self._pool.close(kill=kill)
