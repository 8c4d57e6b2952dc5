"""Read a value from the dask worker that has it, over dask's own connections: no copy passes through client or scheduler.

State: none. `read_value` runs on the event loop of a dask worker or of a client, `answer` on that of the worker with the value.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.dask.hosted_run import PickledValue
from treadle.execution.executors.dask.messages import FETCH

if TYPE_CHECKING:
    from treadle.execution.executors.dask.messages import ClusterValue


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
        ValueGoneError: it cannot be had.
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
