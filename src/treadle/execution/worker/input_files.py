"""The memory files that a worker was sent or published: each once, for all jobs that take it, until the parent has it closed.

The parent counts on it that what it sent is here, and does not send it again with the next job; so a job that is given
back leaves its files. State: the descriptors, by run and dataset.
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
        """Return the files of a run, as they come and go."""
        return self._runs.setdefault(run, {})

    def take_in(self, job: Job, descriptors: Sequence[int]) -> None:
        """Keep what came with a job."""
        if not descriptors:
            return
        files = self._runs.setdefault(job.run, {})
        arrived = iter(descriptors)
        for dataset, handle in job.inputs:
            if handle.needs_descriptor:
                self.close(job.run, dataset)
                files[dataset] = handle.with_descriptor(next(arrived))

    def close(self, run: int, dataset: int) -> None:
        """Close the file of a value, where it is here; what was loaded from it keeps its own map."""
        file = self._runs.get(run, {}).pop(dataset, None)
        if file is not None and file.fd is not None:
            os.close(file.fd)

    def close_all(self, run: int) -> None:
        """Close what is left of a run."""
        for dataset in list(self._runs.get(run, ())):
            self.close(run, dataset)
        self._runs.pop(run, None)
