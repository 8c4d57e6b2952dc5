"""The process executor: slots of one loky worker each, and a private connection to every one of them.

::

    parent                                                    slot n
    ┌────────────────────────────────┐    ┌──────────────────────────────────────────────┐
    │ LokyExecutor                   │    │ loky executor of one worker                  │
    │   listener (0700, authkey) ◄───┼────┤   initializer: set_up_worker(spec)           │
    │   selector ◄═══ channel ═══════╪════╪═► serve(): the one long task                 │
    │   handles of in-memory values  │    │     jobs in, facts, logs and prints out      │
    │   the worker MAIN: this thread │    │     values in memory files, mapped privately │
    └────────────────────────────────┘    └──────────────────────────────────────────────┘

All of it happens in the thread that waits; loky's own threads only ever say that a process ended, through a socket pair.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import selectors
import socket
import threading
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from typing import TYPE_CHECKING, Any

from treadle.execution.blackboard import Blackboard
from treadle.execution.bootstrap import Inherited
from treadle.execution.channel import Channel, ChannelClosedError
from treadle.execution.exchange import close_handle
from treadle.execution.executor import Capabilities, ExecutorEvent, Report, SetupFailed, WorkerDown, WorkerUp
from treadle.execution.executors.in_process import job_steps
from treadle.execution.executors.preload import preload_forkserver
from treadle.execution.executors.slot import Slot
from treadle.execution.executors.values import ParentValues
from treadle.execution.forwarding import hand_to_loggers, write_output
from treadle.execution.job import (
    MAIN,
    BeginRun,
    Cancel,
    Drop,
    Dropped,
    EndRun,
    Finished,
    Handle,
    Hello,
    Job,
    Kept,
    Logged,
    Output,
    Publish,
    Published,
    Segment,
    Stop,
)
from treadle.execution.scratch import Scratch
from treadle.execution.start_method import StartMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.execution.job import WorkerSpec
    from treadle.execution.material import RunMaterial
    from treadle.execution.scheduler import Assignment


class LokyExecutor:
    """Run jobs in worker processes.

    Args:
        max_workers: number of processes.
        method: how they are started.
        make_spec: makes the spec of the workers from the path of the scratch directory.
    """

    capabilities = Capabilities(processes=True, cancels_running=True, queues=True)

    def __init__(self, max_workers: int, method: StartMethod, make_spec: Callable[[str], WorkerSpec]) -> None:
        self._scratch = Scratch.create()
        if (folder := method.folder()) is not None:
            self._scratch.take_along(folder)
        self._blackboard = Blackboard(self._scratch.blackboard, max_workers)
        self._authkey = secrets.token_bytes(32)
        self._listener = Listener(self._scratch.socket, family="AF_UNIX", backlog=max_workers, authkey=self._authkey)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._ended: deque[tuple[int, int]] = deque()
        self.spec = make_spec(self._scratch.path)
        if method is StartMethod.FORKSERVER:
            preload_forkserver()
        self._slots = {number: Slot(number, method, self._note_end) for number in range(1, max_workers + 1)}
        self._closed = False
        self._owner = os.getpid()
        self._run = 0
        self._running = False
        self._material: RunMaterial | None = None
        self._begin_message: BeginRun | None = None
        self._values = ParentValues(self._scratch.path, lambda _dataset: None)
        self._main_jobs: deque[Assignment] = deque()
        self._held: list[Assignment] = []  # jobs that wait for values from other workers
        self._asked: set[int] = set()  # resident values that were asked for
        self._events: list[ExecutorEvent] = []  # that happened outside of `wait`
        self._main_steps: Iterator[Report] | None = None
        self._main_cancelled = False
        self._selector.register(_listening_socket(self._listener), selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._hear_of_ends)

    # --- workers ---------------------------------------------------------------------------------------------------------

    def label(self, worker: int) -> str:
        """Return the worker's label."""
        return "main" if worker == MAIN else f"worker-{worker}"

    def _start(self, slot: Slot) -> None:
        self._blackboard.clear(slot.number - 1)
        slot.start(self.spec, self._authkey, Inherited(self._let_go_of_inherited))
        _close_at_exit(self)

    def replace(self, worker: int) -> None:
        """Start another process in the place of one that is gone."""
        self._start(self._slots[worker])

    def _let_go_of_inherited(self) -> None:
        """In a forked child: close its copies of what this pool had open."""
        self._selector.close()
        _listening_socket(self._listener).close()
        self._wake_read.close()
        self._wake_write.close()
        for slot in self._slots.values():
            if slot.channel is not None:
                slot.channel.abandon()
        self._values.abandon()
        self._scratch.let_go()

    def _note_end(self, number: int, pid: int) -> None:
        """From one of loky's threads: a slot's process ended."""
        self._ended.append((number, pid))
        with contextlib.suppress(OSError):  # the pool may be closing, and then knows
            self._wake_write.send(b"\0")

    def _accept(self, _mask: int) -> list[ExecutorEvent]:
        try:
            connection = self._listener.accept()
            number = int.from_bytes(connection.recv_bytes(4), "big")
        except (OSError, EOFError, ValueError, AuthenticationError):
            return []  # it died on the way, or was none of ours: its slot's end tells the rest
        channel = Channel(socket.socket(fileno=os.dup(connection.fileno())), blocking=False)
        connection.close()
        slot = self._slots[number]
        slot.channel = channel
        self._selector.register(channel, selectors.EVENT_READ, lambda mask: self._converse(slot, channel, mask))
        return []

    def _converse(self, slot: Slot, channel: Channel, mask: int) -> list[ExecutorEvent]:
        """Read what a worker says, and go on sending what it had no room for."""
        if slot.channel is not channel:
            return []  # its end was found out earlier in the same round
        events: list[ExecutorEvent] = []
        try:
            if mask & selectors.EVENT_WRITE:
                with contextlib.suppress(ChannelClosedError):  # it is gone: but first, what it said
                    self._push(channel)
            for message, descriptors in channel.receive_ready():
                events += self._hear(slot, message, descriptors)
        except ChannelClosedError:
            events += self._lose(slot)
        return events

    def _hear(self, slot: Slot, message: Any, descriptors: list[int]) -> list[ExecutorEvent]:
        if isinstance(message, Logged):
            hand_to_loggers(message)
            return []
        if isinstance(message, Output):
            write_output(message)
            return []
        if isinstance(message, Hello):
            return self._greet(slot, message)
        if not self._running or message.run != self._run:
            for fd in descriptors:
                os.close(fd)
            return []  # of a run that was given up
        if isinstance(message, Finished):
            arrived = iter(descriptors)
            for dataset, handle in message.outputs:
                if isinstance(handle, Segment) and handle.path is None:
                    handle = handle._replace(fd=next(arrived))  # noqa: PLW2901 - the same handle, with its descriptor here
                self._values.keep(dataset, handle)
        elif isinstance(message, Published):
            return self._take_published(slot, message, descriptors)
        return [Report(slot.number, message)]

    def _take_published(self, slot: Slot, message: Published, descriptors: list[int]) -> list[ExecutorEvent]:
        """A resident value has arrived: the jobs that wait for it can go."""
        handle = message.handle
        if isinstance(handle, Segment) and handle.path is None:
            handle = handle._replace(fd=descriptors[0])
        self._asked.discard(message.dataset)
        if self._values.holder(message.dataset) is None:
            close_handle(handle)  # released meanwhile
            return []
        self._values.keep(message.dataset, handle)
        events: list[ExecutorEvent] = [Report(slot.number, message._replace(handle=handle))]
        if isinstance(handle, Kept):
            return events + self._return_held(message.dataset)
        self._send(slot, Drop(self._run, message.dataset))
        held, self._held = self._held, []
        for job in held:
            self.submit(job)
        return events

    def _return_held(self, dataset: int) -> list[ExecutorEvent]:
        """A value that held jobs wait for will not come: give them back."""
        waiting = [job for job in self._held if dataset in job.inputs]
        self._held = [job for job in self._held if dataset not in job.inputs]
        return [Report(job.worker, Dropped(self._run, job.nodes)) for job in waiting]

    def _greet(self, slot: Slot, hello: Hello) -> list[ExecutorEvent]:
        if hello.failure is not None:
            if slot.channel is not None:
                self._selector.unregister(slot.channel)
            slot.close(kill=True)  # the next run starts another in its place
            return [SetupFailed(slot.number, hello.failure, None)]
        slot.ready = True
        slot.configured = hello.configured
        if self._begin_message is None:
            return []
        self._send(slot, self._begin_message)
        return [WorkerUp(slot.number, hello.pid, hello.configured)]

    def _hear_of_ends(self, _mask: int) -> list[ExecutorEvent]:
        with contextlib.suppress(BlockingIOError):  # another call may have read it
            self._wake_read.recv(1024)
        events: list[ExecutorEvent] = []
        while self._ended:
            number, pid = self._ended.popleft()
            slot = self._slots[number]
            if slot.pid == pid and slot.channel is not None:
                # What it said before it died is still in the socket: read that first.
                events += self._converse(slot, slot.channel, selectors.EVENT_READ)
            if slot.pid == pid:
                events += self._lose(slot)
        return events

    def _lose(self, slot: Slot) -> list[ExecutorEvent]:
        """A worker is gone, or talks no more: find out how."""
        pid, was_ready = slot.pid, slot.ready
        if slot.channel is not None:
            self._selector.unregister(slot.channel)
        exitcode = slot.bury()
        glance = self._blackboard.read(slot.number - 1)
        if not was_ready:
            return [SetupFailed(slot.number, None, exitcode)]
        node = glance.node if glance.run == self._run else None
        started = glance.started if node is not None else None
        events: list[ExecutorEvent] = [WorkerDown(slot.number, pid, exitcode, node, started, glance.peak_memory)]
        self._held = [job for job in self._held if job.worker != slot.number]
        for dataset in self._values.resident_in(slot.number):
            self._values.release(dataset)
            self._asked.discard(dataset)
            events += self._return_held(dataset)
        return events

    def _send(self, slot: Slot, message: Any, descriptors: list[int] | None = None) -> None:
        if slot.channel is None:  # it is gone: its end is on its way here
            for fd in descriptors or ():
                os.close(fd)
            return
        slot.channel.post(message, descriptors or ())

    def _flush(self) -> None:
        """Send what was posted to the workers, as far as their sockets take it."""
        for slot in self._slots.values():
            if slot.channel is not None and slot.channel.wants_to_write:
                with contextlib.suppress(ChannelClosedError):  # it is gone: its end is on its way here
                    slot.channel.flush()
                    if slot.channel.wants_to_write:
                        self._watch(slot.channel, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _push(self, channel: Channel) -> None:
        channel.flush()
        if not channel.wants_to_write:
            self._watch(channel, selectors.EVENT_READ)

    def _watch(self, channel: Channel, events: int) -> None:
        key = self._selector.get_key(channel)
        if key.events != events:
            self._selector.modify(channel, events, key.data)

    # --- a run -----------------------------------------------------------------------------------------------------------

    def begin(self, run: RunMaterial) -> frozenset[int]:
        """Take a run in: start the workers that are missing, send the others the run."""
        spec, main_only = run.spec()
        self._run += 1
        self._running = True
        self._material = run
        self._scope = run.scope(interruptible=True)
        self._values = ParentValues(self._scratch.path, run.copy_mode)
        self._begin_message = BeginRun(self._run, spec)
        self._events = []
        for slot in self._slots.values():
            if slot.ready:
                self._send(slot, self._begin_message)
                self._events.append(WorkerUp(slot.number, slot.pid, slot.configured))
            elif not slot.pid:
                self._start(slot)
        self._events.append(WorkerUp(MAIN, os.getpid(), 0))
        return main_only

    def submit(self, job: Assignment) -> None:
        """Hand a job to its worker, with handles of what it takes; it waits here for values that are in other workers."""
        elsewhere = self._values.holders(job.inputs, job.worker)
        if elsewhere:
            self._held.append(job)
            for dataset, holder in elsewhere:
                if dataset not in self._asked:
                    self._asked.add(dataset)
                    self._send(self._slots[holder], Publish(self._run, dataset, self._values.crowded))
            return
        if job.worker == MAIN:
            self._main_jobs.append(job)
            return
        inputs, descriptors = self._values.for_message(job.inputs)
        message = Job(self._run, job.nodes, tuple(inputs), job.last, job.local, self._values.crowded)
        self._send(self._slots[job.worker], message, descriptors)

    def cancel(self, worker: int) -> None:
        """Ask a worker to give back what it has not begun."""
        held = [job for job in self._held if job.worker == worker]
        self._held = [job for job in self._held if job.worker != worker]
        if worker == MAIN:
            self._main_cancelled = True
            held += self._main_jobs
            self._main_jobs.clear()
        else:
            self._send(self._slots[worker], Cancel(self._run))
        self._events += [Report(worker, Dropped(self._run, job.nodes)) for job in held]

    def wait(self) -> list[ExecutorEvent]:
        """Block until something happened; where nothing has, do the next step of a job of the main worker."""
        self._flush()
        if self._events:
            events, self._events = self._events, []
            return events
        events = []
        busy = self._main_steps is not None or bool(self._main_jobs)
        for key, mask in self._selector.select(0 if busy else None):
            events += key.data(mask)
        if not events and busy:
            events += self._step()
        return events

    def _step(self) -> list[ExecutorEvent]:
        if self._main_steps is None:
            job = self._main_jobs.popleft()
            self._main_cancelled = False
            self._main_steps = job_steps(
                self._run,
                self._scope,
                job,
                take=lambda dataset, last: self._values.take_here(dataset, last=last),
                give=self._values.give_here,
                cancelled=lambda: self._main_cancelled,
            )
        step = next(self._main_steps, None)
        if step is None:
            self._main_steps = None
            return []
        if isinstance(step.fact, Finished):
            for dataset, handle in step.fact.outputs:
                self._values.keep(dataset, handle)
        return [step]

    # --- values ----------------------------------------------------------------------------------------------------------

    def put(self, dataset: int, value: Any) -> int | None:
        """Publish a value; one that cannot leave stays here, for the worker MAIN."""
        return self._values.put(dataset, value)

    def release(self, dataset: int) -> None:
        """Forget a value: its memory is given back."""
        holder = self._values.holder(dataset)
        if holder is not None:
            self._send(self._slots[holder], Drop(self._run, dataset))
        self._values.release(dataset)

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
        self._held.clear()
        self._asked.clear()
        self._main_jobs.clear()
        self._main_steps = None
        self._running = False
        self._begin_message = None
        self._material = None
        for slot in self._slots.values():
            if slot.ready:
                self._send(slot, EndRun(self._run))
        self._flush()

    def close(self, *, kill: bool = False, at_exit: bool = False) -> None:
        """End the workers and remove everything the pool made; `at_exit`, when Python starts no threads any more."""
        if self._closed or os.getpid() != self._owner:
            return  # a forked child inherits its parent's exit handlers, but not its pool
        self._closed = True
        self._values.clear()
        for slot in self._slots.values():
            if not kill and slot.ready:
                self._send(slot, Stop())
        self._flush()
        try:
            if at_exit:
                for slot in self._slots.values():
                    slot.close(kill=True)
            else:
                self._close_slots(kill=kill)
        finally:  # an impatient Ctrl-C must not leave files behind
            self._selector.close()
            self._listener.close()
            self._wake_read.close()
            self._wake_write.close()
            self._blackboard.close()
            self._scratch.remove()

    def _close_slots(self, *, kill: bool) -> None:
        """End all workers at the same time: each takes a while to say goodbye."""
        with ThreadPoolExecutor(len(self._slots), thread_name_prefix="treadle-close") as closers:
            for closed in [closers.submit(slot.close, kill=kill or not slot.ready) for slot in self._slots.values()]:
                closed.result()


def _close_at_exit(executor: LokyExecutor) -> None:
    """End the workers of an executor that nobody closed, before loky's own exit handler would wait for them forever.

    loky registers a handler that joins its threads each time it starts one, with `threading._register_atexit`, whose
    callbacks run last in, first out, before `atexit`'s. So ours is registered after each start too. An executor that is
    gone needs nothing and is not kept alive.
    """
    reference = weakref.ref(executor)

    def close() -> None:
        if (alive := reference()) is not None:
            alive.close(at_exit=True)

    getattr(threading, "_register_atexit", atexit.register)(close)


def _listening_socket(listener: Listener) -> socket.socket:
    """Return the socket under a multiprocessing listener, which offers no other way to wait for it."""
    sock: socket.socket = listener._listener._socket  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
    return sock
