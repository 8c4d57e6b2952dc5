"""What a dask worker process has of Treadle: handlers for streams of drivers and for values, and the tasks that run jobs.

State: the pools that have a part in this process, kept with the dask worker. Runs in dask workers. Neighbours: `link.py` is the
other end of a stream.
"""

from __future__ import annotations

import os
import pickle
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.execution.executors.dask.code import ProjectCode, code_folder, unpack_code
from treadle.execution.executors.dask.fetching import answer
from treadle.execution.executors.dask.hosted_pool import HostedPool
from treadle.execution.executors.dask.messages import FETCH, KILL, OPEN
from treadle.execution.executors.dask.project import HostedProject
from treadle.execution.executors.dask.shared_files import unseen
from treadle.execution.executors.dask.versions import versions
from treadle.execution.protocol.handles import UnpicklableValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.execution.protocol.project import ProjectSpec

_ATTRIBUTE = "_treadle_host"


class Installed(NamedTuple):
    """A worker that has the handlers.

    Attributes:
        has_code: whether it has the project's code.
        versions: its versions.
        unseen: the files that it does not see.
        nanny: the address of its nanny; None if it has none.
    """

    has_code: bool
    versions: dict[str, str]
    unseen: list[str]
    nanny: str | None


class Host:
    """The pools that have a part in a dask worker.

    Args:
        worker: the dask worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self.pools: dict[str, HostedPool] = {}
        worker.handlers.update({OPEN: self.open, FETCH: self.fetch, KILL: self.kill})

    async def open(self, comm: Any, pool: str, number: int, label: str, project: bytes, code: tuple[str, bytes]) -> Any:
        """Be one end of a driver's stream, until it is closed.

        Args:
            comm: the connection.
            pool: id of the driver's pool.
            number: this worker's number in it.
            label: this worker's label.
            project: the pickled ProjectSpec.
            code: the digest of the project's code, and the archive, which is empty if this worker has that version.
        """
        from distributed.core import Status
        from distributed.utils import offload

        spec: ProjectSpec = pickle.loads(project)  # noqa: S301 - the driver sent it
        folder = code_folder(self._worker.local_directory, code[0]) if code[0] else ""
        if folder:
            await offload(unpack_code, ProjectCode(*code), folder)
        hosted = self.pools[pool] = HostedPool(self._worker, comm, pool, number, HostedProject(spec, label, folder))
        try:
            await comm.write(hosted.board.path)  # a dask task finds the pool from now on
            await hosted.listen()
        finally:
            if self.pools.get(pool) is hosted:
                del self.pools[pool]
        return Status.dont_reply

    async def fetch(self, pool: str, run: int, dataset: int) -> dict[str, Any]:
        """Return a value to another worker, or to the driver.

        Args:
            pool: id of the pool.
            run: number of the run.
            dataset: index of the value.
        """
        from distributed.utils import offload

        hosted = self.pools.get(pool)
        in_run = hosted.has_run(run) if hosted is not None else None
        if in_run is None:
            return answer(None, "its run is over there")
        try:
            return answer(await offload(in_run.read, dataset))
        except UnpicklableValueError as exc:
            return answer(None, str(exc))

    async def kill(self, pool: str) -> None:
        """End this process, whatever it does: the nanny starts another one.

        Args:
            pool: id of the pool that asks for it.
        """
        if pool in self.pools:
            os.kill(os.getpid(), signal.SIGKILL)


def install(dask_worker: Any, digest: str, probes: Sequence[str]) -> Installed:
    """Give a dask worker the handlers, unless it has them.

    Args:
        dask_worker: the worker, which dask passes by this name.
        digest: of the code that the worker will need.
        probes: files of the driver.

    Returns:
        What the driver has to know of this worker.
    """
    if not hasattr(dask_worker, _ATTRIBUTE):
        setattr(dask_worker, _ATTRIBUTE, Host(dask_worker))
    has_code = os.path.exists(code_folder(dask_worker.local_directory, digest))
    return Installed(has_code, versions(), unseen(probes), dask_worker.nanny)


def run_turn(pool: str, ticket: int) -> None:
    """Run the jobs of a pool that have arrived: the function of Treadle's dask tasks.

    Args:
        pool: id of the pool.
        ticket: number of the last job that belongs to this turn.
    """
    from distributed import get_worker

    host = getattr(get_worker(), _ATTRIBUTE, None)
    hosted = host.pools.get(pool) if host is not None else None
    if hosted is not None:  # else the driver has closed the pool
        hosted.turns.run(ticket)
