"""Reset Treadle's locks in forked child processes, and keep Treadle's own threads out of forks.

A fork copies only the thread that calls it. A lock that another thread holds at that moment would never be released in the child.
So every registered lock is reset in the child, whether a worker pool, a node or the application forked it. The locks of a library
that another thread is using (a database, the import of a module) cannot be reset, so a thread that uses one ends before a fork,
and is started again after it in the parent.
Connections that are not in use at the moment are closed. In a worker process any thread may hold a lock at any time, so runners
do not fork there.

State: weak references to the locks, to the threads, and to the owners of connections; functions for forked children; whether
this process is a worker, and its id.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Lock = TypeVar("_Lock")

_locks: WeakSet[Any] = WeakSet()


def fork_safe(lock: _Lock) -> _Lock:
    """Register a lock to be reset in every child process that is forked from now on.

    Args:
        lock: a `Lock`, `RLock` or `Condition` of `threading`.

    Returns:
        The same lock.
    """
    _locks.add(lock)
    return lock


class Closeable(Protocol):
    """Has something that a forked child must not inherit, and opens it again when it is needed."""

    def close(self) -> None:
        """Close what is not in use."""


def close_before_fork(owner: Closeable) -> None:
    """Call the `close` of an object before each fork from now on, after the threads have ended.

    Args:
        owner: the object; only a weak reference to it is kept.
    """
    _closeables.add(owner)


_closeables: WeakSet[Closeable] = WeakSet()


class ForkSafeThread:
    """A daemon thread that ends before a fork and is started again after it, in the parent only.

    Args:
        work: called in the thread, with an event; returns soon after the event is set, and can be called again.
        name: the thread's name.
        forget: called in a forked child, to give up what the thread would have done.
    """

    def __init__(self, work: Callable[[threading.Event], None], name: str, forget: Callable[[], None]) -> None:
        self._work = work
        self._name = name
        self._forget = forget
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._lock = fork_safe(threading.RLock())  # of the attributes here: another thread may start or stop it during a fork
        self._is_wanted = False
        self._continues = False
        self._restarts = False  # when it has ended, because a fork that did not wait so long has asked it to end
        self._forks = 0  # that have begun and not ended: several threads may fork at once
        _threads.add(self)

    @property
    def native_id(self) -> int | None:
        """The system's id of the thread; None if it does not run."""
        thread = self._thread
        return thread.native_id if thread is not None and thread.is_alive() else None

    def start(self) -> None:
        """Start the thread; one that was stopped and has not ended yet is started again when it has.

        Raises:
            RuntimeError: the system allows no further thread.
        """
        with self._lock:
            if self.native_id is not None and self._ending.is_set():
                self._restarts = True
            else:
                self._start()
            self._is_wanted = True

    def stop(self, seconds: float) -> bool:
        """Ask the thread to end, and wait for it.

        Args:
            seconds: how long to wait at most.

        Returns:
            Whether it has ended, or did not run.
        """
        with self._lock:
            self._is_wanted = self._restarts = False
        return self._stop(seconds)

    def before_fork(self) -> None:
        """End the thread, if it runs."""
        with self._lock:
            native_id = self.native_id
            self._forks += 1
            self._continues = self._continues or native_id is not None
            self._restarts = False
        if self._stop(_FORK_SECONDS) and native_id is not None:
            # `join` returns a moment before the system's thread has ended, and Python warns about forks with other threads.
            deadline = time.monotonic() + _EXIT_SECONDS
            while os.path.exists(f"/proc/self/task/{native_id}") and time.monotonic() < deadline:  # noqa: PTH110 - must be fast
                time.sleep(0.0002)

    def after_fork_in_parent(self) -> None:
        """Start the thread again, unless it was stopped meanwhile."""
        with self._lock:
            self._forks = max(0, self._forks - 1)  # it may have been made during this fork
            if self._forks:
                return
            continues, self._continues = self._continues, False
            if continues and self._is_wanted:
                if self.native_id is None:
                    self._start()
                elif self._ending.is_set():
                    self._restarts = True

    def after_fork_in_child(self) -> None:
        """Forget the thread, which does not exist here."""
        self._thread = None
        self._is_wanted = False
        self._continues = False
        self._restarts = False
        self._forks = 0
        self._forget()

    def _start(self) -> None:
        """Start a thread; the caller holds the lock."""
        self._ending = threading.Event()
        thread = threading.Thread(target=self._run, args=(self._ending,), name=self._name, daemon=True)
        thread.start()
        self._thread = thread

    def _run(self, ending: threading.Event) -> None:
        """Work, in the thread; if a fork went ahead before the thread had ended, start another one at the end."""
        try:
            self._work(ending)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
                    restarts, self._restarts = self._restarts, False
                    if restarts:
                        self._start()

    def _stop(self, seconds: float) -> bool:
        """End the thread, and return whether it has ended in time."""
        with self._lock:
            thread, ending = self._thread, self._ending
        if thread is None:
            return True
        ending.set()
        thread.join(seconds)
        if thread.is_alive():
            return False
        with self._lock:
            if self._thread is thread:
                self._thread = None
        return True


_FORK_SECONDS = 3.0
"""How long a fork waits for a thread to end. Later it goes ahead, because the thread may be waiting for a database server."""

_EXIT_SECONDS = 3.0
"""How long a fork waits for the system's thread, which has nothing left to do, but may get no CPU."""

_threads: WeakSet[ForkSafeThread] = WeakSet()


def fork_safe_threads() -> set[int]:
    """Return the system's ids of running threads that end before a fork."""
    return {native_id for thread in list(_threads) if (native_id := thread.native_id) is not None}


@contextmanager
def ready_to_fork() -> Iterator[None]:
    """Keep the threads ended and the idle connections closed inside the block, as during a fork.

    Several forks inside it end the threads once, and what is open inside it is what a forked child would inherit.
    """
    threads = list(_threads)
    for thread in threads:
        thread.before_fork()
    try:
        for owner in list(_closeables):
            owner.close()
        yield
    finally:
        for thread in threads:
            thread.after_fork_in_parent()


class _Process:
    is_worker = False
    pid = os.getpid()
    """The process in which the functions for a forked child have last run, or which imported this module."""


_process = _Process()


def mark_as_worker() -> None:
    """Note that this process is a worker. Its forked children inherit that."""
    _process.is_worker = True


def is_worker() -> bool:
    """Return whether this process is a worker, or was forked by one."""
    return _process.is_worker


_in_children: list[Callable[[], None]] = []


def in_forked_children(function: Callable[[], None]) -> None:
    """Call a function in every child process that is forked from now on.

    Args:
        function: called in the child, after the locks have been reset; it may be called twice.
    """
    _in_children.append(function)
    os.register_at_fork(after_in_child=function)


def note_fork() -> None:
    """Do in this process what is done in a child of `os.fork`, if a library in another language forked it.

    Python does not know of such a fork. Without this, the process would wait for ever for a lock that a thread held.
    """
    if os.getpid() != _process.pid:
        _after_in_child()
        for function in _in_children:
            function()


def _before() -> None:
    for thread in list(_threads):
        thread.before_fork()
    for owner in list(_closeables):
        owner.close()


def _after_in_parent() -> None:
    for thread in list(_threads):
        thread.after_fork_in_parent()


def _after_in_child() -> None:
    _process.pid = os.getpid()
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - threading and logging reset their own locks with it
    for thread in list(_threads):
        thread.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
