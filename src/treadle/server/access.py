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

_FIRST_PAUSE = 0.1
"""How long a request that waits for a run of another process waits at first, until it asks the store again; then ever longer."""
_LONGEST_PAUSE = 2.0


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
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    if seconds:
        await _wait_for_own(runs, run_id, seconds)
    known = runs.view_in_memory(run_id)
    if known is not None:
        return known
    pause = _FIRST_PAUSE
    while (left := deadline - loop.time()) > 0 and not runs.queue.is_closed:
        if not await run_in_threadpool(runs.project.goes_on, run_id):
            break
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return await run_in_threadpool(runs.view, run_id)


async def _wait_for_own(runs: Runs, run_id: str, seconds: float) -> None:
    """Wait for the end of a run of this server; return at once if it is a run of another process."""
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
