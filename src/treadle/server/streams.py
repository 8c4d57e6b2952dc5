"""Server-sent events: the events of one run for one client. State: that of one stream. `app.py` has the endpoint."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from treadle.server.events import ENDED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from treadle.server.events import EventLogs

_BATCH = 100
"""How many events are sent together at most."""


async def event_stream(events: EventLogs, run_id: str, after: int, heartbeat: float) -> AsyncIterator[str]:
    """Yield the events of a run until its last one.

    Args:
        events: the events of all runs.
        run_id: the run.
        after: the id of the last event that the client has; 0 for none.
        heartbeat: seconds of silence after which a comment is sent.

    Yields:
        One or more events in the format of `text/event-stream`; their ids count from 1.
    """
    written, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(written.set)

    stop, reader, number = events.subscribe(run_id, wake), events.read(run_id), 0
    try:
        while True:
            is_last = events.is_closed
            written.clear()
            batch: list[str] = []  # one packet for many events
            for line, facts in reader.events():  # read as fast as the client takes them
                number += 1
                if number > after:
                    batch.append(f"id: {number}\nevent: {facts['type']}\ndata: {line}\n\n")
                has_ended = facts["type"] == ENDED
                if batch and (has_ended or len(batch) == _BATCH):
                    yield "".join(batch)
                    batch = []
                if has_ended:
                    return
            if batch:
                yield "".join(batch)
            if is_last:
                return
            try:
                await asyncio.wait_for(written.wait(), heartbeat)
            except asyncio.TimeoutError:
                yield ": heartbeat\n\n"
    finally:
        stop()
