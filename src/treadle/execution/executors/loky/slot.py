"""A slot of the loky pool: one executor of one worker process.

loky owns the start, the initializer, the exit code and the kill; one slot a worker, because a dead worker breaks the
whole loky executor it belongs to: here the culprit is known and the others go on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.loky.starting import (
    daemons_may_have_children,
    flushable_streams,
    interpreter_flags,
    naming_missing_semaphores,
    open_standard_descriptors,
)
from treadle.execution.processes.interrupts import interrupts_held_back
from treadle.execution.processes.process_tree import end_tree, worker_mark
from treadle.execution.processes.scratch import adopt_multiprocessing_folder
from treadle.execution.processes.start_method import StartMethod, default_left_open, multiprocessing_folder
from treadle.execution.worker.bootstrap import InheritedResources, set_up_worker
from treadle.execution.worker.server import serve
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

    from treadle.events import Failure
    from treadle.execution.processes.channel import Channel
    from treadle.execution.protocol.messages import WorkerSpec

_logger = logging.getLogger(__name__)

_STARTING = fork_safe(threading.Lock())
"""Held while a process is started: what is hidden from children meanwhile is the whole process's."""

GOODBYE_SECONDS = 5.0
"""How long a worker that was told to stop may take to end before it is killed."""

EXIT_SECONDS = 1.0
"""How long a worker that closed its connection may take to end before it is killed."""


class Slot:
    """One worker process at a time.

    Args:
        number: the worker's number, from 1.
        method: how its process is started.
        on_end: called with the slot's number and the process id, from another thread, when its process ended.
    """

    def __init__(self, number: int, method: StartMethod, on_end: Callable[[int, int], None]) -> None:
        self.number = number
        self.channel: Channel | None = None
        self.ready = False
        self.configured = 0
        self.told = 0
        """Finished nodes that its process has told of."""
        self.broken: Failure | None = None
        """The error that its process has said it ends for."""
        self._method = method
        self._on_end = on_end
        self._executor: Any = None
        self._process: BaseProcess | None = None
        self._mark = ""

    @property
    def pid(self) -> int:
        """Process id of the worker, 0 if there is none."""
        return (self._process.pid or 0) if self._process is not None else 0

    def start(self, spec: WorkerSpec, authkey: bytes, inherited: InheritedResources) -> None:
        """Start a process; returns before it is set up."""
        from loky.process_executor import ProcessPoolExecutor

        context = _NotingContext(self._method.context())
        self.ready = False
        self.told = 0
        self.broken = None
        self._mark = worker_mark(spec.scratch, self.number)
        if self._method is StartMethod.FORKSERVER:
            ensure_forkserver()
        # Held back until all is known of it; the child is born with them blocked, and decides when it is set up.
        with ExitStack() as surroundings:
            surroundings.enter_context(_STARTING)
            surroundings.enter_context(_hidden_main())
            surroundings.enter_context(default_left_open())
            surroundings.enter_context(interrupts_held_back())
            surroundings.enter_context(_fork_warning_silenced(self._method))
            surroundings.enter_context(daemons_may_have_children())
            surroundings.enter_context(interpreter_flags(self._method))
            surroundings.enter_context(flushable_streams(self._method))
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
            except BaseException:  # no process could be started, or no thread of loky's, which it could not close afterwards
                self._executor = None
                for process in context.started:
                    self._end_tree(process)
                raise
            self._process = context.started[-1]
        pid = self.pid
        future.add_done_callback(lambda _future: self._on_end(self.number, pid))

    def retire(self) -> threading.Thread:
        """Give the process, which was told to stop, up to a thread that waits for its end.

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
        """End the process and all that came of it at once; what is left of it is found out as with any other that ends."""
        if self._process is not None:
            self._end_tree(self._process)

    def reap(self) -> int | None:
        """Take the remains of a process that ended, or of one that no longer talks, away.

        Returns:
            Its exit code, negative for a signal; None where nobody saw it.
        """
        if self._process is not None:
            # Not join(): the forkserver's exit code can be read once, and loky's own thread is about to. Two that ask for
            # it at the same time make it 255 (multiprocessing/popen_forkserver.py).
            wait([self._process.sentinel], EXIT_SECONDS)
        return self.close(kill=True)

    def close(self, *, kill: bool = False) -> int | None:
        """End the process and take everything of it away."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        self.ready = False
        executor, self._executor = self._executor, None
        process, self._process = self._process, None
        if kill and process is not None:
            self._end_tree(process)
        if executor is not None:
            # loky does not wait for the thread that feeds its queue, which may hold on to descriptors for a moment yet.
            feeder = getattr(executor._call_queue, "_thread", None)  # noqa: SLF001 - no public way to it
            with nullcontext() if kill else self._killed_when_late(process):
                executor.shutdown(wait=True, kill_workers=kill)
            if feeder is not None:
                feeder.join(EXIT_SECONDS)
        if process is None:
            return None
        if process.is_alive():  # an interrupt can reach the parent before loky's own thread knew of the process
            self._end_tree(process)
        process.join()
        if not kill and process.exitcode != 0:  # it did not come to end its tree itself
            self._end_tree(process)
        return process.exitcode

    def _end_tree(self, process: BaseProcess) -> None:
        if process.pid is not None:
            end_tree([process.pid], self._mark)

    @contextmanager
    def _killed_when_late(self, process: BaseProcess | None) -> Iterator[None]:
        """Kill a process that does not end: Python waits for every thread that a node left running and that is no daemon."""
        if process is None:
            yield
            return

        def kill() -> None:
            _logger.warning(
                "worker-%d (pid %s) did not end within %g s and was killed. Probably a node left a thread running; end it in "
                "the node, or make it a daemon thread.",
                self.number,
                process.pid,
                GOODBYE_SECONDS,
            )
            self._end_tree(process)

        timer = threading.Timer(GOODBYE_SECONDS, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it holds on to the process, and with that to a descriptor


def ensure_forkserver() -> None:
    """Start the forkserver of this process, where it does not run."""
    _forget_forkserver_of_parent()
    open_standard_descriptors()
    adopt_multiprocessing_folder()
    multiprocessing_folder()  # in a child process, which has that of its parent
    # Not with signals blocked: it would keep them so for its life, and so would all that others have it start.
    with _STARTING, _hidden_main(), default_left_open():
        forkserver.ensure_running()


def _forget_forkserver_of_parent() -> None:
    """In a child that was forked: forget the forkserver that the parent started, for which multiprocessing would wait here."""
    import psutil

    server: dict[str, Any] = vars(forkserver._forkserver)  # noqa: SLF001 - no public way
    if server["_forkserver_pid"] is None:
        return
    with suppress(psutil.NoSuchProcess):
        if psutil.Process(server["_forkserver_pid"]).ppid() == os.getpid():
            return
    os.close(server["_forkserver_alive_fd"])
    server.update(_forkserver_pid=None, _forkserver_alive_fd=None, _forkserver_address=None)


class _NotingContext:
    """A multiprocessing context that notes the processes it makes, so that their exit codes can be asked for."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self.started: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # noqa: N802 - the name a context gives it
        process = self._context.Process(*args, **kwargs)  # type: ignore[attr-defined]  # each real context has it
        self.started.append(process)
        return process  # type: ignore[no-any-return]  # a process of the context's own class

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide where `__main__` came from: a child would run the script again, guard or no guard.

    What a pipeline takes from the main script travels by value instead.
    """
    main: dict[str, Any] = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        del main["__spec__"]
        main.update(hidden)


@contextmanager
def _fork_warning_silenced(method: StartMethod) -> Iterator[None]:
    """Silence Python 3.12's warning about fork beside threads: fork was asked for, and the threads are the pool's own."""
    if method is not StartMethod.FORK:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork\\(\\) may lead to deadlocks", category=DeprecationWarning)
        yield
