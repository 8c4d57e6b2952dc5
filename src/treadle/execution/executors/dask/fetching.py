"""Read a value from the dask worker that has it, over dask's own connections: no copy passes through client or scheduler.

State: the values that are on their way to a worker. `read_value` runs on the event loop of a dask worker or of a client, `answer`
on that of the worker with the value, `InputFetcher` on that of the worker that needs it. Neighbours: `hosted_pool.py` uses them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.hosted_run import PickledValue
from treadle.execution.executors.dask.messages import FETCH

if TYPE_CHECKING:
    from treadle.execution.executors.dask.hosted_run import HostedRun
    from treadle.execution.executors.dask.messages import ClusterValue
    from treadle.execution.protocol.messages import Job


class ValueGoneError(Exception):
    """The worker that had a value cannot be reached, or no longer has the value; the text says which."""


async def read_value(rpc: Any, handle: ClusterValue, run: int, dataset: int) -> PickledValue:
    """Read a value.

    Args:
        rpc: the connections of a dask worker or client (`worker.rpc`, `client.rpc`).
        handle: where the value is.
        run: number of the run.
        dataset: its index.

    Raises:
        ValueGoneError: the value was lost, or its worker cannot be reached.
    """
    try:
        answer = await getattr(rpc(handle.address), FETCH)(pool=handle.pool, run=run, dataset=dataset)
    except (OSError, asyncio.TimeoutError) as exc:
        msg = f"the dask worker at {handle.address} cannot be reached ({type(exc).__name__}: {exc})"
        raise ValueGoneError(msg) from exc
    if answer["status"] != "OK":
        msg = f"the dask worker at {handle.address} no longer has it ({answer['reason']})"
        raise ValueGoneError(msg)
    return PickledValue(answer["data"], tuple(memoryview(buffer).cast("B") for buffer in answer["buffers"]))


class InputFetcher:
    """Reads the inputs of a worker's jobs from other workers, while the jobs before run.

    Args:
        rpc: the connections of the dask worker.
    """

    def __init__(self, rpc: Any) -> None:
        self._rpc = rpc
        self._fetches: dict[tuple[int, int], asyncio.Task[str | None]] = {}

    def fetch(self, run: HostedRun, job: Job) -> None:
        """Begin to read the inputs of a job.

        Args:
            run: the run.
            job: the job.
        """
        run.add_inputs(job.inputs)
        for dataset, handle in run.missing_inputs(job.nodes):
            if (job.run, dataset) not in self._fetches:
                self._fetches[job.run, dataset] = asyncio.get_running_loop().create_task(
                    self._fetch(run, job.run, dataset, handle)
                )

    async def wait_for(self, run: HostedRun, job: Job) -> tuple[str, str] | None:
        """Wait until a job's inputs are here.

        Args:
            run: the run.
            job: the job.

        Returns:
            The address of a worker that cannot give one of them, and why; None if all are here.
        """
        self.fetch(run, job)
        # Collected before the first wait: a fetch that ends is removed from the dictionary.
        fetches = [(handle.address, self._fetches[job.run, dataset]) for dataset, handle in run.missing_inputs(job.nodes)]
        for address, fetch in fetches:
            reason = await fetch
            if reason is not None:
                return address, reason
        return None

    def cancel(self) -> None:
        """Read nothing more."""
        for fetch in self._fetches.values():
            fetch.cancel()

    async def _fetch(self, run: HostedRun, number: int, dataset: int, handle: ClusterValue) -> str | None:
        """Read a value; return why that failed, None if it is here."""
        try:
            run.add_fetched(dataset, await read_value(self._rpc, handle, number, dataset))
        except ValueGoneError as exc:
            return str(exc)
        finally:
            self._fetches.pop((number, dataset), None)
        return None


def answer(value: PickledValue | None, reason: str = "it was released") -> dict[str, Any]:
    """Return the message that carries a value; its buffers are sent from where they are.

    Args:
        value: the value; None if it is not here.
        reason: why it is not.
    """
    if value is None:
        return {"status": "gone", "reason": reason}
    from distributed.protocol import to_serialize

    return {"status": "OK", "data": value.data, "buffers": [to_serialize(each) for each in value.buffers]}
