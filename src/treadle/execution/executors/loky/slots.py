"""The slots of the pool: worker processes, each with a private connection, and the pool's files.

This module knows nothing about runs: it passes messages and lost workers to callbacks. All work is done in the thread that calls
`wait`, whose selector waits for messages, for the end of processes, and for `wake`. The module is long because each step in the
life of a worker changes the same selector: start, messages, loss, replacement and end.
State: slots, selector, scratch directory. Runs in the parent. Neighbour: `pool.py` has the callbacks.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import socket
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from treadle.events import WorkerStart
from treadle.execution.executors.events import PoolEvent, SetupFailed
from treadle.execution.executors.loky.slot import STOP_SECONDS, Slot, end_trees, prepare_starts
from treadle.execution.executors.loky.starting import check_scratch, open_standard_descriptors
from treadle.execution.processes.blackboard import Blackboard, FinishedNode, WorkerEntry
from treadle.execution.processes.channel import Channel, ChannelClosedError
from treadle.execution.processes.connection import Connection
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.processes.open_descriptors import own_descriptors
from treadle.execution.processes.safe_points import safe_point
from treadle.execution.processes.scratch import Scratch, adopt_multiprocessing_folder
from treadle.execution.processes.start_method import StartMethod, against_fork, safe_start_method
from treadle.execution.processes.suspend import suspend_workers_too
from treadle.execution.processes.watchdog import Watchdog
from treadle.execution.protocol.messages import Hello, Stop
from treadle.execution.worker.inherited import InheritedResources
from treadle.forks import ready_to_fork

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from treadle.execution.protocol.messages import ProcessSpec

_logger = logging.getLogger(__name__)


class PoolCallbacks(Protocol):
    """Called for the events of workers; the pool events that a callback returns are returned by `SlotPool.wait`."""

    def worker_ready(self, slot: Slot) -> list[PoolEvent]:
        """A worker is set up."""

    def message_received(self, slot: Slot, message: Any, descriptors: list[int]) -> Sequence[PoolEvent]:
        """A worker sent a message; the callback owns the descriptors that came with it."""

    def worker_lost(self, slot: Slot, pid: int, exitcode: int | None, last: WorkerEntry) -> list[PoolEvent]:
        """A worker was lost after its set-up; `last` is its last entry on the blackboard."""

    def close_inherited(self) -> None:
        """In a forked child: close the descriptors that belong to the parent."""


class SlotPool:
    """Worker processes in slots.

    Args:
        size: number of processes.
        method: how processes are started.
        make_spec: makes the specification of the workers from the path of the scratch directory.
        callbacks: called for the events of workers.
        forks_if_safe: whether fork was inferred. Then each start of workers checks whether it is still safe to fork, and if it is
            not, the processes from then on are started with the safe method.

    Raises:
        OSError: this process has reached its limit of open files, or the file system is full.
    """

    def __init__(
        self,
        size: int,
        method: StartMethod,
        make_spec: Callable[[str], ProcessSpec],
        callbacks: PoolCallbacks,
        *,
        forks_if_safe: bool = False,
    ) -> None:
        self._method = method
        self._forks_if_safe = forks_if_safe
        self._callbacks = callbacks
        self._posted: dict[int, Slot] = {}  # slots with messages for the next `flush`, by number
        self._heard: dict[int, Slot] = {}  # slots from which messages have arrived since the last `wait` began, by number
        self._events: list[PoolEvent] = []  # what `wait` returns next
        self._arrived: tuple[Slot, Iterator[tuple[Any, list[int]]]] | None = None  # the messages that are being handled
        self._retiring: list[threading.Thread] = []  # each waits for a retired process to exit
        open_standard_descriptors()
        # Any step may fail at the limit of open files: close what is open then.
        with own_descriptors(), contextlib.ExitStack() as files:
            self._scratch = Scratch.create()
            files.callback(self._scratch.remove)
            self._watchdog = Watchdog(self._scratch.path)
            files.callback(self._watchdog.close)
            self._prepare_folder()
            self._blackboard = files.enter_context(contextlib.closing(Blackboard(self._scratch.blackboard, size)))
            self._selector = files.enter_context(selectors.DefaultSelector())
            self._wake_read, self._wake_write = map(files.enter_context, socket.socketpair())
            self._wake_read.setblocking(False)  # noqa: FBT003 - the socket's own signature
            self._wake_write.setblocking(False)  # noqa: FBT003 - the same
            self.spec = make_spec(self._scratch.path)
            self._prepare_forkserver()
            self.slots = {number: Slot(number, method) for number in range(1, size + 1)}
            files.callback(suspend_workers_too(self._pids))
            self._closed = False
            self._owner = os.getpid()
            self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
            files.callback(_close_at_exit(self))
            self._files = files.pop_all()

    @property
    def is_open(self) -> bool:
        """True in the process that made the pool, until it is closed."""
        return not self._closed and os.getpid() == self._owner

    # --- processes -------------------------------------------------------------------------------------------------------

    def start(self, slots: Sequence[Slot]) -> None:
        """Start the processes of slots; return before they are set up.

        Raises:
            OSError: this process has reached its limit of open files, or the user the limit of processes.
            RunnerError: the scratch directory was removed, so a new process could not use it.
        """
        check_scratch(self._scratch, slots[0].number)
        with own_descriptors():
            prepare_starts(self._method)
            if self._forks_if_safe and (found := against_fork()) is not None:
                self._stop_forking(found)
                prepare_starts(self._method)
        with own_descriptors(), ready_to_fork() if self._method.child_inherits else contextlib.nullcontext():
            try:
                for slot in slots:
                    self._start(slot)
            finally:
                self._watchdog.watch(self._pids())

    def _stop_forking(self, found: str) -> None:
        """Start all further processes with the safe method; those that were forked stay."""
        self._forks_if_safe = False
        self._method = method = safe_start_method()
        _logger.info("Further worker processes are started by %s, because %s.", method.value, found)
        self._prepare_folder()
        self.spec = self.spec._replace(inherits=method.child_inherits, start_method=method.value)
        self._prepare_forkserver()
        for slot in self.slots.values():
            slot.method = method

    def _prepare_folder(self) -> None:
        """Let the directory that the start method needs be removed if this process is killed."""
        if self._method is StartMethod.FORKSERVER:
            adopt_multiprocessing_folder()
        if (folder := self._method.folder()) is not None:
            self._scratch.remove_together_with(folder)

    def _prepare_forkserver(self) -> None:
        """Set what the forkserver imports."""
        if self._method is StartMethod.FORKSERVER:
            from treadle.execution.executors.loky.preload import preload_forkserver

            preload_forkserver()

    def _start(self, slot: Slot) -> None:
        self._blackboard.clear(slot.number - 1)
        with contextlib.ExitStack() as files:  # an interrupt may come before any line
            ours, theirs = map(files.enter_context, socket.socketpair())
            channel = Channel(ours, blocking=False)
            files.callback(setattr, slot, "channel", None)
            slot.channel = channel
            slot.start(self.spec, Connection(theirs), InheritedResources(self._close_inherited))
            theirs.close()
            files.pop_all()
        self._selector.register(channel, selectors.EVENT_READ, lambda mask: self._exchange(slot, channel, mask))
        if slot.sentinel is not None:
            pid = slot.pid
            self._selector.register(slot.sentinel, selectors.EVENT_READ, lambda _mask: self._handle_end(slot, pid))

    def _pids(self) -> list[int]:
        return [slot.pid for slot in self.slots.values() if slot.pid]

    def _close_inherited(self) -> None:
        """In a forked child: close its copies of this pool's descriptors."""
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
        for slot in self.slots.values():
            if slot.channel is not None:
                slot.channel.abandon()
        self._callbacks.close_inherited()
        self._watchdog.abandon()
        self._scratch.unlock()

    def wake(self) -> None:
        """End a `wait` that another thread is in."""
        with contextlib.suppress(OSError):  # the pool may be closing; or the buffer is full, so that `wait` returns anyway
            self._wake_write.send(b"\0")

    def _woken(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):  # another call may have read it already
            self._wake_read.recv(1024)

    def _handle_end(self, slot: Slot, pid: int) -> None:
        """Handle the end of a slot's process."""
        if slot.pid == pid and slot.channel is not None:
            # Messages that it sent before it died are still in the socket: read them first.
            self._exchange(slot, slot.channel, selectors.EVENT_READ)
        if slot.pid == pid:
            self._handle_loss(slot)

    def _unregister(self, slot: Slot) -> None:
        """Stop waiting for a slot's messages, and for the end of its process."""
        if slot.channel is not None:
            self._selector.unregister(slot.channel)
        if slot.sentinel is not None:
            self._selector.unregister(slot.sentinel)

    def retire(self, slot: Slot) -> None:
        """Stop a slot's idle process. Another thread waits for its exit, so the slot can start a new process at once."""
        self.send(slot, (Stop(),))
        self.flush()
        self._unregister(slot)
        self._retiring = [thread for thread in self._retiring if thread.is_alive()]
        self._retiring.append(slot.retire())

    def _handle_loss(self, slot: Slot) -> None:
        """Reap a worker that is gone or no longer responds, and report it."""
        pid, was_ready = slot.pid, slot.ready
        self._unregister(slot)
        exitcode = slot.reap()
        if was_ready:
            self._events += self._callbacks.worker_lost(slot, pid, exitcode, self.read_blackboard(slot))
        else:
            self._events.append(SetupFailed(slot.number, None, exitcode, pid))

    # --- messages --------------------------------------------------------------------------------------------------------

    def _exchange(self, slot: Slot, channel: Channel, mask: int) -> None:
        """Receive a worker's messages, and continue to send those that its socket did not accept before."""
        if slot.channel is not channel:
            return  # its loss was handled earlier in the same `wait`
        try:
            if mask & selectors.EVENT_WRITE:
                with contextlib.suppress(ChannelClosedError):  # it is gone, but its last messages are received first
                    self._resume_sending(channel)
            self._heard[slot.number] = slot
            self._arrived = slot, iter(channel.receive_ready())
            self._handle_arrived()
        except ChannelClosedError:
            self._handle_loss(slot)

    def _handle_arrived(self) -> None:
        """Handle the messages that have arrived; called again by the next `wait` if an interrupt ends it."""
        if self._arrived is None:
            return
        slot, messages = self._arrived
        for message, descriptors in messages:
            if isinstance(message, Hello):
                self._events += self._handle_hello(slot, message)
            else:
                self._events += self._callbacks.message_received(slot, message, descriptors)
        self._arrived = None

    def _handle_hello(self, slot: Slot, hello: Hello) -> list[PoolEvent]:
        if hello.failure is not None:
            self._unregister(slot)
            pid = slot.pid
            slot.kill()
            slot.close(killed=True)  # the next run starts a new process
            return [SetupFailed(slot.number, hello.failure, None, pid)]
        slot.ready = slot.may_have_children = True  # from now on it runs nodes
        slot.configured = hello.configured
        slot.start_times = WorkerStart(*hello.start) if hello.start is not None else None
        return self._callbacks.worker_ready(slot)

    def wait(self, timeout: float | None) -> list[PoolEvent]:
        """Block until a worker sends a message or is lost, for at most `timeout` seconds; None for no limit.

        The next call returns the events that were received before an interrupt.
        """
        for slot in self._heard.values():
            slot.handed_over = slot.reported
        self._heard.clear()
        if self._arrived is not None or self._events:
            self._handle_arrived()
            timeout = 0
        with safe_point():
            ready = self._selector.select(timeout)
        for key, mask in ready:
            key.data(mask)
        events, self._events = self._events, []
        return events

    def read_blackboard(self, slot: Slot) -> WorkerEntry:
        """Return a worker's entry on the blackboard."""
        return self._blackboard.read(slot.number - 1)

    def finished_after(self, slot: Slot, count: int) -> list[FinishedNode]:
        """Return the nodes that a worker has finished, according to the blackboard, without its first `count`."""
        return self._blackboard.finished_after(slot.number - 1, count)

    def send(self, slot: Slot, messages: Sequence[Any], descriptors: Sequence[int] = ()) -> None:
        """Queue messages for a worker; the next `flush` sends them, and then closes this process's copies of the descriptors.

        Args:
            slot: the worker's.
            messages: what is sent, in this order.
            descriptors: open files that are sent with the last message.
        """
        if slot.channel is None:  # it is gone; `wait` will report that
            for fd in descriptors:
                os.close(fd)
            return
        if descriptors:
            slot.channel.post_all(messages[:-1])
            slot.channel.post(messages[-1], descriptors)
        else:
            slot.channel.post_all(messages)
        self._posted[slot.number] = slot

    def flush(self) -> None:
        """Send the queued messages, as far as the sockets accept them without blocking."""
        for number, slot in list(self._posted.items()):
            if slot.channel is not None and slot.channel.wants_to_write:
                with contextlib.suppress(ChannelClosedError):  # it is gone; `wait` will report that
                    slot.channel.flush()
                    if slot.channel.wants_to_write:
                        self._watch(slot.channel, selectors.EVENT_READ | selectors.EVENT_WRITE)
            del self._posted[number]

    def _resume_sending(self, channel: Channel) -> None:
        channel.flush()
        if not channel.wants_to_write:
            self._watch(channel, selectors.EVENT_READ)

    def _watch(self, channel: Channel, events: int) -> None:
        key = self._selector.get_key(channel)
        if key.events != events:
            self._selector.modify(channel, events, key.data)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def close(self, *, kill: bool = False, at_exit: bool = False) -> None:
        """Stop the workers and remove all files of the pool; `at_exit` means that Python is exiting."""
        if not self.is_open:
            return  # closed already; or a forked child, which inherits its parent's exit handlers but not the pool
        self._closed = True
        try:
            for thread in () if at_exit else self._retiring:
                thread.join()
            stopped = [slot for slot in self.slots.values() if slot.ready and not kill]
            for slot in stopped:
                self.send(slot, (Stop(),))
            self.flush()
            killed = [slot for slot in self.slots.values() if slot not in stopped]
            end_trees(killed)
            deadline = time.monotonic() + STOP_SECONDS
            for slot in self.slots.values():
                slot.close(killed=slot in killed, deadline=deadline)
        except BaseException:  # Ctrl-C while workers exit: Python would wait for those that are left when it exits itself
            with interrupts_deferred():
                end_trees(self.slots.values())
                for slot in self.slots.values():
                    slot.close(killed=True)
            raise
        finally:  # Ctrl-C must not leave files behind
            self._files.close()


def _close_at_exit(pool: SlotPool) -> Callable[[], None]:
    """Kill the workers of a pool that is not closed when Python exits, before multiprocessing would wait for them forever.

    Returns:
        A function that undoes this.
    """
    reference = weakref.ref(pool)  # the exit handler must not keep the pool alive

    def close() -> None:
        if (open_pool := reference()) is not None:
            open_pool.close(kill=True, at_exit=True)

    atexit.register(close)
    return lambda: atexit.unregister(close)
