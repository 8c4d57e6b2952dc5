"""The first code of Treadle that runs in a new worker process; it then imports the modules of a worker.

It imports little, because the parent imports it, too, in order to start processes. Neighbours: `bootstrap.py` sets the process
up, `server.py` serves the parent's commands. State: none. Runs in workers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.collector import collection_paused

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.processes.connection import Connection
    from treadle.execution.protocol.messages import ProcessSpec, StartTimes
    from treadle.execution.worker.inherited import InheritedResources


def run_worker(spec: ProcessSpec, number: int, connection: Connection, inherited: InheritedResources, launched: float) -> None:
    """Be a worker: set this process up, and serve the parent until it sends Stop. The target of each worker process.

    Args:
        spec: describes the worker.
        number: the worker's number, starting from 1.
        connection: this worker's end of the connection to the parent.
        inherited: the resources that a fork inherited.
        launched: when the parent began to start the process, by the monotonic clock.
    """
    begun = time.monotonic()
    inherited.close()
    set_up_worker, serve = import_worker()
    imported = time.monotonic()
    project = set_up_worker(spec, number, connection)
    ready = time.monotonic()
    serve((time.time() - (ready - launched), begun - launched, imported - begun, project, ready - imported - project))


@collection_paused(imports=True)
def import_worker() -> tuple[Callable[[ProcessSpec, int, Connection], float], Callable[[StartTimes], None]]:
    """Import the modules of a worker, and return the functions that set it up and serve the parent."""
    from treadle.execution.worker.bootstrap import set_up_worker
    from treadle.execution.worker.server import serve

    return set_up_worker, serve
