"""The dask tasks of one worker: one sets it up, others run jobs, one keeps adaptive scaling from removing the worker.

A task takes jobs until none is left, and reports its end with the sequence number of the last job that it knew of. Jobs that were
sent after that one need another task. State: the futures of the tasks, and the jobs that none has reported. Runs in the driver.
Neighbours: `link.py` owns it, `host.py` and `keep_alive.py` have the functions that run in the worker.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.host import run_jobs
from treadle.execution.executors.dask.keep_alive import keep_worker_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.executors.dask.messages import TaskEnded


class WorkerTasks:
    """The dask tasks of one worker.

    Args:
        client: the client of the cluster.
        address: the worker's address.
        pool: id of the pool.
        link: id of the link to the worker, which makes the keys of the tasks unique.
    """

    def __init__(self, client: Any, address: str, pool: str, link: str) -> None:
        self._client, self._address, self._pool, self._link = client, address, pool, link
        self._sequence = 0  # number of the last job
        self._waiting: deque[tuple[int, str]] = deque()  # jobs that no task has reported: sequence number, name of the first node
        self._has_task = False  # whether a task takes the jobs that are sent
        self._task_count = 0
        self._tasks: deque[Any] = deque()  # futures, in order
        self._setup_task: Any = None
        self._keep_alive_task: Any = None
        self._keep_alive_count = 0
        self.setup_key = f"treadle-setup-{link}-0"
        """Key of the task that sets the worker up."""

    def set_up(self) -> None:
        """Have the worker set itself up.

        dask keeps the task's result, and therefore a worker that retires, until the pool is done with the worker: see
        `Host.get_data`.
        """
        self._has_task = True
        self._setup_task = self._submit(run_jobs, self._pool, 0, key=self.setup_key)

    def add_job(self, name: str) -> int:
        """Add a job that is sent to the worker; `ensure_task` follows.

        Args:
            name: of its first node, which the dashboard shows.

        Returns:
            The job's sequence number.
        """
        self._sequence += 1
        self._waiting.append((self._sequence, name))
        return self._sequence

    def ensure_task(self) -> None:
        """Submit a task if there are jobs that none will take."""
        if self._waiting and not self._has_task:
            sequence, name = self._waiting[0]
            self._has_task, self._task_count = True, self._task_count + 1
            # The key was never used before: dask would not run a known key again.
            self._tasks.append(self._submit(run_jobs, self._pool, sequence, key=f"{name}-{self._task_count}-{self._link}"))

    def task_ended(self, ended: TaskEnded) -> None:
        """A task ended: submit another one for the jobs that it did not know of."""
        self._has_task = False
        while self._waiting and self._waiting[0][0] <= ended.sequence:
            self._waiting.popleft()
        self.ensure_task()

    def keep_alive(self) -> None:
        """Keep adaptive scaling from removing the worker."""
        if self._keep_alive_task is None:
            self._keep_alive_count += 1
            key = f"treadle-keeps-values-{self._link}-{self._keep_alive_count}"
            self._keep_alive_task = self._submit(keep_worker_alive, self._pool, key, key=key)

    def end_keep_alive(self) -> bool:
        """Return whether there is a task that keeps the worker, which an `EndKeepAlive` must end."""
        was_kept, self._keep_alive_task = self._keep_alive_task is not None, None
        return was_kept

    def _submit(self, function: Callable[..., Any], *arguments: Any, key: str) -> Any:
        return self._client.submit(
            function, *arguments, key=key, workers=[self._address], allow_other_workers=False, pure=False, retries=0
        )

    def error(self) -> BaseException | None:
        """Return the error of a task that failed outside of any job, None if there is none."""
        for task in [*self._tasks, *([self._setup_task] if self._setup_task is not None else [])]:
            if task.status == "error":
                error: BaseException = task.exception()
                return error
        return None

    @property
    def are_released(self) -> bool:
        """Whether dask was told to forget all tasks that ran jobs."""
        return not self._tasks

    def release_finished(self) -> None:
        """Have dask forget tasks that have finished: it would run them again if the worker that has their results died."""
        while self._tasks and self._tasks[0].status == "finished":
            self._tasks.popleft()

    def release(self) -> None:
        """Have dask forget the tasks, also those that its dead worker can no longer run."""
        self._tasks.clear()
        self._setup_task = self._keep_alive_task = None
