"""The pool of slots: their processes, a private connection to every one of them, and what the pool made at run time.

It knows nothing of runs: what a worker says, and that one is gone, it hands to its listener. All of it happens in the
thread that waits; loky's own threads only ever say that a process ended, through a socket pair.
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
from typing import TYPE_CHECKING, Any, Protocol

from treadle.execution.executors.events import PoolEvent, SetupFailed
from treadle.execution.executors.loky.door import Door
from treadle.execution.executors.loky.preload import preload_forkserver
from treadle.execution.executors.loky.slot import Slot
from treadle.execution.executors.loky.starting import open_standard_descriptors
from treadle.execution.processes.blackboard import Blackboard, Done, Glance
from treadle.execution.processes.channel import Channel, ChannelClosedError
from treadle.execution.processes.scratch import Scratch, adopt_multiprocessing_folder
from treadle.execution.processes.start_method import StartMethod
from treadle.execution.processes.suspend import suspend_workers_too
from treadle.execution.processes.watchdog import Watchdog
from treadle.execution.protocol.messages import Hello, Stop
from treadle.execution.worker.bootstrap import InheritedResources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.protocol.messages import WorkerSpec


class PoolListener(Protocol):
    """Who hears of a pool's workers; what it returns is handed on to whoever waits."""

    def greeted(self, slot: Slot, hello: Hello) -> list[PoolEvent]:
        """A worker is set up."""

    def heard(self, slot: Slot, message: Any, descriptors: list[int]) -> Sequence[PoolEvent]:
        """A worker said something; the descriptors that came with it are the listener's."""

    def lost(self, slot: Slot, pid: int, exitcode: int | None, glance: Glance) -> list[PoolEvent]:
        """A worker that was set up is gone; `glance` is the last it wrote on the blackboard."""

    def forked(self) -> None:
        """In a forked child: let go of what is the parent's."""


_CLOSERS = 8
"""Workers whose end is waited for at the same time."""


class SlotPool:
    """Worker processes in slots.

    Args:
        size: number of processes.
        method: how they are started.
        make_spec: makes the spec of the workers from the path of the scratch directory.
        listener: hears of the workers.

    Raises:
        OSError: this process may not open so many files, or there is no space for them.
    """

    def __init__(self, size: int, method: StartMethod, make_spec: Callable[[str], WorkerSpec], listener: PoolListener) -> None:
        self._listener = listener
        self._retiring: list[threading.Thread] = []  # each waits for the end of a process that was replaced
        open_standard_descriptors()
        with contextlib.ExitStack() as files:  # no more may be left to open: what is open by then is closed
            self._scratch = Scratch.create()
            files.callback(self._scratch.remove)
            self._watchdog = Watchdog(self._scratch.path)
            files.callback(self._watchdog.close)
            if method is StartMethod.FORKSERVER:
                adopt_multiprocessing_folder()
            if (folder := method.folder()) is not None:
                self._scratch.take_along(folder)
            self._blackboard = files.enter_context(contextlib.closing(Blackboard(self._scratch.blackboard, size)))
            self._authkey = secrets.token_bytes(32)
            self._selector = files.enter_context(selectors.DefaultSelector())
            door = Door(self._scratch.socket, self._authkey, size, self._selector, self._enter)
            self._door = files.enter_context(contextlib.closing(door))
            self._wake_read, self._wake_write = map(files.enter_context, socket.socketpair())
            self._wake_read.setblocking(False)  # noqa: FBT003 - the socket's own signature
            self._wake_write.setblocking(False)  # noqa: FBT003 - the same
            self._ended: deque[tuple[int, int]] = deque()
            self.spec = make_spec(self._scratch.path)
            if method is StartMethod.FORKSERVER:
                preload_forkserver()
            self.slots = {number: Slot(number, method, self._note_end) for number in range(1, size + 1)}
            files.callback(suspend_workers_too(self._pids))
            self._closed = False
            self._owner = os.getpid()
            self._selector.register(self._wake_read, selectors.EVENT_READ, self._hear_of_ends)
            self._files = files.pop_all()

    @property
    def scratch_path(self) -> str:
        """The run-time directory, private to the user."""
        return self._scratch.path

    @property
    def is_open(self) -> bool:
        """True in the process that made the pool, until it is closed."""
        return not self._closed and os.getpid() == self._owner

    # --- processes -------------------------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """Start a slot's process; returns before it is set up.

        Raises:
            OSError: this process may not open so many files, or start so many processes.
        """
        self._blackboard.clear(slot.number - 1)
        slot.start(self.spec, self._authkey, InheritedResources(self._let_go_of_inherited))
        self._watchdog.watch(self._pids())
        _close_at_exit(self)

    def _pids(self) -> list[int]:
        return [slot.pid for slot in self.slots.values() if slot.pid]

    def _let_go_of_inherited(self) -> None:
        """In a forked child: close its copies of what this pool had open."""
        self._selector.close()
        self._door.close()
        self._wake_read.close()
        self._wake_write.close()
        for slot in self.slots.values():
            if slot.channel is not None:
                slot.channel.abandon()
        self._listener.forked()
        self._watchdog.abandon()
        self._scratch.let_go()

    def _note_end(self, number: int, pid: int) -> None:
        """From one of loky's threads: a slot's process ended."""
        self._ended.append((number, pid))
        self.wake()

    def wake(self) -> None:
        """End the wait that another thread is in."""
        with contextlib.suppress(OSError):  # the pool may be closing; or it was woken so often that one more is no news
            self._wake_write.send(b"\0")

    def _hear_of_ends(self, _mask: int) -> list[PoolEvent]:
        with contextlib.suppress(BlockingIOError):  # another call may have read it
            self._wake_read.recv(1024)
        events: list[PoolEvent] = []
        while self._ended:
            number, pid = self._ended.popleft()
            slot = self.slots[number]
            if slot.pid == pid and slot.channel is not None:
                # What it said before it died is still in the socket: read that first.
                events += self._converse(slot, slot.channel, selectors.EVENT_READ)
            if slot.pid == pid:
                events += self._lose(slot)
        return events

    def retire(self, slot: Slot) -> None:
        """Have a slot's idle process end by itself, in another thread's care; the slot is free for the next one."""
        self.send(slot, Stop())
        self.flush()
        if slot.channel is not None:
            self._selector.unregister(slot.channel)
        self._retiring = [thread for thread in self._retiring if thread.is_alive()]
        self._retiring.append(slot.retire())

    def _lose(self, slot: Slot) -> list[PoolEvent]:
        """A worker is gone, or talks no more: find out how."""
        pid, was_ready = slot.pid, slot.ready
        if slot.channel is not None:
            self._selector.unregister(slot.channel)
        exitcode = slot.reap()
        if not was_ready:
            return [SetupFailed(slot.number, None, exitcode, pid)]
        return self._listener.lost(slot, pid, exitcode, self.glance(slot))

    # --- conversation ----------------------------------------------------------------------------------------------------

    def _enter(self, number: int, sock: socket.socket) -> bool:
        """A worker has connected, and proved itself."""
        slot = self.slots.get(number)
        if slot is None or slot.channel is not None:
            return False
        slot.channel = channel = Channel(sock, blocking=False)
        self._selector.register(channel, selectors.EVENT_READ, lambda mask: self._converse(slot, channel, mask))
        return True

    def _converse(self, slot: Slot, channel: Channel, mask: int) -> list[PoolEvent]:
        """Read what a worker says, and go on sending what it had no room for."""
        if slot.channel is not channel:
            return []  # its end was found out earlier in the same round
        events: list[PoolEvent] = []
        try:
            if mask & selectors.EVENT_WRITE:
                with contextlib.suppress(ChannelClosedError):  # it is gone: but first, what it said
                    self._push(channel)
            for message, descriptors in channel.receive_ready():
                if isinstance(message, Hello):
                    events += self._greet(slot, message)
                else:
                    events += self._listener.heard(slot, message, descriptors)
        except ChannelClosedError:
            events += self._lose(slot)
        return events

    def _greet(self, slot: Slot, hello: Hello) -> list[PoolEvent]:
        if hello.failure is not None:
            if slot.channel is not None:
                self._selector.unregister(slot.channel)
            pid = slot.pid
            slot.close(kill=True)  # the next run starts another in its place
            return [SetupFailed(slot.number, hello.failure, None, pid)]
        slot.ready = True
        slot.configured = hello.configured
        return self._listener.greeted(slot, hello)

    def wait(self, timeout: float | None) -> list[PoolEvent]:
        """Block until a worker said something, or one is gone, at most so many seconds; None waits for ever."""
        events: list[PoolEvent] = []
        for key, mask in self._selector.select(self._door.seconds_to_wait(timeout)):
            events += key.data(mask)
        return events

    def glance(self, slot: Slot) -> Glance:
        """Return what the blackboard says of a worker."""
        return self._blackboard.read(slot.number - 1)

    def untold(self, slot: Slot) -> list[Done]:
        """Return the nodes that a worker finished, as the blackboard says, and had not told of when it was lost."""
        return self._blackboard.finished_after(slot.number - 1, slot.told)

    def send(self, slot: Slot, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Post a message to a worker; the next `flush` sends it, and closes the descriptors here."""
        if slot.channel is None:  # it is gone: its end is on its way here
            for fd in descriptors:
                os.close(fd)
            return
        slot.channel.post(message, descriptors)

    def flush(self) -> None:
        """Send what was posted to the workers, as far as their sockets take it."""
        for slot in self.slots.values():
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

    # --- the end ---------------------------------------------------------------------------------------------------------

    def close(self, *, kill: bool = False, at_exit: bool = False) -> None:
        """End the workers and remove everything the pool made; `at_exit`, when Python starts no threads any more."""
        if not self.is_open:
            return  # a forked child inherits its parent's exit handlers, but not its pool
        self._closed = True
        for thread in () if at_exit else self._retiring:
            thread.join()
        for slot in self.slots.values():
            if not kill and slot.ready:
                self.send(slot, Stop())
        self.flush()
        try:
            if at_exit:
                for slot in self.slots.values():
                    slot.close(kill=True)
            else:
                try:
                    self._close_slots(kill=kill)
                except RuntimeError:  # no more threads can be started, so the workers are ended one after the other, at once
                    for slot in self.slots.values():
                        slot.close(kill=True)
        finally:  # an impatient Ctrl-C must not leave files behind
            self._files.close()

    def _close_slots(self, *, kill: bool) -> None:
        """End all workers at the same time: each takes a while to say goodbye.

        A few threads see to that, since loky takes one at a time and its patience with each begins when its turn comes.
        """
        with ThreadPoolExecutor(min(len(self.slots), _CLOSERS), thread_name_prefix="treadle-close") as closers:
            for closed in [closers.submit(slot.close, kill=kill or not slot.ready) for slot in self.slots.values()]:
                closed.result()


def _close_at_exit(pool: SlotPool) -> None:
    """End the workers of a pool that nobody closed, before loky's own exit handler would wait for them forever.

    loky registers a handler that joins its threads each time it starts one, with `threading._register_atexit`, whose
    callbacks run last in, first out, before `atexit`'s. So ours is registered after each start too. A pool that is
    gone needs nothing and is not kept alive.
    """
    reference = weakref.ref(pool)

    def close() -> None:
        if (alive := reference()) is not None:
            alive.close(at_exit=True)

    getattr(threading, "_register_atexit", atexit.register)(close)
