"""The description of a worker process that `on_worker_start` hooks receive. Runs in workers. State: none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from treadle.hooks.facts import WorkerFacts

if TYPE_CHECKING:
    from treadle.execution.worker.bootstrap import WorkerProcess


def worker_facts(worker: WorkerProcess) -> WorkerFacts:
    """Describe a worker process for plugins, without its environment variables, which may contain secrets.

    Args:
        worker: this process.
    """
    spec = worker.spec
    return WorkerFacts(
        number=worker.number,
        label=worker.label,
        pid=os.getpid(),
        package_name=spec.project.package_name,
        start_method=spec.start_method,
        thread_limit=spec.thread_limit,
        working_directory=spec.working_directory,
    )
