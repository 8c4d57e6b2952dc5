"""What plugins are told of the worker process that they are in. State: none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from treadle.hooks import WorkerFacts

if TYPE_CHECKING:
    from treadle.execution.worker.bootstrap import WorkerProcess


def worker_facts(worker: WorkerProcess) -> WorkerFacts:
    """Return what plugins are told of a worker process: no part of its environment.

    Args:
        worker: this process.
    """
    spec = worker.spec
    return WorkerFacts(
        number=worker.number,
        label=worker.label,
        pid=os.getpid(),
        package_name=spec.package_name,
        start_method=spec.start_method,
        thread_limit=spec.thread_limit,
        working_directory=spec.working_directory,
    )
