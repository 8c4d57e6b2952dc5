"""Find or start the dask cluster of a runner. State: none. Runs in the driver."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.processes.main_module import hidden_main

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_SECONDS = 8
"""How long a scheduler is waited for."""


def check_installed() -> None:
    """Raise if dask.distributed is not installed.

    Raises:
        RunnerError: it is not.
    """
    if find_spec("distributed") is None:
        msg = "The runner 'dask' needs dask.distributed, which is not installed. Install it with: pip install 'treadle[dask]'"
        raise RunnerError(msg, name="dask")


def connected(address: str | None, client: Any, cluster: Any, workers: int | None) -> tuple[Any, Callable[[], None]]:
    """Return a client of the cluster, and what closes all that was opened for it.

    Args:
        address: of the scheduler; None for what the environment and dask's configuration say.
        client: a client to use as it is.
        cluster: a cluster object to connect to.
        workers: number of workers of a cluster that is started here.

    Raises:
        RunnerError: there is no scheduler at the address, or the client or cluster belongs to another event loop.
    """
    import dask
    import distributed

    if client is not None:
        _check_client(client)
        return client, lambda: None
    if cluster is not None:
        if getattr(cluster, "asynchronous", False):
            msg = (
                "DaskRunner was given a cluster that belongs to an event loop of its own (asynchronous=True). Make it without "
                "asynchronous=True: a run blocks its thread, so it cannot wait for that loop."
            )
            raise RunnerError(msg, name="cluster")
        ours = distributed.Client(cluster, set_as_default=False)
        return ours, ours.close
    address = address or os.environ.get("DASK_SCHEDULER_ADDRESS") or dask.config.get("scheduler-address", None)
    if address is None:
        return _started(workers)
    try:
        ours = distributed.Client(address, set_as_default=False, timeout=_CONNECT_SECONDS)
    except (OSError, asyncio.TimeoutError, ValueError) as exc:
        msg = (
            f"No dask scheduler answers at {address}: {type(exc).__name__}: {exc}. Check the address (the argument 'address', or "
            "DASK_SCHEDULER_ADDRESS), and that the scheduler runs."
        )
        raise RunnerError(msg, name="address") from exc
    return ours, ours.close


def _check_client(client: Any) -> None:
    if not callable(getattr(client, "submit", None)) or not hasattr(client, "asynchronous"):
        msg = f"DaskRunner was given client={client!r}, of type {type(client).__name__}. Give a distributed.Client."
        raise RunnerError(msg, name="client")
    if client.asynchronous:
        msg = (
            "DaskRunner was given a client that belongs to an event loop of its own (asynchronous=True). Make it without "
            "asynchronous=True: a run blocks its thread, so it cannot wait for that loop."
        )
        raise RunnerError(msg, name="client")
    if client.status != "running":
        msg = f"DaskRunner was given a client that is {client.status}, not running. Give one that is connected."
        raise RunnerError(msg, name="client")


def _started(workers: int | None) -> tuple[Any, Callable[[], None]]:
    """Start a cluster on this machine: processes with one thread each. Meanwhile dask logs warnings and errors only."""
    import distributed

    from treadle.execution.packing.worker_spec import usable_cores

    class Nanny(distributed.Nanny):  # type: ignore[misc]  # distributed has no types
        """Starts its worker without running the main script again in it."""

        async def instantiate(self) -> Any:
            with hidden_main():
                return await super().instantiate()

    with ExitStack() as opened:
        logger = logging.getLogger("distributed")
        if logger.level == logging.INFO:  # its default: a line for each step of a start and an end
            logger.setLevel(logging.WARNING)
            opened.callback(logger.setLevel, logging.INFO)
        cluster = distributed.LocalCluster(
            n_workers=workers or usable_cores(),
            threads_per_worker=1,
            processes=True,
            worker_class=Nanny,
            dashboard_address="127.0.0.1:0",
        )
        opened.callback(cluster.close)
        client = distributed.Client(cluster, set_as_default=False)
        opened.callback(client.close)
        return client, opened.pop_all().close
