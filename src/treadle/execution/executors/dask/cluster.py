"""Find or start the dask cluster of a runner. State: none. Runs in the driver."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import ExitStack
from functools import cached_property, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.executors.dask import signals
from treadle.execution.executors.dask.exits import describe_exit_of
from treadle.execution.processes.main_module import hidden_main
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_SECONDS = 8
"""How long a scheduler is waited for."""
_KEEP_SECONDS = 1.0
"""How often a cluster that was started here is asked whether it has all of its workers."""


def check_installed() -> None:
    """Raise if dask.distributed is not installed.

    Raises:
        RunnerError: it is not.
    """
    if find_spec("distributed") is None:
        msg = "The runner 'dask' needs dask.distributed, which is not installed. Install it with: pip install 'treadle[dask]'"
        raise RunnerError(msg, name="dask")


class Connection(NamedTuple):
    """A client of the cluster, with what to do at the end.

    Attributes:
        client: the client.
        close: closes all that was opened for it.
        before_kill: called before workers are killed because the connection is about to be closed.
    """

    client: Any
    close: Callable[[], None]
    before_kill: Callable[[], None] = lambda: None


def connected(address: str | None, client: Any, cluster: Any, workers: int | None) -> Connection:
    """Return a connection to the cluster.

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
        return Connection(client, lambda: None)
    if cluster is not None:
        _check_cluster(cluster)
        ours = distributed.Client(cluster, set_as_default=False)
        return Connection(ours, ours.close)
    address = address or os.environ.get("DASK_SCHEDULER_ADDRESS") or dask.config.get("scheduler-address", None)
    if address is None:
        return _started(workers)
    if address.startswith("tls:") and distributed.Security().get_connection_args("client")["ssl_context"] is None:
        msg = (
            f"The address {address} needs TLS, and dask's configuration names no certificates for the client "
            "(distributed.comm.tls.ca-file and distributed.comm.tls.client). Add them, or pass a client that has them."
        )
        raise RunnerError(msg, name="address")
    try:
        ours = distributed.Client(address, set_as_default=False, timeout=_CONNECT_SECONDS)
    except (OSError, asyncio.TimeoutError, ValueError) as exc:
        msg = (
            f"No dask scheduler answers at {address}: {type(exc).__name__}: {exc}. Check the address (the argument 'address', or "
            "DASK_SCHEDULER_ADDRESS), and that the scheduler runs."
        )
        raise RunnerError(msg, name="address") from exc
    return Connection(ours, ours.close)


def _check_cluster(cluster: Any) -> None:
    if not hasattr(cluster, "scheduler_address"):
        msg = (
            f"DaskRunner was given cluster={cluster!r}, of type {type(cluster).__name__}. Give a cluster object, such as a "
            "distributed.LocalCluster; an address goes to the argument 'address'."
        )
        raise RunnerError(msg, name="cluster")
    if getattr(cluster, "asynchronous", False):
        msg = (
            "DaskRunner was given a cluster that belongs to an event loop of its own (asynchronous=True). Make it without "
            "asynchronous=True: a run blocks its thread, so it cannot wait for that loop."
        )
        raise RunnerError(msg, name="cluster")


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


def _started(workers: int | None) -> Connection:
    """Start a cluster on this machine: processes with one thread each. Meanwhile dask logs warnings and errors only."""
    import dask
    import distributed

    from treadle.execution.processes.cores import usable_cores

    class Nanny(distributed.Nanny):  # type: ignore[misc]  # distributed has no types
        """Starts its worker without running the main script again in it, and logs how the worker's process ended."""

        async def instantiate(self) -> Any:
            # For the rest of this thread, which is the cluster's own: workers start with these signals blocked.
            signal.pthread_sigmask(signal.SIG_BLOCK, signals.TERMINAL_SIGNALS)
            with hidden_main():
                status = await super().instantiate()
            if (process := self.process) is not None:
                process.on_exit = partial(self._log_exit, self.pid, process.on_exit)
            return status

        def _log_exit(self, pid: int, on_exit: Callable[[int], None], code: int) -> None:
            self._exits.append(("INFO", describe_exit_of(pid, code)))
            on_exit(code)

        @cached_property
        def _exits(self) -> list[tuple[str, str]]:
            return []

        def get_logs(self, *arguments: Any, **options: Any) -> list[Any]:
            """Return the log; dask's own line about the exit is below the level of a cluster in this process."""
            return [*super().get_logs(*arguments, **options), *self._exits]

    count = workers or usable_cores()
    with ExitStack() as opened:
        logger = logging.getLogger("distributed")
        level_at_end = logger.level
        if logger.level == logging.INFO:  # its default: a line for each step of a start and an end
            logger.setLevel(logging.WARNING)
            opened.callback(logger.setLevel, logging.INFO)
            level_at_end = logging.ERROR  # dask would warn of lost results, and of workers that it starts again
        cluster = distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            worker_class=Nanny,
            preload=[*dask.config.get("distributed.worker.preload"), signals.__name__],
            dashboard_address="127.0.0.1:0",
        )
        opened.callback(cluster.close)
        client = distributed.Client(cluster, set_as_default=False)
        opened.callback(client.close)
        client.loop.add_callback(_keep_workers, cluster, count)
        return Connection(client, opened.pop_all().close, partial(logger.setLevel, level_at_end))


async def _keep_workers(cluster: Any, count: int) -> None:
    """Start workers again that dask has given up, because they were not there 15 s after a worker of the same name had died."""
    while cluster.status.name == "running":
        cluster.scale(count)
        await asyncio.sleep(_KEEP_SECONDS)
