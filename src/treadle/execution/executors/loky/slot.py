"""A slot of the pool: a loky executor with one worker process.

loky starts the process, runs its initializer, reads its exit code and kills it. Each worker has its own loky executor, because a
dead worker breaks the whole executor that it belongs to; this way it is known which worker died, and the others continue.
State: the current process of the slot. Runs in the parent. Neighbours: `slots.py` has all slots, `starting.py` helps to start.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.loky.starting import (
    daemons_may_have_children,
    flushable_streams,
    interpreter_flags,
    naming_missing_semaphores,
    open_standard_descriptors,
)
from treadle.execution.processes.interrupts import interrupts_deferred
from treadle.execution.processes.main_module import hidden_main
from treadle.execution.processes.process_tree import end_tree, worker_mark
from treadle.execution.processes.scratch import adopt_multiprocessing_folder
from treadle.execution.processes.start_method import StartMethod, default_start_method_unchanged, multiprocessing_folder
from treadle.execution.worker.bootstrap import InheritedResources, set_up_worker
from treadle.execution.worker.server import serve
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

    from treadle.events import Failure
    from treadle.execution.processes.channel import Channel
    from treadle.execution.protocol.messages import ProcessSpec

_logger = logging.getLogger(__name__)

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
        method: how its process is started.
        on_end: called with the slot's number and the process id when its process has ended, from another thread.
    """

    def __init__(self, number: int, method: StartMethod, on_end: Callable[[int, int], None]) -> None:
        self.number = number
        self.channel: Channel | None = None
        self.ready = False
        self.configured = 0
        self.reported = 0
        """Number of finished nodes that its process has reported."""
        self.broken: Failure | None = None
        """The error that ends its process, as the process reported it."""
        self._method = method
        self._on_end = on_end
        self._executor: Any = None
        self._process: BaseProcess | None = None
        self._mark = ""

    @property
    def pid(self) -> int:
        """Process id of the worker, 0 if there is none."""
        return (self._process.pid or 0) if self._process is not None else 0

    def start(self, spec: ProcessSpec, authkey: bytes, inherited: InheritedResources) -> None:
        """Start a process; return before it is set up."""
        from loky.process_executor import ProcessPoolExecutor

        context = _RecordingContext(self._method.context())
        self.ready = False
        self.reported = 0
        self.broken = None
        self._mark = worker_mark(spec.scratch, self.number)
        if self._method is StartMethod.FORKSERVER:
            ensure_forkserver()
        # Signals are blocked until the process is recorded here; the child starts with them blocked, and unblocks them itself.
        with ExitStack() as prepared:
            prepared.enter_context(_STARTING)
            prepared.enter_context(hidden_main())
            prepared.enter_context(default_start_method_unchanged())
            prepared.enter_context(interrupts_deferred())
            prepared.enter_context(_fork_warning_silenced(self._method))
            prepared.enter_context(daemons_may_have_children())
            prepared.enter_context(interpreter_flags(self._method))
            prepared.enter_context(flushable_streams(self._method))
            try:
                with naming_missing_semaphores():
                    self._executor = ProcessPoolExecutor(
                        max_workers=1,
                        context=context,
                        initializer=set_up_worker,
                        initargs=(spec, self.number, authkey, inherited),
                        timeout=None,
                    )
                future = self._executor.submit(serve)
            except BaseException:  # the process, or one of loky's threads, could not be started; loky cannot be shut down then
                self._executor = None
                for process in context.started:
                    self._end_tree(process)
                raise
            self._process = context.started[-1]
        pid = self.pid
        future.add_done_callback(lambda _future: self._on_end(self.number, pid))

    def retire(self) -> threading.Thread:
        """Wait in a thread for the end of the process, which has been sent a Stop. The slot can start a new process at once.

        Returns:
            The thread.
        """
        retired = Slot(self.number, self._method, self._on_end)
        retired.channel, self.channel = self.channel, None
        retired._executor, self._executor = self._executor, None
        retired._process, self._process = self._process, None
        self.ready = False
        thread = threading.Thread(target=retired.close, name="treadle-retire", daemon=True)
        thread.start()
        return thread

    def kill(self) -> None:
        """Kill the process and its children; the slot is cleaned up when its end is reported, as for any process that ends."""
        if self._process is not None:
            self._end_tree(self._process)

    def reap(self) -> int | None:
        """Reap a process that ended, or that no longer responds.

        Returns:
            Its exit code, negative for a signal; None if it is unknown.
        """
        if self._process is not None:
            # Not join(): under forkserver the exit code can be read only once, and a thread of loky's is about to read it. If two
            # threads read it at the same time, it is 255 (multiprocessing/popen_forkserver.py).
            wait([self._process.sentinel], EXIT_SECONDS)
        return self.close(kill=True)

    def close(self, *, kill: bool = False) -> int | None:
        """Stop the process, free its resources, and return its exit code; None if there is none."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        self.ready = False
        executor, self._executor = self._executor, None
        process, self._process = self._process, None
        if kill and process is not None:
            self._end_tree(process)
        if executor is not None:
            # loky does not join the thread that feeds its queue, which may keep descriptors open for another moment.
            feeder = getattr(executor._call_queue, "_thread", None)  # noqa: SLF001 - no public way
            with nullcontext() if kill else self._killed_when_late(process):
                executor.shutdown(wait=True, kill_workers=kill)
            if feeder is not None:
                feeder.join(EXIT_SECONDS)
        if process is None:
            return None
        if process.is_alive():  # after an interrupt, loky's own thread may not have known the process yet
            self._end_tree(process)
        process.join()
        if not kill and process.exitcode != 0:  # it could not end its children itself
            self._end_tree(process)
        return process.exitcode

    def _end_tree(self, process: BaseProcess) -> None:
        if process.pid is not None:
            end_tree([process.pid], self._mark)

    @contextmanager
    def _killed_when_late(self, process: BaseProcess | None) -> Iterator[None]:
        """Kill a process that does not exit in time: Python waits for each non-daemon thread that a node left running."""
        if process is None:
            yield
            return

        def kill() -> None:
            _logger.warning(
                "worker-%d (pid %s) did not exit within %g s and was killed. Probably a node left a thread running; stop it in "
                "the node, or make it a daemon thread.",
                self.number,
                process.pid,
                STOP_SECONDS,
            )
            self._end_tree(process)

        timer = threading.Timer(STOP_SECONDS, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # the timer thread refers to the process, which keeps a descriptor open


def ensure_forkserver() -> None:
    """Start the forkserver of this process if it does not run."""
    _forget_unusable_forkserver()
    open_standard_descriptors()
    adopt_multiprocessing_folder()
    multiprocessing_folder()  # a child process would use its parent's
    with _STARTING, hidden_main(), default_start_method_unchanged():
        # multiprocessing's resource tracker ignores SIGINT and SIGTERM, but not SIGHUP: a closing terminal would end it, and the
        # clean-up would start another that prints an error for each semaphore. It keeps SIGHUP blocked if it starts like this.
        with interrupts_deferred():
            resource_tracker.ensure_running()
        # Here they must not be blocked: the forkserver and all processes that it starts for other code would keep them blocked.
        forkserver.ensure_running()


def _forget_unusable_forkserver() -> None:
    """Forget a forkserver that this process cannot use: its socket was removed, or it belongs to the parent of a forked child."""
    import psutil

    server: dict[str, Any] = vars(forkserver._forkserver)  # noqa: SLF001 - no public way
    if server["_forkserver_pid"] is None:
        return
    with suppress(psutil.NoSuchProcess):
        is_ours = psutil.Process(server["_forkserver_pid"]).ppid() == os.getpid()
        if is_ours and os.path.exists(server["_forkserver_address"]):
            return
    os.close(server["_forkserver_alive_fd"])
    server.update(_forkserver_pid=None, _forkserver_alive_fd=None, _forkserver_address=None)


class _RecordingContext:
    """A multiprocessing context that records the processes it makes, so that their exit codes can be read."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self.started: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # noqa: N802 - the name in multiprocessing's contexts
        process = self._context.Process(*args, **kwargs)  # type: ignore[attr-defined]  # all concrete contexts have it
        self.started.append(process)
        return process  # type: ignore[no-any-return]  # a process of the context's own class

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


@contextmanager
def _fork_warning_silenced(method: StartMethod) -> Iterator[None]:
    """Silence Python 3.12's warning about fork with threads: the user chose fork, and the threads are the pool's own."""
    if method is not StartMethod.FORK:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork\\(\\) may lead to deadlocks", category=DeprecationWarning)
        yield
