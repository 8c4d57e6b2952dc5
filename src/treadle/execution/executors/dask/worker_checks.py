"""Call functions of Treadle's in a dask worker, and find out whether it can run the nodes of this driver.

State: none. Runs on the event loop of the client. Neighbours: `link.py` checks each worker before it is set up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.shared_files import probes, unseen
from treadle.execution.executors.dask.versions import differences, table, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_logger = logging.getLogger(__name__)


_ALIVE_SECONDS = 1.0
"""How long a worker is waited for that may be alive: a process that has died refuses the connection at once."""
STILL_RUNS = (
    "But the process answers, so only the connection to it was lost: look for a failure of the network. What the node still does "
    "there is ended, and not used."
)
"""Why a worker was lost whose process goes on."""


class UnusableWorkerError(Exception):
    """A worker cannot run the nodes of this driver; the text says why."""


def remote(client: Any, address: str, connect_seconds: float | None = None) -> Any:
    """Return a connection to a worker or nanny, for an `async with`; the client would keep its own open.

    Args:
        client: has the security settings of the cluster.
        address: of the worker or nanny.
        connect_seconds: how long to try to connect; None for the time that dask is configured to.
    """
    from distributed.core import rpc

    return rpc(address, timeout=connect_seconds, connection_args=client.security.get_connection_args("client"))


async def call(client: Any, address: str, function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function of Treadle's in a worker, on its event loop.

    Args:
        client: the client.
        address: of the worker.
        function: the function.
        arguments: of the function.

    Raises:
        UnusableWorkerError: the worker cannot import Treadle.
    """
    async with remote(client, address) as worker:
        answer = await worker.run(function=pickle.dumps(function), kwargs=pickle.dumps(arguments))
    if answer["status"] == "OK":
        return answer["result"]
    if isinstance(answer["exception"], ModuleNotFoundError):
        missing = answer["exception"].name
        msg = (
            f"The dask worker at {address} cannot import '{missing}'. Workers need Treadle, in the version of this process "
            f"({versions()['treadle']}): install 'treadle[dask]' in their environment."
        )
        raise UnusableWorkerError(msg)
    raise answer["exception"]


async def still_runs(client: Any, address: str, pid: int) -> bool:
    """Return whether a worker's process answers, although the stream to it has ended.

    Args:
        client: the client.
        address: of the worker.
        pid: id of the process; another worker may have the address by now.
    """
    try:
        answer = await asyncio.wait_for(call(client, address, os.getpid), _ALIVE_SECONDS)
    except (OSError, asyncio.TimeoutError, UnusableWorkerError):
        return False
    return bool(answer == pid)


async def check_basic_versions(client: Any, address: str) -> None:
    """Raise if a worker has another Python or Treadle, whose functions may expect or return something else.

    Args:
        client: the client.
        address: of the worker.

    Raises:
        UnusableWorkerError: it has.
    """
    there = {
        "python": await call(client, address, platform.python_version),
        "treadle": await call(client, address, version, distribution_name="treadle"),
    }
    check_versions(address, {**versions(), **there})


async def check_folders(client: Any, address: str, folders: Mapping[str, str]) -> None:
    """Raise if a worker does not see folders of this machine.

    Args:
        client: the client.
        address: of the worker.
        folders: the folders, each with the name of a dataset that has a file there.

    Raises:
        UnusableWorkerError: it does not.
    """
    with probes(folders) as files:
        check_files(address, await call(client, address, unseen, paths=list(files)), files)


def check_files(address: str, missing: list[str], files: Mapping[str, str]) -> None:
    """Raise if there are files that a worker does not see.

    Args:
        address: of the worker.
        missing: those that it does not see.
        files: all files, each with the name of a dataset in the same folder.

    Raises:
        UnusableWorkerError: there are some.
    """
    if missing:
        folder = os.path.dirname(missing[0])
        msg = (
            f"The dask worker at {address} does not see the files of this machine: dataset '{files[missing[0]]}' has its file "
            f"in {folder}. Keep it where all workers can reach it (a shared file system, S3, a database), or run its nodes in "
            "the main process (run_in: main). If the file system is shared and this is a mistake, say so: "
            "shared_file_system=True."
        )
        raise UnusableWorkerError(msg)


def check_process(address: str, *, is_this_one: bool) -> None:
    """Raise if a worker is a part of this process.

    Args:
        address: of the worker.
        is_this_one: whether it is.

    Raises:
        UnusableWorkerError: it is.
    """
    if is_this_one:
        msg = (
            f"The dask worker at {address} is a thread of this process (processes=False). Nodes need processes of their own: one "
            "that is stopped, because of its timeout for example, would end this process. Start the cluster with processes=True."
        )
        raise UnusableWorkerError(msg)


def check_versions(address: str, there: Mapping[str, str]) -> None:
    """Raise if a worker has versions with which pickles break; log a warning if it has other differences.

    Args:
        address: of the worker.
        there: its versions.

    Raises:
        UnusableWorkerError: pickles would break.
    """
    here = versions()
    breaking, differ = differences(here, there)
    if breaking:
        msg = (
            f"The dask worker at {address} has other versions of {', '.join(breaking)} than this process, so that values could "
            f"not be passed on:\n{table(here, there, differ)}\nInstall the same versions on both sides."
        )
        raise UnusableWorkerError(msg)
    if differ:
        _logger.warning("The dask worker at %s has other versions:\n%s", address, table(here, there, differ))
