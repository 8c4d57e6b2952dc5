"""Decide whether a run can go on in a dask cluster: its scheduler is there, it has workers, and they see the files of the run.

State: since when there was no worker or no scheduler, and the folders that workers see. Runs in the driver. Neighbours: `pool.py`
asks it at the start of a run, and while nothing happens.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.executors.dask.shared_files import folders_of
from treadle.execution.executors.dask.worker_checks import UnusableWorkerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.executors.dask.link import Link
    from treadle.execution.packing.bundle import RunBundle

_SCHEDULER_SECONDS = 5.0
"""How long a scheduler that was lost may take to come back."""


class ClusterHealth:
    """The state of a cluster.

    Args:
        client: the client.
        worker_timeout: seconds without any worker after which a run fails.
        shared_file_system: whether workers see the files of this machine; None to find out.
    """

    def __init__(self, client: Any, worker_timeout: float, *, shared_file_system: bool | None) -> None:
        self.folders: dict[str, str] = {}
        """Folders with local files of the runs so far, which each worker must see."""
        self._client, self._worker_timeout, self._shared = client, worker_timeout, shared_file_system
        self._alone_since = time.monotonic()
        self._scheduler_lost: float | None = None

    def begin(self) -> None:
        """Count the time without workers from now on."""
        self._alone_since = time.monotonic()

    def check_folders(self, run: RunBundle, links: Iterable[Link]) -> None:
        """Raise if a file dataset of a run is on this machine only.

        Args:
            run: the run.
            links: the workers.

        Raises:
            RunnerError: a worker does not see its folder, or no worker is said to.
        """
        if self._shared is True:
            return
        found = folders_of(run)
        if self._shared is False and found:
            folder, name = next(iter(found.items()))
            msg = (
                f"Dataset '{name}' has its file in {folder}, which the dask workers do not see (shared_file_system=False). Keep "
                "it where all workers can reach it, or run its nodes in the main process (run_in: main)."
            )
            raise RunnerError(msg, name="dask")
        added = {folder: name for folder, name in found.items() if folder not in self.folders}
        self.folders = {**self.folders, **added}  # workers that join from now on are asked for all of them
        ready = [link for link in links if link.ready] if added else []
        for link in ready:
            try:
                self._client.sync(link.check_folders, added)
            except UnusableWorkerError as exc:
                raise RunnerError(str(exc), name="dask") from exc
            except OSError:
                continue  # this worker is gone, which `wait` reports

    def check(self, links: Iterable[Link]) -> None:
        """Raise if no run can go on in this cluster.

        Args:
            links: the workers.

        Raises:
            RunnerError: there is no worker, or a dask task failed outside of any job.
        """
        for link in links:
            if (error := link.task_error()) is not None:
                msg = f"The dask worker at {link.address} could not run a task of Treadle's: {type(error).__name__}: {error}"
                raise RunnerError(msg, name="dask") from error
        if self._client.status == "running":
            self._scheduler_lost = None
        else:
            self._scheduler_lost = self._scheduler_lost or time.monotonic()
            if self._client.status == "closed" or time.monotonic() - self._scheduler_lost > _SCHEDULER_SECONDS:
                msg = (
                    "The connection to the dask scheduler was lost, so the run ends. Nodes that saved their outputs need not run "
                    "again. When the scheduler is back, resume the run: `treadle run` shows the command."
                )
                raise RunnerError(msg, name="dask")
        if any(link.ready and (link.is_busy or not link.is_leaving) for link in links):
            return
        if time.monotonic() - self._alone_since > self._worker_timeout:
            msg = (
                f"The dask cluster has had no worker that could run a node for {self._worker_timeout:.0f} s. Start workers, or "
                "give them more time to start (worker_timeout)."
            )
            raise RunnerError(msg, name="dask")
