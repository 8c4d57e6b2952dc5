"""Make the executor of a dask cluster. State: none. Runs in the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.pool import DaskPool
from treadle.execution.executors.dask.store import ClusterStore
from treadle.execution.executors.executor import Executor

if TYPE_CHECKING:
    from treadle.execution.executors.dask.code import ProjectCode
    from treadle.execution.protocol.project import ProjectSpec


def dask_executor(client: Any, project: ProjectSpec, code: ProjectCode, **options: Any) -> Executor:
    """Make an executor that runs jobs on the workers of a dask cluster.

    Args:
        client: the client.
        project: what the workers are set up from.
        code: the project's code, for workers that do not have it.
        options: as `DaskPool` takes them.
    """
    pool = DaskPool(client, project, code, **options)
    store = ClusterStore(pool.read)
    pool.scaling.workers_with_values = store.workers_with_values
    return Executor(pool, store)
