"""What a dask worker process has of Treadle: handlers for streams of drivers and for values, and the tasks that run jobs.

State: the pools that have a part in this process, kept with the dask worker. Runs in dask workers. Neighbours: `link.py` is the
other end of a stream.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.executors.dask.code import ProjectCode, code_folder, unpack_code
from treadle.execution.executors.dask.fetching import answer
from treadle.execution.executors.dask.hosted_pool import HostedPool
from treadle.execution.executors.dask.messages import FETCH, KILL, OPEN, Opened
from treadle.execution.executors.dask.own_settings import OwnSettings
from treadle.execution.executors.dask.project import HostedProject
from treadle.execution.executors.dask.shared_files import unseen
from treadle.execution.executors.dask.versions import versions
from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from treadle.execution.protocol.project import ProjectSpec

_ATTRIBUTE = "_treadle_host"
_TOLD_SECONDS = 5.0
"""How long after another worker has asked for its results a worker may learn that it retires."""
_CHECK_SECONDS = 0.02
"""How often it is checked whether it has."""
_IMPORT = uuid.uuid4().hex
"""Differs between processes, but for forked ones."""


class Installed(NamedTuple):
    """A worker that has the handlers.

    Attributes:
        has_code: whether it has the project's code.
        versions: its versions.
        unseen: the files that it does not see.
        nanny: the address of its nanny; None if it has none.
        process: identifies its process.
    """

    has_code: bool
    versions: dict[str, str]
    unseen: list[str]
    nanny: str | None
    process: tuple[str, int]


class Host:
    """The pools that have a part in a dask worker.

    Args:
        worker: the dask worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._own_settings = OwnSettings()
        self.pools: dict[str, HostedPool] = {}
        worker.handlers.update({OPEN: self.open, FETCH: self.fetch, KILL: self.kill, "get_data": self.get_data})
        worker.plugins[_ATTRIBUTE] = self  # its method `teardown` is called at the end of the worker

    async def open(
        self, comm: Any, pool: str, number: int, label: str, task: str, project: bytes, code: tuple[str, bytes]
    ) -> Any:
        """Be one end of a driver's stream, until it is closed.

        Args:
            comm: the connection.
            pool: id of the driver's pool.
            number: this worker's number in it.
            label: this worker's label.
            task: key of the dask task that sets the worker up.
            project: the pickled ProjectSpec.
            code: the digest of the project's code, and the archive, which is empty if this worker has that version.
        """
        from distributed.core import Status

        self._own_settings.save()
        try:
            spec: ProjectSpec = pickle.loads(project)  # noqa: S301 - the driver sent it
            folder = await self._unpack(ProjectCode(*code))
            hosted = HostedPool(self._worker, comm, pool, number, HostedProject(spec, label, folder))
        except Exception as exc:  # noqa: BLE001 - a full disk, for example: the driver reports it
            await comm.write(pickle.dumps(Opened(None, record_failure(exc, phase="setup"))))
            return Status.dont_reply
        self.pools[pool], hosted.task = hosted, task
        try:
            await comm.write(pickle.dumps(Opened(hosted.blackboard.path)))  # a dask task finds the pool from now on
            await hosted.listen()
        finally:
            hosted.blackboard.remove()
            if self.pools.get(pool) is hosted:
                del self.pools[pool]
            with suppress(RuntimeError):  # the process is ending
                self._worker.executors["default"].submit(self._restore_settings)
        return Status.dont_reply

    async def _unpack(self, code: ProjectCode) -> str:
        """Unpack the project's code, unless it is here; return its folder, an empty string if there is no code.

        Raises:
            RunnerError: it cannot be written.
        """
        from distributed.utils import offload

        folder = code_folder(self._worker.local_directory, code.digest) if code.digest else ""
        if folder:
            try:
                await offload(unpack_code, code, folder)
            except OSError as exc:
                msg = (
                    f"The project's code could not be unpacked into {os.path.dirname(folder)} on the dask worker at "
                    f"{self._worker.address}: {exc}. If the disk is full, free some space, or start the worker with another "
                    "--local-directory."
                )
                raise RunnerError(msg, name="dask") from exc
        return folder

    def _restore_settings(self) -> None:
        if not self.pools:
            self._own_settings.restore()

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

    async def get_data(self, comm: Any, keys: Collection[Any], **options: Any) -> Any:
        """Send results of tasks to another worker, as dask does, except that of a set-up task while its pool needs this worker.

        A worker that retires stays until other workers have copies of all results that it has.

        Args:
            comm: the connection.
            keys: the tasks.
            options: what dask's own handler takes.
        """
        if await self._is_kept(keys):
            return {"status": "busy"}  # the other worker asks again
        return await self._worker.get_data(comm, keys=keys, **options)

    async def _is_kept(self, keys: Collection[Any]) -> bool:
        """Return whether this worker retires and a pool still needs it, if the result of that pool's set-up task is asked for."""
        from distributed.core import Status

        asked_for = [hosted for hosted in self.pools.values() if hosted.task in keys]
        # The scheduler tells the other worker to ask, and this one that it retires, at the same time.
        end = time.monotonic() + _TOLD_SECONDS
        while any(not hosted.is_drained for hosted in asked_for):
            if self._worker.status == Status.closing_gracefully:
                return True
            if time.monotonic() >= end:
                return False  # the result is wanted for another reason
            await asyncio.sleep(_CHECK_SECONDS)
        return False

    async def teardown(self, worker: Any) -> None:  # noqa: ARG002 - dask calls it with this argument
        """Tell drivers that the worker is being shut down."""
        for hosted in list(self.pools.values()):
            hosted.report_shut_down()

    async def kill(self, pool: str, if_idle: bool) -> None:  # noqa: FBT001 - dask passes it by name
        """End this process: the nanny starts another one.

        Args:
            pool: id of the pool that asks for it.
            if_idle: False to end it only if a node of the pool does not finish within a moment; no further nodes are started.
        """
        hosted = self.pools.get(pool)
        if hosted is not None and (if_idle or not await hosted.stop()):
            os.kill(os.getpid(), signal.SIGKILL)


def host_of(worker: Any) -> Host | None:
    """Return what a dask worker has of Treadle, None if it has nothing."""
    return getattr(worker, _ATTRIBUTE, None)


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
    return Installed(has_code, versions(), unseen(probes), dask_worker.nanny, this_process())


def this_process() -> tuple[str, int]:
    """Return what identifies this process among those of all machines."""
    return _IMPORT, os.getpid()


def run_jobs(pool: str, sequence: int) -> None:
    """Run the jobs of a pool that have arrived: the function of Treadle's dask tasks.

    Args:
        pool: id of the pool.
        sequence: sequence number of the job that the task was submitted for.
    """
    from distributed import get_worker

    host = host_of(get_worker())
    hosted = host.pools.get(pool) if host is not None else None
    if hosted is not None:  # else the driver has closed the pool
        hosted.job_runner.run(sequence)
