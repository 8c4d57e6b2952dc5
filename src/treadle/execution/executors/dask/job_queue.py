"""The jobs of a pool that wait in a dask worker: the event loop adds them, the thread of a dask task takes them.

State: the jobs in order, the sequence number of the last one that arrived, and the runs that were cancelled. Runs in dask
workers. Neighbours: `hosted_pool.py` owns it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from treadle.execution.executors.dask.messages import QueuedJob
    from treadle.execution.protocol.messages import Job


class JobQueue:
    """The waiting jobs of a pool."""

    def __init__(self) -> None:
        self.last_sequence = 0
        """The sequence number of the last job that arrived."""
        self._jobs: deque[QueuedJob] = deque()
        self._changed = fork_safe(threading.Condition())
        self._cancelled: dict[int, int] = {}  # run -> the last sequence number that was cancelled
        self.is_closed = False
        """True once the driver has closed the stream, or is gone."""

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, queued: QueuedJob) -> None:
        """Add a job. Independent nodes become a job each, so that those behind a long one can be returned."""
        with self._changed:
            self._jobs += [queued._replace(job=each) for each in queued.job.separate()]
            self.last_sequence = queued.sequence
            self._changed.notify_all()

    def take(self, sequence: int = 0, seconds: float = 0.0) -> Job | None:
        """Remove and return the next job.

        Args:
            sequence: wait for the job with this sequence number to arrive, because the stream and the dask task are not ordered.
            seconds: if there is no job, how long to wait for one.

        Returns:
            The job; None if there is none, or if the queue is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self._jobs or self.last_sequence >= sequence)
            if seconds:
                self._changed.wait_for(lambda: self.is_closed or self._jobs, seconds)
            return self._jobs.popleft().job if self._jobs else None

    def done_sequence(self) -> int:
        """Return the sequence number up to which no job waits here."""
        with self._changed:
            return self._jobs[0].sequence - 1 if self._jobs else self.last_sequence

    def take_all(self) -> list[Job]:
        """Remove and return all jobs."""
        with self._changed:
            jobs = [each.job for each in self._jobs]
            self._jobs.clear()
            return jobs

    def cancel(self, run: int) -> list[Job]:
        """Remove and return the jobs of a run; a job that is running learns from `is_cancelled` that it was cancelled."""
        with self._changed:
            self._cancelled[run] = self.last_sequence
            jobs = [each.job for each in self._jobs if each.job.run == run]
            self._jobs = deque(each for each in self._jobs if each.job.run != run)
            return jobs

    def is_cancelled(self, run: int, sequence: int) -> bool:
        """Return whether a run was cancelled after the job with this sequence number had arrived."""
        return self.is_closed or self._cancelled.get(run, -1) >= sequence

    def forget(self, run: int) -> None:
        """Forget a run that has ended."""
        self._cancelled.pop(run, None)

    def close(self) -> None:
        """Remove all jobs; `take` no longer waits."""
        with self._changed:
            self.is_closed = True
            self._jobs.clear()
            self._changed.notify_all()
