"""Set up a worker process once, from a ProcessSpec. Runs in workers.

The order matters: watch the parent, forward logs and output, apply the environment and paths, limit the threads of
numeric libraries before they are imported, and only then run the project's own code (`configure_project`). If the set-up fails,
the worker's Hello carries the failure, so that the user sees the actual traceback instead of a broken pool.
State: `_this_process`, the worker that this process is.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from treadle.collector import collection_paused
from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.seeding import reseed_from_entropy
from treadle.execution.processes.blackboard import Blackboard
from treadle.execution.processes.channel import Channel
from treadle.execution.processes.process_tree import end_tree, worker_mark
from treadle.execution.processes.scratch import Scratch
from treadle.execution.processes.watch import watch_parent
from treadle.execution.values.restoring import define_received_objects
from treadle.execution.worker import process_state
from treadle.execution.worker.exit import drop_inherited_exit_handlers
from treadle.execution.worker.forwarding import ForwardHandler, stop_forwarding, take_over_logging
from treadle.execution.worker.inherited import do_nothing
from treadle.execution.worker.leader import lead_process_tree, mark_programs
from treadle.execution.worker.open_run import BetweenRuns
from treadle.execution.worker.pacing import PacedSender
from treadle.execution.worker.prompts import disable_prompts
from treadle.execution.worker.streams import ForwardStream
from treadle.execution.worker.thread_pools import limit_threads
from treadle.forks import in_forked_children, mark_as_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.events import Failure
    from treadle.execution.processes.connection import Connection
    from treadle.execution.protocol.messages import ProcessSpec


class WorkerProcess:
    """The state of this process, a worker.

    Attributes:
        running: name of the running node, for the log records.
        current: the running node (number of the run, plan index, start time), None between nodes; reported if the node takes
            long.
        failure: the error of the set-up, if it failed.
        between_runs: what the process keeps from one run to the next.
        sender: sends the output and log records of its nodes.
    """

    def __init__(self, number: int, label: str, spec: ProcessSpec, channel: Channel, blackboard: Blackboard, place: int) -> None:
        self.number = number
        self.label = label
        self.spec = spec
        self.channel = channel
        self.blackboard = blackboard
        self.place = place
        self.running: str | None = None
        self.current: tuple[int, int, float] | None = None
        self.failure: Failure | None = None
        self.between_runs = BetweenRuns()
        self.sender = PacedSender(channel)


_this_process: list[WorkerProcess] = []
"""The worker that `set_up_worker` set up, for `serve`; empty in every process that is not a worker."""


def this_worker() -> WorkerProcess:
    """Return the state of this worker process."""
    return _this_process[0]


def set_up_worker(spec: ProcessSpec, number: int, connection: Connection) -> float:
    """Make this process a worker.

    Args:
        spec: describes the worker.
        number: the worker's number, starting from 1; its place on the blackboard is `number - 1`.
        connection: this worker's end of the connection to the parent.

    Returns:
        How many seconds the import of the project took.
    """
    _this_process.clear()
    reseed_from_entropy()
    define_received_objects()
    if spec.inherits:
        drop_inherited_exit_handlers()
    lead_process_tree()
    _show_stacks()
    signal.signal(signal.SIGINT, do_nothing)
    signal.signal(signal.SIGHUP, do_nothing)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        scratch = Scratch(spec.scratch)
        blackboard = Blackboard(scratch.blackboard)
    except FileNotFoundError:  # the directory was removed, which the parent says in one error when it starts another process
        os._exit(1)
    place = number - 1
    mark = worker_mark(spec.scratch, number)

    def orphaned() -> None:
        try:
            end_tree([os.getpid()], mark)
            scratch.remove_if_last()
        finally:
            os._exit(1)

    watch_parent(spec.parent_pid, on_exit=orphaned, on_sample=lambda peak: blackboard.set_peak_memory(place, peak))
    label = f"worker-{number}"
    worker = WorkerProcess(number, label, spec, Channel(connection.sock, blocking=True), blackboard, place)
    _this_process.append(worker)
    mark_as_worker()
    in_forked_children(lambda: _detach_from_worker(worker))
    handler = _forward_output(worker)
    began = None
    try:
        _apply_environment(spec)
        disable_prompts(kedro=spec.project.setup is not None)
        mark_programs(mark)
        limit_threads(spec.thread_limit)
        if not spec.inherits:
            from treadle.execution.worker.project import configure_worker

            began = time.monotonic()
            configure_worker(spec.project, handler)
            _import(spec.imports)
    except BaseException as exc:  # noqa: BLE001 - the parent must learn why the project's code failed, SystemExit included
        worker.failure = record_failure(exc, phase="setup")
    return time.monotonic() - began if began is not None else 0.0


def _show_stacks() -> None:
    """Make fatal errors and SIGUSR1 print all threads' stacks to standard error, even while a node holds the GIL in C code."""
    with suppress(OSError, ValueError):  # a worker without standard error
        if not faulthandler.is_enabled() and "PYTHONFAULTHANDLER" not in os.environ:  # otherwise the user has decided
            faulthandler.enable(file=2)
        faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)


def _detach_from_worker(worker: WorkerProcess) -> None:
    """Stop acting as the worker in a process that a node forked, such as one of a `multiprocessing.Pool`.

    The messages that are pending at that moment are sent by the worker only.
    """
    worker.channel.abandon()
    stop_forwarding()
    if signal.getsignal(signal.SIGINT) is do_nothing:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is do_nothing:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _forward_output(worker: WorkerProcess) -> ForwardHandler:
    handler = ForwardHandler(worker.sender.send, worker.label, lambda: worker.running, worker.channel.lock)
    take_over_logging(handler)
    logging.captureWarnings(capture=False)
    if worker.spec.forward_output:
        for name, own in (("stdout", sys.__stdout__), ("stderr", sys.__stderr__)):
            setattr(sys, name, ForwardStream(name, worker.sender.send, own, worker.channel.lock, lambda: worker.running))
    return handler


def _apply_environment(spec: ProcessSpec) -> None:
    if dict(os.environ) != spec.environment:
        for name in set(os.environ) - set(spec.environment):
            del os.environ[name]
        os.environ.update(spec.environment)
    os.chdir(spec.working_directory)
    sys.path[:] = spec.project.code_paths
    if not spec.inherits:  # otherwise the project is imported already, and each run applies all settings
        # Warning filters are applied with each run, because the parent's were set after it had imported the project.
        process_state.apply(spec.state, filters=False)
    if spec.main_file is not None:
        # As in the main process, for processes that a node starts itself and for `inspect.getsource` of classes.
        vars(sys.modules["__main__"]).update(__file__=spec.main_file, __spec__=None)


def _import(modules: Sequence[str]) -> None:
    """Import modules that the nodes probably need. What they raise or warn about is left to the nodes."""
    with warnings.catch_warnings(), collection_paused(imports=True):  # a tenth of the time that pandas takes
        warnings.simplefilter("ignore")
        for name in modules:
            with suppress(Exception):  # it may be a name in a module, and no module
                import_module(name)
