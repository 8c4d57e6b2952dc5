"""Set a worker process up, once, from a WorkerSpec: the initializer.

The order matters: let go of what a fork brought along, watch the parent, take over environment and paths, cap the
threads of numeric libraries before they are imported, connect, send logs to the parent, and only then run the project's
own code (`configure_project`). Where any of it fails, the worker keeps the failure: its Hello carries it, so that the
user sees the real traceback and not a dead pool.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.seeding import reseed_from_entropy
from treadle.execution.processes.blackboard import Blackboard
from treadle.execution.processes.channel import Channel
from treadle.execution.processes.handshake import connect_to_parent
from treadle.execution.processes.process_tree import end_tree, lead_process_tree, mark_programs, worker_mark
from treadle.execution.processes.scratch import Scratch
from treadle.execution.processes.watch import watch_parent
from treadle.execution.values.restoring import define_what_arrives
from treadle.execution.worker import process_state
from treadle.execution.worker.exit import drop_inherited_exit_handlers
from treadle.execution.worker.forwarding import ForwardHandler, stop_forwarding, take_over_logging
from treadle.execution.worker.pacing import PacedSender
from treadle.execution.worker.questions import refuse_questions
from treadle.execution.worker.streams import ForwardStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from treadle.events import Failure
    from treadle.execution.protocol.messages import WorkerSpec
    from treadle.project.logging import LoggingLevels

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What numeric libraries read, when they are loaded, to size their thread pools."""


class Inherited:
    """What a forked child finds open and must let go of; nothing, in a child that was not forked.

    Args:
        let_go: closes this process's copies only, without a word to the other side.
    """

    def __init__(self, let_go: Callable[[], None] | None = None) -> None:
        self._let_go = let_go

    def let_go(self) -> None:
        """Close the copies."""
        if self._let_go is not None:
            self._let_go()

    def __reduce__(self) -> tuple[Callable[[], Inherited], tuple[()]]:
        return _inherited_nothing, ()


def _inherited_nothing() -> Inherited:
    """Make it in a child that is being born, where this is the first that runs of Treadle.

    Others are born with Ctrl-C blocked, but a forkserver's child has it open: it would die with a traceback on the terminal.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # the library's mark of such a child
        signal.signal(signal.SIGINT, _leave_to_the_parent)
    return Inherited()


def _leave_to_the_parent(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGINT and SIGHUP in a worker: the parent decides what they mean and ends its workers.

    The signals are not ignored, because programs that a node starts would inherit that.
    """


@dataclass(slots=True)
class WorkerProcess:
    """This process, once it is a worker."""

    number: int
    label: str
    spec: WorkerSpec
    channel: Channel
    blackboard: Blackboard
    place: int
    running: str | None = None
    """Name of the node that runs, for the log records."""
    current: tuple[int, int, float] | None = None
    """The node that runs, None between nodes; told to the parent where it takes a while."""
    failure: Failure | None = None
    levels: LoggingLevels | None = None
    """The levels that the last run applied."""
    state: bytes = b""
    """The state of the parent process that the last run applied."""
    sender: PacedSender = field(init=False)
    """Sends what its nodes print and log."""

    def __post_init__(self) -> None:
        self.sender = PacedSender(self.channel)


_this_process: list[WorkerProcess] = []
"""This process's own set-up, left by the initializer for the serving task: empty anywhere but in a worker."""


def this_worker() -> WorkerProcess:
    """Return what the initializer made of this process."""
    return _this_process[0]


def set_up_worker(spec: WorkerSpec, number: int, authkey: bytes, inherited: Inherited) -> None:
    """Make this process a worker: the initializer that the pool calls in each new process.

    Args:
        spec: what to set it up from.
        number: the worker's number, from 1; its place on the blackboard is the one before.
        authkey: proves to the parent that this is its worker.
        inherited: what a fork brought along.
    """
    inherited.let_go()
    _this_process.clear()
    reseed_from_entropy()
    define_what_arrives()
    if spec.inherits:
        drop_inherited_exit_handlers()
    lead_process_tree()
    _show_stacks_on_request()
    signal.signal(signal.SIGINT, _leave_to_the_parent)
    signal.signal(signal.SIGHUP, _leave_to_the_parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    scratch = Scratch(spec.scratch)
    blackboard = Blackboard(scratch.blackboard)
    place = number - 1
    mark = worker_mark(spec.scratch, number)

    def orphaned() -> None:
        try:
            end_tree([os.getpid()], mark)
            scratch.remove_if_last()
        finally:
            os._exit(1)

    watch_parent(spec.parent_pid, gone=orphaned, note=lambda peak: blackboard.peak(place, peak))
    label = f"worker-{number}"
    worker = WorkerProcess(number, label, spec, _connect(scratch.socket, number, authkey), blackboard, place)
    _this_process.append(worker)
    os.register_at_fork(after_in_child=lambda: _leave_worker(worker))
    handler = _take_over_output(worker)
    try:
        _enter_environment(spec)
        refuse_questions(kedro=spec.project is not None)
        mark_programs(mark)
        _limit_threads(spec.thread_limit)
        if spec.package_name is not None and not spec.inherits:
            from treadle.project import configure_project

            configure_project(spec.package_name)
            from treadle.project.configure import configured_project

            _ = configured_project().settings  # read now: an error in settings.py is a set-up failure
        if spec.project is not None and not spec.inherits:
            spec.project.configure()
            take_over_logging(handler)
    except BaseException as exc:  # noqa: BLE001 - the worker's edge: what project code raises at import, an exit too, is told
        worker.failure = record_failure(exc, phase="setup")


def _show_stacks_on_request() -> None:
    """Make SIGUSR1 print the stacks of all threads to standard error, also while a node holds the GIL in C code."""
    with suppress(OSError, ValueError):  # a worker without standard error
        faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)


def _leave_worker(worker: WorkerProcess) -> None:
    """In a process that a node forked (a `multiprocessing.Pool`): the facts that wait to be sent are the worker's to send."""
    worker.channel.abandon()
    stop_forwarding()
    if signal.getsignal(signal.SIGINT) is _leave_to_the_parent:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is _leave_to_the_parent:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _connect(address: str, number: int, authkey: bytes) -> Channel:
    return Channel(connect_to_parent(address, number, authkey), blocking=True)


def _take_over_output(worker: WorkerProcess) -> ForwardHandler:
    handler = ForwardHandler(worker.sender.send, worker.label, lambda: worker.running, worker.channel.lock)
    take_over_logging(handler)
    logging.captureWarnings(capture=False)
    if worker.spec.forward_output:
        for name, own in (("stdout", sys.__stdout__), ("stderr", sys.__stderr__)):
            setattr(sys, name, ForwardStream(name, worker.sender.send, own, worker.channel.lock, lambda: worker.running))
    return handler


def _enter_environment(spec: WorkerSpec) -> None:
    for name in set(os.environ) - set(spec.environment):
        del os.environ[name]
    os.environ.update(spec.environment)
    os.chdir(spec.working_directory)
    sys.path[:] = spec.sys_path
    # The filters of warnings come with the run: those of the parent were set after it had imported the project.
    process_state.apply(spec.state, filters=False)
    if spec.main_file is not None:
        # As in the main process: for processes that a node starts by itself, and for `inspect.getsource` of classes.
        vars(sys.modules["__main__"]).update(__file__=spec.main_file, __spec__=None)


def _limit_threads(limit: int | None) -> None:
    if limit is None:
        return
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(limit))
    if any(library in sys.modules for library in ("numpy", "scipy", "sklearn", "torch")):
        # A forked child has them loaded already, and they read the variables only when they are loaded.
        from threadpoolctl import threadpool_limits

        threadpool_limits(limit)
