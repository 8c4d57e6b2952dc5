"""The project of a driver in a dask worker process: made importable and configured once, and active while its jobs run.

State: that of the process, which is changed while a project is active: root handlers of logging, `sys.stdout` and `sys.stderr`.
Runs in dask workers. Neighbours: `hosted_pool.py` runs jobs within `active`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.code import CodeFolders
from treadle.execution.values.restoring import define_received_objects
from treadle.execution.worker.forwarding import ForwardHandler
from treadle.execution.worker.streams import ForwardStream
from treadle.forks import fork_safe
from treadle.hooks.facts import WorkerFacts
from treadle.project.logging import apply_levels
from treadle.working_directory import working_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.events import Failure
    from treadle.execution.protocol.messages import Fact
    from treadle.execution.protocol.project import ProjectSpec

_folders = CodeFolders()
_one_at_a_time = fork_safe(threading.Lock())
"""A process has one `sys.stdout`, one root logger, one configured project: only one of its projects is active at a time."""


class HostedProject:
    """A project in this process.

    Args:
        spec: the project.
        label: this worker's label.
        folder: where the project's code was unpacked; empty if nothing was sent.
    """

    def __init__(self, spec: ProjectSpec, label: str, folder: str = "") -> None:
        self._spec, self._folder = spec, folder
        self._configured: Any = None
        self.label = label

    @contextmanager
    def active(self, send: Callable[[Fact], None], node: Callable[[], str | None]) -> Iterator[None]:
        """Send log records and printed lines to the driver while a job runs; other projects wait.

        Args:
            send: sends a fact.
            node: returns the name of the running node.
        """
        from treadle.project import current

        with _one_at_a_time:
            _folders.use(self._folder)
            current._process.project = self._configured  # noqa: SLF001 - projects share this process only here
            root, streams = logging.getLogger(), (sys.stdout, sys.stderr)
            handlers = root.handlers[:]
            root.handlers[:] = [ForwardHandler(send, self.label, node)]
            sys.stdout = ForwardStream("stdout", send, sys.__stdout__, node=node)
            sys.stderr = ForwardStream("stderr", send, sys.__stderr__, node=node)
            try:
                yield
            finally:
                self._configured = current._process.project  # noqa: SLF001 - see above
                root.handlers[:] = handlers
                sys.stdout, sys.stderr = streams

    def set_up(self, number: int) -> tuple[WorkerFacts, Failure | None]:
        """Make the project importable and configure it.

        Args:
            number: this worker's number.

        Returns:
            What plugins learn of this process, and what the project's code raised; None if it raised nothing.
        """
        failure = None
        try:
            define_received_objects()
            if self._spec.package_name is not None:
                from treadle.project.configure import configure_project, configured_project

                configure_project(self._spec.package_name)
                _ = configured_project().settings  # read now: an error in settings.py is a set-up failure
            if self._spec.setup is not None:
                forwarding = logging.root.handlers[:]
                self._spec.setup.configure()
                logging.root.handlers[:] = forwarding  # another framework's configuration of logging is not for this process
            apply_levels(self._spec.levels)
        except BaseException as exc:  # noqa: BLE001 - the project's code may raise anything, even an exit: the driver reports it
            failure = record_failure(exc, phase="setup")
        facts = WorkerFacts(
            number=number,
            label=self.label,
            pid=os.getpid(),
            package_name=self._spec.package_name,
            start_method=None,
            thread_limit=None,
            working_directory=working_directory(),
        )
        return facts, failure
