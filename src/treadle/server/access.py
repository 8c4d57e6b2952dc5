"""What the endpoints share: the runs of the server, and how to wait for one of them without blocking other requests.

State: none. Neighbours: `app.py`, `kedro_api.py` and `page.py` have the endpoints.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from fastapi import Request

    from treadle.server.models import RunView
    from treadle.server.runs import Runs


def runs_of(request: Request) -> Runs:
    """Return the runs of the server that got a request."""
    runs: Runs = request.app.state.runs
    return runs


async def wait_for_end(runs: Runs, run_id: str, seconds: float) -> RunView:
    """Wait for the end of a run, and describe it as it is then.

    Args:
        runs: the runs of the server.
        run_id: the run.
        seconds: how long to wait at most.
    """
    if seconds:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ended.set)

        forget = runs.on_end(run_id, wake)
        try:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), seconds)
        finally:
            forget()
    known = runs.view_in_memory(run_id)
    return known if known is not None else await run_in_threadpool(runs.view, run_id)
