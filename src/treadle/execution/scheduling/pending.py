"""Jobs that are assigned to a worker and wait for values that are being loaded or transferred.

Runs in the parent, as a part of the scheduler, which adds and removes the jobs. `values.py` knows which values a job lacks.
State: these jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from treadle.execution.scheduling.instructions import RunJob


class PendingJobs:
    """The jobs that wait for values, in the order in which they were assigned."""

    def __init__(self) -> None:
        self._jobs: dict[int, tuple[RunJob, set[int]]] = {}  # by first node: the job, and the datasets that it waits for

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __contains__(self, node: int) -> bool:
        """Return whether a node belongs to one of the jobs."""
        return any(node in job.nodes for job, _missing in self._jobs.values())

    def add(self, job: RunJob, missing: Collection[int]) -> None:
        """Keep a job until its missing values have arrived."""
        self._jobs[job.nodes[0]] = (job, set(missing))

    def value_arrived(self, dataset: int) -> list[RunJob]:
        """Record that a value has arrived; remove and return the jobs that wait for no other value."""
        complete = []
        for first, (job, missing) in list(self._jobs.items()):
            missing.discard(dataset)
            if not missing:
                complete.append(job)
                del self._jobs[first]
        return complete

    def remove(self, condition: Callable[[RunJob, Collection[int]], bool]) -> list[RunJob]:
        """Remove and return the jobs for which a condition holds.

        Args:
            condition: called with a job and the datasets that it waits for.
        """
        removed = [(first, job) for first, (job, missing) in self._jobs.items() if condition(job, missing)]
        for first, _job in removed:
            del self._jobs[first]
        return [job for _first, job in removed]
