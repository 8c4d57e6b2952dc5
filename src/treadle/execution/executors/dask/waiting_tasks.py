"""Show the dask scheduler how many nodes wait for a worker, so that adaptive scaling starts workers for them.

Nodes wait in Treadle's scheduler, but whatever scales a cluster (`cluster.adapt`, the operator for Kubernetes) asks the dask
scheduler how much work is there. For each waiting node there is a dask task that needs a resource that no worker has: it counts
as work that waits, and never runs. State: these tasks. Runs in the driver. Neighbours: `pool.py` calls it now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST = 200
"""The most tasks at a time. dask expects a new task to take 0.5 s, and by default wants a worker for each 5 s of work."""
_RESOURCE = "treadle-waiting-node"


class WaitingTasks:
    """The dask tasks that stand for waiting nodes.

    Args:
        client: the client.
        pool: id of the pool, which makes the tasks' keys unique.
    """

    def __init__(self, client: Any, pool: str) -> None:
        self._client, self._pool = client, pool
        self._tasks: dict[int, Any] = {}  # waiting node -> dask future
        self._made = 0

    def update(self, nodes: Sequence[int], name_of: Callable[[int], str]) -> None:
        """Have a task for each of the nodes, and for no others.

        Args:
            nodes: the nodes that wait, at most MOST.
            name_of: returns the name of a node, which dask's dashboard shows.
        """
        for node in self._tasks.keys() - set(nodes):
            del self._tasks[node]  # dask forgets a task without a future
        # A task has ended if the cluster was restarted, or if the scheduler has the setting no-workers-timeout.
        missing = [node for node in nodes if node not in self._tasks or self._tasks[node].status != "pending"]
        if not missing:
            return
        first, self._made = self._made, self._made + len(missing)
        keys = [f"{name_of(node)}-{self._pool}-waiting-{first + position}" for position, node in enumerate(missing)]
        futures = self._client.map(abs, missing, key=keys, resources={_RESOURCE: 1}, retries=0, pure=False)
        self._tasks.update(zip(missing, futures, strict=True))

    def clear(self) -> None:
        """Remove all tasks."""
        self._tasks.clear()
