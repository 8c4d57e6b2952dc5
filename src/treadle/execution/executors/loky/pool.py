"""The pool of worker processes, each in a slot and with a private connection.

::

    parent                                                    slot n
    ┌────────────────────────────────┐    ┌──────────────────────────────────────────────┐
    │ LokyPool                       │    │ run_worker(), in a process of its own        │
    │   SlotPool                     │    │                                              │
    │                                │    │   set_up_worker(spec)                        │
    │     selector ◄═══ channel ═════╪════╪═► serve()                                    │
    │   (SegmentStore: handles)      │    │     jobs in, facts, logs and prints out      │
    │                                │    │     values in memory files, mapped privately │
    └────────────────────────────────┘    └──────────────────────────────────────────────┘

State: the current run, and the workers that were ready at its start. Runs in the parent. Neighbours: `slots.py` has the
processes and connections, `store.py` the values.
The module is long because it has every method of the `WorkerPool` protocol.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.events import PoolEvent, Report, WorkerDown, WorkerUp
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.loky.slots import SlotPool
from treadle.execution.executors.loky.store import SegmentStore
from treadle.execution.executors.loky.wirings import RecentWirings
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.executors.unreported import UnreportedResults
from treadle.execution.processes.channel import MAX_DESCRIPTORS
from treadle.execution.protocol.handles import IN_MESSAGE
from treadle.execution.protocol.messages import (
    BeginRun,
    Broken,
    EndRun,
    Finished,
    FinishedNodes,
    Job,
    Logged,
    Output,
    Started,
    Transfer,
    Transferred,
)
from treadle.execution.worker.forwarding import log_record, write_output
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from treadle.execution.executors.loky.recycling import Recycling
    from treadle.execution.executors.loky.slot import Slot
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.processes.blackboard import WorkerEntry
    from treadle.execution.processes.start_method import StartMethod
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Cancel, ProcessSpec, Release


class LokyPool:
    """Worker processes, each with a private connection.

    Args:
        max_workers: number of processes.
        method: how processes are started.
        make_spec: makes the specification of the workers from the path of the scratch directory.
        recycling: when a process is replaced; None for never.
        forks_if_safe: whether fork was inferred, so that each start of processes checks whether it is still safe.
    """

    def __init__(
        self,
        max_workers: int,
        method: StartMethod,
        make_spec: Callable[[str], ProcessSpec],
        recycling: Recycling | None = None,
        *,
        forks_if_safe: bool = False,
    ) -> None:
        # A process that may be replaced queues no jobs, and runs one node at a time.
        self.capabilities = Capabilities(
            processes=True,
            can_kill=True,
            queues=recycling is None,
            returns_rest=recycling is None,
            recycles=recycling is not None,
            sets_up_project=not method.child_inherits,
            # A forked child inherits the import locks that other threads hold, and waits for them forever; `start` comes later,
            # when the runs of other threads have imported what they need. Besides, it starts fast, and as long as it exists, this
            # process copies each page of memory that it writes to, such as those of the objects that an import uses.
            launch=None if method.child_inherits else self._launch,
            unreported=self._unreported_nodes,
        )
        self._recycling = recycling
        self._slot_pool = SlotPool(max_workers, method, make_spec, self, forks_if_safe=forks_if_safe)
        self._slots = self._slot_pool.slots
        self._run = 0
        self._running = False
        self._begin_message: BeginRun | None = None
        self._wirings = RecentWirings()
        self._ready: list[PoolEvent] = []  # workers that were ready when the run started
        self._warm: dict[int, int] = {}  # their process ids by number
        self._unreported = UnreportedResults()
        self.in_forked_child: Callable[[], None] = lambda: None
        """Called in a forked child, to close the descriptors that it inherited from the value store."""

    @property
    def spec(self) -> ProcessSpec:
        """The specification that workers are set up from."""
        return self._slot_pool.spec

    # --- a run -----------------------------------------------------------------------------------------------------------

    def start(self, number: int, run: RunBundle) -> frozenset[int]:
        """Start a run: start the missing workers, as many as the run can use. Each is sent the run with its first job."""
        spec, wiring, main_only = run.spec_and_wiring()
        self._run = number
        self._running = True
        self._begin_message = BeginRun(number, spec, self._wirings.use(wiring))
        self._unreported.begin(number, run.plan)
        self._warm = {slot.number: slot.pid for slot in self._slots.values() if slot.ready}
        self._ready = [_up(slot) for slot in self._slots.values() if slot.ready]
        self._launch(run.workers)
        return main_only

    def _begin_message_for(self, slot: Slot, message: BeginRun) -> BeginRun:
        """Return the message that begins the run in a worker, with its wiring unless the worker has that from an earlier run."""
        slot.run = self._run
        last, kept = self._wirings.last, self._wirings.kept
        if last not in slot.wirings or not slot.wirings <= kept:
            pickled = None if last in slot.wirings else self._wirings.pickled
            message = message._replace(wiring=pickled, dropped=tuple(slot.wirings - kept))
            slot.wirings = (slot.wirings & kept) | {last}
        return message

    def _launch(self, workers: Callable[[], int] | None, imports: tuple[str, ...] = ()) -> None:
        """Start processes until there are as many as a run can use; None for all. They and later ones import modules."""
        if imports:
            self._slot_pool.spec = self._slot_pool.spec._replace(imports=imports)
        absent = [slot for slot in self._slots.values() if not slot.pid]
        if not absent:
            return
        wanted = len(self._slots) if workers is None else workers()
        if started := absent[: max(0, wanted - len(self._slots) + len(absent))]:
            self._slot_pool.start(started)

    def send(self, worker: int, *commands: Job | Transfer | Release | Cancel) -> None:
        """Queue commands for a worker; `flush` sends them, with their file descriptors attached."""
        slot, send = self._slots[worker], self._slot_pool.send
        queued: list[Any] = []  # queued together with the next message that has descriptors
        if slot.run != self._run and self._begin_message is not None:
            queued.append(self._begin_message_for(slot, self._begin_message))
        for command in commands:
            if type(command) is Job and command.inputs and _has_descriptors(command):
                for job, descriptors in _messages_of(command):
                    send(slot, (*queued, job), descriptors)
                    queued = []
            elif type(command) is Transfer and command.spare is not None:
                send(slot, (*queued, command._replace(spare=None)), (command.spare,))
                queued = []
            else:
                queued.append(command)
        if queued:
            send(slot, queued)

    def flush(self) -> None:
        """Send the queued commands, as far as the sockets accept them without blocking."""
        self._slot_pool.flush()

    def wait(self, timeout: float | None = None) -> list[PoolEvent]:
        """Block until a worker sends a message or is lost, for at most `timeout` seconds."""
        if self._ready:
            ready, self._ready = self._ready, []
            return ready
        return self._slot_pool.wait(timeout)

    def wake(self) -> None:
        """End a `wait` that another thread is in."""
        self._slot_pool.wake()

    def running(self) -> dict[int, Started]:
        """Return the running node of each worker from the blackboard: the worker's own report may still be in flight."""
        entries = (
            [(worker, self._slot_pool.read_blackboard(slot)) for worker, slot in self._slots.items()] if self._running else []
        )
        return {
            worker: Started(self._run, entry.node, entry.started, entry.since)
            for worker, entry in entries
            if entry.run == self._run and entry.node is not None
        }

    def _unreported_nodes(self) -> list[Report]:
        """Return the nodes that workers have finished and not reported before the last `wait`, from the blackboard."""
        finished = [
            (worker, self._slot_pool.finished_after(slot, slot.handed_over)) for worker, slot in self._slots.items() if slot.ready
        ]
        return [Report(worker, fact) for worker, nodes in finished for fact in self._unreported.restored(worker, nodes)]

    def kill(self, worker: int) -> None:
        """Kill a worker process, even in the middle of a node."""
        self._slots[worker].kill()

    def worn(self) -> list[int]:
        """Return the workers whose process has reached a limit."""
        recycling = self._recycling
        return [worker for worker, slot in self._slots.items() if recycling is not None and recycling.is_worn(slot)]

    def retire(self, worker: int) -> None:
        """Stop the process of an idle worker without waiting for its exit; `restart` may follow at once."""
        self._slot_pool.retire(self._slots[worker])

    def restart(self, worker: int) -> None:
        """Start a process that replaces a lost or retired one."""
        self._slot_pool.start([self._slots[worker]])

    def end(self) -> None:
        """End the run."""
        self._running = False
        self._begin_message = None
        self._ready = []
        for slot in self._slots.values():
            if slot.ready and slot.run == self._run:
                self._slot_pool.send(slot, (EndRun(self._run),))
        self._slot_pool.flush()

    def close(self, *, kill: bool = False) -> None:
        """Stop the workers and remove all files of the pool."""
        self._slot_pool.close(kill=kill)

    # --- callbacks of the slot pool --------------------------------------------------------------------------------------

    def worker_ready(self, slot: Slot) -> list[PoolEvent]:
        """Report a worker that is set up, if there is a run."""
        return [_up(slot)] if self._running else []

    def worker_lost(self, slot: Slot, pid: int, exitcode: int | None, last: WorkerEntry) -> list[PoolEvent]:
        """Report a lost worker: the nodes that it had finished, and the one that it was running."""
        node = last.node if last.run == self._run else None
        started = last.started if node is not None else None
        unreported = self._slot_pool.finished_after(slot, slot.reported) if self._running else []
        finished = self._unreported.facts(slot.number, unreported)
        events: list[PoolEvent] = [Report(slot.number, fact) for fact in finished]
        seconds = time.monotonic() - last.since if node is not None else None
        was_idle = last.run != self._run and self._warm.get(slot.number) == pid
        down = WorkerDown(
            slot.number, pid, exitcode, node, started, last.peak_memory, seconds, slot.broken, slot.reason, was_idle=was_idle
        )
        events.append(down)
        return events

    def close_inherited(self) -> None:
        """In a forked child: close its copies of the values' descriptors."""
        self.in_forked_child()

    def message_received(self, slot: Slot, message: Any, descriptors: list[int]) -> Sequence[PoolEvent]:
        """Handle a message of a worker."""
        kind = type(message)
        if kind is FinishedNodes:
            slot.reported += len(message.nodes)
        elif kind is Finished:
            slot.reported += 1
        elif kind is Logged:
            log_record(message)
            return ()
        elif kind is Output:
            write_output(message)
            return ()
        elif kind is Broken:
            slot.broken = message.failure
            return ()
        if not self._running or message.run != self._run:
            for fd in descriptors:
                os.close(fd)
            return ()  # of an earlier run, which was interrupted
        if descriptors:
            message = _with_descriptors(message, descriptors)
        return (new_record(Report, (slot.number, message)),)


def _up(slot: Slot) -> WorkerUp:
    """Report a worker that is ready; how its process was started is reported once."""
    start, slot.start_times = slot.start_times, None
    return WorkerUp(slot.number, slot.pid, slot.configured, start)


def _has_descriptors(job: Job) -> bool:
    for _dataset, handle in job.inputs:  # noqa: SIM110 - a generator costs more than most jobs have inputs
        if type(handle) not in IN_MESSAGE and handle.fd is not None:  # most values are
            return True
    return False


def _messages_of(job: Job) -> Iterator[tuple[Job, list[int]]]:
    """Yield the messages that make up a job, each with its file descriptors.

    A message carries a limited number of descriptors. If a job has more, messages without nodes come first, which only carry
    memory files.
    """
    files = [(dataset, handle) for dataset, handle in job.inputs if handle.fd is not None]
    rest = tuple((dataset, handle) for dataset, handle in job.inputs if handle.fd is None)
    while len(files) > MAX_DESCRIPTORS:
        first, files = files[:MAX_DESCRIPTORS], files[MAX_DESCRIPTORS:]
        inputs, descriptors = _without_descriptors(first)
        yield Job(job.run, (), inputs), descriptors
    inputs, descriptors = _without_descriptors(files)
    yield job._replace(inputs=inputs + rest), descriptors


def _without_descriptors(files: list[tuple[int, Handle]]) -> tuple[tuple[tuple[int, Handle], ...], list[int]]:
    inputs = tuple((dataset, handle.with_descriptor(None)) for dataset, handle in files)
    return inputs, [handle.fd for _dataset, handle in files if handle.fd is not None]


def _with_descriptors(message: Finished | Transferred, descriptors: list[int]) -> Finished | Transferred:
    """Return a message with the received descriptors put into its handles."""
    arrived = iter(descriptors)
    if isinstance(message, Transferred):
        return message._replace(handle=_with_next(message.handle, arrived))
    return message._replace(outputs=tuple((dataset, _with_next(handle, arrived)) for dataset, handle in message.outputs))


def _with_next(handle: Handle, descriptors: Iterator[int]) -> Handle:
    return handle.with_descriptor(next(descriptors)) if handle.needs_descriptor else handle


def loky_executor(
    max_workers: int,
    method: StartMethod,
    make_spec: Callable[[str], ProcessSpec],
    exchange_memory: int | None = None,
    recycling: Recycling | None = None,
    *,
    forks_if_safe: bool = False,
) -> Executor:
    """Make an executor that runs jobs in worker processes.

    Args:
        max_workers: number of processes.
        method: how processes are started.
        make_spec: makes the specification of the workers from the path of the scratch directory.
        exchange_memory: bytes that values may take in memory; half of the memory that this process may use if None.
        recycling: when a process is replaced; None for never.
        forks_if_safe: whether fork was inferred, so that each start of processes checks whether it is still safe.
    """
    pool = LokyPool(max_workers, method, make_spec, recycling, forks_if_safe=forks_if_safe)
    try:
        store = SegmentStore(pool.spec.scratch, max_workers, exchange_memory)
    except BaseException:
        pool.close(kill=True)
        raise
    pool.in_forked_child = store.abandon
    return Executor(pool, store)
