"""The description of a worker that plugins receive. State: none; it is a frozen record.

Neighbours: the hook `on_worker_start` in `specs.py` takes it; `treadle.execution` creates it.
"""

from __future__ import annotations

from treadle.named_tuple import NamedTuple


class WorkerFacts(NamedTuple):
    """A process in which nodes run; the same for every run in that process.

    Attributes:
        number: the worker's number, from 1; 0 for the main process.
        label: its name in logs, events and errors: `worker-1`, `main`.
        pid: its process id.
        package_name: the package of the configured project; None if there is none.
        start_method: how it was started: `fork`, `spawn`, `forkserver` or `loky`; None for the main process.
        thread_limit: maximum number of threads of a numeric library, so that workers share the cores; None for no limit.
        working_directory: the folder that relative paths start from; empty if it was deleted.
    """

    number: int
    label: str
    pid: int
    package_name: str | None
    start_method: str | None
    thread_limit: int | None
    working_directory: str

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which runs the session."""
        return self.number == 0
