"""Set up the project in a worker process that does not have the parent's memory. For the workers of any backend but loky's.

Runs in workers. `bootstrap.py` sets up loky's workers, which need more, and calls `configure_worker`. State: that of the process:
this changes `sys.path`, signal handlers, logging and the configured project.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from treadle.execution.attempt.failure import record_failure
from treadle.execution.values.restoring import define_received_objects
from treadle.execution.worker.forwarding import ForwardHandler, take_over_logging
from treadle.hooks.facts import WorkerFacts
from treadle.project.logging import apply_levels, node_here
from treadle.working_directory import working_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.events import Failure
    from treadle.execution.protocol.messages import Fact
    from treadle.execution.protocol.project import ProjectSpec


def set_up_project(spec: ProjectSpec, number: int, send: Callable[[Fact], None]) -> tuple[WorkerFacts, Failure | None]:
    """Make the project importable and configured, and send log records to the parent.

    Ctrl-C is left to the parent, which ends its workers.

    Args:
        spec: the project.
        number: the worker's number.
        send: sends a fact to the parent; it may be called from any thread.

    Returns:
        The description of this process for plugins, and the failure of the project's code, None if it did not fail.
    """
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    define_received_objects()
    sys.path[:] = spec.code_paths
    label = f"worker-{number}"
    handler = ForwardHandler(send, label, lambda: here[0] if (here := node_here.get()) else None)
    take_over_logging(handler)
    failure = None
    try:
        configure_worker(spec, handler)
        apply_levels(spec.levels)
    except BaseException as exc:  # noqa: BLE001 - importing the project's code may raise anything, even an exit: the parent reports it
        failure = record_failure(exc, phase="setup")
    facts = WorkerFacts(
        number=number,
        label=label,
        pid=os.getpid(),
        package_name=spec.package_name,
        start_method=None,
        thread_limit=None,
        working_directory=working_directory(),
    )
    return facts, failure


def configure_worker(spec: ProjectSpec, handler: ForwardHandler) -> None:
    """Configure the project in this process, which inherited none; `sys.path` already has its folders.

    Args:
        spec: the project.
        handler: stays the only handler of logging, whatever the project's code installs.

    Raises:
        BaseException: whatever the project's code raises, `SystemExit` included.
    """
    if spec.package_name is not None:
        from treadle.project.configure import configure_project
        from treadle.project.current import configured_project

        configure_project(spec.package_name)
        _ = configured_project().settings  # read now: an error in settings.py is a set-up failure
    if spec.setup is not None:
        spec.setup.configure()
        take_over_logging(handler)
