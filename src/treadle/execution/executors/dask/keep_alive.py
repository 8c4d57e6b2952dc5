"""A dask task that keeps adaptive scaling from removing a worker while it has values, which dask does not see.

Adaptive scaling removes no worker with a long-running task, which is one that has left the worker's pool of threads. State: none.
Runs in dask workers.
"""

from __future__ import annotations

import time

from treadle.execution.executors.dask.host import host_of


async def keep_worker_alive(pool: str, key: str) -> None:
    """Be a long-running task, which takes no thread, until the driver says that the worker has no values any more.

    Args:
        pool: id of the driver's pool.
        key: of this task.
    """
    from distributed import get_worker
    from distributed.worker_state_machine import SecedeEvent

    worker = get_worker()
    host = host_of(worker)
    hosted = host.pools.get(pool) if host is not None else None
    if hosted is None:
        return  # the driver has closed the pool
    hosted.has_no_values.clear()
    # As `distributed.secede`, which is for tasks in threads.
    worker.handle_stimulus(SecedeEvent(key=key, compute_duration=0.0, stimulus_id=f"secede-{key}-{time.time()}"))
    await hosted.has_no_values.wait()
