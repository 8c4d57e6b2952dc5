"""A slot of the pool: one worker process at a time, started by multiprocessing or, under the start method loky, by loky.

The pool has the process itself, and no `concurrent.futures` executor around it: the process serves the pool's own connection,
and the pool's selector waits for its end. So a worker needs no thread of the parent, no queue and no semaphore, and it imports
only what it uses.
State: the current process of the slot. Runs in the parent. Neighbours: `slots.py` has all slots, `starting.py` helps to start.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
import warnings
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.loky.starting import (
    daemons_may_have_children,
    flushable_streams,
    forkserver_needed,
    interpreter_flags,
    open_standard_descriptors,
)
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.processes.main_module import hidden_main
from treadle.execution.processes.open_descriptors import own_descriptors
from treadle.execution.processes.process_tree import end_tree, worker_mark
from treadle.execution.processes.scratch import adopt_multiprocessing_folder
from treadle.execution.processes.start_method import StartMethod, default_start_method_unchanged, multiprocessing_folder
from treadle.execution.processes.thread_pools import find_thread_pools
from treadle.execution.worker.start import import_worker, run_worker
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.process import BaseProcess

    from treadle.events import Failure, WorkerStart
    from treadle.execution.processes.channel import Channel
    from treadle.execution.processes.connection import Connection
    from treadle.execution.protocol.messages import ProcessSpec
    from treadle.execution.worker.inherited import InheritedResources

_logger = logging.getLogger(__name__)

_CODE_WITHOUT_FORKSERVER = 255
"""What multiprocessing takes for the exit code of a process if the forkserver, which would know it, has ended."""

_NO_FORKSERVER = (
    "The forkserver, the process that had started the worker and would know how it ended, was killed, most often because memory "
    "ran out. Run with fewer workers, or use another start method."
)

_STARTING = fork_safe(threading.Lock())
"""Held while a process is started, because the start temporarily changes global state of this process."""

STOP_SECONDS = 5.0
"""How long a worker may take to exit after a Stop before it is killed."""

EXIT_SECONDS = 1.0
"""How long a worker may take to exit after it closed its connection before it is killed."""


class Slot:
    """One worker process at a time.

    Args:
        number: the worker's number, from 1.
        method: how its process is started; it may be changed for the next one.
    """

    def __init__(self, number: int, method: StartMethod) -> None:
        self.number = number
        self.channel: Channel | None = None
        self.ready = False
        self.may_have_children = False
        """Whether code that may start processes has run in its process: in a node, or while the process was set up."""
        self.configured = 0
        self.start_times: WorkerStart | None = None
        """How its process was started; None once that has been reported."""
        self.reported = 0
        """Number of finished nodes that its process has reported."""
        self.handed_over = 0
        """How many of them the caller of `wait` has certainly received: those before the last call."""
        self.broken: Failure | None = None
        """The error that ends its process, as the process reported it."""
        self.reason: str | None = None
        """Why its process is taken for lost, if its exit code does not say so."""
        self.wirings: frozenset[int] = frozenset()
        """The numbers of the wirings that its process has."""
        self.run = 0
        """The number of the last run that was sent to its process."""
        self.method = method
        self._process: BaseProcess | None = None
        self._mark = ""

    @property
    def pid(self) -> int:
        """Process id of the worker, 0 if there is none."""
        return (self._process.pid or 0) if self._process is not None else 0

    @property
    def sentinel(self) -> int | None:
        """A descriptor that becomes readable when the process ends; None if there is no process."""
        return self._process.sentinel if self._process is not None else None

    def start(self, spec: ProcessSpec, connection: Connection, inherited: InheritedResources) -> None:
        """Start a process, after `prepare_starts`; return before it is set up.

        Raises:
            OSError: this process has reached its limit of open files, or the user the limit of processes.
            RunnerError: the forkserver or the new process has ended; the next `prepare_starts` replaces the forkserver.
        """
        self.ready = False
        self.may_have_children = spec.runs_foreign_code
        self.reported = self.handed_over = 0
        self.broken = None
        self.reason = None
        self.wirings, self.run = frozenset(), 0
        self._mark = worker_mark(spec.scratch, self.number)
        # Signals are blocked until the process is recorded here; the child starts with them blocked, and unblocks them itself.
        with ExitStack() as prepared:
            prepared.enter_context(_STARTING)
            prepared.enter_context(hidden_main())
            prepared.enter_context(default_start_method_unchanged())
            prepared.enter_context(interrupts_deferred())
            prepared.enter_context(_fork_warning_silenced(self.method))
            prepared.enter_context(daemons_may_have_children())
            prepared.enter_context(interpreter_flags(self.method))
            prepared.enter_context(flushable_streams())
            prepared.enter_context(forkserver_needed(self.method, self.number))
            arguments = (spec, self.number, connection, inherited, time.monotonic())
            process = self.method.context().Process(target=run_worker, args=arguments)  # type: ignore[attr-defined]  # all concrete contexts have it
            process.start()
            self._process = process

    def retire(self) -> threading.Thread:
        """Wait in a thread for the end of the process, which has been sent a Stop. The slot can start a new process at once.

        Returns:
            The thread.
        """
        retired = Slot(self.number, self.method)
        retired.channel, self.channel = self.channel, None
        retired._process, self._process = self._process, None
        retired._mark = self._mark
        retired.may_have_children = self.may_have_children
        self.ready = False
        thread = threading.Thread(target=retired.close, name="treadle-retire", daemon=True)
        thread.start()
        return thread

    def kill(self) -> None:
        """Kill the process and its children; the slot is cleaned up when its end is reported, as for any process that ends."""
        end_trees([self])

    def reap(self) -> int | None:
        """Reap a process that ended, or that no longer responds.

        Returns:
            Its exit code, negative for a signal; None if it is unknown.
        """
        if self._process is not None:
            _wait_for_end(self._process, EXIT_SECONDS)
            self.kill()
        exitcode = self.close(killed=True)
        if exitcode == _CODE_WITHOUT_FORKSERVER and self.method is StartMethod.FORKSERVER and not _forkserver_runs():
            self.reason = _NO_FORKSERVER
            return None
        return exitcode

    def close(self, *, killed: bool = False, deadline: float | None = None) -> int | None:
        """Wait for the end of the process, which has been sent a Stop, and free the slot.

        A process that does not end is killed: Python waits for each non-daemon thread that a node left running.

        Args:
            killed: whether the process and its children were killed already.
            deadline: the end of the wait on the monotonic clock; `STOP_SECONDS` from now if None.

        Returns:
            The exit code of the process; None if there was none.
        """
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        self.ready = False
        process = self._process
        if process is None:
            return None
        left = STOP_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
        has_ended = killed or _wait_for_end(process, left)
        # An interrupt between the system call that reaps the process and its record would make multiprocessing keep it forever.
        with interrupts_deferred():
            if not has_ended and process.is_alive():
                _logger.warning(
                    "worker-%d (pid %s) did not exit within %g s and was killed. Probably a node left a thread running; stop it "
                    "in the node, or make it a daemon thread. Or what runs when the process exits takes that long, for example "
                    "because the disk is slow.",
                    self.number,
                    process.pid,
                    STOP_SECONDS,
                )
                self.kill()
            process.join()
            if not killed and process.exitcode != 0:  # it could not end its children itself
                self.kill()
            self._process = None
        return process.exitcode


def end_trees(slots: Iterable[Slot]) -> None:
    """Kill the processes of slots, and all processes that they started."""
    running = [slot for slot in slots if slot.pid]
    parents = [slot for slot in running if slot.may_have_children]
    for slot in running:
        if slot not in parents:
            with suppress(ProcessLookupError):
                os.kill(slot.pid, signal.SIGKILL)
    if parents:  # reads the state of each process of the machine, twice
        end_tree([slot.pid for slot in parents], *(slot._mark for slot in parents))  # noqa: SLF001 - of the same class


def _wait_for_end(process: BaseProcess, seconds: float) -> bool:
    """Wait for a process to end; return whether it did. `process.join(seconds)` would import several modules for that."""
    poll = select.poll()
    poll.register(process.sentinel, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def prepare_starts(method: StartMethod) -> None:
    """Do once for all processes that are started next what each of them needs.

    Args:
        method: how they are started.
    """
    if method is StartMethod.FORKSERVER:
        ensure_forkserver()
    elif method.child_inherits:
        import_worker()
        find_thread_pools()
    else:
        _ensure_resource_tracker()


def ensure_forkserver() -> None:
    """Start the forkserver of this process if it does not run."""
    from multiprocessing import forkserver

    _forget_unusable_forkserver()
    open_standard_descriptors()
    _ensure_resource_tracker()
    adopt_multiprocessing_folder()  # late: before the server runs, nobody removes it if this process is killed
    multiprocessing_folder()  # a child process would use its parent's
    with _STARTING, hidden_main(), default_start_method_unchanged(), own_descriptors():
        # Signals must not be blocked: the forkserver and all processes that it starts for other code would keep them blocked.
        forkserver.ensure_running()


def _ensure_resource_tracker() -> None:
    """Start multiprocessing's resource tracker if it does not run.

    It ignores SIGINT and SIGTERM, but not SIGHUP: a closing terminal would end it, and the clean-up would start another that
    prints an error for each semaphore. It keeps SIGHUP blocked if it starts like this. Besides, its start unblocks SIGINT and
    SIGTERM in this thread, so the start of a worker, in which they are blocked, must not be what starts it.
    """
    from multiprocessing import resource_tracker

    with interrupts_deferred(), own_descriptors():
        resource_tracker.ensure_running()


def _forget_unusable_forkserver() -> None:
    """Forget a forkserver that this process cannot use: its socket was removed, or it belongs to the parent of a forked child."""
    from multiprocessing import forkserver

    server: dict[str, Any] = vars(forkserver._forkserver)  # noqa: SLF001 - no public way
    if server["_forkserver_pid"] is None:
        return
    if _is_child(server["_forkserver_pid"]) and os.path.exists(server["_forkserver_address"]):
        return
    os.close(server["_forkserver_alive_fd"])
    server.update(_forkserver_pid=None, _forkserver_alive_fd=None, _forkserver_address=None)


def _forkserver_runs() -> bool:
    """Return whether the forkserver of this process has not ended. It has no way to end but a signal."""
    from multiprocessing import forkserver

    pid = vars(forkserver._forkserver)["_forkserver_pid"]  # noqa: SLF001 - no public way
    return pid is not None and _is_child(pid) and not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Return whether a child of this process, which may not be reaped here, has ended."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    import psutil  # on macOS before Python 3.13

    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _is_child(pid: int) -> bool:
    """Return whether this process has a child with an id; it may have ended."""
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True
    import psutil  # on macOS before Python 3.13

    try:
        return bool(psutil.Process(pid).ppid() == os.getpid())
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _fork_warning_silenced(method: StartMethod) -> Iterator[None]:
    """Silence Python 3.12's warning about fork with threads: the user chose fork, and the threads are the pool's own."""
    if method is not StartMethod.FORK:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork\\(\\) may lead to deadlocks", category=DeprecationWarning)
        yield
