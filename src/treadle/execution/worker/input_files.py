"""The memory files that a worker received or published, each kept for all jobs that load it until the parent releases it.

The parent sends a file to a worker only once, so the files of a job stay here even if the job itself is returned to the parent.
Runs in workers. State: the descriptors, by run and dataset.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.messages import Job


class InputFiles:
    """A worker's descriptors of the memory files of other processes' values."""

    def __init__(self) -> None:
        self._runs: dict[int, dict[int, Handle]] = {}

    def of(self, run: int) -> dict[int, Handle]:
        """Return the files of a run, by dataset: a live dictionary."""
        return self._runs.setdefault(run, {})

    def accept(self, job: Job, descriptors: Sequence[int]) -> None:
        """Keep the descriptors that arrived with a job."""
        if not descriptors:
            return
        files = self._runs.setdefault(job.run, {})
        arrived = iter(descriptors)
        for dataset, handle in job.inputs:
            if handle.needs_descriptor:
                self.close(job.run, dataset)
                files[dataset] = handle.with_descriptor(next(arrived))

    def close(self, run: int, dataset: int) -> None:
        """Close the file of a value, if this worker has it; values loaded from it keep their own mapping."""
        file = self._runs.get(run, {}).pop(dataset, None)
        if file is not None and file.fd is not None:
            os.close(file.fd)

    def close_all(self, run: int) -> None:
        """Close the remaining files of a run."""
        for dataset in list(self._runs.get(run, ())):
            self.close(run, dataset)
        self._runs.pop(run, None)
