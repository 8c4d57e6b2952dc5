"""Have adaptive scaling start workers for nodes that wait, and keep workers that have values.

Nodes wait in Treadle's scheduler, but whatever scales a cluster (`cluster.adapt`, the operator for Kubernetes) asks the dask
scheduler how much work is there. For each waiting node there is a dask task that needs a resource that no worker has: it counts
as work that waits, and never runs. State: these tasks. Runs in the driver. Neighbours: `pool.py` calls it now and then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from treadle.execution.executors.dask.links import Links

_MAX_TASKS = 200
"""The most tasks at a time. dask expects a new task to take 0.5 s, and by default wants a worker for each 5 s of work."""
_RESOURCE = "treadle-waiting-node"
_UPDATE_SECONDS = 1.0
"""How often the tasks are updated; a run of tiny nodes has ended before."""


class Scaling:
    """What dask is shown of a pool's work.

    Args:
        client: the client.
        pool: id of the pool, which makes the tasks' keys unique.
        links: the links to the workers.
    """

    def __init__(self, client: Any, pool: str, links: Links) -> None:
        self._client, self._pool, self._links = client, pool, links
        self._tasks: list[Any] = []  # futures
        self._made = 0
        self._next_update = 0.0
        self._waiting_nodes: Callable[[int], Sequence[int]] = lambda _most: ()
        self.workers_with_values: Callable[[], Collection[int]] = tuple
        """Returns the workers that have values of the run."""

    def follow(self, waiting: Callable[[int], Sequence[int]]) -> None:
        """Show the nodes of the next run.

        Args:
            waiting: returns the nodes that wait for a worker, at most as many as its argument says.
        """
        self._waiting_nodes = waiting

    def begin(self) -> None:
        """Start a run; without any worker its nodes are shown at once."""
        self._next_update = time.monotonic() + (_UPDATE_SECONDS if any(True for _link in self._links) else 0.0)

    def update(self) -> bool:
        """Show dask how many nodes wait, and which workers have values, from time to time.

        Returns:
            Whether the links may have commands to flush.
        """
        if (now := time.monotonic()) < self._next_update:
            return False
        self._next_update = now + _UPDATE_SECONDS
        if self._client.status != "running":
            return False
        self._show_waiting(0 if self._links.is_full else len(self._waiting_nodes(_MAX_TASKS)))
        with_values = self.workers_with_values()
        for link in self._links:
            if link.ready and not link.is_leaving:
                link.keep_alive(has_values=link.number in with_values)
        return True

    def _show_waiting(self, count: int) -> None:
        del self._tasks[count:]  # dask forgets a task without a future
        # A task has ended if the cluster was restarted, or if the scheduler has the setting no-workers-timeout.
        self._tasks = [task for task in self._tasks if task.status == "pending"]
        if missing := count - len(self._tasks):
            first, self._made = self._made, self._made + missing
            keys = [f"{_RESOURCE}-{self._pool}-{number}" for number in range(first, self._made)]
            self._tasks += self._client.map(abs, range(missing), key=keys, resources={_RESOURCE: 1}, retries=0, pure=False)

    def end(self) -> None:
        """End the run."""
        self._waiting_nodes = lambda _most: ()
        self._tasks.clear()
